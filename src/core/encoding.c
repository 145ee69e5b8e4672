/*-------------------------------------------------------------------------
 *
 * encoding.c
 *	  Writes percent-encoding, hexadecimal digits and UTC timestamps.
 *
 *-------------------------------------------------------------------------
 */
#include "core/ascii.h"
#include "core/encoding.h"

#define DAY 86400
#define YEAR_10000 INT64_C(253402300800)

static const char upper_hex[] = "0123456789ABCDEF";
static const char lower_hex[] = "0123456789abcdef";

static bool is_unreserved(char c);
static void put_decimal(char *out, int value, int digits);

/*
 * Appends text with every byte encoded (RFC 3986, section 2.1) that is not in the
 * unreserved set (section 2.3): a space is %20, an asterisk %2A.  The service computes
 * its signature of this form.
 */
void
pnvs_encoding_append_percent(PnvsTextBuffer *buffer, const char *text)
{
	while (*text)
	{
		size_t		plain = 0;

		while (is_unreserved(text[plain]))
			plain++;
		pnvs_text_buffer_append_len(buffer, text, plain);
		text += plain;
		if (*text)
		{
			unsigned char c = (unsigned char) *text++;
			char		triplet[3] = {'%', upper_hex[c >> 4], upper_hex[c & 0x0F]};

			pnvs_text_buffer_append_len(buffer, triplet, sizeof(triplet));
		}
	}
}

/* Appends two lower-case hexadecimal digits for each byte. */
void
pnvs_encoding_append_hex(PnvsTextBuffer *buffer, const unsigned char *bytes, size_t len)
{
	char		digits[64];

	while (len > 0)
	{
		size_t		taken = len < sizeof(digits) / 2 ? len : sizeof(digits) / 2;

		for (size_t i = 0; i < taken; i++)
		{
			digits[2 * i] = lower_hex[bytes[i] >> 4];
			digits[2 * i + 1] = lower_hex[bytes[i] & 0x0F];
		}
		pnvs_text_buffer_append_len(buffer, digits, 2 * taken);
		bytes += taken;
		len -= taken;
	}
}

/*
 * Writes seconds since the epoch as "yyyy-MM-ddTHH:mm:ssZ".  Returns false for a time
 * outside of the years 1970 to 9999.
 */
bool
pnvs_encoding_utc_timestamp(int64_t epoch_s, char out[PNVS_UTC_TIMESTAMP_SIZE])
{
	int			second;
	int			day;
	int			century;
	int			year;
	int			month;

	if (epoch_s < 0 || epoch_s >= YEAR_10000)
		return false;

	/*
	 * Days since 1 March 0000: a year that begins in March ends with its leap
	 * day, and the lengths of its months repeat every five months (153 days).
	 */
	second = (int) (epoch_s % DAY);
	day = (int) (epoch_s / DAY) + 719468;
	century = (4 * day + 3) / 146097;
	day -= 146097 * century / 4;
	year = (4 * day + 3) / 1461;
	day -= 1461 * year / 4;
	month = (5 * day + 2) / 153;
	day -= (153 * month + 2) / 5;
	year += 100 * century + month / 10;
	month = month < 10 ? month + 3 : month - 9;

	put_decimal(out, year, 4);
	out[4] = '-';
	put_decimal(out + 5, month, 2);
	out[7] = '-';
	put_decimal(out + 8, day + 1, 2);
	out[10] = 'T';
	put_decimal(out + 11, second / 3600, 2);
	out[13] = ':';
	put_decimal(out + 14, second / 60 % 60, 2);
	out[16] = ':';
	put_decimal(out + 17, second % 60, 2);
	out[19] = 'Z';
	out[20] = '\0';
	return true;
}

static bool
is_unreserved(char c)
{
	return pnvs_ascii_is_letter_or_digit(c) ||
		c == '-' || c == '_' || c == '.' || c == '~';
}

static void
put_decimal(char *out, int value, int digits)
{
	while (digits-- > 0)
	{
		out[digits] = (char) ('0' + value % 10);
		value /= 10;
	}
}
