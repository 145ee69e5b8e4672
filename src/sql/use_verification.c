/*-------------------------------------------------------------------------
 *
 * use_verification.c
 *	  use_verification(): the number of an approved verification, once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "sql/sql.h"
#include "verification/verification.h"

PG_FUNCTION_INFO_V1(pnvs_use_verification);

static Datum use_up(PG_FUNCTION_ARGS);

/*
 * use_verification(id uuid, purpose text, good_for interval)
 *
 * The number in the form of E.164, or NULL.
 */
Datum
pnvs_use_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(use_up, fcinfo);
}

static Datum
use_up(PG_FUNCTION_ARGS)
{
	const char *purpose = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	int64		good_for_us = pnvs_argument_good_for(PG_ARGISNULL(2) ? NULL : PG_GETARG_INTERVAL_P(2));
	const char *digits = NULL;

	if (!PG_ARGISNULL(0))
		digits = pnvs_verification_use(PG_GETARG_UUID_P(0), purpose, good_for_us);
	if (digits == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("+%s", digits)));
}
