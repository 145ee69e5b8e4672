/*
 * test_backoff.c: how long to wait before another attempt.
 */
#include "core/backoff.h"
#include "tap.h"

static void
test_bounds(void)
{
	tap_int(pnvs_backoff_ms(1, UINT32_MAX, -1), PNVS_BACKOFF_BASE_MS - 1,
			"after the first attempt the wait is below the base");
	tap_int(pnvs_backoff_ms(2, UINT32_MAX, -1), 2 * PNVS_BACKOFF_BASE_MS - 1,
			"after the second it is below twice that");
	tap_int(pnvs_backoff_ms(4, UINT32_MAX, -1), 8 * PNVS_BACKOFF_BASE_MS - 1,
			"the bound doubles with every attempt");
	tap_int(pnvs_backoff_ms(30, UINT32_MAX, -1), PNVS_BACKOFF_MAX_MS - 1,
			"but it ends at a minute");
	tap_int(pnvs_backoff_ms(2000000000, UINT32_MAX, -1), PNVS_BACKOFF_MAX_MS - 1,
			"and stays there, however many attempts there were");
}

static void
test_jitter(void)
{
	tap_int(pnvs_backoff_ms(1, 0, -1), PNVS_BACKOFF_MIN_MS,
			"the jitter is full, but no attempt follows at once");
	tap_int(pnvs_backoff_ms(3, 1u << 31, -1), 2 * PNVS_BACKOFF_BASE_MS,
			"half of the random range is half of the bound");
}

static void
test_word_of_the_service(void)
{
	tap_int(pnvs_backoff_ms(1, 0, 7000), 7000 + PNVS_BACKOFF_MIN_MS,
			"what the service asked for is waited for");
	tap_int(pnvs_backoff_ms(1, UINT32_MAX, 7000), 7000 + PNVS_BACKOFF_BASE_MS - 1,
			"with the jitter on top");
	tap_int(pnvs_backoff_ms(1, 0, 0), PNVS_BACKOFF_MIN_MS,
			"a zero of the service's changes nothing");
}

static void
test_doubled(void)
{
	tap_int(pnvs_backoff_doubled_ms(0, 50, 10000), 50, "the first pause is the shortest");
	tap_int(pnvs_backoff_doubled_ms(3, 50, 10000), 400, "each failure doubles it");
	tap_int(pnvs_backoff_doubled_ms(2000000000, 50, 10000), 10000, "up to the longest");
}

int
main(void)
{
	test_doubled();
	test_bounds();
	test_jitter();
	test_word_of_the_service();
	return tap_done();
}
