/*
 * test_outage.c: which messages may be tried while all are refused.
 */
#include <stdint.h>
#include <string.h>

#include "core/backoff.h"
#include "core/outage.h"
#include "tap.h"

#define SECOND INT64_C(1000000)
#define LONGEST UINT32_MAX

static PnvsOutage outage;

static void
begin(void)
{
	memset(&outage, 0, sizeof(outage));
}

static void
test_one(void)
{
	begin();
	tap_int(pnvs_outage_tryable(&outage, 0), PNVS_TRY_ALL, "without an outage all are tried");
	tap_int(pnvs_outage_next_us(&outage), PNVS_OUTAGE_AT_ONCE, "at once");
	pnvs_outage_failed(&outage, 1, 100 * SECOND, LONGEST);
	tap_int(pnvs_outage_tryable(&outage, 100 * SECOND), PNVS_TRY_ONE_OTHER,
			"where one message was refused another is tried at once");
	tap_int(pnvs_outage_next_us(&outage), PNVS_OUTAGE_AT_ONCE, "if there is one");
	pnvs_outage_looked(&outage, 100 * SECOND);
	tap_ok(pnvs_outage_next_us(&outage) > 100 * SECOND, "if there is none it is waited");
	pnvs_outage_something_new(&outage);
	tap_int(pnvs_outage_next_us(&outage), PNVS_OUTAGE_AT_ONCE, "until something new is there");
	pnvs_outage_looked(&outage, 100 * SECOND);
	tap_int(pnvs_outage_tryable(&outage, 101 * SECOND), PNVS_TRY_ONE,
			"after the pause the same one is tried again");
	pnvs_outage_succeeded(&outage, 2);
	tap_int(outage.failures, 0, "the first that is sent ends the outage");
	tap_int(pnvs_outage_tryable(&outage, 100 * SECOND), PNVS_TRY_ALL, "for all");
	pnvs_outage_succeeded(&outage, 3);
	tap_int(outage.failures, 0, "and the next one ends nothing");
}

static void
test_all(void)
{
	int64_t		now_us = 100 * SECOND;

	begin();
	for (int id = 1; id <= 50; id++)
		pnvs_outage_failed(&outage, id, now_us, LONGEST);
	tap_int(outage.failures, 1, "messages that were under way together fail as one");
	tap_int(pnvs_outage_tryable(&outage, now_us), PNVS_TRY_NONE,
			"where several were refused none is tried");
	tap_int(pnvs_outage_next_us(&outage) <= now_us + SECOND, true, "before the pause is over");
	pnvs_outage_looked(&outage, now_us);
	pnvs_outage_something_new(&outage);
	tap_ok(pnvs_outage_next_us(&outage) > now_us, "also where something new is there");
	for (int probe = 1; probe <= 12; probe++)
	{
		int64_t		pause_us = pnvs_outage_next_us(&outage) - now_us;
		int64_t		expected_us = SECOND << (probe - 1);

		if (expected_us > PNVS_BACKOFF_MAX_MS * INT64_C(1000))
			expected_us = PNVS_BACKOFF_MAX_MS * INT64_C(1000);
		/* those whose time is over are looked for in between */
		pause_us = outage.next_probe_us - now_us;
		tap_ok(pause_us > expected_us - 2000 && pause_us <= expected_us,
			   "the pause before probe %d is twice the last, up to a minute", probe);
		tap_ok(pnvs_outage_next_us(&outage) <= now_us + PNVS_OUTAGE_LOOK_US ||
			   pause_us <= PNVS_OUTAGE_LOOK_US,
			   "what is too late is found before that (%d)", probe);
		tap_int(pnvs_outage_tryable(&outage, outage.next_probe_us - 1), PNVS_TRY_NONE,
				"before it is over none is tried (%d)", probe);
		now_us = outage.next_probe_us;
		tap_int(pnvs_outage_tryable(&outage, now_us), PNVS_TRY_ONE, "then one (%d)", probe);
		pnvs_outage_looked(&outage, now_us);
		pnvs_outage_probe_started(&outage, 100 + probe);
		tap_int(pnvs_outage_tryable(&outage, now_us + 3600 * SECOND), PNVS_TRY_NONE,
				"and none beside it (%d)", probe);
		pnvs_outage_failed(&outage, 50, now_us, LONGEST);
		tap_int(outage.failures, probe, "a late refusal is no probe (%d)", probe);
		if (probe % 2)
			pnvs_outage_failed(&outage, 100 + probe, now_us, LONGEST);
		else
			pnvs_outage_undecided(&outage, 100 + probe, now_us, LONGEST);
	}
	pnvs_outage_try_again(&outage, now_us);
	tap_int(pnvs_outage_tryable(&outage, now_us), PNVS_TRY_ONE,
			"when the settings change one is tried at once");
	pnvs_outage_probe_started(&outage, 1);
	pnvs_outage_failed(&outage, 1, now_us, LONGEST);
	tap_ok(outage.next_probe_us <= now_us + 2 * SECOND, "and pauses are short again");
	pnvs_outage_undecided(&outage, 2, now_us, LONGEST);
	tap_int(outage.failures, 2, "what proves nothing changes nothing if it was no probe");
}

static void
test_jitter(void)
{
	begin();
	for (int i = 0; i < 10; i++)
		pnvs_outage_failed(&outage, 1 + i, 0, LONGEST);
	pnvs_outage_probe_started(&outage, 20);
	pnvs_outage_failed(&outage, 20, 0, 0);
	tap_int(outage.next_probe_us, PNVS_BACKOFF_MIN_MS * 1000, "the jitter of pauses is full");
}

static void
test_alone(void)
{
	begin();
	pnvs_outage_failed(&outage, 1, 0, LONGEST);
	tap_int(pnvs_outage_own_refusals(&outage, 1), 0, "a message that is refused is not on its own yet");
	pnvs_outage_succeeded(&outage, 2);
	tap_int(pnvs_outage_own_refusals(&outage, 1), 1, "after others were sent it is");
	pnvs_outage_failed(&outage, 1, 0, LONGEST);
	tap_int(pnvs_outage_tryable(&outage, 0), PNVS_TRY_ALL, "refused again it stops nobody");
	tap_int(pnvs_outage_own_refusals(&outage, 1), 2, "its refusals are counted");
	pnvs_outage_failed(&outage, 3, 0, LONGEST);
	tap_int(pnvs_outage_tryable(&outage, 0), PNVS_TRY_ONE_OTHER, "another one's refusal is an outage");
	pnvs_outage_probe_started(&outage, 1);
	pnvs_outage_failed(&outage, 1, 0, LONGEST);
	tap_int(outage.failures, 2, "in an outage a message that is on its own can be the probe");
	tap_int(outage.only, 3, "and proves nothing of others");
	pnvs_outage_succeeded(&outage, 1);
	tap_int(pnvs_outage_own_refusals(&outage, 1), 0, "once it is sent it is forgotten");
	pnvs_outage_failed(&outage, 3, 0, LONGEST);
	pnvs_outage_try_again(&outage, 0);
	tap_int(pnvs_outage_own_refusals(&outage, 3), 0, "and with other settings all are");
	for (int id = 10; id < 100; id++)
		pnvs_outage_failed(&outage, id, 0, LONGEST);
	pnvs_outage_succeeded(&outage, 200);
	tap_int(pnvs_outage_own_refusals(&outage, 99), 1, "of many the last are remembered");
	tap_int(pnvs_outage_own_refusals(&outage, 10), 0, "and the first are not");
}

int
main(void)
{
	test_one();
	test_all();
	test_jitter();
	test_alone();
	return tap_done();
}
