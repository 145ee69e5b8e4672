/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  Checks the arguments of the SQL functions and prepares them for the service.
 *
 * Functions that take a call frame take the argument's position, counted from 0.  They
 * return a text in UTF-8 in the current memory context, or NULL for NULL unless they
 * say "required".  What cannot be right is an error here, before anything is sent.  No
 * message holds the argument: it is somebody's number, or a code.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/string.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/ascii.h"
#include "core/calling_codes.h"
#include "core/phone_number.h"
#include "core/rate_key.h"
#include "core/unicode.h"
#include "errcodes.h"
#include "settings.h"
#include "sql/sql.h"

/* A typed code is 4 to 8 digits; a longer text is something else. */
#define MAX_TYPED_CODE_LEN 16

#define USECS_PER_MSEC 1000

/* A time further ahead is a mistake: a message is wanted now, or soon. */
#define MAX_AHEAD_DAYS INT64CONST(366)

/*
 * Shorter, nobody could be in time.  Longer, somebody else may have the number, or the
 * browser.
 */
#define MIN_GOOD_FOR_US USECS_PER_SEC
#define MAX_GOOD_FOR_US USECS_PER_DAY

/*
 * The service keeps 30 days.  One more day allows for dates without a time, and times
 * without a zone.  The service accepts clocks that differ by 15 minutes.
 */
#define MAX_SEND_DATE_AGE_DAYS INT64CONST(31)
#define MAX_SEND_DATE_AHEAD (15 * SECS_PER_MINUTE * USECS_PER_SEC)

/* Why a text cannot be a code. */
typedef enum CodeFault
{
	CODE_OK,
	CODE_EMPTY,
	CODE_OF_ID,
	CODE_TOO_LONG
} CodeFault;

static const char *text_argument(FunctionCallInfo fcinfo, int n);
static CodeFault find_code_fault(const char *code);
static const char *check_number(const char *text);
static void check_plan(const char *digits, const PnvsCallingCode *plan);
static const char *clean_code(const char *typed);
static int	count_characters(const char *text);

/* The value, which must not be NULL: a message must not be lost silently. */
const char *
pnvs_argument_required(const char *value, const char *name)
{
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be null", name),
				 errhint("Pass a value. If there is none, do not call the function."),
				 pnvs_errhide()));
	return value;
}

/* A channel, required; in the service's spelling. */
const char *
pnvs_argument_channel(FunctionCallInfo fcinfo, int n)
{
	const char *channel =
	pnvs_operation_channel(pnvs_argument_required(text_argument(fcinfo, n), "channel"));

	if (channel == NULL)
		pnvs_argument_refuse("invalid channel", "The channels are SMS, VOICE and WHATSAPP.");
	return channel;
}

/* A phone number, as digits. */
const char *
pnvs_argument_number(FunctionCallInfo fcinfo, int n)
{
	return check_number(text_argument(fcinfo, n));
}

/* A phone number that a message is to be sent to, required; as digits. */
const char *
pnvs_argument_recipient(FunctionCallInfo fcinfo, int n)
{
	return pnvs_argument_check_recipient(pnvs_argument_required(text_argument(fcinfo, n), "to"));
}

/* A service ID, by default the setting's; or NULL if that is empty. */
const char *
pnvs_argument_service_sid(FunctionCallInfo fcinfo, int n)
{
	const char *service_sid = text_argument(fcinfo, n);

	if (service_sid)
		return pnvs_argument_check_service_sid(service_sid);
	service_sid = pnvs_settings_service_sid();
	return service_sid[0] ? service_sid : NULL;
}

/* A service ID, required, by default the setting's. */
const char *
pnvs_argument_required_service_sid(FunctionCallInfo fcinfo, int n)
{
	const char *service_sid = pnvs_argument_service_sid(fcinfo, n);

	if (service_sid == NULL)
		pnvs_argument_refuse("no service is named",
							 "Pass service_sid, or set \"pnvs.service_sid\".");
	return service_sid;
}

/*
 * The code in a text that a person typed or pasted.  A verification's ID is longer than a
 * code, or has '/' or '+' in it: this finds the two in the wrong order.
 */
const char *
pnvs_argument_typed_code(FunctionCallInfo fcinfo, int n)
{
	const char *typed = text_argument(fcinfo, n);
	const char *code;

	if (typed == NULL)
		return NULL;
	code = clean_code(typed);
	switch (find_code_fault(code))
	{
		case CODE_OK:
			break;
		case CODE_EMPTY:
			pnvs_argument_refuse("code is empty", "Pass what the person typed.");
		case CODE_OF_ID:
			pnvs_argument_refuse("invalid code",
								 "This looks like a verification ID: code comes first, verification_id second.");
		case CODE_TOO_LONG:
			pnvs_argument_refuse("invalid code",
								 "A code has 16 characters at the most; code comes first, verification_id second.");
	}
	return code;
}

/* The same, or NULL if it cannot be a code. */
const char *
pnvs_argument_possible_code(FunctionCallInfo fcinfo, int n)
{
	const char *typed = PG_ARGISNULL(n) ? NULL :
	pnvs_argument_utf8(text_to_cstring(PG_GETARG_TEXT_PP(n)));
	const char *code = typed != NULL ? clean_code(typed) : NULL;

	return code != NULL && find_code_fault(code) == CODE_OK ? code : NULL;
}

static CodeFault
find_code_fault(const char *code)
{
	if (code[0] == '\0')
		return CODE_EMPTY;
	if (strpbrk(code, "/+") != NULL)
		return CODE_OF_ID;
	return count_characters(code) > MAX_TYPED_CODE_LEN ? CODE_TOO_LONG : CODE_OK;
}

/* A verification's ID, which has letters in it; codes and the queue's IDs have none. */
const char *
pnvs_argument_verification_id(FunctionCallInfo fcinfo, int n)
{
	const char *id = text_argument(fcinfo, n);

	if (id == NULL)
		return NULL;
	/* what people paste has blanks around it */
	id = clean_code(id);
	if (id[0] == '\0' || strlen(id) > PNVS_MAX_VERIFICATION_ID_LEN)
		pnvs_argument_refuse("invalid verification_id",
							 "Pass the verification_id that start_verification() returned.");
	if (id[strspn(id, "0123456789")] == '\0')
		pnvs_argument_refuse("invalid verification_id",
							 "This looks like a code or a queue ID: code comes first, verification_id second. For a queue ID call check_queued_verification().");
	return id;
}

/* A timestamptz of the last 30 days, as milliseconds since the epoch. */
const char *
pnvs_argument_send_date(FunctionCallInfo fcinfo, int n)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz when;

	if (PG_ARGISNULL(n))
		return NULL;
	when = PG_GETARG_TIMESTAMPTZ(n);
	if (when < now - MAX_SEND_DATE_AGE_DAYS * USECS_PER_DAY ||
		when > now + MAX_SEND_DATE_AHEAD)
		pnvs_argument_refuse("invalid send_date", "Pass a time of the last 30 days.");
	return psprintf(INT64_FORMAT, (when - PNVS_UNIX_EPOCH) / USECS_PER_MSEC);
}

/*
 * The time before which a message must not be sent.  NULL means now, and so does a time
 * in the past: with that the message would overtake those that were queued earlier.
 */
TimestampTz
pnvs_argument_not_before(FunctionCallInfo fcinfo, int n, TimestampTz now)
{
	TimestampTz when = PG_ARGISNULL(n) ? now : PG_GETARG_TIMESTAMPTZ(n);

	if (TIMESTAMP_NOT_FINITE(when) || when - now > MAX_AHEAD_DAYS * USECS_PER_DAY)
		pnvs_argument_refuse("invalid not_before", "Pass a time within a year, or NULL for now.");
	return Max(when, now);
}

/* The end of an interval from start, required; positive, and up to a year long. */
TimestampTz
pnvs_argument_end(FunctionCallInfo fcinfo, int n, const char *name, TimestampTz start)
{
	const Interval *interval = PG_ARGISNULL(n) ? NULL : PG_GETARG_INTERVAL_P(n);
	TimestampTz end = 0;

	if (interval != NULL && interval->month >= 0 && interval->month <= 12 &&
		interval->day >= 0 && interval->day <= MAX_AHEAD_DAYS &&
		interval->time >= -MAX_AHEAD_DAYS * USECS_PER_DAY &&
		interval->time <= MAX_AHEAD_DAYS * USECS_PER_DAY)
		end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													  TimestampTzGetDatum(start),
													  PG_GETARG_DATUM(n)));
	if (end <= start || end - start > MAX_AHEAD_DAYS * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s", name),
				 errhint("Pass an interval that is longer than nothing and no longer than a year."),
				 pnvs_errhide()));
	return end;
}

/* For how long an approval is good, required; in us. */
int64
pnvs_argument_good_for(const Interval *interval)
{
	int64		good_for_us = 0;

	if (interval != NULL && interval->month == 0 && interval->day >= -1 && interval->day <= 1 &&
		interval->time >= -MAX_GOOD_FOR_US && interval->time <= 2 * MAX_GOOD_FOR_US)
		good_for_us = interval->day * USECS_PER_DAY + interval->time;
	if (good_for_us < MIN_GOOD_FOR_US || good_for_us > MAX_GOOD_FOR_US)
		pnvs_argument_refuse("invalid good_for", "Pass an interval from 1 second to 24 hours.");
	return good_for_us;
}

/* The key that the caller's messages are counted by. */
const char *
pnvs_argument_rate_key(FunctionCallInfo fcinfo, int n)
{
	const char *text = text_argument(fcinfo, n);
	char	   *key;

	if (text == NULL)
		return NULL;
	key = palloc(PNVS_RATE_KEY_SIZE);
	if (pnvs_unicode_is_blank(text) || pnvs_rate_key_normalise(text, key) != PNVS_RATE_KEY_OK)
		pnvs_argument_refuse("invalid rate_key", "It can have 1024 bytes, and must not be blank; NULL means none.");
	return key;
}

/* A flag; NULL means that it is not set. */
bool
pnvs_argument_flag(FunctionCallInfo fcinfo, int n)
{
	return !PG_ARGISNULL(n) && PG_GETARG_BOOL(n);
}

/* The ID of a queued message, required. */
int64
pnvs_argument_queue_id(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		(void) pnvs_argument_required(NULL, "id");
	return PG_GETARG_INT64(n);
}

/* A count from 1 to max, required. */
int
pnvs_argument_count(FunctionCallInfo fcinfo, int n, const char *name, int max)
{
	int			count = PG_ARGISNULL(n) ? 0 : PG_GETARG_INT32(n);

	if (count < 1 || count > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be between 1 and %d", name, max),
				 errhint("Pass a number in this range, or leave the argument out."),
				 pnvs_errhide()));
	return count;
}

/* A row of the queue that the caller may see; throws if there is none. */
void
pnvs_argument_find_row(int64 id, PnvsQueueRow *row)
{
	if (!pnvs_queue_find(id, row))
		pnvs_argument_refuse("there is no queued message with this ID",
							 "It belongs to another role, or is past \"pnvs.retention\".");
}

void
pnvs_argument_refuse(const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", what),
			 errhint("%s", hint),
			 pnvs_errhide()));
}

/* A text argument in UTF-8, or NULL. */
static const char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	const char *utf8;

	if (PG_ARGISNULL(n))
		return NULL;
	utf8 = pnvs_argument_utf8(text_to_cstring(PG_GETARG_TEXT_PP(n)));
	if (utf8 == NULL)
		pnvs_argument_refuse("invalid text",
							 "The service takes UTF-8, and this argument cannot be turned into it.");
	return utf8;
}

/*
 * A text of the database's encoding in UTF-8, or NULL if it cannot be converted.  SQL_ASCII
 * can hold texts of any encoding, and other encodings have characters that Unicode lacks:
 * PostgreSQL's own error for those would show their bytes and log the statement.
 */
const char *
pnvs_argument_utf8(const char *text)
{
	int			encoding = GetDatabaseEncoding();
	size_t		len = strlen(text);
	size_t		room = len * MAX_CONVERSION_GROWTH + 1;
	Oid			conversion;
	char	   *converted;

	if (encoding == PG_UTF8 || len == 0 || pg_is_ascii(text))
		return text;
	if (encoding == PG_SQL_ASCII)
		return pg_encoding_verifymbstr(PG_UTF8, text, (int) len) == (int) len ? text : NULL;
	if (room > MaxAllocSize)
		return NULL;
	conversion = FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(conversion))
		return NULL;
	converted = palloc(room);
	if (pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8,
									  (unsigned char *) unconstify(char *, text),
									  (int) len, (unsigned char *) converted,
									  (int) room, true) != (int) len)
		return NULL;
	return converted;
}

/* A phone number in UTF-8, or NULL; as digits. */
static const char *
check_number(const char *text)
{
	static const char *const hints[] = {
		[PNVS_PHONE_NUMBER_BAD_CHARACTER] = "Only digits, a leading plus sign, spaces, hyphens, dots and parentheses can stand in it.",
		[PNVS_PHONE_NUMBER_MISPLACED_PLUS] = "A plus sign can stand at the beginning only.",
		[PNVS_PHONE_NUMBER_EXTENSION] = "Leave out the extension: a message goes to the number alone.",
		[PNVS_PHONE_NUMBER_DECIMAL] = "This is a decimal number, as spreadsheets and numeric columns have it: pass the phone number as text.",
		[PNVS_PHONE_NUMBER_TRUNK_PREFIX] = "Leave out the \"(0)\": it is not dialled from abroad.",
		[PNVS_PHONE_NUMBER_TRUNK_ZERO] = "Leave out the zero behind the country calling code: it is not dialled from abroad.",
		[PNVS_PHONE_NUMBER_INTERNATIONAL_PREFIX] = "Write + instead of the leading 00.",
		[PNVS_PHONE_NUMBER_LEADING_ZERO] = "It must begin with the country calling code, as in +62 812 3456 7890, without a zero before it.",
		[PNVS_PHONE_NUMBER_TOO_SHORT] = "It must have the country calling code and 7 digits in all at least.",
		[PNVS_PHONE_NUMBER_TOO_LONG] = "It can have 15 digits at the most, the country calling code included.",
	};
	char		number[PNVS_PHONE_NUMBER_SIZE];
	PnvsPhoneNumberFault fault;

	if (text == NULL)
		return NULL;
	fault = pnvs_phone_number_normalise(text, number);
	if (fault != PNVS_PHONE_NUMBER_OK)
		pnvs_argument_refuse("invalid phone number", hints[fault]);
	return pstrdup(number);
}

/*
 * A phone number in UTF-8 that a message is to be sent to; as digits.  It must be able to
 * exist: a message to another number costs money and reaches nobody.  Numbers that were
 * sent to earlier are not checked again, for numbering plans change.
 */
const char *
pnvs_argument_check_recipient(const char *text)
{
	const char *digits = check_number(text);
	const PnvsCallingCode *plan = pnvs_calling_code_find(digits);

	/* new calling codes appear */
	if (plan != NULL)
		check_plan(digits, plan);
	return digits;
}

/* Nothing in the messages is personal: all numbers of a calling code have it. */
static void
check_plan(const char *digits, const PnvsCallingCode *plan)
{
	if (!pnvs_calling_code_fits(plan, digits))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid phone number"),
				 plan->shortest == plan->longest ?
				 errhint("A number of +%d has %d digits after that.", plan->code, plan->longest) :
				 errhint("A number of +%d has %d to %d digits after that.", plan->code,
						 plan->shortest, plan->longest),
				 pnvs_errhide()));
	if (pnvs_calling_code_is_premium(digits))
		pnvs_argument_refuse("invalid phone number",
							 "This is a premium-rate number, which earns its owner money and belongs to no person.");
}

const char *
pnvs_argument_check_service_sid(const char *text)
{
	if (text[0] == '\0' || strlen(text) > PNVS_MAX_SERVICE_SID_LEN)
		pnvs_argument_refuse("invalid service_sid",
							 "It must have 1 to 128 characters; NULL means \"pnvs.service_sid\".");
	if (!pnvs_ascii_is_visible(text, PNVS_MAX_SERVICE_SID_LEN))
		pnvs_argument_refuse("invalid service_sid",
							 "It is the service's ID as the console shows it, such as FA00000000000001.");
	return text;
}

static const char *
clean_code(const char *typed)
{
	char	   *code = pstrdup(typed);

	pnvs_unicode_clean_code(code);
	return code;
}

/* Of a text in UTF-8. */
static int
count_characters(const char *text)
{
	int			count = 0;

	for (; *text; text += pg_utf_mblen((const unsigned char *) text))
		count++;
	return count;
}
