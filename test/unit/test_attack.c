/*
 * test_attack.c: short simulations of attacks, see test/bench/attack: the rules and the
 * breaker keep their promises together, as a slow count of what was sent sees it.
 */
#include <string.h>

#include "scenarios.h"
#include "simulation.h"
#include "tap.h"

static const Scale small = {.signups = 150,.logins = 150};
static const Attack nobody = {.name = "no attack"};
static const Attack abroad = {"many ranges abroad", ATTACK_ABROAD, 5000, 5000, 1800, 10, 2, 0};
static const Attack at_home = {"many ranges at home", ATTACK_HOME, 5000, 40, 1800, 10, 2, 0};
static const Attack one_range = {"one range", ATTACK_ABROAD, 1, 5000, 1800, 10, 2, 30};
static const Attack sellers = {"sellers", ATTACK_HOME, 20, 40, 1800, 10, 2, 90};
static const Attack victim = {"one phone", ATTACK_VICTIM, 1, 5000, 720, 10, 6, 0};

static const GuardSettings unguarded = {"", "", ""};
static const GuardSettings exact = {
	"number 1/30s, number unapproved 5/10min 10/1d, number VOICE 1/2min 3/1d, "
	"prefix unapproved 20/1h 30/1d, key unapproved 10/10min, key 32/1h, country 30/10min", "", ""
};
static const GuardSettings approximate = {
	"prefix unapproved 33/1h, key 40/1h 90/3h, country unapproved 100/1h, country 150/2h, total 300/1h 500/1d", "", ""
};

static Outcome
run(const GuardSettings *settings, const Attack *attack, uint64_t seed)
{
	Outcome		outcome;

	simulate(settings, attack, &small, seed, &outcome);
	return outcome;
}

static void
check_never_over(const GuardSettings *settings, const Attack *attack, const char *kind)
{
	Outcome		guarded = run(settings, attack, 1);
	Outcome		free_for_all = run(&unguarded, attack, 1);

	tap_int(count_over_settings(&guarded, settings), 0, "%s: no message is over %s limits", attack->name, kind);
	tap_ok(guarded.attack_sent > 0 && guarded.attack_sent < free_for_all.attack_sent / 2,
		   "%s: %s limits let some messages through, and hold most back", attack->name, kind);
	tap_ok(count_over_settings(&free_for_all, settings) > 0,
		   "%s: the count notices messages that no guard holds back", attack->name);
	outcome_close(&guarded);
	outcome_close(&free_for_all);
}

static void
test_never_over(void)
{
	const Attack *attacks[] = {&abroad, &at_home, &one_range, &sellers};

	for (size_t i = 0; i < TAP_LENGTH(attacks); i++)
	{
		check_never_over(&exact, attacks[i], "exact");
		check_never_over(&approximate, attacks[i], "approximate");
	}
}

/* The defaults are the third of the variants. */
static void
test_defaults(void)
{
	const GuardSettings *defaults = &variants[2].settings;
	Outcome		outcome = run(defaults, &nobody, 1);

	tap_int(outcome.honest_turned_away, 0, "without an attack the defaults turn nobody away");
	tap_ok(outcome.honest_visits > 300, "and there is somebody");
	outcome_close(&outcome);

	outcome = run(defaults, &one_range, 1);
	tap_ok(outcome.attack_sent < 300, "a range of numbers gets few messages");
	tap_int(outcome.honest_turned_away, 0, "and nobody else notices");
	outcome_close(&outcome);

	outcome = run(defaults, &victim, 1);
	tap_int(outcome.attack_sent, 10, "a person's phone gets ten messages in a day");
	tap_int(outcome.victim_approved[1], outcome.victim_visits[1],
			"and who has the phone still logs in from a session that is trusted");
	outcome_close(&outcome);
}

static void
test_breaker(void)
{
	GuardSettings with_breaker = {"", PNVS_DEFAULT_BREAKER, ""};
	Outcome		outcome = run(&with_breaker, &abroad, 1);

	tap_ok(outcome.attack_sent > 50 && outcome.attack_sent < 400,
		   "the breaker closes a country in which nobody types a code in");
	tap_int(outcome.honest_turned_away, 0, "and no other");
	outcome_close(&outcome);

	outcome = run(&with_breaker, &sellers, 1);
	tap_int(outcome.attack_sent, outcome.attack_asked, "it lets through whose codes are typed in");
	outcome_close(&outcome);
}

static void
test_countries(void)
{
	GuardSettings own = {"", "", "ID SG MY"};
	Outcome		outcome = run(&own, &abroad, 1);

	tap_int(outcome.attack_sent, 0, "a country that is not listed gets no message");
	tap_int(outcome.honest_turned_away, 0, "and those listed get theirs");
	outcome_close(&outcome);
}

static void
test_seed(void)
{
	Outcome		first = run(&exact, &at_home, 7);
	Outcome		again = run(&exact, &at_home, 7);
	Outcome		other = run(&exact, &at_home, 8);

	tap_ok(first.nsent == again.nsent && first.sent[first.nsent - 1].at_us == again.sent[again.nsent - 1].at_us,
		   "a seed gives the same messages again");
	tap_ok(first.sent[first.nsent - 1].at_us != other.sent[other.nsent - 1].at_us, "another seed gives others");
	outcome_close(&first);
	outcome_close(&again);
	outcome_close(&other);
}

int
main(void)
{
	test_never_over();
	test_defaults();
	test_breaker();
	test_countries();
	test_seed();
	return tap_done();
}
