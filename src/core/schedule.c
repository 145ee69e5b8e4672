/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  Decides when a sender exchanges rows with the queue again.
 *
 * An exchange is a transaction: it settles the requests that have come back, and
 * claims messages to fill the window again.  An idle sender has an exchange as soon as
 * there is anything to do.  Under load an exchange waits until it can move a share of
 * the window, but not for long, so that commits do not bound the throughput.
 *
 *-------------------------------------------------------------------------
 */
#include "core/schedule.h"

/* The share of the window that may look rows up rather than send. */
#define LOOK_UP_SHARE 4

static int64_t settle_us(const PnvsLoad *load);
static int64_t capacity_us(const PnvsLoad *load);

static inline int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/*
 * How many requests an exchange settles or claims at least, under load.  A commit costs the
 * same for each number, so the share of a small window is larger.
 */
int
pnvs_schedule_share(int max_in_flight)
{
	int64_t		share = later(max_in_flight / 16, earlier(max_in_flight / 6, 8));

	return (int) later(share, 1);
}

/* How many more rows may be looked up at once. */
int
pnvs_schedule_look_up_capacity(const PnvsLoad *load)
{
	return (int) later(load->max_in_flight / LOOK_UP_SHARE, 1) - load->look_ups;
}

/* How long it is until the next exchange, in us, unless something changes; or NEVER. */
int64_t
pnvs_schedule_exchange_us(const PnvsLoad *load, const PnvsDue *due)
{
	int64_t		settle = earlier(settle_us(load), load->kept_us);
	int64_t		claim = later(capacity_us(load), earlier(due->queued_us, due->unknown_us));
	int64_t		next = earlier(settle, claim);

	return next == PNVS_SCHEDULE_NEVER ? next : later(later(next, due->pause_us), 0);
}

/*
 * Requests that have come back are settled at once if they are many, or if few others are
 * under way; otherwise a moment after the first of them came back.
 */
static int64_t
settle_us(const PnvsLoad *load)
{
	int			share = pnvs_schedule_share(load->max_in_flight);

	if (load->ready == 0)
		return PNVS_SCHEDULE_NEVER;
	if (load->ready >= share || load->under_way < share)
		return 0;
	return PNVS_MAX_EXCHANGE_DELAY_US - load->ready_for_us;
}

/*
 * A window that is almost full is filled again when a share of it is free, or a moment
 * after the last exchange: the requests under way may hang.
 */
static int64_t
capacity_us(const PnvsLoad *load)
{
	/* kept requests are not under way, but take places */
	if (load->under_way + load->kept >= PNVS_MAX_WINDOW)
		return PNVS_SCHEDULE_NEVER;
	if (load->under_way == 0 ||
		load->under_way + pnvs_schedule_share(load->max_in_flight) <= load->max_in_flight)
		return 0;
	/* the exchange that settles the requests that came back fills the window */
	if (load->under_way + load->ready >= load->max_in_flight)
		return PNVS_SCHEDULE_NEVER;
	return PNVS_MAX_EXCHANGE_DELAY_US - load->exchanged_us;
}
