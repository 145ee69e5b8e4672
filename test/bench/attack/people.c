/*-------------------------------------------------------------------------
 *
 * people.c
 *	  The honest traffic of a simulated service: who wants a code, and when.
 *
 * Sign-ups and log-ins follow the hours of a day.  Among them are people who share the
 * address of a mobile carrier, members who log in all day, a company whose numbers share
 * a prefix and whose office has one address, and an event where everybody signs up at
 * once behind one address.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "people.h"
#include "table.h"

/* The share of each hour in a day's visits. */
static const int hours[24] =
{1, 1, 1, 1, 1, 2, 4, 8, 12, 12, 11, 10, 11, 10, 9, 9, 10, 11, 13, 14, 13, 10, 6, 3};

#define MEMBERS 3000
#define BUSY_MEMBERS 20
#define BUSY_LOGINS 12			/* of each, in a day */
#define CARRIER_ADDRESSES 10
#define CARRIER_PERCENT 30		/* of people are behind them */
#define UNREACHABLE_PERCENT 4	/* of sign-ups: a mistyped number, no network */

#define EMPLOYEES 40
#define OFFICE_PREFIX "628115550"
#define OFFICE_ADDRESS UINT64_C(0xc0ffee)

#define HALL_ADDRESS UINT64_C(0x4a11)
#define HALL_FROM_US (19 * HOUR_US)
#define HALL_US (20 * MINUTE_US)

#define VICTIM_LOGINS 6			/* in a day; half of them with a cookie of the
								 * session */

static void add_signups(People *people, int n, int64_t day_us, Chance *chance);
static void add_logins(People *people, int n, int64_t day_us, uint64_t seed, Chance *chance);
static void add_office(People *people, int64_t day_us, Chance *chance);
static void add_hall(People *people, int n, int64_t day_us, Chance *chance);
static void add_victim(People *people, int64_t day_us, Chance *chance);
static Visit *add(People *people, int64_t begins_us, Chance *chance);
static int64_t time_of_day(Chance *chance);
static void set_number(Visit *visit, Chance *chance);
static uint64_t an_address(Chance *chance);

void
people_of_days(People *people, const Scale *scale, int ndays, uint64_t seed)
{
	Chance		chance = {chance_mix(seed)};

	*people = (People)
	{
		0, 0, NULL
	};
	for (int day = 0; day < ndays; day++)
	{
		int64_t		day_us = day * DAY_US;

		add_signups(people, scale->signups, day_us, &chance);
		add_logins(people, scale->logins, day_us, seed, &chance);
		add_office(people, day_us, &chance);
		add_hall(people, scale->in_hall, day_us, &chance);
		add_victim(people, day_us, &chance);
	}
}

void
people_close(People *people)
{
	free(people->visits);
}

static void
add_signups(People *people, int n, int64_t day_us, Chance *chance)
{
	for (int i = 0; i < n; i++)
	{
		Visit	   *visit = add(people, day_us + time_of_day(chance), chance);

		set_number(visit, chance);
		visit->message.key = an_address(chance);
		visit->is_reachable = !chance_percent(chance, UNREACHABLE_PERCENT);
	}
}

/* A member has one number and one address for life. */
static void
add_logins(People *people, int n, int64_t day_us, uint64_t seed, Chance *chance)
{
	for (int i = 0; i < n; i++)
	{
		bool		is_busy = i < BUSY_MEMBERS * BUSY_LOGINS && i < n / 2;
		uint64_t	member = is_busy ? (uint64_t) (i % BUSY_MEMBERS) : chance_below(chance, MEMBERS);
		Chance		own = {chance_mix(seed ^ (member + 1))};
		Visit	   *visit = add(people, day_us + time_of_day(chance), chance);

		set_number(visit, &own);
		visit->message.key = an_address(&own);
	}
}

/* The morning of a company. */
static void
add_office(People *people, int64_t day_us, Chance *chance)
{
	for (int i = 0; i < EMPLOYEES; i++)
	{
		Visit	   *visit = add(people, day_us + 535 * MINUTE_US + chance_between(chance, 0, 20 * MINUTE_US), chance);

		snprintf(visit->message.recipient, sizeof(visit->message.recipient), OFFICE_PREFIX "10%02u", (unsigned) i % 100);
		visit->message.key = OFFICE_ADDRESS;
	}
}

static void
add_hall(People *people, int n, int64_t day_us, Chance *chance)
{
	for (int i = 0; i < n; i++)
	{
		Visit	   *visit = add(people, day_us + HALL_FROM_US + chance_between(chance, 0, HALL_US), chance);

		set_number(visit, chance);
		visit->message.key = HALL_ADDRESS;
		visit->is_reachable = !chance_percent(chance, UNREACHABLE_PERCENT);
	}
}

static void
add_victim(People *people, int64_t day_us, Chance *chance)
{
	for (int i = 0; i < VICTIM_LOGINS; i++)
	{
		Visit	   *visit = add(people, day_us + (11 + i / 2 * 2) * HOUR_US + i * 7 * MINUTE_US, chance);

		snprintf(visit->message.recipient, sizeof(visit->message.recipient), VICTIM);
		visit->message.key = an_address(chance);
		visit->message.trusted = i % 2 == 0;
		visit->of_victim = true;
	}
}

static Visit *
add(People *people, int64_t begins_us, Chance *chance)
{
	Visit	   *visit;

	if (people->nvisits == people->room)
	{
		people->room = people->room ? people->room * 2 : 1024;
		people->visits = need(realloc(people->visits, (size_t) people->room * sizeof(Visit)));
	}
	visit = &people->visits[people->nvisits++];
	*visit = (Visit)
	{
		0
	};
	visit->message.channel = PNVS_SMS;
	visit->begins_us = begins_us;
	visit->is_reachable = true;
	visit->chance.state = chance_next(chance);
	return visit;
}

static int64_t
time_of_day(Chance *chance)
{
	int			sum = 0;
	int			drawn;
	int			hour = 0;

	for (int i = 0; i < 24; i++)
		sum += hours[i];
	drawn = (int) chance_below(chance, (uint64_t) sum);
	while (drawn >= hours[hour])
		drawn -= hours[hour++];
	return hour * HOUR_US + chance_between(chance, 0, HOUR_US - 1);
}

/* Of three countries. */
static void
set_number(Visit *visit, Chance *chance)
{
	int			percent = (int) chance_below(chance, 100);
	char	   *digits = visit->message.recipient;
	size_t		size = sizeof(visit->message.recipient);

	if (percent < 80)
		snprintf(digits, size, "628%02d%08d", (int) chance_between(chance, 12, 59),
				 (int) chance_below(chance, 100000000));
	else if (percent < 92)
		snprintf(digits, size, "65%08d", (int) chance_between(chance, 80000000, 99999999));
	else
		snprintf(digits, size, "601%09d", (int) chance_below(chance, 1000000000));
}

static uint64_t
an_address(Chance *chance)
{
	if (chance_percent(chance, CARRIER_PERCENT))
		return 1 + chance_below(chance, CARRIER_ADDRESSES);
	return chance_next(chance) | UINT64_C(0x8000000000000000);
}
