/*-------------------------------------------------------------------------
 *
 * checks_probe.c
 *	  SQL functions that call src/verification/checks.h, for tests: the time is an argument,
 *	  so that no test waits for an expiry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "verification/checks.h"

PG_FUNCTION_INFO_V1(checks_take);
PG_FUNCTION_INFO_V1(checks_give_back);
PG_FUNCTION_INFO_V1(checks_tries);
PG_FUNCTION_INFO_V1(checks_approve);
PG_FUNCTION_INFO_V1(checks_note_ambiguous);
PG_FUNCTION_INFO_V1(checks_known);

/*
 * checks_take(id uuid, tries_of_row integer, max_tries integer, expires_at timestamptz,
 *			   now timestamptz)
 *
 * The result, and the tries.
 */
Datum
checks_take(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"taken", "too many", "expired", "no room"};
	PnvsChecked checked = {
		.id = *PG_GETARG_UUID_P(0),
		.tries = PG_GETARG_INT32(1),
		.expires_at = PG_GETARG_TIMESTAMPTZ(3)
	};
	int			tries;
	PnvsTryResult result = pnvs_checks_take(&checked, PG_GETARG_INT32(2),
											PG_GETARG_TIMESTAMPTZ(4), &tries);

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s %d", names[result], tries)));
}

/* checks_give_back(id uuid, now timestamptz) */
Datum
checks_give_back(PG_FUNCTION_ARGS)
{
	pnvs_checks_give_back(PG_GETARG_UUID_P(0), PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/* checks_tries(id uuid, tries_of_row integer, now timestamptz) */
Datum
checks_tries(PG_FUNCTION_ARGS)
{
	PnvsChecked checked = {.id = *PG_GETARG_UUID_P(0),.tries = PG_GETARG_INT32(1)};

	PG_RETURN_INT32(pnvs_checks_tries(&checked, PG_GETARG_TIMESTAMPTZ(2)));
}

/* checks_approve(id uuid, code bigint, message bigint, now timestamptz) */
Datum
checks_approve(PG_FUNCTION_ARGS)
{
	pnvs_checks_approve(PG_GETARG_UUID_P(0), (uint64) PG_GETARG_INT64(1), PG_GETARG_INT64(2),
						PG_GETARG_TIMESTAMPTZ(3));
	PG_RETURN_VOID();
}

/* checks_note_ambiguous(id uuid, code bigint, now timestamptz) */
Datum
checks_note_ambiguous(PG_FUNCTION_ARGS)
{
	pnvs_checks_note_ambiguous(PG_GETARG_UUID_P(0), (uint64) PG_GETARG_INT64(1),
							   PG_GETARG_TIMESTAMPTZ(2));
	PG_RETURN_VOID();
}

/* checks_known(id uuid, code bigint, now timestamptz): what is known, in words */
Datum
checks_known(PG_FUNCTION_ARGS)
{
	PnvsChecked checked = {.id = *PG_GETARG_UUID_P(0)};
	PnvsKnownCode known;

	pnvs_checks_known(&checked, (uint64) PG_GETARG_INT64(1), PG_GETARG_TIMESTAMPTZ(2), &known);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s%s%d", known.approved ? "approved " : "",
											  known.ambiguous ? "ambiguous " : "",
											  (int) known.other_approved)));
}
