/*-------------------------------------------------------------------------
 *
 * test_breaker.c
 *	  The breaker of a country: its setting, and when it opens.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/breaker.h"
#include "core/setting_text.h"
#include "exact.h"
#include "tap.h"

#define MINUTE PNVS_MINUTE_US
#define HOUR PNVS_HOUR_US

/* A time to begin with, far from 0. */
#define NOW (1000 * HOUR)

/* An interval of 46 minutes makes parts of 1 min and 1 us. */
static const PnvsBreakerRule hour = {.min_numbers = 50,.interval_us = HOUR,.min_percent = 20,.open_us = HOUR};
static const PnvsBreakerRule parts = {.min_numbers = 10,.interval_us = 46 * MINUTE,.min_percent = 50,.open_us = HOUR};
static const PnvsBreakerRule minute = {.min_numbers = 50,.interval_us = MINUTE,.min_percent = 20,.open_us = HOUR};
static const PnvsBreakerRule off = {0};

static PnvsBreaker breaker;

static void
begin(void)
{
	memset(&breaker, 0, sizeof(breaker));
}

/* So many numbers are sent to at a time, and so many of them are approved. */
static void
send(const PnvsBreakerRule *rule, int64_t sent_us, int sent, int approved)
{
	for (int i = 0; i < sent; i++)
		pnvs_breaker_sent(&breaker, rule, sent_us, sent_us);
	for (int i = 0; i < approved; i++)
		pnvs_breaker_approved(&breaker, rule, sent_us);
}

static void
test_settings(void)
{
	static const struct
	{
		const char *text;
		PnvsBreakerRule rule;
	}			cases[] = {
		{"country 50/1h 20% 1h", {50, HOUR, 20, HOUR}},
		{"", {0, 0, 0, 0}},
		{" \n", {0, 0, 0, 0}},
		{" COUNTRY\t1 / 1 MIN 1 % 1Min ", {1, MINUTE, 1, MINUTE}},
		{"country 1000000/1d 99% 31d", {1000000, 24 * HOUR, 99, 744 * HOUR}},
		{"country 50/60s 20%1h", {50, MINUTE, 20, HOUR}},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *text = exact_copy(cases[i].text);
		char		fault[PNVS_BREAKER_FAULT_SIZE];
		PnvsBreakerRule rule;

		tap_ok(pnvs_breaker_parse(text, &rule, fault), "\"%s\" is valid", text);
		tap_text(fault, "", "and has no fault");
		tap_ok(rule.min_numbers == cases[i].rule.min_numbers && rule.interval_us == cases[i].rule.interval_us &&
			   rule.min_percent == cases[i].rule.min_percent && rule.open_us == cases[i].rule.open_us,
			   "it is read as it is meant");
		free(text);
	}
}

static void
test_faults(void)
{
	static const struct
	{
		const char *text;
		const char *fault;
	}			cases[] = {
		{"off", "\"off\" is not country"},
		{"number 50/1h 20% 1h", "\"number\" is not country"},
		{"country", "a number in an interval such as 50/1h (1 to 1000000) is missing"},
		{"country 0/1h 20% 1h", "\"0/1h\" is not a number in an interval such as 50/1h (1 to 1000000)"},
		{"country 1000001/1h 20% 1h", "\"1000001/1h\" is not a number in an interval such as 50/1h (1 to 1000000)"},
		{"country 50 20% 1h", "\"50\" is not a number in an interval such as 50/1h (1 to 1000000)"},
		{"country 50/59s 20% 1h", "\"59s\" is not an interval from 1min to 1d"},
		{"country 50/25h 20% 1h", "\"25h\" is not an interval from 1min to 1d"},
		{"country 50/1h", "a share from 1% to 99% is missing"},
		{"country 50/1h 20 1h", "\"20\" is not a share from 1% to 99%"},
		{"country 50/1h 0% 1h", "\"0%\" is not a share from 1% to 99%"},
		{"country 50/1h 100% 1h", "\"100%\" is not a share from 1% to 99%"},
		{"country 50/1h 20%", "an interval from 1min to 31d is missing"},
		{"country 50/1h 20% 59s", "\"59s\" is not an interval from 1min to 31d"},
		{"country 50/1h 20% 32d", "\"32d\" is not an interval from 1min to 31d"},
		{"country 50/1h 20% 1h, country 50/1h 20% 1h", "\"1h,\" is not an interval from 1min to 31d"},
		{"country 50/1h 20% 1h country", "\"country\" is not the end"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *text = exact_copy(cases[i].text);
		char		fault[PNVS_BREAKER_FAULT_SIZE];
		PnvsBreakerRule rule;

		tap_ok(!pnvs_breaker_parse(text, &rule, fault), "\"%s\" is refused", text);
		tap_text(fault, cases[i].fault, "the message says why");
		tap_int(rule.min_numbers, 0, "and no breaker is left");
		free(text);
	}
}

static void
test_opening(void)
{
	begin();
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW), "a breaker is closed at first");
	send(&hour, NOW, 50, 9);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW), "numbers that were just sent to are not judged");
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW + 2 * MINUTE), "nor are they within the time to answer");
	tap_ok(pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE), "fewer than 20 %% of 50 open it");
	tap_int(breaker.open_until_us, NOW + 4 * MINUTE + HOUR, "for an hour");
	tap_int(breaker.judged_sent, 50, "it keeps how many numbers were sent to");
	tap_int(breaker.judged_approved, 9, "and how many were approved");
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW + 5 * MINUTE), "what is open does not open again");

	begin();
	send(&hour, NOW, 50, 10);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE), "20 %% of 50 do not open it");
	begin();
	send(&hour, NOW, 49, 0);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE), "49 numbers do not, if 50 are the least");
	send(&hour, NOW + MINUTE, 1, 0);
	tap_ok(pnvs_breaker_opens(&breaker, &hour, NOW + 10 * MINUTE), "one more does");

	begin();
	send(&hour, NOW, 50, 0);
	tap_ok(pnvs_breaker_opens(&breaker, &hour, NOW + 60 * MINUTE), "they count for the interval");
	begin();
	send(&hour, NOW, 50, 0);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW + 64 * MINUTE), "and not longer");

	begin();
	send(&off, NOW, 50, 0);
	pnvs_breaker_unsent(&breaker, &off, NOW);
	tap_ok(!pnvs_breaker_opens(&breaker, &off, NOW + 4 * MINUTE), "a breaker that is off never opens");
	tap_int(breaker.slot_us, 0, "and counts nothing");
}

/* Both ends of what is judged, by hand. */
static void
test_parts(void)
{
	int64_t		slot_us = MINUTE + 1;
	int64_t		start_us = 5000 * slot_us;

	begin();
	send(&parts, start_us + slot_us - 1, 10, 0);
	tap_int(breaker.slot_us, slot_us, "48 parts have the interval and the time to answer");
	tap_ok(!pnvs_breaker_opens(&breaker, &parts, start_us + slot_us + 2 * MINUTE - 1),
		   "a part is not judged until the last of it has had its time to answer");
	tap_ok(pnvs_breaker_opens(&breaker, &parts, start_us + slot_us + 2 * MINUTE), "then it is judged");

	begin();
	send(&parts, start_us, 10, 0);
	tap_ok(!pnvs_breaker_opens(&breaker, &parts, start_us + slot_us + 48 * MINUTE),
		   "a part that has begun more than the interval ago is not judged");
	tap_ok(pnvs_breaker_opens(&breaker, &parts, start_us + slot_us + 48 * MINUTE - 1), "before it is");

	begin();
	for (int i = 0; i < 10; i++)
		send(&parts, -start_us + i * slot_us, 1, 0);
	tap_ok(pnvs_breaker_opens(&breaker, &parts, -start_us + 13 * slot_us), "times before the epoch are times");
	tap_int(breaker.judged_sent, 10, "of which all are judged");
}

static void
test_undone(void)
{
	begin();
	send(&hour, NOW, 50, 0);
	pnvs_breaker_unsent(&breaker, &hour, NOW);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE), "what was not sent does not count");
	send(&hour, NOW, 1, 2);
	pnvs_breaker_unsent(&breaker, &hour, NOW - HOUR);
	tap_ok(pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE), "what was never counted takes nothing away");

	begin();
	send(&hour, NOW, 2, 5);
	for (int i = 0; i < 3; i++)
		pnvs_breaker_unsent(&breaker, &hour, NOW);
	send(&hour, NOW, 50, 0);
	tap_ok(pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE), "no more are approved than were sent to");
	tap_int(breaker.judged_approved, 0, "nor after some were not sent");
	tap_int(breaker.judged_sent, 50, "and fewer than none are never sent");

	begin();
	pnvs_breaker_approved(&breaker, &hour, NOW);
	send(&hour, NOW, 50, 0);
	pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE);
	tap_int(breaker.judged_approved, 0, "an approval of what was not counted is none");
}

static void
test_future(void)
{
	begin();
	for (int i = 0; i < 50; i++)
		pnvs_breaker_sent(&breaker, &hour, NOW + 15 * MINUTE, NOW);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW + 5 * MINUTE), "messages that are due later are not judged now");
	tap_ok(pnvs_breaker_opens(&breaker, &hour, NOW + 20 * MINUTE), "but when they have been sent and not answered");

	begin();
	for (int i = 0; i < 100; i++)
		pnvs_breaker_sent(&breaker, &hour, NOW + HOUR, NOW);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, NOW + 70 * MINUTE), "what is due too late for the ring is left uncounted");
	tap_ok(pnvs_breaker_counts(&hour, NOW + 15 * MINUTE, NOW) && !pnvs_breaker_counts(&hour, NOW + HOUR, NOW),
		   "who asks knows which");
	tap_ok(!pnvs_breaker_counts(&minute, NOW + MINUTE, NOW), "that is always less than the interval ahead");
	begin();
	for (int i = 0; i < 50; i++)
		pnvs_breaker_sent(&breaker, &hour, NOW + 15 * (62 * MINUTE / 48), NOW);
	tap_ok(pnvs_breaker_counts(&hour, NOW + 15 * (62 * MINUTE / 48), NOW) &&
		   pnvs_breaker_opens(&breaker, &hour, NOW + 25 * MINUTE), "what counts has a slot");

	/* It could otherwise take the slot of what is judged. */
	begin();
	send(&hour, NOW, 50, 0);
	for (int64_t due_us = NOW; due_us < NOW + 48 * HOUR; due_us += MINUTE / 2)
		pnvs_breaker_sent(&breaker, &hour, due_us, NOW);
	tap_ok(pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE), "and takes nothing's slot");
	tap_ok(breaker.judged_sent >= 50, "all that was sent is judged");

	/* Places in the future of a clock that was set back make room. */
	begin();
	send(&hour, NOW, 50, 0);
	send(&hour, NOW - 500 * HOUR, 50, 0);
	tap_ok(pnvs_breaker_opens(&breaker, &hour, NOW - 500 * HOUR + 4 * MINUTE), "after the clock was set back it counts anew");
	tap_int(breaker.judged_sent, 50, "what is there alone");
	send(&hour, NOW + 500 * HOUR, 1, 0);
	pnvs_breaker_opens(&breaker, &hour, NOW - 400 * HOUR);
	breaker.open_until_us = NOW;
	pnvs_breaker_opens(&breaker, &hour, NOW - 600 * HOUR);
	tap_int(breaker.open_until_us, NOW - 599 * HOUR, "and stays open no longer than it would anyway");
}

static void
test_closing(void)
{
	int64_t		closed_us;

	begin();
	send(&hour, NOW, 50, 0);
	pnvs_breaker_opens(&breaker, &hour, NOW + 4 * MINUTE);
	closed_us = breaker.open_until_us;
	send(&hour, closed_us - 10 * MINUTE, 100, 0);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, closed_us), "after it has closed, what was sent before does not open it");
	send(&hour, closed_us + 2 * MINUTE, 49, 0);
	tap_ok(!pnvs_breaker_opens(&breaker, &hour, closed_us + 6 * MINUTE), "nor does it count with what was sent since");
	send(&hour, closed_us + 2 * MINUTE, 1, 0);
	tap_ok(pnvs_breaker_opens(&breaker, &hour, closed_us + 6 * MINUTE), "what was sent since opens it again");
	tap_int(breaker.judged_sent, 50, "on its own figures");
}

static void
test_changed_rule(void)
{
	PnvsBreakerRule rule = hour;

	begin();
	send(&hour, NOW, 50, 9);
	rule.min_percent = 10;
	tap_ok(!pnvs_breaker_opens(&breaker, &rule, NOW + 4 * MINUTE), "a smaller share is judged on the same figures");
	rule.min_percent = 19;
	tap_ok(pnvs_breaker_opens(&breaker, &rule, NOW + 4 * MINUTE), "so is a larger one");
	rule.interval_us = 2 * HOUR;
	tap_ok(!pnvs_breaker_opens(&breaker, &rule, NOW + 4 * MINUTE), "with another interval it begins anew");
	tap_int(breaker.open_until_us, 0, "closed");
	send(&rule, NOW, 49, 0);
	tap_ok(!pnvs_breaker_opens(&breaker, &rule, NOW + 8 * MINUTE), "and counts from 0 on");
}

int
main(void)
{
	test_settings();
	test_faults();
	test_opening();
	test_parts();
	test_undone();
	test_future();
	test_closing();
	test_changed_rule();
	return tap_done();
}
