/*-------------------------------------------------------------------------
 *
 * search_verification.c
 *	  search_verification(): looks up messages that were sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "guard/guard.h"
#include "sql/sql.h"

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

/* A search under way. */
typedef struct Search
{
	MemoryContext context;		/* outlives the pages */
	ReturnSetInfo *result;
	int			page_size;
	int			max_records;
	int			nrecords;		/* returned so far */
	int			page;			/* the one being read, from 1 */
	int			first_len;		/* records of the first page */
	uint64	   *fingerprints;	/* of the pages so far */
} Search;

static void take_try(const char *const *values);
static void ask_for_page(Search *search, const char **values, PnvsCallState *call);
static void check_page(Search *search, const PnvsReply *reply);
static uint64 fingerprint(const PnvsReply *reply);
static void add_records(Search *search, const PnvsReply *reply);
static bool is_last_page(const Search *search, const PnvsReply *reply);
static void add_time(PnvsRow *row, int64 epoch_ms);

/*
 * search_verification(service_sid text, "to" text, code text,
 *					   verification_id text, send_date timestamptz,
 *					   page_size integer, max_records integer)
 *
 * Returns the service's records, from all of its pages, up to max_records.  A refusal is
 * always an error here, for no row could hold it.
 */
Datum
pnvs_search_verification(PG_FUNCTION_ARGS)
{
	const char *values[PNVS_MAX_PARAMETERS] = {0};
	Search		search = {0};
	MemoryContext page_context;
	bool		more = true;

	values[PNVS_SEARCH_SERVICE_SID] = pnvs_argument_service_sid(fcinfo, 0);
	values[PNVS_SEARCH_TO] = pnvs_argument_number(fcinfo, 1);
	values[PNVS_SEARCH_CODE] = pnvs_argument_typed_code(fcinfo, 2);
	values[PNVS_SEARCH_VERIFICATION_ID] = pnvs_argument_verification_id(fcinfo, 3);
	values[PNVS_SEARCH_SEND_DATE] = pnvs_argument_send_date(fcinfo, 4);
	search.page_size = pnvs_argument_count(fcinfo, 5, "page_size", MAX_PAGE_SIZE);
	search.max_records = pnvs_argument_count(fcinfo, 6, "max_records", MAX_RECORDS);
	search.page_size = Min(search.page_size, search.max_records);

	if (values[PNVS_SEARCH_CODE] != NULL)
		take_try(values);

	InitMaterializedSRF(fcinfo, 0);
	search.result = (ReturnSetInfo *) fcinfo->resultinfo;
	pnvs_row_check_type(search.result->setDesc, column_types, lengthof(column_types));

	page_context = AllocSetContextCreate(CurrentMemoryContext, "pnvs search page",
										 ALLOCSET_DEFAULT_SIZES);
	search.context = MemoryContextSwitchTo(page_context);
	while (more)
	{
		PnvsCallState call;

		search.page++;
		ask_for_page(&search, values, &call);
		check_page(&search, &call.answer.reply);
		add_records(&search, &call.answer.reply);
		more = !is_last_page(&search, &call.answer.reply);
		MemoryContextReset(page_context);
	}
	MemoryContextSwitchTo(search.context);
	MemoryContextDelete(page_context);
	return (Datum) 0;
}

/*
 * Takes a try, or throws.  What a search with a code finds tells whether that is right: it
 * is like a check, and its try is never given back.
 */
static void
take_try(const char *const *values)
{
	PnvsRefusal refusal;
	PnvsTry		try;

	if (values[PNVS_SEARCH_TO] == NULL && values[PNVS_SEARCH_VERIFICATION_ID] == NULL)
		pnvs_argument_refuse("a search with a code needs \"to\" or verification_id",
							 "It counts as a try of that number, or of that ID.");
	HOLD_INTERRUPTS();
	refusal = pnvs_guard_admit_try(values[PNVS_SEARCH_TO], values[PNVS_SEARCH_VERIFICATION_ID],
								   GetCurrentTimestamp(), &try);
	RESUME_INTERRUPTS();
	if (refusal.reason != PNVS_ADMITTED)
		pnvs_guard_throw(&refusal);
}

static void
ask_for_page(Search *search, const char **values, PnvsCallState *call)
{
	call->operation = pnvs_operation_get(PNVS_SEARCH_VERIFICATION);
	values[PNVS_SEARCH_PAGE_SIZE] = psprintf("%d", search->page_size);
	values[PNVS_SEARCH_CURRENT_PAGE] = psprintf("%d", search->page);
	pnvs_client_call(call->operation, values, PNVS_TIMEOUTS_AS_SET, &call->answer);
	pnvs_failure_throw_if_unjudged(call);
	pnvs_failure_throw_if_refused(call);
}

/*
 * Throws if the pages might never end: for another page than the requested one, a page
 * that came before, or more pages than max_records can need.  That number is based on
 * the length of the first page, for the service may return shorter pages than requested.
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
		search->fingerprints = MemoryContextAllocHuge(search->context, room * sizeof(uint64));
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
		PnvsRow		row = {.values = values,.nulls = nulls};

		pnvs_row_add_text(&row, record->verification_id);
		pnvs_row_add_text(&row, record->recipient);
		pnvs_row_add_text(&row, record->channel);
		pnvs_row_add_text(&row, record->service_sid);
		pnvs_row_add_text(&row, record->status);
		add_time(&row, record->send_date_ms);
		add_time(&row, record->updated_date_ms);
		tuplestore_putvalues(search->result->setResult, search->result->setDesc,
							 values, nulls);
		search->nrecords++;
	}
}

/*
 * Whether nothing is left to ask for.  If the service does not say how many pages there
 * are, a page that is not full is the last.
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

/* Milliseconds since the epoch as a timestamptz; NULL if it cannot be one. */
static void
add_time(PnvsRow *row, int64 epoch_ms)
{
	const int64 end_ms = (int64) (TIMESTAMP_END_JULIAN - UNIX_EPOCH_JDATE) * MSECS_PER_DAY;
	bool		null = epoch_ms < 0 || epoch_ms >= end_ms;

	pnvs_row_add_value(row, null ? (Datum) 0 :
					   TimestampTzGetDatum(epoch_ms * 1000 + PNVS_UNIX_EPOCH), null);
}
