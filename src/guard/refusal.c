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

/* The words of a reason; NULL: they are made when they are needed. */
typedef struct Words
{
	const char *code;			/* of a row that was refused when it was to be
								 * queued */
	const char *limit;			/* in the DETAIL; NULL: the rule's scope */
	const char *message;
	const char *hint;			/* NULL: how long to wait */
} Words;

static const Words words[] = {
	[PNVS_REFUSED_LIMIT] = {
		"Local.RateLimited", NULL, gettext_noop("too many messages"), NULL
	},
	[PNVS_REFUSED_COUNTRY] = {
		"Local.CountryNotAllowed", "country", gettext_noop("messages to this country are not allowed"),
		"Codes are not sent to this country."
	},
	[PNVS_REFUSED_BREAKER] = {
		"Local.BreakerOpen", "breaker", gettext_noop("messages to this country are stopped"), NULL
	},
	[PNVS_REFUSED_CHANNEL] = {
		"Local.ChannelNotAllowed", "channel", gettext_noop("this channel is not allowed"),
		"Codes are not sent in this way. Choose another."
	},
	/* a row waits instead */
	[PNVS_REFUSED_OFF] = {
		NULL, "off", gettext_noop("no messages are sent at present"),
		"You can ask for another code later. A code you already have still works."
	},
	[PNVS_REFUSED_SETTING] = {"Local.Unsent.Start", "setting", NULL, NULL},
	/* codes are not queued */
	[PNVS_REFUSED_UNDECIDED] = {
		NULL, "tries", gettext_noop("it is not known yet which verification the message belongs to"),
		"You can try the code again in a second."
	},
};

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
			 errmsg("%s", is_try(refusal) ? gettext_noop("too many wrong codes") :
					words[refusal->reason].message),
			 errdetail("%s", detail_of(refusal)),
			 errhint("%s", hint_of(refusal)),
			 pnvs_errhide()));
}

/* The code of a row that was refused when it was to be queued; constant. */
const char *
pnvs_guard_code(const PnvsRefusal *refusal)
{
	return words[refusal->reason].code;
}

/* The message of such a row; in the current memory context. */
const char *
pnvs_guard_message(const PnvsRefusal *refusal)
{
	if (refusal->reason == PNVS_REFUSED_SETTING)
		return psprintf("the value of \"%s\" is not valid", pnvs_settings_invalid_at_the_door());
	if (refusal->reason == PNVS_REFUSED_LIMIT)
		return psprintf("a limit of messages is reached: %s", pnvs_guard_limit(refusal));
	return words[refusal->reason].message;
}

/* The word for what refuses, as the DETAIL has it: "number", "tries", "breaker"; constant. */
const char *
pnvs_guard_limit(const PnvsRefusal *refusal)
{
	const char *limit = words[refusal->reason].limit;

	return limit != NULL ? limit : pnvs_scope_name(refusal->scope);
}

static const char *
detail_of(const PnvsRefusal *refusal)
{
	if (refusal->retry_after_s < 0)
		return psprintf("sent=no limit=%s", pnvs_guard_limit(refusal));
	return psprintf("sent=no limit=%s retry_after=%d", pnvs_guard_limit(refusal), refusal->retry_after_s);
}

static const char *
hint_of(const PnvsRefusal *refusal)
{
	char		wait[PNVS_WAIT_TEXT_SIZE];

	if (words[refusal->reason].hint != NULL)
		return words[refusal->reason].hint;
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
