/*-------------------------------------------------------------------------
 *
 * simulation.c
 *	  An attack in honest traffic, against a guard, in virtual time.
 *
 * People behave the same whatever the guard says, until it refuses them: each visit has
 * random numbers of its own.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "simulation.h"
#include "table.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* People. */
#define ARRIVES_PERCENT 93		/* of messages, if the number can be reached */
#define TYPED_PERCENT 95		/* of what arrives */
#define TWICE_PERCENT 4			/* press the button twice */
#define RESENT_PERCENT 70		/* of people ask again if nothing comes */
#define MAX_MESSAGES 3			/* the third by voice */
#define MAX_WAITS 3
#define PATIENCE_US (2 * MINUTE_US) /* who is to wait longer leaves */

static const char *const codes_abroad[] = {
	"371", "350", "351", "352", "353", "354", "355", "356", "357", "359",
	"370", "372", "373", "374", "375", "376", "377", "378", "380", "381"
};

typedef struct Simulation
{
	Guard	   *guard;
	const Attack *attack;
	People		people;
	Events		events;
	Chance		chance;			/* of the attack */
	Outcome    *outcome;
	int			room;			/* of outcome->sent */
} Simulation;

static void run(Simulation *simulation);
static void ask(Simulation *simulation, int index, int64_t now_us);
static void wait_for_code(Simulation *simulation, int index, int64_t now_us);
static void take_refusal(Simulation *simulation, int index, int64_t now_us, int64_t retry_after_us);
static void type(Simulation *simulation, int index, int64_t now_us);
static void attack_once(Simulation *simulation, int64_t now_us);
static void attack_next(Simulation *simulation, int64_t now_us);
static void choose_target(const Attack *attack, Chance *chance, GuardMessage *message);
static int	keep_sent(Simulation *simulation, const GuardMessage *message, int64_t now_us);
static void approve(Simulation *simulation, const char *recipient, int64_t now_us);
static void count_honest(Outcome *outcome, int64_t now_us);
static void count_visits(const People *people, Outcome *outcome);

void
simulate(const GuardSettings *settings, const Attack *attack, const Scale *scale,
		 uint64_t seed, Outcome *outcome)
{
	Simulation	simulation = {.guard = guard_open(settings),.attack = attack};

	memset(outcome, 0, sizeof(*outcome));
	simulation.outcome = outcome;
	simulation.chance.state = chance_mix(seed + 1);
	events_open(&simulation.events);
	people_of_days(&simulation.people, scale, SIMULATED_DAYS, seed);
	for (int i = 0; i < simulation.people.nvisits; i++)
		events_add(&simulation.events, simulation.people.visits[i].begins_us, EVENT_ASK, i);
	if (attack->target != ATTACK_NOBODY)
		attack_next(&simulation, DAY_US + attack->from_hour * HOUR_US);

	run(&simulation);
	count_visits(&simulation.people, outcome);
	people_close(&simulation.people);
	events_close(&simulation.events);
	guard_close(simulation.guard);
}

void
outcome_close(Outcome *outcome)
{
	free(outcome->sent);
}

static void
run(Simulation *simulation)
{
	Event		event;

	while (events_next(&simulation->events, &event))
	{
		switch (event.kind)
		{
			case EVENT_ASK:
				ask(simulation, event.index, event.at_us);
				break;
			case EVENT_TYPE:
				type(simulation, event.index, event.at_us);
				break;
			case EVENT_ATTACK:
				attack_once(simulation, event.at_us);
				break;
			case EVENT_ATTACK_TYPE:
				approve(simulation, simulation->outcome->sent[event.index].message.recipient, event.at_us);
				break;
		}
	}
}

/* --- people */

static void
ask(Simulation *simulation, int index, int64_t now_us)
{
	Visit	   *visit = &simulation->people.visits[index];
	GuardAnswer answer;

	if (visit->is_approved || visit->is_turned_away)
		return;
	if (visit->nsent == MAX_MESSAGES - 1)
		visit->message.channel = PNVS_VOICE;
	answer = guard_admit(simulation->guard, &visit->message, now_us);
	if (!answer.admitted)
	{
		take_refusal(simulation, index, now_us, answer.retry_after_us);
		return;
	}
	(void) keep_sent(simulation, &visit->message, now_us);
	count_honest(simulation->outcome, now_us);
	visit->nsent++;
	wait_for_code(simulation, index, now_us);
}

static void
wait_for_code(Simulation *simulation, int index, int64_t now_us)
{
	Visit	   *visit = &simulation->people.visits[index];
	bool		arrives = chance_percent(&visit->chance, ARRIVES_PERCENT) && visit->is_reachable;
	bool		is_typed = chance_percent(&visit->chance, TYPED_PERCENT) && arrives;
	bool		presses_twice = chance_percent(&visit->chance, TWICE_PERCENT) && visit->nsent == 1;
	bool		asks_again = chance_percent(&visit->chance, RESENT_PERCENT);

	if (is_typed && !visit->code_comes)
	{
		visit->code_comes = true;
		events_add(&simulation->events, now_us + chance_between(&visit->chance, 8, 75) * SECOND_US,
				   EVENT_TYPE, index);
	}
	if (presses_twice)
		events_add(&simulation->events, now_us + chance_between(&visit->chance, 1, 3) * SECOND_US,
				   EVENT_ASK, index);
	else if (!visit->code_comes && asks_again && visit->nsent < MAX_MESSAGES)
		events_add(&simulation->events, now_us + chance_between(&visit->chance, 30, 60) * SECOND_US,
				   EVENT_ASK, index);
}

/* The page says how long to wait, and that a code that was sent still works. */
static void
take_refusal(Simulation *simulation, int index, int64_t now_us, int64_t retry_after_us)
{
	Visit	   *visit = &simulation->people.visits[index];

	if (visit->code_comes)
		return;
	if (retry_after_us > PATIENCE_US || visit->nwaits == MAX_WAITS)
	{
		visit->is_turned_away = true;
		return;
	}
	visit->nwaits++;
	events_add(&simulation->events,
			   now_us + retry_after_us + chance_between(&visit->chance, 1, 10) * SECOND_US,
			   EVENT_ASK, index);
}

static void
type(Simulation *simulation, int index, int64_t now_us)
{
	Visit	   *visit = &simulation->people.visits[index];

	visit->is_approved = true;
	approve(simulation, visit->message.recipient, now_us);
}

static void
count_honest(Outcome *outcome, int64_t now_us)
{
	if (now_us < DAY_US || now_us >= 2 * DAY_US)
		return;
	outcome->honest_sent++;
	outcome->honest_sent_by_hour[(now_us - DAY_US) / HOUR_US]++;
}

static void
count_visits(const People *people, Outcome *outcome)
{
	for (int i = 0; i < people->nvisits; i++)
	{
		const Visit *visit = &people->visits[i];

		if (visit->begins_us < DAY_US)
			continue;
		outcome->honest_visits++;
		outcome->honest_turned_away += visit->is_turned_away;
		outcome->honest_waited += visit->nwaits > 0 && visit->is_approved;
		if (visit->of_victim)
		{
			outcome->victim_visits[visit->message.trusted]++;
			outcome->victim_approved[visit->message.trusted] += visit->is_approved;
		}
	}
}

/* --- the attack */

static void
attack_once(Simulation *simulation, int64_t now_us)
{
	const Attack *attack = simulation->attack;
	GuardMessage message = {.channel = PNVS_SMS};
	bool		is_typed;

	choose_target(attack, &simulation->chance, &message);
	is_typed = chance_percent(&simulation->chance, attack->typed_percent);
	simulation->outcome->attack_asked++;
	if (guard_admit(simulation->guard, &message, now_us).admitted)
	{
		int			index = keep_sent(simulation, &message, now_us);

		simulation->outcome->attack_sent++;
		if (is_typed)
			events_add(&simulation->events, now_us + 20 * SECOND_US, EVENT_ATTACK_TYPE, index);
	}
	attack_next(simulation, now_us);
}

static void
attack_next(Simulation *simulation, int64_t now_us)
{
	const Attack *attack = simulation->attack;
	int64_t		pause_us = HOUR_US / attack->messages_per_hour;
	int64_t		next_us = now_us + chance_between(&simulation->chance, 1, 2 * pause_us);

	if (next_us < DAY_US + (attack->from_hour + attack->nhours) * HOUR_US)
		events_add(&simulation->events, next_us, EVENT_ATTACK, 0);
}

static void
choose_target(const Attack *attack, Chance *chance, GuardMessage *message)
{
	uint64_t	range = chance_mix(chance_below(chance, (uint64_t) attack->nranges)) % 100000;
	uint64_t	number = chance_below(chance, 10000);
	const char *code = codes_abroad[0];

	message->key = chance_mix(chance_below(chance, (uint64_t) attack->naddresses) + 12345);
	switch (attack->target)
	{
		case ATTACK_VICTIM:
			snprintf(message->recipient, sizeof(message->recipient), VICTIM);
			return;
		case ATTACK_HOME:
			code = "6281";
			break;
		case ATTACK_EVERYWHERE:
			code = codes_abroad[chance_below(chance, LENGTH(codes_abroad))];
			break;
		default:
			break;
	}
	snprintf(message->recipient, sizeof(message->recipient), "%s%05d%04d", code, (int) range, (int) number);
}

/* --- what was sent */

static int
keep_sent(Simulation *simulation, const GuardMessage *message, int64_t now_us)
{
	Outcome    *outcome = simulation->outcome;

	if (outcome->nsent == simulation->room)
	{
		simulation->room = simulation->room ? simulation->room * 2 : 1024;
		outcome->sent = need(realloc(outcome->sent, (size_t) simulation->room * sizeof(Sent)));
	}
	outcome->sent[outcome->nsent] = (Sent)
	{
		*message, now_us, INT64_MAX
	};
	return outcome->nsent++;
}

/* An approval is of the number's latest message. */
static void
approve(Simulation *simulation, const char *recipient, int64_t now_us)
{
	Outcome    *outcome = simulation->outcome;

	guard_approve(simulation->guard, recipient, now_us);
	for (int i = outcome->nsent - 1; i >= 0; i--)
	{
		if (strcmp(outcome->sent[i].message.recipient, recipient) == 0)
		{
			if (outcome->sent[i].approved_us == INT64_MAX)
				outcome->sent[i].approved_us = now_us;
			return;
		}
	}
}
