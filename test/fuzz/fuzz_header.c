/*-------------------------------------------------------------------------
 *
 * fuzz_header.c
 *	  Fuzzes the lines of a reply's headers as they are read.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "core/header.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	/* exactly as large as it is: a line is not NUL-terminated */
	char	   *line = malloc(len ? len : 1);
	char		value[64];

	FUZZ_ASSERT(line != NULL);
	if (len > 0)
		memcpy(line, data, len);
	if (pnvs_header_value(line, len, "x-acs-retry-after", value, sizeof(value)))
	{
		int64_t		ms = pnvs_header_milliseconds(value);

		FUZZ_ASSERT(strlen(value) < sizeof(value));
		FUZZ_ASSERT(ms >= -1 && ms <= 86400000);
		FUZZ_ASSERT(ms < 0 || value[strspn(value, "0123456789")] == '\0');
	}
	if (pnvs_header_value(line, len, "date", value, sizeof(value)))
		(void) curl_getdate(value, NULL);
	free(line);
	return 0;
}
