/*-------------------------------------------------------------------------
 *
 * begin.c
 *	  Begins a verification.
 *
 * A refusal is a row, too, so that the caller's transaction lives.  Rows of refusals are
 * counted: a flood must not fill the table.  Whoever has counted one in a transaction that
 * is still open is not waited for, and another row is written instead.
 *
 * A session's verification is known by a hash of the session's key, the purpose and the
 * requester.  An advisory lock on that hash, until the transaction ends, makes two clicks
 * at the same time one verification.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "core/operation.h"
#include "queue/rows/lock_class.h"
#include "random.h"
#include "table/hash_key.h"
#include "table/statements.h"
#include "verification/rows.h"

/* A row to be inserted, beside what it is for those who read it. */
typedef struct NewVerification
{
	PnvsVerification row;
	uint64		recipient_hash;
	uint64		session_hash;	/* 0: none */
} NewVerification;

static uint64 lock_session(const PnvsBeginRequest *request);
static bool continue_session(const PnvsBeginRequest *request, uint64 session_hash,
							 PnvsBegun *begun);
static bool find_session(uint64 session_hash, pg_uuid_t *id);
static void fill(const PnvsBeginRequest *request, PnvsVerification *row);
static void make_id(pg_uuid_t *id);
static void keep_refused(NewVerification *verification, const char *refused, int retry_after_s);
static bool count_refused(NewVerification *verification);
static void insert_row(const NewVerification *verification);
static void put_optional_text(const PnvsTableRow *open, int column, const char *text);

/* Begins a verification, or goes on with the one that the session has under way. */
void
pnvs_verification_begin(const PnvsBeginRequest *request, PnvsBegun *begun)
{
	NewVerification verification = {0};
	PnvsVerification *row = &verification.row;
	const char *refused;
	int			retry_after_s;

	pnvs_verification_require_memory("begin_verification()");
	if (request->recipient == NULL)
	{
		memset(begun, 0, sizeof(*begun));
		begun->state = pnvs_verification_state_name(PNVS_VERIFICATION_REFUSED);
		begun->refused = "not_a_number";
		begun->retry_after_s = -1;
		return;
	}
	if (request->session_key != NULL)
	{
		verification.session_hash = lock_session(request);
		if (continue_session(request, verification.session_hash, begun))
			return;
	}
	fill(request, row);
	verification.recipient_hash = pnvs_database_hash_number(row->recipient);
	refused = pnvs_verification_send(row, row->channels[0], &retry_after_s);
	if (refused == NULL)
		insert_row(&verification);
	else
		keep_refused(&verification, refused, retry_after_s);
	pnvs_verification_show(row, begun);
	begun->retry_after_s = retry_after_s;
}

/* Locks the session until the transaction ends, and returns its hash. */
static uint64
lock_session(const PnvsBeginRequest *request)
{
	Oid			requester = GetUserId();
	size_t		purpose_len = request->purpose != NULL ? strlen(request->purpose) + 1 : 0;
	size_t		key_len = strlen(request->session_key);
	size_t		len = sizeof(requester) + sizeof(purpose_len) + purpose_len + key_len;
	char	   *data = palloc(len);
	char	   *end = data;
	uint64		hash;

	/* the length keeps ("ab", "c") and ("a", "bc") apart */
	memcpy(end, &requester, sizeof(requester));
	end += sizeof(requester);
	memcpy(end, &purpose_len, sizeof(purpose_len));
	end += sizeof(purpose_len);
	if (request->purpose != NULL)
		memcpy(end, request->purpose, purpose_len);
	end += purpose_len;
	memcpy(end, request->session_key, key_len);
	hash = pnvs_database_hash(PNVS_HASH_SESSION, data, len);
	explicit_bzero(data, len);
	pfree(data);
	pnvs_database_lock(hash, PNVS_LOCK_SESSION);
	return hash;
}

/*
 * Goes on with what the session has under way for this number; false if there is nothing.
 * What it has for another number is canceled, and what sends messages if this is not to.
 */
static bool
continue_session(const PnvsBeginRequest *request, uint64 session_hash, PnvsBegun *begun)
{
	PnvsVerification row;
	pg_uuid_t	id;

	if (!find_session(session_hash, &id) || !pnvs_verification_find(&id, &row))
		return false;
	pnvs_verification_count_tries(&row);
	if (!pnvs_verification_is_open(&row))
		return false;
	if (strcmp(row.recipient, request->recipient) != 0 || row.is_decoy != request->is_decoy)
	{
		(void) pnvs_verification_cancel(&id);
		return false;
	}
	if (GetCurrentTimestamp() < row.resend_at)
	{
		pnvs_verification_show(&row, begun);
		return true;
	}
	pnvs_verification_resend(&id, PNVS_ANY_CHANNEL, begun);
	/* it may have ended while its lock was waited for */
	return begun->is_open;
}

/* Finds what was begun last of it, and is pending. */
static bool
find_session(uint64 session_hash, pg_uuid_t *id)
{
	TimestampTz latest = DT_NOBEGIN;
	PnvsTableRow row;

	pnvs_table_row_begin(&pnvs_verification_table, AccessShareLock, &row);
	pnvs_table_scan_begin(&row, PNVS_VERIFICATION_COLUMN_SESSION_HASH, Int64GetDatum((int64) session_hash));
	while (pnvs_table_scan_next(&row))
	{
		TimestampTz begun_at = DatumGetTimestampTz(PNVS_VERIFICATION_DATUM(&row, BEGUN_AT));

		if (begun_at <= latest || strcmp(PNVS_VERIFICATION_TEXT(&row, STATE), "pending") != 0)
			continue;
		latest = begun_at;
		*id = *DatumGetUUIDP(PNVS_VERIFICATION_DATUM(&row, ID));
	}
	pnvs_table_scan_end(&row);
	pnvs_table_row_end(&row);
	return latest != DT_NOBEGIN;
}

/* A verification without a message. */
static void
fill(const PnvsBeginRequest *request, PnvsVerification *row)
{
	make_id(&row->id);
	row->requested_by = GetUserId();
	row->state = row->stored = PNVS_VERIFICATION_PENDING;
	row->recipient = request->recipient;
	row->service_sid = request->service_sid != NULL ? request->service_sid : "";
	row->purpose = request->purpose;
	row->reference = request->reference;
	memcpy(row->channels, request->channels, sizeof(row->channels));
	row->nchannels = request->nchannels;
	row->channel = request->channels[0];
	row->is_decoy = request->is_decoy;
	if (request->rate_key != NULL)
		row->admission_key = pnvs_guard_hash_rate_key(request->rate_key);
	row->trusted = request->trusted;
	/* the session's lock may have been waited for */
	row->begun_at = GetCurrentTimestamp();
	row->expires_at = row->begun_at + request->valid_for_us;
	row->resend_at = DT_NOEND;
}

/* A version 4 UUID, random in all bits that do not say so: it is a secret. */
static void
make_id(pg_uuid_t *id)
{
	pnvs_random(id->data, UUID_LEN);
	id->data[6] = (id->data[6] & 0x0f) | 0x40;
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
}

/* Keeps a refusal: one row for a number, key and minute. */
static void
keep_refused(NewVerification *verification, const char *refused, int retry_after_s)
{
	PnvsVerification *row = &verification->row;

	row->state = row->stored = PNVS_VERIFICATION_REFUSED;
	row->refused = refused;
	row->expires_at = row->begun_at;
	if (retry_after_s >= 0)
		row->resend_at = row->begun_at + retry_after_s * USECS_PER_SEC;
	verification->session_hash = 0;
	if (!count_refused(verification))
		insert_row(verification);
}

/* Counts the refusal in the row of this minute, and takes its ID; false if there is none. */
static bool
count_refused(NewVerification *verification)
{
	PnvsVerification *row = &verification->row;
	PnvsTableVisit visit;
	Datum		values[7];
	char		nulls[] = "       ";
	bool		found;

	pnvs_table_enter(&pnvs_verification_table, &visit, RowExclusiveLock);
	values[0] = Int64GetDatum((int64) verification->recipient_hash);
	values[1] = TimestampTzGetDatum(row->begun_at - row->begun_at % USECS_PER_MINUTE);
	values[2] = ObjectIdGetDatum(row->requested_by);
	values[3] = Int64GetDatum((int64) row->admission_key);
	values[4] = CStringGetTextDatum(row->refused);
	values[5] = TimestampTzGetDatum(row->resend_at);
	values[6] = row->purpose != NULL ? CStringGetTextDatum(row->purpose) : (Datum) 0;
	if (row->admission_key == 0)
		nulls[3] = 'n';
	if (row->purpose == NULL)
		nulls[6] = 'n';
	found = pnvs_table_write(&pnvs_verification_table, PNVS_VERIFICATION_COUNT_REFUSED, values,
							 nulls) == 1;
	if (found)
		row->id = *DatumGetUUIDP(pnvs_result_datum(0, PNVS_FIRST_COLUMN));
	pnvs_table_leave(&visit);
	return found;
}

#define PUT(column, value) PNVS_VERIFICATION_PUT(&open, column, value)

static void
insert_row(const NewVerification *verification)
{
	const PnvsVerification *row = &verification->row;
	bool		was_refused = row->stored == PNVS_VERIFICATION_REFUSED;
	char		masked[PNVS_PHONE_NUMBER_SIZE];
	const char *channels[PNVS_MAX_BEGIN_CHANNELS];
	PnvsTableRow open;

	for (int i = 0; i < row->nchannels; i++)
		channels[i] = pnvs_operation_channel_text(row->channels[i]);
	pnvs_phone_number_mask(row->recipient, masked);
	pnvs_table_row_begin(&pnvs_verification_table, RowExclusiveLock, &open);
	pnvs_table_row_make(&open);
	PUT(ID, UUIDPGetDatum(&row->id));
	PUT(REQUESTED_BY, ObjectIdGetDatum(row->requested_by));
	PUT(STATE, CStringGetTextDatum(pnvs_verification_state_name(row->stored)));
	PUT(RECIPIENT, CStringGetTextDatum(was_refused ? masked : row->recipient));
	PUT(RECIPIENT_HASH, Int64GetDatum((int64) verification->recipient_hash));
	put_optional_text(&open, PNVS_VERIFICATION_COLUMN_PURPOSE, row->purpose);
	put_optional_text(&open, PNVS_VERIFICATION_COLUMN_REFERENCE, row->reference);
	if (verification->session_hash != 0)
		PUT(SESSION_HASH, Int64GetDatum((int64) verification->session_hash));
	PUT(SERVICE_SID, CStringGetTextDatum(row->service_sid));
	PUT(CHANNELS, pnvs_array_of_texts(channels, row->nchannels));
	PUT(CHANNEL_POSITION, Int32GetDatum(row->position));
	PUT(CHANNEL, CStringGetTextDatum(pnvs_operation_channel_text(row->channel)));
	if (!was_refused)
		PUT(LAST_MESSAGE, Int64GetDatum(row->last_message));
	PUT(MESSAGES, Int32GetDatum(row->messages));
	PUT(IS_DECOY, BoolGetDatum(row->is_decoy));
	if (row->admission_key != 0)
		PUT(ADMISSION_KEY, Int64GetDatum((int64) row->admission_key));
	PUT(TRUSTED, BoolGetDatum(row->trusted));
	PUT(BEGUN_AT, TimestampTzGetDatum(row->begun_at));
	PUT(EXPIRES_AT, TimestampTzGetDatum(row->expires_at));
	PUT(RESEND_AT, TimestampTzGetDatum(row->resend_at));
	put_optional_text(&open, PNVS_VERIFICATION_COLUMN_REFUSED, row->refused);
	PUT(REFUSED_COUNT, Int32GetDatum(was_refused ? 1 : 0));
	PUT(TRIES, Int32GetDatum(0));
	if (was_refused)
		PUT(ENDED_AT, TimestampTzGetDatum(row->begun_at));
	PUT(ORIGIN_SYSTEM, Int64GetDatum((int64) GetSystemIdentifier()));
	PUT(ORIGIN_DATABASE, ObjectIdGetDatum(MyDatabaseId));
	pnvs_table_row_insert(&open);
	pnvs_table_row_end(&open);
}

#undef PUT

static void
put_optional_text(const PnvsTableRow *open, int column, const char *text)
{
	if (text != NULL)
		pnvs_table_row_put(open, column, CStringGetTextDatum(text));
}
