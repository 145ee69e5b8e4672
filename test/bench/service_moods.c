/*-------------------------------------------------------------------------
 *
 * service_moods.c
 *	  What goes wrong with a request, by chance.
 *
 *-------------------------------------------------------------------------
 */
#include <signal.h>
#include <stddef.h>

#include "service_moods.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* The others are fine. */
const Mood	moods_fine = {0, AT_ONCE, ANSWER, 0, 200, NULL};

static const Mood moods[] = {
	{10, NEVER, ANSWER, 0, 429, FAILURE("Throttling.User")},
	{10, NEVER, ANSWER, 0, 200, FAILURE("MOBILE_NUMBER_ILLEGAL")},
	{5, NEVER, ANSWER, 0, 200, FAILURE("NOT_SUPPORTED_CHANNEL")},
	{3, AT_ONCE, ANSWER, 0, 500, FAILURE("InternalError")},
	{2, NEVER, ANSWER, 0, 503, FAILURE("ServiceUnavailable")},
	{2, AT_ONCE, ANSWER, 0, 502, "<html>bad gateway</html>"},
	{2, AT_ONCE, ANSWER, 0, 200, "{\"RequestId\":\"9D5A1A7E\",\"Code\":\"O"},
	{3, AT_ONCE, CLOSE, 0, 200, NULL},
	{2, NEVER, CLOSE, 0, 200, NULL},
	{3, AT_ONCE, RESET, 0, 200, NULL},
	{2, NEVER, RESET, 0, 200, NULL},
	{2, AT_ONCE, ANSWER, 1, 200, NULL},
	{1, LATE, ANSWER, 1, 200, NULL},
	{1, AT_ONCE, SILENCE, 0, 200, NULL},
	{1, NEVER, SILENCE, 0, 200, NULL}
};

/* Whoever checks a code waits for the answer. */
static const Mood moods_of_checks[] = {
	{10, NEVER, ANSWER, 0, 429, FAILURE("Throttling.User")},
	{8, AT_ONCE, ANSWER, 0, 500, FAILURE("InternalError")},
	{5, NEVER, ANSWER, 0, 503, FAILURE("ServiceUnavailable")},
	{8, AT_ONCE, CLOSE, 0, 200, NULL},
	{5, NEVER, CLOSE, 0, 200, NULL},
	{8, AT_ONCE, RESET, 0, 200, NULL},
	{5, NEVER, RESET, 0, 200, NULL},
	{1, AT_ONCE, SILENCE, 0, 200, NULL}
};

static volatile sig_atomic_t moody;
static uint64_t random_state = 1;

static const Mood *draw(const Mood *list, size_t length);

void
moods_begin(uint64_t seed)
{
	moody = 1;
	random_state = seed * 2 + 1;
}

void
moods_end(void)
{
	moody = 0;
}

int
moods_are_on(void)
{
	return moody;
}

const Mood *
moods_draw(void)
{
	return draw(moods, LENGTH(moods));
}

const Mood *
moods_draw_of_check(void)
{
	return draw(moods_of_checks, LENGTH(moods_of_checks));
}

/* xorshift64* */
uint64_t
moods_random(uint64_t below)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * UINT64_C(2685821657736338717) >> 11) % below;
}

static const Mood *
draw(const Mood *list, size_t length)
{
	int			drawn = moody ? (int) moods_random(1000) : 1000;

	for (size_t i = 0; i < length; i++)
	{
		drawn -= list[i].share;
		if (drawn < 0)
			return &list[i];
	}
	return &moods_fine;
}
