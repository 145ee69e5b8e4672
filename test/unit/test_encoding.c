/*-------------------------------------------------------------------------
 *
 * test_encoding.c
 *	  Percent-encoding, hexadecimal, UTC timestamps.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/encoding.h"
#include "exact.h"
#include "tap.h"

static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

static void test_percent(void);
static void test_every_byte(const char *where);
static void test_percent_overflow(void);
static void test_hex(void);
static void test_timestamps(const char *where);
static void test_timestamp_limits(void);
static void test_time_zones(void);
static void test_leap_second_zone(void);
static bool write_leap_second_zone(int descriptor);
static void test_locales(void);

int
main(void)
{
	test_percent();
	test_every_byte("in the C locale");
	test_percent_overflow();
	test_hex();
	test_timestamps("without a time zone");
	test_timestamp_limits();
	test_time_zones();
	test_leap_second_zone();
	test_locales();
	return tap_done();
}

static void
test_percent(void)
{
	static const struct
	{
		const char *text;
		const char *expected;
		const char *sentence;
	}			cases[] = {
		{"", "", "the empty text stays empty"},
		{"aZ09-_.~", "aZ09-_.~", "unreserved characters stay"},
		{" ", "%20", "a space is %20, not a plus sign"},
		{"*", "%2A", "an asterisk is %2A"},
		{"+", "%2B", "a plus sign is %2B"},
		{"/", "%2F", "a slash is %2F"},
		{"%", "%25", "a percent sign is %25"},
		{"%20", "%2520", "what looks encoded already is encoded again"},
		{"~", "~", "a tilde stays"},
		{"a=b&c", "a%3Db%26c", "what separates parameters is encoded"},
		{"\r\n", "%0D%0A", "a line break is encoded"},
		{"\xC3\xA9", "%C3%A9", "a two-byte character of UTF-8 is encoded byte by byte"},
		{"\xE4\xB8\xAD", "%E4%B8%AD", "a three-byte character is encoded byte by byte"},
		{"\xF0\x9F\x93\x9E", "%F0%9F%93%9E", "a four-byte character is encoded byte by byte"},
		{"\xFF\x80", "%FF%80", "bytes that are no UTF-8 are encoded too"},
		{"tok/en+1==", "tok%2Fen%2B1%3D%3D", "a text mixes both"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		PnvsTextBuffer buffer;

		exact_buffer_init(&buffer, strlen(cases[i].expected) + 1);
		pnvs_encoding_append_percent(&buffer, cases[i].text);
		tap_text(buffer.data, cases[i].expected, "percent-encoding: %s", cases[i].sentence);
		exact_buffer_free(&buffer);
	}
}

static void
test_every_byte(const char *where)
{
	int			wrong = 0;

	for (int byte = 1; byte < 256; byte++)
	{
		char		text[2] = {(char) byte, '\0'};
		char		expected[4];
		PnvsTextBuffer buffer;

		if (strchr(unreserved, byte))
			strcpy(expected, text);
		else
			snprintf(expected, sizeof(expected), "%%%02X", (unsigned int) byte);
		exact_buffer_init(&buffer, sizeof(expected));
		pnvs_encoding_append_percent(&buffer, text);
		if (buffer.overflowed || strcmp(buffer.data, expected) != 0)
			wrong++;
		exact_buffer_free(&buffer);
	}
	tap_int(wrong, 0, "every byte but the 66 unreserved ones is encoded, %s", where);
}

/* Every size of buffer from the smallest up to one that is large enough. */
static void
test_percent_overflow(void)
{
	static const char text[] = "a b*\xC3\xA9~";
	static const char encoded[] = "a%20b%2A%C3%A9~";
	bool		reported = true;
	bool		whole = true;

	for (size_t size = 1; size <= sizeof(encoded); size++)
	{
		PnvsTextBuffer buffer;

		exact_buffer_init(&buffer, size);
		pnvs_encoding_append_percent(&buffer, text);
		reported = reported && buffer.overflowed == (size < sizeof(encoded));
		whole = whole && strncmp(buffer.data, encoded, buffer.len) == 0 &&
			(buffer.len < 1 || buffer.data[buffer.len - 1] != '%') &&
			(buffer.len < 2 || buffer.data[buffer.len - 2] != '%');
		exact_buffer_free(&buffer);
	}
	tap_ok(reported, "percent-encoding: every buffer that is too small overflows, and no other");
	tap_ok(whole, "percent-encoding: an overflow leaves no half of an encoded byte");
}

static void
test_hex(void)
{
	static const unsigned char bytes[] = {0x00, 0x0F, 0x10, 0x9A, 0xAB, 0xCD, 0xEF, 0xFF};
	static const char encoded[] = "000f109aabcdefff";
	bool		reported = true;
	PnvsTextBuffer buffer;

	exact_buffer_init(&buffer, sizeof(encoded));
	pnvs_encoding_append_hex(&buffer, bytes, sizeof(bytes));
	tap_text(buffer.data, encoded, "hexadecimal: two lower-case digits for each byte");
	pnvs_encoding_append_hex(&buffer, bytes, 0);
	tap_ok(!buffer.overflowed && buffer.len == strlen(encoded),
		   "hexadecimal: no bytes give no digits");
	exact_buffer_free(&buffer);

	for (size_t size = 1; size < sizeof(encoded); size++)
	{
		exact_buffer_init(&buffer, size);
		pnvs_encoding_append_hex(&buffer, bytes, sizeof(bytes));
		reported = reported && buffer.overflowed && buffer.len % 2 == 0;
		exact_buffer_free(&buffer);
	}
	tap_ok(reported, "hexadecimal: every buffer that is too small overflows");
}

static void
test_timestamps(const char *where)
{
	static const struct
	{
		int64_t		epoch_s;
		const char *expected;
		const char *what;
	}			cases[] = {
		{0, "1970-01-01T00:00:00Z", "the epoch"},
		{1, "1970-01-01T00:00:01Z", "the epoch's first second"},
		{951827696, "2000-02-29T12:34:56Z", "the leap day of a year that 400 divides"},
		{981173106, "2001-02-03T04:05:06Z", "a time of single digits throughout"},
		{1483228799, "2016-12-31T23:59:59Z", "the second before a leap second"},
		{1483228800, "2017-01-01T00:00:00Z", "the second after a leap second"},
		{1698315752, "2023-10-26T10:22:32Z", "the documented example's date"},
		{1709164800, "2024-02-29T00:00:00Z", "the leap day's first second"},
		{1709251199, "2024-02-29T23:59:59Z", "the leap day's last second"},
		{1709251200, "2024-03-01T00:00:00Z", "the day after the leap day"},
		{2147483647, "2038-01-19T03:14:07Z", "the last second of 31 bits"},
		{2147483648, "2038-01-19T03:14:08Z", "the first second beyond 31 bits"},
		{4107542399, "2100-02-28T23:59:59Z", "the end of February 2100"},
		{4107542400, "2100-03-01T00:00:00Z", "2100, which has no leap day"},
		{4294967296, "2106-02-07T06:28:16Z", "the first second beyond 32 bits"},
		{253402300799, "9999-12-31T23:59:59Z", "the last second of four digits"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *out = exact_alloc(PNVS_UTC_TIMESTAMP_SIZE);

		tap_text(pnvs_encoding_utc_timestamp(cases[i].epoch_s, out) ? out : NULL,
				 cases[i].expected, "timestamp %s: %s", where, cases[i].what);
		free(out);
	}
}

static void
test_timestamp_limits(void)
{
	char	   *out = exact_alloc(PNVS_UTC_TIMESTAMP_SIZE);

	tap_int(PNVS_UTC_TIMESTAMP_SIZE, sizeof("2023-10-26T10:22:32Z"),
			"a timestamp's size is its length and a NUL");
	tap_ok(!pnvs_encoding_utc_timestamp(253402300800, out), "the year 10000 is refused");
	tap_ok(!pnvs_encoding_utc_timestamp(INT64_MAX, out), "the largest number of seconds is refused");
	tap_ok(!pnvs_encoding_utc_timestamp(-1, out), "a time before the epoch is refused");
	tap_ok(!pnvs_encoding_utc_timestamp(INT64_MIN, out), "the smallest number of seconds is refused");
	free(out);
}

static void
test_time_zones(void)
{
	static const char *const zones[] = {"UTC0", "XXX-14", "XXX+12", "CET-1CEST,M3.5.0,M10.5.0/3"};

	for (size_t i = 0; i < TAP_LENGTH(zones); i++)
	{
		setenv("TZ", zones[i], 1);
		tzset();
		test_timestamps(zones[i]);
	}
	unsetenv("TZ");
	tzset();
}

/*
 * Time zones may count leap seconds ("right/UTC"), and glibc's gmtime() takes
 * them off where TZ names such a one.  They are not installed everywhere, so
 * this writes one.
 */
static void
test_leap_second_zone(void)
{
	char		name[] = "/tmp/pnvs-zone-XXXXXX";
	char		zone[sizeof(name) + 1];
	char	   *out = exact_alloc(PNVS_UTC_TIMESTAMP_SIZE);
	int			descriptor = mkstemp(name);

	tap_ok(descriptor >= 0 && write_leap_second_zone(descriptor),
		   "a time zone with a leap second can be written");
	snprintf(zone, sizeof(zone), ":%s", name);
	setenv("TZ", zone, 1);
	tzset();

	tap_text(pnvs_encoding_utc_timestamp(1698315752, out) ? out : NULL, "2023-10-26T10:22:32Z",
			 "timestamp: a time zone that counts leap seconds changes nothing");

	unsetenv("TZ");
	tzset();
	close(descriptor);
	unlink(name);
	free(out);
}

/* RFC 8536: a header of counts, one type of local time, its name, one leap second. */
static bool
write_leap_second_zone(int descriptor)
{
	static const unsigned char file[] = {
		'T', 'Z', 'i', 'f', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0,				/* indicators of UT */
		0, 0, 0, 0,				/* indicators of standard time */
		0, 0, 0, 1,				/* leap seconds */
		0, 0, 0, 0,				/* transitions */
		0, 0, 0, 1,				/* types */
		0, 0, 0, 4,				/* bytes of names */
		0, 0, 0, 0, 0, 0,		/* the type: UTC, no summer time, name 0 */
		'U', 'T', 'C', 0,
		0x04, 0xB2, 0x58, 0x00, 0, 0, 0, 1	/* 1972-07-01, one second */
	};

	return write(descriptor, file, sizeof(file)) == (ssize_t) sizeof(file);
}

/* Where they are installed: locales whose letters are not C's. */
static void
test_locales(void)
{
	static const char *const names[] =
	{"tr_TR.UTF-8", "tr_TR.ISO-8859-9", "de_DE.ISO-8859-1", "C.UTF-8"};

	for (size_t i = 0; i < TAP_LENGTH(names); i++)
	{
		if (setlocale(LC_ALL, names[i]) != NULL)
			test_every_byte(names[i]);
	}
	setlocale(LC_ALL, "C");
}
