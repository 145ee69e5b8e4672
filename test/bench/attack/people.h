/*-------------------------------------------------------------------------
 *
 * people.h
 *	  The honest traffic of a simulated service: who wants a code, and when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PEOPLE_H
#define PEOPLE_H

#include "chance.h"
#include "guard.h"

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)

/* Somebody who wants a code: a sign-up, or a log-in. */
typedef struct Visit
{
	GuardMessage message;
	int64_t		begins_us;
	bool		of_victim;		/* whose number an attack bombs */
	bool		is_reachable;	/* messages arrive */
	Chance		chance;			/* of this visit, so that no other changes it */

	/* what became of it */
	int			nsent;
	int			nwaits;
	bool		code_comes;		/* a message has arrived, and will be typed in */
	bool		is_approved;
	bool		is_turned_away; /* left without a code because of a refusal */
} Visit;

typedef struct People
{
	int			nvisits;
	int			room;
	Visit	   *visits;
} People;

/* How many there are in a day. */
typedef struct Scale
{
	int			signups;
	int			logins;
	int			in_hall;		/* who sign up behind one address at an event;
								 * 0: none */
} Scale;

/* The number of the victim of a bombing, who also logs in. */
#define VICTIM "6281255550100"

extern void people_of_days(People *people, const Scale *scale, int ndays, uint64_t seed);
extern void people_close(People *people);

#endif							/* PEOPLE_H */
