/*
 * test_log_limit.c: how often the log says the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/log_limit.h"
#include "tap.h"

#define MINUTE INT64_C(60000000)

static PnvsLogLimit limit;

static void
test_one(void)
{
	memset(&limit, 0, sizeof(limit));
	tap_ok(pnvs_log_limit_next_us(&limit, "a") == INT64_MIN, "what never happened may be logged at any time");
	tap_int(pnvs_log_limit_count(&limit, "a", 5, MINUTE), 1, "the first case is logged");
	tap_int(pnvs_log_limit_next_us(&limit, "a"), 5 + MINUTE, "and the next line is an interval later");
	tap_int(pnvs_log_limit_count(&limit, "a", 6, MINUTE), 0, "a second case is not");
	tap_int(pnvs_log_limit_count(&limit, "a", 4 + MINUTE, MINUTE), 0, "nor a third before the interval is over");
	tap_int(pnvs_log_limit_count(&limit, "a", 5 + MINUTE, MINUTE), 3, "after that there is a line for all three");
	tap_int(pnvs_log_limit_count(&limit, "a", 5 + 2 * MINUTE, MINUTE), 1, "and counting begins again");
}

static void
test_several(void)
{
	char		cause[16];
	char		one[PNVS_LOG_LIMIT_CAUSE_SIZE + 8];
	char		other[sizeof(one)];

	memset(&limit, 0, sizeof(limit));
	for (int i = 0; i < PNVS_LOG_LIMIT_CAUSES; i++)
	{
		snprintf(cause, sizeof(cause), "c%d", i);
		tap_int(pnvs_log_limit_count(&limit, cause, i, MINUTE), 1, "%s has a line of its own", cause);
	}
	tap_int(pnvs_log_limit_count(&limit, "c0", 20, MINUTE), 0, "each is remembered");
	tap_int(pnvs_log_limit_count(&limit, "more", 21, MINUTE), 1, "one cause more has its line");
	tap_int(pnvs_log_limit_count(&limit, "c1", 22, MINUTE), 0, "and the others are remembered still");
	tap_int(pnvs_log_limit_count(&limit, "c0", 23, MINUTE), 1, "but for the oldest");

	memset(&limit, 0, sizeof(limit));
	memset(one, 'x', sizeof(one));
	one[sizeof(one) - 1] = '\0';
	memcpy(other, one, sizeof(one));
	other[sizeof(other) - 2] = 'y';
	tap_int(pnvs_log_limit_count(&limit, one, 0, MINUTE), 1, "a long cause is logged");
	tap_int(pnvs_log_limit_count(&limit, other, 1, MINUTE), 0, "one that begins alike counts as the same");
}

int
main(void)
{
	test_one();
	test_several();
	return tap_done();
}
