/*-------------------------------------------------------------------------
 *
 * fuzz_number.c
 *	  Fuzzes phone numbers: whatever is accepted is 7 to 15 digits, means the
 *	  same when it is read again, and shows no more than its mask.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/phone_number.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	char	   *text = fuzz_text(data, len);
	char		number[PNVS_PHONE_NUMBER_SIZE];
	char		again[PNVS_PHONE_NUMBER_SIZE];
	char		mask[PNVS_PHONE_NUMBER_SIZE];

	if (pnvs_phone_number_normalise(text, number) == PNVS_PHONE_NUMBER_OK)
	{
		size_t		digits = strspn(number, "0123456789");

		FUZZ_ASSERT(number[digits] == '\0' && number[0] != '0');
		FUZZ_ASSERT(digits >= PNVS_PHONE_NUMBER_MIN_DIGITS &&
					digits <= PNVS_PHONE_NUMBER_MAX_DIGITS);
		FUZZ_ASSERT(pnvs_phone_number_normalise(number, again) == PNVS_PHONE_NUMBER_OK &&
					strcmp(number, again) == 0);
		pnvs_phone_number_mask(number, mask);
		FUZZ_ASSERT(strlen(mask) == digits && strstr(mask, "****") != NULL);
	}
	else
		FUZZ_ASSERT(number[0] == '\0');
	free(text);
	return 0;
}
