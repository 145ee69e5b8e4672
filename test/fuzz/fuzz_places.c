/*-------------------------------------------------------------------------
 *
 * fuzz_places.c
 *	  Fuzzes the arithmetic of limits against a list of all times: exact limits admit at
 *	  the very time, others never too early, and no later than the spans of merged places
 *	  explain.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "slow_places.h"

/* Longer walks take long, and come to nothing that shorter walks do not come to. */
#define MAX_WALK 1500

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	static SlowWalk walk;
	const char *fault = slow_places_compare(&walk, data, len < MAX_WALK ? len : MAX_WALK);

	if (fault != NULL)
		fprintf(stderr, "does not hold: %s\n", fault);
	FUZZ_ASSERT(fault == NULL);
	return 0;
}
