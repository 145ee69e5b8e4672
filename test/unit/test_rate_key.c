/*-------------------------------------------------------------------------
 *
 * test_rate_key.c
 *	  The keys that callers' messages are counted under.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "core/rate_key.h"
#include "exact.h"
#include "tap.h"

static void
expect(const char *text, PnvsRateKeyFault expected, const char *expected_key, const char *sentence)
{
	char	   *copy = exact_copy(text);
	char	   *key = exact_alloc(PNVS_RATE_KEY_SIZE);

	tap_int(pnvs_rate_key_normalise(copy, key), expected, "%s", sentence);
	tap_text(key, expected_key, "the key of \"%.60s\"", text);
	if (expected == PNVS_RATE_KEY_OK)
	{
		char	   *again = exact_alloc(PNVS_RATE_KEY_SIZE);

		pnvs_rate_key_normalise(key, again);
		tap_text(again, key, "the key is a key of its own");
		free(again);
	}
	free(copy);
	free(key);
}

static void
test_addresses(void)
{
	static const struct
	{
		const char *text;
		const char *key;
		const char *sentence;
	}			cases[] = {
		{"192.0.2.1", "192.0.2.1", "an IPv4 address is itself"},
		{" 192.0.2.1\n", "192.0.2.1", "white space around is dropped"},
		{"192.0.2.1/32", "192.0.2.1", "an IPv4 address as inet shows it"},
		{"::ffff:192.0.2.1", "192.0.2.1", "an IPv4 address as IPv6 has it"},
		{"::FFFF:C000:201", "192.0.2.1", "the same in hexadecimal"},
		{"::ffff:192.0.2.1/128", "192.0.2.1", "the same as inet shows it"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "an IPv6 address is its /64"},
		{"2001:0DB8:0001:0002::9", "2001:db8:1:2::/64", "in whatever spelling"},
		{"2001:db8:1:2:3:4:5:6/128", "2001:db8:1:2::/64", "and as inet shows it"},
		{"2001:db8:1:3:3:4:5:6", "2001:db8:1:3::/64", "another network is another key"},
		{"fe80::1%eth0", "fe80::/64", "the zone of an address is dropped"},
		{"::1", "::/64", "the loopback address has a network, too"},
		{"::192.0.2.1", "::/64", "an IPv4 address that is not mapped is none"},
		{"::fffe:192.0.2.1", "::/64", "nor is it with another prefix"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
		expect(cases[i].text, PNVS_RATE_KEY_OK, cases[i].key, cases[i].sentence);
}

static void
test_others(void)
{
	static const struct
	{
		const char *text;
		const char *key;
		const char *sentence;
	}			cases[] = {
		{"device 7", "device 7", "another text is as it is"},
		{"\t Device 7 \r\n", "Device 7", "but for the white space around"},
		{"192.0.2", "192.0.2", "three parts are no address"},
		{"192.0.2.256", "192.0.2.256", "nor is a part that is too large"},
		{"192.0.2.01", "192.0.2.01", "nor a part with a zero before it"},
		{"192.0.2.1/24", "192.0.2.1/24", "a network is no address"},
		{"192.0.2.1/128", "192.0.2.1/128", "nor is an IPv4 address of 128 bits"},
		{"2001:db8::/64", "2001:db8::/64", "a /64 is as it is"},
		{"2001:db8::1/32", "2001:db8::1/32", "a larger network, too"},
		{"192.0.2.1:443", "192.0.2.1:443", "an address with a port, too"},
		{"[2001:db8::1]", "[2001:db8::1]", "and brackets"},
		{"/32", "/32", "what inet adds is no address alone"},
		{"%eth0", "%eth0", "nor is a zone"},
		{"\xC3\xBC", "\xC3\xBC", "letters may be of any script"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
		expect(cases[i].text, PNVS_RATE_KEY_OK, cases[i].key, cases[i].sentence);
	expect("", PNVS_RATE_KEY_EMPTY, "", "an empty text is none");
	expect(" \t\r\n", PNVS_RATE_KEY_EMPTY, "", "nor is white space");
}

static void
test_lengths(void)
{
	char		text[PNVS_RATE_KEY_MAX_LEN + 4];

	memset(text, 'x', sizeof(text));
	text[PNVS_RATE_KEY_MAX_LEN] = '\0';
	expect(text, PNVS_RATE_KEY_OK, text, "1024 bytes are accepted");
	text[PNVS_RATE_KEY_MAX_LEN] = 'x';
	text[PNVS_RATE_KEY_MAX_LEN + 1] = '\0';
	expect(text, PNVS_RATE_KEY_TOO_LONG, "", "1025 are not");
	text[0] = ' ';
	expect(text, PNVS_RATE_KEY_OK, text + 1, "white space around is not counted");
	for (int len = 120; len <= 136; len++)
	{
		memcpy(text, "fe80::1%", 8);
		memset(text + 8, 'z', sizeof(text) - 8);
		text[len] = '\0';
		expect(text, PNVS_RATE_KEY_OK, len < 128 ? "fe80::/64" : text, "a long zone is a zone, up to a length");
	}
}

int
main(void)
{
	test_addresses();
	test_others();
	test_lengths();
	return tap_done();
}
