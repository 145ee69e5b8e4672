/*-------------------------------------------------------------------------
 *
 * scenarios.c
 *	  The attacks that are simulated, and the settings against which.
 *
 *-------------------------------------------------------------------------
 */
#include "scenarios.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Those that doc/cost.md chooses for the people of this simulation. */
#define CHOSEN_LIMITS "number 1/30s, number unapproved 5/10min 10/1d, number VOICE 1/2min 3/1d, " \
	"prefix unapproved 20/1h 60/1d, key unapproved 20/10min 100/1d, key 200/1h, " \
	"total 500/1h 5000/1d, tries 10/1h 20/1d"

/* A small service: 2,828 messages in a day, with those that are sent again. */
#define A_DAY {.signups = 1200, .logins = 1200}
#define A_DAY_WITH_HALL {.signups = 1200, .logins = 1200, .in_hall = 80}

/* Messages in an hour: of a program that is in a hurry, and of one that hides. */
#define FAST 3600
#define SLOW 30
#define MANY 5000				/* addresses, or ranges of numbers */

const Scenario scenarios[] = {
	{{.name = "no attack"}, A_DAY},
	{{.name = "no attack; 80 people in one hall sign up within 20 minutes"}, A_DAY_WITH_HALL},
	{{"one range of numbers, many addresses", ATTACK_ABROAD, 1, MANY, FAST, 10, 6, 0}, A_DAY},
	{{"many ranges of a country without customers", ATTACK_ABROAD, MANY, MANY, FAST, 10, 6, 0}, A_DAY},
	{{"many ranges of 20 such countries", ATTACK_EVERYWHERE, MANY, MANY, FAST, 10, 6, 0}, A_DAY},
	{{"many ranges of the country of most customers", ATTACK_HOME, MANY, MANY, FAST, 10, 6, 0}, A_DAY},
	{{"the same from one address", ATTACK_HOME, MANY, 1, FAST, 10, 6, 0}, A_DAY},
	{{"slow: 30 an hour, a country without customers", ATTACK_ABROAD, MANY, MANY, SLOW, 0, 24, 0}, A_DAY},
	{{"slow, the country of most customers", ATTACK_HOME, MANY, MANY, SLOW, 0, 24, 0}, A_DAY},
	{{"sellers who type 90 % of the codes in, abroad", ATTACK_ABROAD, MANY, MANY, FAST, 10, 6, 90}, A_DAY},
	{{"one person's phone, every 5 seconds", ATTACK_VICTIM, 1, MANY, 720, 10, 6, 0}, A_DAY},
};
const int	nscenarios = LENGTH(scenarios);

const Variant variants[] = {
	{"no guard", {"", "", ""}},
	{"limits, no breaker", {PNVS_DEFAULT_LIMITS, "", ""}},
	{"the defaults", {PNVS_DEFAULT_LIMITS, PNVS_DEFAULT_BREAKER, ""}},
	{"the example", {CHOSEN_LIMITS, PNVS_DEFAULT_BREAKER, "ID SG MY"}},
};
const int	nvariants = LENGTH(variants);
