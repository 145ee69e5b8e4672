/*-------------------------------------------------------------------------
 *
 * breaker.c
 *	  The breaker of pnvs.breaker: stops sending to a country if too few of the numbers
 *	  that were sent to are approved.
 *
 * Counted are different numbers: whoever counts a number makes sure that it was not
 * counted within the interval.  Judged are those whose messages are old enough to have been
 * answered.
 *
 * Time is cut into parts, and the interval and the time to answer together have 48 of them.
 * Each part has a slot in a ring.  With the part under way, 15 slots are left for messages
 * that are due later.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "core/breaker.h"
#include "core/setting_text.h"

#define MAX_NUMBERS 1000000

/* Below a minute hardly anything has been answered; a day of figures is slow to change. */
#define MIN_INTERVAL_US PNVS_MINUTE_US
#define MAX_INTERVAL_US PNVS_DAY_US
#define MIN_OPEN_US PNVS_MINUTE_US
#define MAX_OPEN_US (31 * PNVS_DAY_US)

#define PAST_SLOTS 48
#define FUTURE_SLOTS (PNVS_BREAKER_SLOTS - PAST_SLOTS - 1)

static void follow_rule(PnvsBreaker *breaker, const PnvsBreakerRule *rule);
static int64_t part_of(const PnvsBreaker *breaker, int64_t time_us);
static PnvsBreakerSlot *find_slot(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us);

static inline int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline int64_t
slot_length(const PnvsBreakerRule *rule)
{
	return (rule->interval_us + PNVS_BREAKER_ANSWER_US) / PAST_SLOTS + 1;
}

/*
 * Reads a setting such as "country 50/1h 20% 1h": a share of less than 20 % of at least 50
 * numbers in an hour opens the breaker for an hour.  An empty one switches it off.  If it is
 * not valid the result is false, and fault says why.
 */
bool
pnvs_breaker_parse(const char *text, PnvsBreakerRule *rule, char fault[PNVS_BREAKER_FAULT_SIZE])
{
	PnvsSettingText rest = {text, text + strlen(text)};
	const char *expected = NULL;
	uint32_t	percent;

	memset(rule, 0, sizeof(*rule));
	fault[0] = '\0';
	if (pnvs_setting_text_at_end(&rest))
		return true;
	if (!pnvs_setting_text_word(&rest, "country"))
		expected = "country";
	else if (!pnvs_setting_text_number(&rest, MAX_NUMBERS, '/', &rule->min_numbers))
		expected = "a number in an interval such as 50/1h (1 to 1000000)";
	else if (!pnvs_setting_text_interval(&rest, MIN_INTERVAL_US, MAX_INTERVAL_US, &rule->interval_us))
		expected = "an interval from 1min to 1d";
	else if (!pnvs_setting_text_number(&rest, 99, '%', &percent))
		expected = "a share from 1% to 99%";
	else if (!pnvs_setting_text_interval(&rest, MIN_OPEN_US, MAX_OPEN_US, &rule->open_us))
		expected = "an interval from 1min to 31d";
	else if (!pnvs_setting_text_at_end(&rest))
		expected = "the end";
	if (expected != NULL)
	{
		pnvs_setting_text_fault(rest, expected, fault, PNVS_BREAKER_FAULT_SIZE);
		memset(rule, 0, sizeof(*rule));
		return false;
	}
	rule->min_percent = (int) percent;
	return true;
}

/*
 * Whether a message is counted that is admitted at now_us and sent at sent_us.  What is due
 * later than the ring reaches is not; that is less than an interval.
 */
bool
pnvs_breaker_counts(const PnvsBreakerRule *rule, int64_t sent_us, int64_t now_us)
{
	return rule->min_numbers > 0 && sent_us - now_us <= FUTURE_SLOTS * slot_length(rule);
}

/*
 * Counts a number that a message is sent to at sent_us.  If that is so far ahead that the
 * ring has no slot for it, it is left uncounted.
 */
void
pnvs_breaker_sent(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us, int64_t now_us)
{
	int64_t		number;
	int64_t		last;
	PnvsBreakerSlot *slot;

	if (rule->min_numbers == 0)
		return;
	follow_rule(breaker, rule);
	number = part_of(breaker, sent_us);
	last = part_of(breaker, now_us) + FUTURE_SLOTS;
	if (number > last || number <= last - PNVS_BREAKER_SLOTS)
		return;
	slot = &breaker->slots[(uint64_t) number % PNVS_BREAKER_SLOTS];
	if (slot->number != number)
		*slot = (PnvsBreakerSlot)
	{
		.number = number
	};
	slot->sent++;
}

/* Counts a number no longer: nothing was sent. */
void
pnvs_breaker_unsent(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us)
{
	PnvsBreakerSlot *slot = find_slot(breaker, rule, sent_us);

	if (slot == NULL || slot->sent == 0)
		return;
	slot->sent--;
	if (slot->approved > slot->sent)
		slot->approved = slot->sent;
}

/* Counts a number as approved, at the time at which it was sent to. */
void
pnvs_breaker_approved(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us)
{
	PnvsBreakerSlot *slot = find_slot(breaker, rule, sent_us);

	if (slot != NULL && slot->approved < slot->sent)
		slot->approved++;
}

/*
 * Judges the numbers that were sent to before now_us by the time to answer, within an
 * interval; both ends are rounded down to parts.  The result is true if the breaker opens
 * now, and false if it stays open or closed.  After it has closed, only what was sent since
 * is judged.
 */
bool
pnvs_breaker_opens(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t now_us)
{
	uint64_t	sent = 0;
	uint64_t	approved = 0;
	int64_t		answered_us = now_us - PNVS_BREAKER_ANSWER_US;
	int64_t		first;
	int64_t		end;

	if (rule->min_numbers == 0)
		return false;
	follow_rule(breaker, rule);
	end = part_of(breaker, answered_us);
	first = part_of(breaker, answered_us - rule->interval_us);
	if (breaker->open_until_us != 0)
	{
		/* the clock was set back, or the rule has changed */
		if (breaker->open_until_us > now_us + rule->open_us)
			breaker->open_until_us = now_us + rule->open_us;
		if (now_us < breaker->open_until_us)
			return false;
		first = later(first, part_of(breaker, breaker->open_until_us - 1) + 1);
	}
	for (int i = 0; i < PNVS_BREAKER_SLOTS; i++)
	{
		const PnvsBreakerSlot *slot = &breaker->slots[i];

		if (slot->number >= first && slot->number < end)
		{
			sent += slot->sent;
			approved += slot->approved;
		}
	}
	if (sent < rule->min_numbers || approved * 100 >= sent * (uint64_t) rule->min_percent)
		return false;
	breaker->open_until_us = now_us + rule->open_us;
	breaker->judged_sent = (uint32_t) sent;
	breaker->judged_approved = (uint32_t) approved;
	return true;
}

/* If the interval has changed, what was counted does not fit, and the breaker begins anew. */
static void
follow_rule(PnvsBreaker *breaker, const PnvsBreakerRule *rule)
{
	int64_t		slot_us = slot_length(rule);

	if (breaker->slot_us == slot_us)
		return;
	memset(breaker, 0, sizeof(*breaker));
	breaker->slot_us = slot_us;
}

/* The part that a time is in. */
static int64_t
part_of(const PnvsBreaker *breaker, int64_t time_us)
{
	int64_t		part = time_us / breaker->slot_us;

	return time_us % breaker->slot_us < 0 ? part - 1 : part;
}

/* The slot that has counted a number that was sent to at sent_us, or NULL. */
static PnvsBreakerSlot *
find_slot(PnvsBreaker *breaker, const PnvsBreakerRule *rule, int64_t sent_us)
{
	int64_t		number;
	PnvsBreakerSlot *slot;

	if (rule->min_numbers == 0)
		return NULL;
	follow_rule(breaker, rule);
	number = part_of(breaker, sent_us);
	slot = &breaker->slots[(uint64_t) number % PNVS_BREAKER_SLOTS];
	return slot->number == number ? slot : NULL;
}
