/*-------------------------------------------------------------------------
 *
 * search_verification.c
 *	  search_verification(): what was sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "remote/client.h"
#include "sql/arguments.h"
#include "sql/failure.h"
#include "sql/row.h"

/* A page of this size stays well below the limit on a reply's size. */
#define MAX_PAGE_SIZE 1000

/* The whole result is held before the first row is handed on. */
#define MAX_RECORDS 100000

#define MSECS_PER_DAY INT64CONST(86400000)

PG_FUNCTION_INFO_V1(pnvs_search_verification);

/* Of search_verification_record. */
static const Oid column_types[] = {
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID
};

/* A search on its way through the pages. */
typedef struct Search
{
	ReturnSetInfo *result;
	int			page_size;
	int			max_records;
	int			nrecords;		/* returned so far */
	int			page;			/* the one being read, from 1 */
	int			first_len;		/* records of the first page */
	uint64	   *fingerprints;	/* of the pages so far */
} Search;

static void ask_for_page(Search *search, const char **values, PnvsAnswer *answer);
static void check_page(Search *search, const PnvsReply *reply);
static uint64 fingerprint(const PnvsReply *reply);
static void add_records(Search *search, const PnvsReply *reply);
static bool is_last_page(const Search *search, const PnvsReply *reply);
static void put_text(const char *text, Datum *value, bool *null);
static void put_time(int64 epoch_ms, Datum *value, bool *null);

/*
 * search_verification(service_sid text, "to" text, code text,
 *					   verification_id text, send_date timestamptz,
 *					   page_size integer, max_records integer)
 *
 * Returns what the service knows, through all of its pages up to max_records.
 * A refusal is always an error here, for it has no row to be in.
 */
Datum
pnvs_search_verification(PG_FUNCTION_ARGS)
{
	const char *values[PNVS_MAX_PARAMETERS] = {0};
	Search		search = {0};
	MemoryContext page_context;
	MemoryContext caller;
	bool		more = true;

	values[PNVS_SEARCH_SERVICE_SID] = pnvs_argument_service_sid(fcinfo, 0);
	values[PNVS_SEARCH_TO] = pnvs_argument_optional_number(fcinfo, 1);
	values[PNVS_SEARCH_CODE] = pnvs_argument_optional_typed_code(fcinfo, 2);
	values[PNVS_SEARCH_VERIFICATION_ID] = pnvs_argument_optional_verification_id(fcinfo, 3);
	values[PNVS_SEARCH_SEND_DATE] = pnvs_argument_send_date(fcinfo, 4);
	search.page_size = pnvs_argument_count(fcinfo, 5, "page_size", MAX_PAGE_SIZE);
	search.max_records = pnvs_argument_count(fcinfo, 6, "max_records", MAX_RECORDS);
	search.page_size = Min(search.page_size, search.max_records);

	InitMaterializedSRF(fcinfo, 0);
	search.result = (ReturnSetInfo *) fcinfo->resultinfo;
	pnvs_row_check_type(search.result->setDesc, column_types, lengthof(column_types));

	page_context = AllocSetContextCreate(CurrentMemoryContext, "pnvs search page",
										 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(page_context);
	while (more)
	{
		PnvsAnswer	answer;

		search.page++;
		ask_for_page(&search, values, &answer);
		MemoryContextSwitchTo(caller);
		check_page(&search, &answer.reply);
		MemoryContextSwitchTo(page_context);
		add_records(&search, &answer.reply);
		more = !is_last_page(&search, &answer.reply);
		MemoryContextReset(page_context);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(page_context);
	return (Datum) 0;
}

static void
ask_for_page(Search *search, const char **values, PnvsAnswer *answer)
{
	const PnvsOperation *operation = pnvs_operation_get(PNVS_SEARCH_VERIFICATION);

	values[PNVS_SEARCH_PAGE_SIZE] = psprintf("%d", search->page_size);
	values[PNVS_SEARCH_CURRENT_PAGE] = psprintf("%d", search->page);
	pnvs_client_call(operation, values, answer);
	pnvs_failure_throw_if_unjudged(operation, answer);
	pnvs_failure_throw_if_refused(operation, answer);
}

/*
 * Throws where the pages would never end: another page than the one asked for,
 * one that came before, or more of them than max_records can need.  The last
 * counts in pages of the first one's length, for the service may make smaller
 * ones than it was asked for.
 */
static void
check_page(Search *search, const PnvsReply *reply)
{
	uint64		mark = fingerprint(reply);
	int			room;

	if (reply->page_no >= 0 && reply->page_no != search->page)
		pnvs_failure_throw_unreadable("a search returned another page than the one asked for");
	if (search->page == 1)
		search->first_len = Max(reply->nrecords, 1);

	room = (search->max_records - 1) / search->first_len + 2;
	if (search->page > room)
		pnvs_failure_throw_unreadable("a search returned pages without end");

	for (int i = 0; i < search->page - 1 && reply->nrecords > 0; i++)
	{
		if (search->fingerprints[i] == mark)
			pnvs_failure_throw_unreadable("a search returned the same page twice");
	}
	if (search->fingerprints == NULL)
		search->fingerprints = palloc_extended(room * sizeof(uint64), MCXT_ALLOC_HUGE);
	search->fingerprints[search->page - 1] = mark;
}

/* A hash of the verification IDs of a page, in their order. */
static uint64
fingerprint(const PnvsReply *reply)
{
	uint64		hash = 0;

	for (int i = 0; i < reply->nrecords; i++)
	{
		const char *id = reply->records[i].verification_id;

		hash = hash_combine64(hash, id == NULL ? 0 :
							  hash_bytes_extended((const unsigned char *) id,
												  (int) strlen(id), 0));
	}
	return hash;
}

static void
add_records(Search *search, const PnvsReply *reply)
{
	for (int i = 0; i < reply->nrecords && search->nrecords < search->max_records; i++)
	{
		const PnvsRecord *record = &reply->records[i];
		Datum		values[lengthof(column_types)];
		bool		nulls[lengthof(column_types)];

		put_text(record->verification_id, &values[0], &nulls[0]);
		put_text(record->recipient, &values[1], &nulls[1]);
		put_text(record->channel, &values[2], &nulls[2]);
		put_text(record->service_sid, &values[3], &nulls[3]);
		put_text(record->status, &values[4], &nulls[4]);
		put_time(record->send_date_ms, &values[5], &nulls[5]);
		put_time(record->updated_date_ms, &values[6], &nulls[6]);
		tuplestore_putvalues(search->result->setResult, search->result->setDesc,
							 values, nulls);
		search->nrecords++;
	}
}

/*
 * Whether there is nothing more to ask for.  Where the service does not say how
 * many pages there are, a page that is not full is the last.
 */
static bool
is_last_page(const Search *search, const PnvsReply *reply)
{
	if (search->nrecords >= search->max_records || reply->nrecords == 0)
		return true;
	if (reply->total_pages >= 0)
		return search->page >= reply->total_pages;
	return reply->nrecords < search->page_size;
}

static void
put_text(const char *text, Datum *value, bool *null)
{
	*null = text == NULL;
	*value = text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* Milliseconds since the epoch as a timestamptz; NULL where it has no such. */
static void
put_time(int64 epoch_ms, Datum *value, bool *null)
{
	const int64 end_ms = (int64) (TIMESTAMP_END_JULIAN - UNIX_EPOCH_JDATE) *
	MSECS_PER_DAY;
	const int64 epoch = ((int64) UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) *
	USECS_PER_DAY;

	*null = epoch_ms < 0 || epoch_ms >= end_ms;
	*value = *null ? (Datum) 0 : TimestampTzGetDatum(epoch_ms * 1000 + epoch);
}
