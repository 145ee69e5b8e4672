/*-------------------------------------------------------------------------
 *
 * planted.c
 *	  Faults on purpose, which the commands asan and valgrind must find.
 *
 * Built into the library in their private copies only, so that the very build
 * and server that the tests run on are shown to report.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <stdlib.h>

#include "fmgr.h"

PG_FUNCTION_INFO_V1(pnvs_planted_nothing);
PG_FUNCTION_INFO_V1(pnvs_planted_heap_overflow);
PG_FUNCTION_INFO_V1(pnvs_planted_signed_overflow);
PG_FUNCTION_INFO_V1(pnvs_planted_uninitialised);
PG_FUNCTION_INFO_V1(pnvs_planted_leak);

Datum
pnvs_planted_nothing(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(PG_GETARG_INT32(0));
}

/* Writes a byte past the end. */
Datum
pnvs_planted_heap_overflow(PG_FUNCTION_ARGS)
{
	int			n = PG_GETARG_INT32(0);
	volatile char *volatile memory = malloc(n);

	memory[n] = 1;
	free((void *) memory);
	PG_RETURN_INT32(n);
}

Datum
pnvs_planted_signed_overflow(PG_FUNCTION_ARGS)
{
	volatile int n = PG_GETARG_INT32(0);

	n += INT_MAX;
	PG_RETURN_INT32(n);
}

/* Decides by a byte that nobody has written. */
Datum
pnvs_planted_uninitialised(PG_FUNCTION_ARGS)
{
	int			n = PG_GETARG_INT32(0);
	char	   *volatile memory = malloc(n);

	if (memory[n - 1] == 1)
		elog(NOTICE, "nobody has written this byte");
	free(memory);
	PG_RETURN_INT32(n);
}

Datum
pnvs_planted_leak(PG_FUNCTION_ARGS)
{
	int			n = PG_GETARG_INT32(0);
	char	   *volatile memory = malloc(n);

	memory[0] = 1;
	memory = NULL;
	PG_RETURN_INT32(n);
}
