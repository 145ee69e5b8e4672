/*-------------------------------------------------------------------------
 *
 * test_endpoint.c
 *	  The grammar of the service's address.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/endpoint.h"
#include "exact.h"
#include "tap.h"

static void test_accepted(void);
static void test_bad_schemes(void);
static void test_bad_hosts(void);
static void test_bad_ports(void);
static void test_not_loopback(void);
static void test_loopback_spellings(void);
static void test_every_byte(void);
static void test_lengths(void);
static void test_longest_ipv6(void);
static void test_numeric_hosts(void);
static void expect(const char *text, PnvsEndpointFault expected, const char *sentence);
static void expect_all(const char *const *texts, size_t n, PnvsEndpointFault expected,
					   const char *sentence);

int
main(void)
{
	test_accepted();
	test_bad_schemes();
	test_bad_hosts();
	test_bad_ports();
	test_not_loopback();
	test_loopback_spellings();
	test_every_byte();
	test_lengths();
	test_longest_ipv6();
	test_numeric_hosts();
	return tap_done();
}

static void
test_accepted(void)
{
	static const struct
	{
		const char *text;
		bool		tls;
		const char *host_header;
		const char *sentence;
	}			cases[] = {
		{"https://dypnsapi-intl.ap-southeast-1.aliyuncs.com", true,
		"dypnsapi-intl.ap-southeast-1.aliyuncs.com", "the service's own address is taken"},
		{"https://localhost", true, "localhost", "a name without a dot is taken"},
		{"https://a", true, "a", "a name of one letter is taken"},
		{"https://1.example", true, "1.example", "a label may be a number"},
		{"https://3f2a9c1b", true, "3f2a9c1b", "a name may begin with a digit"},
		{"https://0xy.example", true, "0xy.example", "a name may begin with 0x"},
		{"https://xn--80ak6aa92e.com", true, "xn--80ak6aa92e.com", "hyphens may follow each other inside"},
		{"HTTPS://Example.COM", true, "example.com", "scheme and host are lower-cased"},
		{"https://AZ.az", true, "az.az", "the alphabet's ends are lower-cased"},
		{"https://example.com:8443", true, "example.com:8443", "a port is kept"},
		{"https://example.com:443", true, "example.com", "https drops its default port"},
		{"https://example.com:80", true, "example.com:80", "https keeps http's default port"},
		{"https://example.com:1", true, "example.com:1", "the lowest port is taken"},
		{"https://example.com:65535", true, "example.com:65535", "the highest port is taken"},
		{"https://192.0.2.1", true, "192.0.2.1", "an IPv4 address is taken"},
		{"https://[2001:DB8::1]", true, "[2001:db8::1]", "an IPv6 address is taken"},
		{"https://[2001:db8::1]:8443", true, "[2001:db8::1]:8443", "an IPv6 address takes a port"},
		{"https://[2001:db8::1]:443", true, "[2001:db8::1]", "an IPv6 address drops the default port"},
		{"https://[::ffff:192.0.2.1]", true, "[::ffff:192.0.2.1]", "an IPv4 tail is taken"},
		{"http://127.0.0.1", false, "127.0.0.1", "http is taken to 127.0.0.1"},
		{"http://127.0.0.1:8080", false, "127.0.0.1:8080", "http keeps a port"},
		{"http://127.0.0.1:80", false, "127.0.0.1", "http drops its default port"},
		{"http://127.0.0.1:443", false, "127.0.0.1:443", "http keeps https's default port"},
		{"http://127.0.0.0", false, "127.0.0.0", "http is taken to the first address of 127.0.0.0/8"},
		{"http://127.255.255.255", false, "127.255.255.255", "http is taken to the last one of 127.0.0.0/8"},
		{"http://[::1]", false, "[::1]", "http is taken to [::1]"},
		{"HTTP://[::1]:8080", false, "[::1]:8080", "http is taken to [::1] with a port"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		char	   *text = exact_copy(cases[i].text);
		PnvsEndpoint *endpoint = exact_alloc(sizeof(PnvsEndpoint));
		char		origin[64];

		snprintf(origin, sizeof(origin), "http%s://%s", cases[i].tls ? "s" : "",
				 cases[i].host_header);
		tap_int(pnvs_endpoint_parse(text, endpoint), PNVS_ENDPOINT_OK, "%s: %s",
				cases[i].sentence, text);
		tap_int(endpoint->tls, cases[i].tls, "%s %s TLS", text, cases[i].tls ? "has" : "has no");
		tap_text(endpoint->host_header, cases[i].host_header, "the host header of %s is %s",
				 text, cases[i].host_header);
		tap_text(endpoint->origin, origin, "the origin of %s is %s", text, origin);
		free(text);
		free(endpoint);
	}
}

static void
test_bad_schemes(void)
{
	static const char *const cases[] = {
		"", " ", "h", "https", "https:", "https:/", "http:/", "http:127.0.0.1", "example.com",
		"//example.com", "ftp://example.com", "file:///etc/passwd", "httpss://example.com",
		" https://example.com", "\thttps://example.com", "https//example.com",
		"https:\\\\example.com", "http+unix://127.0.0.1", "ws://127.0.0.1",
	};

	expect_all(cases, TAP_LENGTH(cases), PNVS_ENDPOINT_BAD_SCHEME,
			   "what has not the scheme https or http is refused");
}

static void
test_bad_hosts(void)
{
	static const struct
	{
		const char *text;
		const char *sentence;
	}			cases[] = {
		{"https://", "an empty host is refused"},
		{"https://:8443", "an empty host is refused before a port"},
		{"https:///", "an empty host is refused before a path"},
		{"https://user@example.com", "user information is refused"},
		{"https://example.com@evil.com", "a host as user information is refused"},
		{"https://example.com/", "a path is refused, be it empty"},
		{"https://example.com/path", "a path is refused"},
		{"https://example.com?query", "a query is refused"},
		{"https://example.com#fragment", "a fragment is refused"},
		{"https://example.com\\evil.com", "a backslash is refused"},
		{"https://example.com ", "a space at the end is refused"},
		{"https:// example.com", "a space before the host is refused"},
		{"https://exa mple.com", "a space inside is refused"},
		{"https://example.com\t", "a tab at the end is refused"},
		{"https://exa\tmple.com", "a tab inside, which browsers drop, is refused"},
		{"https://example.com\r\nHost: evil.com", "a line break is refused"},
		{"https://example.com\n", "a line break at the end is refused"},
		{"https://example%2ecom", "an escape is refused"},
		{"https://exam_ple.com", "an underscore is refused"},
		{"https://ex\xC3\xA4mple.com", "a name of other letters than ASCII's is refused"},
		{"https://example\xE3\x80\x82" "com", "an ideographic full stop is refused"},
		{"https://example.com.", "a trailing dot is refused"},
		{"https://.", "a dot alone is refused"},
		{"https://.example.com", "a leading dot is refused"},
		{"https://example..com", "an empty label is refused"},
		{"https://-example.com", "a leading hyphen is refused"},
		{"https://example-.com", "a label that ends in a hyphen is refused"},
		{"https://example.-com", "a label that begins with a hyphen is refused"},
		{"https://example.com-", "a hyphen at the end is refused"},
		{"https://example-:443", "a hyphen before the port is refused"},
		{"https://[]", "empty brackets are refused"},
		{"https://[::1", "an open bracket is refused"},
		{"https://::1", "an IPv6 address without brackets is refused"},
		{"https://[::1]x", "text behind the bracket is refused"},
		{"https://[::1]]", "a second bracket is refused"},
		{"https://[[::1]]", "brackets in brackets are refused"},
		{"https://[fe80::1%eth0]", "a zone is refused"},
		{"https://[fe80::1%25eth0]", "an escaped zone is refused"},
		{"https://[127.0.0.1]", "an IPv4 address in brackets is refused"},
		{"https://[12ab]", "brackets without a colon are refused"},
		{"https://[::g]", "what is no hexadecimal digit is refused in brackets"},
		{"https://[v1.fe80::a]", "an address of a future version is refused"},
		{"http://user@127.0.0.1", "user information is refused before a loopback address"},
		{"http://127.0.0.1/", "a path is refused behind a loopback address"},
		{"http://127.0.0.1.", "a trailing dot is refused behind a loopback address"},
		{"http://127..0.1", "an empty part of an address is refused"},
		{"https://example.com:443/", "a path behind the port is refused"},
		{"https://example.com:443?query", "a query behind the port is refused"},
		{"https://example.com:443#fragment", "a fragment behind the port is refused"},
		{"https://example.com:443@evil.com", "a port as a password is refused"},
		{"https://user:password@example.com", "a password is refused"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
		expect(cases[i].text, PNVS_ENDPOINT_BAD_HOST, cases[i].sentence);
}

static void
test_bad_ports(void)
{
	static const struct
	{
		const char *text;
		const char *sentence;
	}			cases[] = {
		{"https://example.com:", "an empty port is refused"},
		{"https://example.com:0", "port 0 is refused"},
		{"https://example.com:65536", "port 65536 is refused"},
		{"https://example.com:99999", "port 99999 is refused"},
		{"https://example.com:4294967739", "a port that is 443 in 32 bits is refused"},
		{"https://example.com:18446744073709552059", "a port that is 443 in 64 bits is refused"},
		{"https://example.com:0443", "a port with a leading zero is refused"},
		{"https://example.com:00", "a port of zeros is refused"},
		{"https://example.com:+443", "a port with a sign is refused"},
		{"https://example.com:-1", "a negative port is refused"},
		{"https://example.com: 443", "a port behind a space is refused"},
		{"https://example.com:443 ", "a port before a space is refused"},
		{"https://example.com:443:443", "a second port is refused"},
		{"https://example.com:https", "a port's name is refused"},
		{"https://example.com:44a", "a port with a letter is refused"},
		{"https://example.com:0x1bb", "a hexadecimal port is refused"},
		{"https://[::1]:", "an empty port is refused behind a bracket"},
		{"https://[::1]:65536", "port 65536 is refused behind a bracket"},
		{"https://a::1", "a second colon is refused"},
		{"http://127.0.0.1:0", "port 0 is refused at a loopback address"},
		{"http://evil.com:0", "a bad port is named before a host that is not this machine"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
		expect(cases[i].text, PNVS_ENDPOINT_BAD_PORT, cases[i].sentence);
}

static void
test_not_loopback(void)
{
	static const struct
	{
		const char *text;
		const char *sentence;
	}			cases[] = {
		{"http://dypnsapi-intl.ap-southeast-1.aliyuncs.com", "the service itself is refused over http"},
		{"http://localhost", "localhost, a name, is refused over http"},
		{"http://localhost:8080", "localhost with a port is refused over http"},
		{"http://a", "a short name is refused over http"},
		{"http://192.0.2.1", "another machine is refused over http"},
		{"http://128.0.0.1", "the address behind 127.0.0.0/8 is refused"},
		{"http://126.255.255.255", "the address before 127.0.0.0/8 is refused"},
		{"http://0.0.0.0", "the unspecified address is refused"},
		{"http://127.0.0.1.evil.com", "a name that begins with a loopback address is refused"},
		{"http://127.evil.com", "a name that begins with 127 is refused"},
		{"http://127.0.0.a", "a letter in an address is refused"},
		{"http://[::2]", "another IPv6 address is refused"},
		{"http://[::]", "the unspecified IPv6 address is refused"},
		{"http://[::11]", "an address that begins with ::1 is refused"},
		{"http://[1::]", "an address that ends otherwise than ::1 is refused"},
		{"http://[0:0:0:0:0:0:0:1]", "another spelling of ::1 is refused"},
		{"http://[::ffff:127.0.0.1]", "a mapped loopback address is refused"},
	};
	PnvsEndpoint endpoint;

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
		expect(cases[i].text, PNVS_ENDPOINT_NOT_LOOPBACK, cases[i].sentence);

	/* A proxy may be reached so. */
	pnvs_endpoint_parse("HTTP://Proxy.Example:3128", &endpoint);
	tap_ok(!endpoint.tls && strcmp(endpoint.host_header, "proxy.example:3128") == 0,
		   "what is only no loopback address is read to its end");
}

/* Whether such a host is bad or only not loopback does not matter here. */
static void
test_loopback_spellings(void)
{
	static const struct
	{
		const char *text;
		const char *sentence;
	}			cases[] = {
		{"http://evil.com.127.0.0.1", "a name that ends in a loopback address is refused"},
		{"http://1127.0.0.1", "a digit before 127 is refused"},
		{"http://127.0.0-1.1", "a hyphen in an address is refused"},
		{"http://127.1", "an address of two parts is refused"},
		{"http://127.0.1", "an address of three parts is refused"},
		{"http://127.000001", "an address of two long parts is refused"},
		{"http://127.100.100", "an address of three long parts is refused"},
		{"http://127.0.0.0.1", "an address of five parts is refused"},
		{"http://0x7f.0.0.1", "a hexadecimal part is refused"},
		{"http://127.0.0.0x1", "a hexadecimal part is refused at the end"},
		{"http://0177.0.0.1", "an octal part is refused"},
		{"http://127.0.0.01", "a part with a leading zero is refused"},
		{"http://127.00.0.1", "a part of two zeros is refused"},
		{"http://127.0.0.256", "a part above 255 is refused"},
		{"http://127.0.0.4294967297", "a part that is 1 in 32 bits is refused"},
		{"http://2130706433", "a loopback address as one number is refused"},
		{"http://0x7f000001", "a loopback address as one hexadecimal number is refused"},
	};

	for (size_t i = 0; i < TAP_LENGTH(cases); i++)
	{
		PnvsEndpoint endpoint;

		tap_ok(pnvs_endpoint_parse(cases[i].text, &endpoint) != PNVS_ENDPOINT_OK, "%s: \"%s\"",
			   cases[i].sentence, cases[i].text);
	}
}

/* Nothing that could be read in two ways stands in a host. */
static void
test_every_byte(void)
{
	int			wrong = 0;

	for (int byte = 1; byte < 256; byte++)
	{
		char		text[] = "https://a?b";
		PnvsEndpoint endpoint;
		bool		taken;

		text[9] = (char) byte;
		taken = pnvs_endpoint_parse(text, &endpoint) == PNVS_ENDPOINT_OK;
		if (taken != (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
							 "0123456789-.", byte) != NULL))
			wrong++;
	}
	tap_int(wrong, 0, "no byte but letters, digits, hyphen and dot is taken in a host");
}

static void
test_lengths(void)
{
	char		label_64[65];
	char		label_63[64];
	char		text[512];
	char		host[300];
	PnvsEndpoint *endpoint = exact_alloc(sizeof(PnvsEndpoint));

	memset(label_64, 'a', 64);
	label_64[64] = '\0';
	strcpy(label_63, label_64 + 1);

	snprintf(text, sizeof(text), "https://%s.com", label_63);
	expect(text, PNVS_ENDPOINT_OK, "a label of 63 characters is taken");
	snprintf(text, sizeof(text), "https://%s.com", label_64);
	expect(text, PNVS_ENDPOINT_BAD_HOST, "a label of 64 characters is refused");
	snprintf(text, sizeof(text), "https://com.%s", label_64);
	expect(text, PNVS_ENDPOINT_BAD_HOST, "a last label of 64 characters is refused");

	/* Three labels of 63 and their dots are 192. */
	snprintf(host, sizeof(host), "%s.%s.%s.%.61s", label_63, label_63, label_63, label_63);
	snprintf(text, sizeof(text), "https://%s", host);
	tap_int((long long) strlen(host), 253, "the long host has 253 characters");
	expect(text, PNVS_ENDPOINT_OK, "a host of 253 characters is taken");
	strcat(text, ":65535");
	strcat(host, ":65535");
	expect(text, PNVS_ENDPOINT_OK, "a host of 253 characters is taken with a port");
	pnvs_endpoint_parse(text, endpoint);
	tap_text(endpoint->host_header, host, "a host header has room for the longest host and port");
	tap_text(endpoint->origin, text, "and so has an origin");

	snprintf(text, sizeof(text), "https://%s.%s.%s.%.62s", label_63, label_63, label_63, label_63);
	expect(text, PNVS_ENDPOINT_BAD_HOST, "a host of 254 characters is refused");
	snprintf(text, sizeof(text), "https://%s.%s.%s.%.60s.a", label_63, label_63, label_63, label_63);
	expect(text, PNVS_ENDPOINT_BAD_HOST, "a host of 254 characters and five labels is refused");
	snprintf(text, sizeof(text), "https://%s.%s.%s.%s.%s.%s", label_63, label_63, label_63,
			 label_63, label_63, label_63);
	expect(text, PNVS_ENDPOINT_BAD_HOST, "a host of 383 characters is refused");
	free(endpoint);
}

static void
test_longest_ipv6(void)
{
	char		text[512];

	expect("https://[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535", PNVS_ENDPOINT_OK,
		   "the longest spelling of an IPv6 address is taken");
	expect("https://[0ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]", PNVS_ENDPOINT_BAD_HOST,
		   "an IPv6 address of one character more is refused");
	strcpy(text, "https://[");
	memset(text + 9, ':', 400);
	strcpy(text + 409, "]");
	expect(text, PNVS_ENDPOINT_BAD_HOST, "brackets around 400 characters are refused");
}

/*
 * libcurl reads these as IPv4 addresses (as inet_aton() does), whatever their
 * spelling: the host that is signed is then not the one that is connected to.
 */
static void
test_numeric_hosts(void)
{
	static const char *const cases[] = {
		"https://127.1", "https://2130706433", "https://0x7f.0.0.1", "https://0X7F000001",
		"https://0177.0.0.1", "https://127.0.0.01",
	};

	expect_all(cases, TAP_LENGTH(cases), PNVS_ENDPOINT_BAD_HOST,
			   "a number that is no address in four decimal parts is refused");
}

static void
expect(const char *text, PnvsEndpointFault expected, const char *sentence)
{
	char	   *copy = exact_copy(text);
	PnvsEndpoint *endpoint = exact_alloc(sizeof(PnvsEndpoint));

	tap_int(pnvs_endpoint_parse(copy, endpoint), expected, "%s: \"%.60s\"", sentence, text);
	free(copy);
	free(endpoint);
}

static void
expect_all(const char *const *texts, size_t n, PnvsEndpointFault expected,
		   const char *sentence)
{
	for (size_t i = 0; i < n; i++)
		expect(texts[i], expected, sentence);
}
