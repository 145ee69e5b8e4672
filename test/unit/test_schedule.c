/*
 * test_schedule.c: when a sender exchanges rows with the queue again.
 */
#include "core/schedule.h"
#include "tap.h"

#define MS 1000

static const PnvsDue nothing = {0, PNVS_SCHEDULE_NEVER, PNVS_SCHEDULE_NEVER};
static const PnvsDue queued = {0, 0, PNVS_SCHEDULE_NEVER};

static PnvsLoad
load_of(int max_in_flight, int under_way, int ready)
{
	PnvsLoad	load = {.max_in_flight = max_in_flight,.under_way = under_way,.ready = ready};

	load.kept_us = PNVS_SCHEDULE_NEVER;
	load.exchanged_us = PNVS_SCHEDULE_NEVER;
	return load;
}

static void
test_share(void)
{
	tap_int(pnvs_schedule_share(1), 1, "a window of one moves one at a time");
	tap_int(pnvs_schedule_share(12), 2, "a small window moves a sixth");
	tap_int(pnvs_schedule_share(50), 8, "up to eight");
	tap_int(pnvs_schedule_share(1000), 62, "a wide one a sixteenth");
}

static void
test_idle(void)
{
	PnvsLoad	load = load_of(50, 0, 0);
	PnvsDue		later = {0, PNVS_SCHEDULE_NEVER, 7 * MS};

	tap_int(pnvs_schedule_exchange_us(&load, &nothing), PNVS_SCHEDULE_NEVER,
			"an idle sender without work has no exchange");
	tap_int(pnvs_schedule_exchange_us(&load, &queued), 0, "it claims at once what is due");
	tap_int(pnvs_schedule_exchange_us(&load, &later), 7 * MS, "and waits for what is due later");
}

static void
test_settling(void)
{
	PnvsLoad	load = load_of(50, 7, 1);

	tap_int(pnvs_schedule_exchange_us(&load, &nothing), 0, "beside few requests one is settled at once");
	load = load_of(50, 40, 8);
	tap_int(pnvs_schedule_exchange_us(&load, &nothing), 0, "a share of the window is settled at once");
	load = load_of(50, 40, 7);
	load.ready_for_us = 500;
	tap_int(pnvs_schedule_exchange_us(&load, &nothing), 1500, "fewer wait for others, but 2 ms at the most");
	load.ready_for_us = 3 * MS;
	tap_int(pnvs_schedule_exchange_us(&load, &nothing), 0, "which may be over");
}

static void
test_capacity(void)
{
	PnvsLoad	load = load_of(50, 42, 0);

	tap_int(pnvs_schedule_exchange_us(&load, &queued), 0, "a share of free places is filled at once");
	load = load_of(50, 43, 0);
	load.exchanged_us = 500;
	tap_int(pnvs_schedule_exchange_us(&load, &queued), 1500, "fewer a moment after the last exchange");
	load = load_of(50, 50, 0);
	tap_int(pnvs_schedule_exchange_us(&load, &queued), PNVS_SCHEDULE_NEVER, "a full window claims nothing");
	load = load_of(50, 45, 5);
	load.ready_for_us = 0;
	load.exchanged_us = PNVS_SCHEDULE_NEVER;
	tap_int(pnvs_schedule_exchange_us(&load, &queued), 2 * MS,
			"places of requests that came back are filled when these are settled");
	load = load_of(PNVS_MAX_WINDOW, 1, 0);
	load.kept = PNVS_MAX_WINDOW - 1;
	load.kept_us = 9 * MS;
	tap_int(pnvs_schedule_exchange_us(&load, &queued), 9 * MS,
			"without a place nothing is claimed before a kept one can be settled");
}

static void
test_pause(void)
{
	PnvsLoad	load = load_of(50, 0, 3);
	PnvsDue		due = {4 * MS, 0, 0};

	tap_int(pnvs_schedule_exchange_us(&load, &due), 4 * MS, "a pause holds everything up");
	load = load_of(50, 0, 0);
	due.queued_us = due.unknown_us = PNVS_SCHEDULE_NEVER;
	tap_int(pnvs_schedule_exchange_us(&load, &due), PNVS_SCHEDULE_NEVER, "but makes no work");
	due.queued_us = 10 * MS;
	tap_int(pnvs_schedule_exchange_us(&load, &due), 10 * MS, "and lengthens no longer wait");
}

static void
test_look_ups(void)
{
	PnvsLoad	load = load_of(50, 0, 0);

	tap_int(pnvs_schedule_look_up_capacity(&load), 12, "a quarter of the window looks rows up");
	load.look_ups = 12;
	tap_int(pnvs_schedule_look_up_capacity(&load), 0, "and no more");
	load = load_of(1, 0, 0);
	tap_int(pnvs_schedule_look_up_capacity(&load), 1, "in a window of one it is the one");
}

int
main(void)
{
	test_share();
	test_idle();
	test_settling();
	test_capacity();
	test_pause();
	test_look_ups();
	return tap_done();
}
