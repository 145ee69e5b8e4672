/*-------------------------------------------------------------------------
 *
 * normalize_phone_number.c
 *	  normalize_phone_number() and phone_number_country(): read a text as a phone
 *	  number.
 *
 * Both are IMMUTABLE, so their results may be stored: neither reads a setting, and the
 * numbering plans that they use change with a release only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "core/calling_codes.h"
#include "core/phone_number.h"
#include "sql/sql.h"

PG_FUNCTION_INFO_V1(pnvs_normalize_phone_number);
PG_FUNCTION_INFO_V1(pnvs_phone_number_country);

/* normalize_phone_number(text): E.164 with its plus sign. */
Datum
pnvs_normalize_phone_number(PG_FUNCTION_ARGS)
{
	const char *digits = pnvs_argument_number(fcinfo, 0);

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("+%s", digits)));
}

/* phone_number_country(text): the country of a number by its digits, or NULL. */
Datum
pnvs_phone_number_country(PG_FUNCTION_ARGS)
{
	const char *number = pnvs_argument_utf8(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	const char *region = NULL;
	char		digits[PNVS_PHONE_NUMBER_SIZE];

	if (number != NULL && pnvs_phone_number_normalise(number, digits) == PNVS_PHONE_NUMBER_OK)
		region = pnvs_calling_code_region(digits);
	if (region == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(region));
}
