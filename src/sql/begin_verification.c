/*-------------------------------------------------------------------------
 *
 * begin_verification.c
 *	  begin_verification(), resend_verification(), cancel_phone_verification() and
 *	  phone_verification_status().
 *
 * What a person can do wrong is a row, such as a number that is none.  What the developer
 * has done wrong is an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "sql/sql.h"
#include "verification/verification.h"

PG_FUNCTION_INFO_V1(pnvs_begin_verification);
PG_FUNCTION_INFO_V1(pnvs_resend_verification);
PG_FUNCTION_INFO_V1(pnvs_cancel_phone_verification);
PG_FUNCTION_INFO_V1(pnvs_phone_verification_status);

/* Of phone_verification_status_result; the first are those of begin_verification_result. */
static const Oid types[] = {
	UUIDOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	BOOLOID, INT4OID, TEXTOID
};

#define BEGUN_COLUMNS 7

/* The arguments of begin_verification(), by their positions. */
enum BeginArgument
{
	BEGIN_TO,
	BEGIN_CHANNELS,
	BEGIN_PURPOSE,
	BEGIN_SESSION_KEY,
	BEGIN_RATE_KEY,
	BEGIN_TRUSTED,
	BEGIN_SEND,
	BEGIN_VALID_FOR,
	BEGIN_SERVICE_SID,
	BEGIN_REFERENCE,
	BEGIN_ARGUMENTS
};

static Datum begin(PG_FUNCTION_ARGS);
static Datum resend(PG_FUNCTION_ARGS);
static Datum cancel(PG_FUNCTION_ARGS);
static Datum show_status(PG_FUNCTION_ARGS);
static void read_arguments(FunctionCallInfo fcinfo, PnvsBeginRequest *request);
static void make_key(FunctionCallInfo fcinfo, const PnvsBeginRequest *request, PnvsMemoKey *key);
static void prevent(const char *function);
static Datum show_begun(FunctionCallInfo fcinfo, const PnvsMemoKey *key, const PnvsBegun *begun);
static void add_begun(PnvsRow *row, const PnvsBegun *begun);

/*
 * begin_verification("to" text, channels text[], purpose text, session_key text,
 *					  rate_key text, trusted boolean, send boolean, valid_for interval,
 *					  service_sid text, reference text)
 *
 * Queues the first message in the transaction under way.  A refusal is a row.
 */
Datum
pnvs_begin_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(begin, fcinfo);
}

static Datum
begin(PG_FUNCTION_ARGS)
{
	PnvsBeginRequest request = {0};
	PnvsBegun	begun;
	PnvsMemoKey key;
	Datum		result;

	prevent("begin_verification()");
	read_arguments(fcinfo, &request);
	make_key(fcinfo, &request, &key);
	if (pnvs_memo_find(fcinfo, &key, &result))
		return result;
	pnvs_verification_begin(&request, &begun);
	return show_begun(fcinfo, &key, &begun);
}

/*
 * resend_verification(id uuid, channel text)
 *
 * Queues another message of a verification, by the next of its channels if channel is NULL.
 */
Datum
pnvs_resend_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(resend, fcinfo);
}

static Datum
resend(PG_FUNCTION_ARGS)
{
	PnvsChannelWord channel = PNVS_ANY_CHANNEL;
	const char *values[2] = {0};	/* for the memo */
	const pg_uuid_t *id;
	PnvsBegun	begun;
	PnvsMemoKey key;
	Datum		result;

	prevent("resend_verification()");
	id = pnvs_argument_phone_verification(fcinfo, 0);
	values[0] = pnvs_memo_id(id);
	if (!PG_ARGISNULL(1))
		values[1] = pnvs_argument_channel(fcinfo, 1);
	if (values[1] != NULL)
		channel = pnvs_operation_channel_word(values[1]);
	pnvs_memo_key(&key, "resend_verification", values, lengthof(values));
	if (pnvs_memo_find(fcinfo, &key, &result))
		return result;
	pnvs_verification_resend(id, channel, &begun);
	return show_begun(fcinfo, &key, &begun);
}

/*
 * cancel_phone_verification(id uuid)
 *
 * True if it could still have been approved, or used: now it cannot.
 */
Datum
pnvs_cancel_phone_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(cancel, fcinfo);
}

static Datum
cancel(PG_FUNCTION_ARGS)
{
	prevent("cancel_phone_verification()");
	PG_RETURN_BOOL(pnvs_verification_cancel(pnvs_argument_phone_verification(fcinfo, 0)));
}

/*
 * phone_verification_status(id uuid)
 *
 * The row of begin_verification() and that of confirm_verification(), as they would be now, and
 * what the verification is for.
 */
Datum
pnvs_phone_verification_status(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(show_status, fcinfo);
}

static Datum
show_status(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *id = pnvs_argument_phone_verification(fcinfo, 0);
	PnvsConfirmed confirmed;
	PnvsBegun	begun;
	PnvsRow		row;

	pnvs_row_begin(&row, fcinfo, types, lengthof(types));
	pnvs_verification_status(id, &begun, &confirmed);
	add_begun(&row, &begun);
	pnvs_row_add_value(&row, BoolGetDatum(confirmed.approved), confirmed.state == NULL);
	pnvs_row_add_value(&row, Int32GetDatum(confirmed.tries_left), confirmed.tries_left < 0);
	pnvs_row_add_text(&row, begun.purpose);
	return pnvs_row_finish(&row);
}

static void
read_arguments(FunctionCallInfo fcinfo, PnvsBeginRequest *request)
{
	request->recipient = pnvs_argument_possible_recipient(fcinfo, BEGIN_TO);
	request->nchannels = pnvs_argument_channels(fcinfo, BEGIN_CHANNELS, request->channels,
												PNVS_MAX_BEGIN_CHANNELS);
	request->purpose = pnvs_argument_kept_text(fcinfo, BEGIN_PURPOSE, "purpose");
	request->session_key = pnvs_argument_session_key(fcinfo, BEGIN_SESSION_KEY);
	request->rate_key = pnvs_argument_rate_key(fcinfo, BEGIN_RATE_KEY);
	request->trusted = pnvs_argument_flag(fcinfo, BEGIN_TRUSTED);
	if (PG_ARGISNULL(BEGIN_SEND))
		(void) pnvs_argument_required(NULL, "send");
	request->is_decoy = !PG_GETARG_BOOL(BEGIN_SEND);
	request->valid_for_us = pnvs_argument_valid_for(fcinfo, BEGIN_VALID_FOR);
	request->service_sid = pnvs_argument_service_sid(fcinfo, BEGIN_SERVICE_SID);
	request->reference = pnvs_argument_kept_text(fcinfo, BEGIN_REFERENCE, "reference");
}

/* Two calls with these values are repeats within a statement. */
static void
make_key(FunctionCallInfo fcinfo, const PnvsBeginRequest *request, PnvsMemoKey *key)
{
	char		channels[PNVS_MAX_BEGIN_CHANNELS + 1] = {0};
	char		valid_for[MAXINT8LEN + 1];
	const char *values[BEGIN_ARGUMENTS] = {
		[BEGIN_TO] = request->recipient != NULL ? request->recipient :
		text_to_cstring(PG_GETARG_TEXT_PP(BEGIN_TO)),
		[BEGIN_CHANNELS] = channels,
		[BEGIN_PURPOSE] = request->purpose,
		[BEGIN_SESSION_KEY] = request->session_key,
		[BEGIN_RATE_KEY] = request->rate_key,
		[BEGIN_TRUSTED] = request->trusted ? "t" : "f",
		[BEGIN_SEND] = request->is_decoy ? "f" : "t",
		[BEGIN_VALID_FOR] = valid_for,
		[BEGIN_SERVICE_SID] = request->service_sid,
		[BEGIN_REFERENCE] = request->reference
	};

	for (int i = 0; i < request->nchannels; i++)
		channels[i] = (char) ('a' + request->channels[i]);
	pg_lltoa(request->valid_for_us, valid_for);
	pnvs_memo_key(key, "begin_verification", values, BEGIN_ARGUMENTS);
}

/* Before anything else. */
static void
prevent(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
}

/* The row of a call that was made, also for its repeats. */
static Datum
show_begun(FunctionCallInfo fcinfo, const PnvsMemoKey *key, const PnvsBegun *begun)
{
	PnvsRow		row;
	Datum		result;

	pnvs_row_begin(&row, fcinfo, types, BEGUN_COLUMNS);
	add_begun(&row, begun);
	result = pnvs_row_finish(&row);
	/* what keeps no row has written nothing, and needs no transaction ID */
	pnvs_memo_keep(fcinfo, key, result, begun->has_id);
	return result;
}

static void
add_begun(PnvsRow *row, const PnvsBegun *begun)
{
	pnvs_row_add_value(row, UUIDPGetDatum(&begun->id), !begun->has_id);
	pnvs_row_add_text(row, begun->state);
	pnvs_row_add_text(row, begun->channel);
	pnvs_row_add_text(row, begun->refused);
	pnvs_row_add_value(row, Int32GetDatum(begun->retry_after_s), begun->retry_after_s < 0);
	pnvs_row_add_value(row, TimestampTzGetDatum(begun->resend_at), begun->resend_at == 0);
	pnvs_row_add_value(row, TimestampTzGetDatum(begun->expires_at), begun->expires_at == 0);
}
