/*-------------------------------------------------------------------------
 *
 * refusal.c
 *	  A message or a code that the guard refuses, in words.
 *
 * The DETAIL is for programs.  The hint is for the person who waits for a code, so that a
 * web page can show it as it is.  Neither says which rule it was: that helps attackers to
 * stay just below.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "core/wait_text.h"
#include "errcodes.h"
#include "guard/guard.h"
#include "settings.h"

static int	message_of(const PnvsRefusal *refusal);
static const char *limit_of(const PnvsRefusal *refusal);
static const char *detail_of(const PnvsRefusal *refusal);
static const char *hint_of(const PnvsRefusal *refusal);
static bool is_try(const PnvsRefusal *refusal);

/* The retry_after_s of a refusal until a time. */
int
pnvs_refusal_wait_s(TimestampTz until, TimestampTz now)
{
	return (int) Min((until - now + USECS_PER_SEC - 1) / USECS_PER_SEC, PG_INT32_MAX);
}

/* The guard's error: 38V03, or 22023 for a setting that is invalid. */
void
pnvs_guard_throw(const PnvsRefusal *refusal)
{
	if (refusal->reason == PNVS_REFUSED_SETTING)
		pnvs_settings_refuse_at_the_door();
	ereport(ERROR,
			(errcode(PNVS_ERRCODE_GUARD),
			 message_of(refusal),
			 errdetail("%s", detail_of(refusal)),
			 errhint("%s", hint_of(refusal)),
			 pnvs_errhide()));
}

/* The code of a row that was refused when it was to be queued; constant. */
const char *
pnvs_guard_code(const PnvsRefusal *refusal)
{
	switch (refusal->reason)
	{
		case PNVS_REFUSED_COUNTRY:
			return "Local.CountryNotAllowed";
		case PNVS_REFUSED_BREAKER:
			return "Local.BreakerOpen";
		case PNVS_REFUSED_CHANNEL:
			return "Local.ChannelNotAllowed";
		case PNVS_REFUSED_SETTING:
			return "Local.Unsent.Start";
		case PNVS_REFUSED_LIMIT:
		case PNVS_REFUSED_OFF:	/* a row waits instead */
		case PNVS_ADMITTED:
			break;
	}
	return "Local.RateLimited";
}

/* The message of such a row; in the current memory context. */
const char *
pnvs_guard_message(const PnvsRefusal *refusal)
{
	switch (refusal->reason)
	{
		case PNVS_REFUSED_COUNTRY:
			return "messages to this country are not allowed";
		case PNVS_REFUSED_BREAKER:
			return "messages to this country are stopped: too few were answered";
		case PNVS_REFUSED_CHANNEL:
			return "this channel is not allowed";
		case PNVS_REFUSED_SETTING:
			return psprintf("the value of \"%s\" is not valid", pnvs_settings_invalid_at_the_door());
		case PNVS_REFUSED_LIMIT:
		case PNVS_REFUSED_OFF:
		case PNVS_ADMITTED:
			break;
	}
	return psprintf("a limit of messages is reached: %s", limit_of(refusal));
}

/* For ereport(). */
static int
message_of(const PnvsRefusal *refusal)
{
	switch (refusal->reason)
	{
		case PNVS_REFUSED_COUNTRY:
			return errmsg("messages to this country are not allowed");
		case PNVS_REFUSED_BREAKER:
			return errmsg("messages to this country are stopped");
		case PNVS_REFUSED_CHANNEL:
			return errmsg("this channel is not allowed");
		case PNVS_REFUSED_OFF:
			return errmsg("no messages are sent at present");
		case PNVS_REFUSED_LIMIT:
		case PNVS_REFUSED_SETTING:
		case PNVS_ADMITTED:
			break;
	}
	return is_try(refusal) ? errmsg("too many wrong codes") : errmsg("too many messages");
}

static const char *
limit_of(const PnvsRefusal *refusal)
{
	switch (refusal->reason)
	{
		case PNVS_REFUSED_COUNTRY:
			return "country";
		case PNVS_REFUSED_BREAKER:
			return "breaker";
		case PNVS_REFUSED_CHANNEL:
			return "channel";
		case PNVS_REFUSED_OFF:
			return "off";
		case PNVS_REFUSED_LIMIT:
		case PNVS_REFUSED_SETTING:
		case PNVS_ADMITTED:
			break;
	}
	return pnvs_scope_name(refusal->scope);
}

static const char *
detail_of(const PnvsRefusal *refusal)
{
	if (refusal->retry_after_s < 0)
		return psprintf("sent=no limit=%s", limit_of(refusal));
	return psprintf("sent=no limit=%s retry_after=%d", limit_of(refusal), refusal->retry_after_s);
}

static const char *
hint_of(const PnvsRefusal *refusal)
{
	char		wait[PNVS_WAIT_TEXT_SIZE];

	switch (refusal->reason)
	{
		case PNVS_REFUSED_COUNTRY:
			return "Codes are not sent to this country.";
		case PNVS_REFUSED_CHANNEL:
			return "Codes are not sent in this way. Choose another.";
		case PNVS_REFUSED_OFF:
			return "You can ask for another code later. A code you already have still works.";
		case PNVS_REFUSED_BREAKER:
		case PNVS_REFUSED_LIMIT:
		case PNVS_REFUSED_SETTING:
		case PNVS_ADMITTED:
			break;
	}
	if (refusal->retry_after_s < 0)
		return is_try(refusal) ? "You cannot try another code." :
			"You cannot ask for another code. A code you already have still works.";
	pnvs_wait_text(refusal->retry_after_s, wait);
	return psprintf(is_try(refusal) ? "You can try another code in %s." :
					"You can ask for another code in %s. A code you already have still works.", wait);
}

/* Whether a code was refused, and not a message. */
static bool
is_try(const PnvsRefusal *refusal)
{
	return refusal->reason == PNVS_REFUSED_LIMIT && refusal->scope == PNVS_SCOPE_TRIES;
}
