/*-------------------------------------------------------------------------
 *
 * main.c
 *	  Simulates attacks in honest traffic, and prints what came of each as tables.
 *
 *		attack SEED PRICE
 *
 * The price of a message is an example.  The exit status is 1 if a message was over a limit.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "simulation.h"

static int	simulate_all(uint64_t seed, Outcome *outcomes);
static void print_day(const Outcome *quiet);
static void print_messages(const Outcome *outcomes, double price);
static void print_people(const Outcome *outcomes);
static void print_victim(const Outcome *outcomes);
static void print_head(const char *title);
static void print_number(int number);

int
main(int argc, char **argv)
{
	Outcome    *outcomes = calloc((size_t) (nscenarios * nvariants), sizeof(Outcome));
	uint64_t	seed;
	double		price;
	int			over;

	if (argc != 3 || !outcomes)
		return 2;
	seed = strtoull(argv[1], NULL, 10);
	price = strtod(argv[2], NULL);
	over = simulate_all(seed, outcomes);
	printf("seed %llu, an example price of %.2f a message\n", (unsigned long long) seed, price);
	print_day(&outcomes[0]);
	print_messages(outcomes, price);
	print_people(outcomes);
	print_victim(outcomes);
	printf("messages over a limit, by a count of its own: %d\n", over);
	free(outcomes);
	return over == 0 ? 0 : 1;
}

static int
simulate_all(uint64_t seed, Outcome *outcomes)
{
	int			over = 0;

	for (int i = 0; i < nscenarios; i++)
	{
		for (int j = 0; j < nvariants; j++)
		{
			Outcome    *outcome = &outcomes[i * nvariants + j];

			simulate(&variants[j].settings, &scenarios[i].attack, &scenarios[i].scale, seed, outcome);
			over += count_over_settings(outcome, &variants[j].settings);
			outcome_close(outcome);
		}
	}
	return over;
}

/* A day without attack and guard. */
static void
print_day(const Outcome *quiet)
{
	int			fullest = 0;

	for (int i = 0; i < 24; i++)
	{
		if (quiet->honest_sent_by_hour[i] > fullest)
			fullest = quiet->honest_sent_by_hour[i];
	}
	printf("honest people in the day: %d, with %d messages, %d of them in the fullest hour\n\n",
		   quiet->honest_visits, quiet->honest_sent, fullest);
}

/* An attack's messages that were sent, and their price. */
static void
print_messages(const Outcome *outcomes, double price)
{
	print_head("the attack's messages that are sent, and their price");
	for (int i = 0; i < nscenarios; i++)
	{
		if (scenarios[i].attack.target == ATTACK_NOBODY)
			continue;
		printf("| %s |", scenarios[i].attack.name);
		for (int j = 0; j < nvariants; j++)
		{
			int			sent = outcomes[i * nvariants + j].attack_sent;

			printf(" ");
			print_number(sent);
			printf(": ");
			print_number((int) (sent * price + 0.5));
			printf(" |");
		}
		printf("\n");
	}
	printf("\n");
}

/* Honest people who left without a code because they were refused; in parentheses, who had to wait for it. */
static void
print_people(const Outcome *outcomes)
{
	print_head("honest people who are turned away (who have to wait)");
	for (int i = 0; i < nscenarios; i++)
	{
		printf("| %s |", scenarios[i].attack.name);
		for (int j = 0; j < nvariants; j++)
			printf(" %d (%d) |", outcomes[i * nvariants + j].honest_turned_away, outcomes[i * nvariants + j].honest_waited);
		printf("\n");
	}
	printf("\n");
}

static void
print_victim(const Outcome *outcomes)
{
	for (int i = 0; i < nscenarios; i++)
	{
		for (int j = 0; scenarios[i].attack.target == ATTACK_VICTIM && j < nvariants; j++)
		{
			const Outcome *outcome = &outcomes[i * nvariants + j];

			printf("log-ins of the person whose phone is attacked, %s: %d of %d if trusted, %d of %d if not\n", variants[j].name,
				   outcome->victim_approved[1], outcome->victim_visits[1],
				   outcome->victim_approved[0], outcome->victim_visits[0]);
		}
	}
}

static void
print_head(const char *title)
{
	printf("| %s |", title);
	for (int j = 0; j < nvariants; j++)
		printf(" %s |", variants[j].name);
	printf("\n|---|");
	for (int j = 0; j < nvariants; j++)
		printf("---|");
	printf("\n");
}

/* With a comma between thousands. */
static void
print_number(int number)
{
	if (number >= 1000)
		printf("%d,%03d", number / 1000, number % 1000);
	else
		printf("%d", number);
}
