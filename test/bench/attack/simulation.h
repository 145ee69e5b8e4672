/*-------------------------------------------------------------------------
 *
 * simulation.h
 *	  An attack in honest traffic, against a guard, in virtual time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIMULATION_H
#define SIMULATION_H

#include "guard.h"
#include "people.h"

/* Honest traffic alone on the first day; what is counted happens on the second. */
#define SIMULATED_DAYS 2

typedef enum AttackTarget
{
	ATTACK_NOBODY,
	ATTACK_HOME,				/* numbers of the country that most people are
								 * in */
	ATTACK_ABROAD,				/* of a country that nobody is in */
	ATTACK_EVERYWHERE,			/* of 20 such countries */
	ATTACK_VICTIM				/* one person's number */
} AttackTarget;

typedef struct Attack
{
	const char *name;
	AttackTarget target;
	int			nranges;		/* of 10,000 numbers, in each country */
	int			naddresses;
	int			messages_per_hour;
	int			from_hour;		/* of the second day */
	int			nhours;
	int			typed_percent;	/* of the codes are typed in */
} Attack;

/* A message that was admitted. */
typedef struct Sent
{
	GuardMessage message;
	int64_t		at_us;
	int64_t		approved_us;	/* INT64_MAX: never */
} Sent;

typedef struct Outcome
{
	/* of the second day */
	int			attack_asked;
	int			attack_sent;
	int			honest_visits;
	int			honest_sent;
	int			honest_sent_by_hour[24];
	int			honest_waited;	/* visits that had to wait, and got a code */
	int			honest_turned_away;
	int			victim_visits[2];	/* without and with a cookie of the
									 * session */
	int			victim_approved[2];

	/* of both days */
	int			nsent;
	Sent	   *sent;
} Outcome;

extern void simulate(const GuardSettings *settings, const Attack *attack, const Scale *scale,
					 uint64_t seed, Outcome *outcome);
extern void outcome_close(Outcome *outcome);

/* How many messages were over a limit of the settings, by a count of its own. */
extern int	count_over_settings(const Outcome *outcome, const GuardSettings *settings);

#endif							/* SIMULATION_H */
