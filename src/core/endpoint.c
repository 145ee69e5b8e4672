/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *	  Reads the address of the service.
 *
 * It accepts far less than a URL on purpose: scheme, host and optional port.  libcurl
 * cannot read such an address differently, for it has no user, path, query or escape, and
 * no character other than letters, digits, dots and hyphens.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/ascii.h"
#include "core/endpoint.h"

#define MAX_HOST_LEN 253
#define MAX_LABEL_LEN 63

static bool skip_prefix(const char **text, const char *prefix);
static size_t name_len(const char *text);
static size_t ipv6_len(const char *text);
static bool parse_port(const char *text, uint32_t *port);
static bool ends_in_number(const char *host, size_t len);
static bool is_ipv4(const char *host, size_t len);
static bool is_loopback(const char *host, size_t len);

/*
 * Reads "https://host[:port]" or "http://loopback-address[:port]".  A host is a name, an
 * IPv4 address, or an IPv6 address in brackets.  The host header is in lower case and
 * leaves out the scheme's default port, as libcurl and the service do.  *endpoint is
 * valid if the result is PNVS_ENDPOINT_OK or PNVS_ENDPOINT_NOT_LOOPBACK, which is checked
 * last.
 */
PnvsEndpointFault
pnvs_endpoint_parse(const char *text, PnvsEndpoint *endpoint)
{
	const char *host;
	size_t		host_len;
	size_t		port_len;
	uint32_t	port;
	uint32_t	default_port;

	if (skip_prefix(&text, "https://"))
		endpoint->tls = true;
	else if (skip_prefix(&text, "http://"))
		endpoint->tls = false;
	else
		return PNVS_ENDPOINT_BAD_SCHEME;

	host = text;
	host_len = *host == '[' ? ipv6_len(host) : name_len(host);
	if (host_len == 0 || (ends_in_number(host, host_len) && !is_ipv4(host, host_len)))
		return PNVS_ENDPOINT_BAD_HOST;
	text = host + host_len;
	default_port = endpoint->tls ? 443 : 80;
	port = default_port;
	if (*text == ':' && !parse_port(text + 1, &port))
		return strpbrk(text, "@/?#") ? PNVS_ENDPOINT_BAD_HOST : PNVS_ENDPOINT_BAD_PORT;
	if (*text != ':' && *text != '\0')
		return PNVS_ENDPOINT_BAD_HOST;

	for (size_t i = 0; i < host_len; i++)
		endpoint->host_header[i] = pnvs_ascii_lower(host[i]);
	port_len = port == default_port ? 0 : strlen(text);
	memcpy(endpoint->host_header + host_len, text, port_len);
	endpoint->host_header[host_len + port_len] = '\0';
	snprintf(endpoint->origin, sizeof(endpoint->origin), "%s://%s",
			 endpoint->tls ? "https" : "http", endpoint->host_header);

	if (!endpoint->tls && !is_loopback(host, host_len))
		return PNVS_ENDPOINT_NOT_LOOPBACK;
	return PNVS_ENDPOINT_OK;
}

static bool
skip_prefix(const char **text, const char *prefix)
{
	const char *rest = *text;

	for (; *prefix; prefix++, rest++)
	{
		if (pnvs_ascii_lower(*rest) != *prefix)
			return false;
	}
	*text = rest;
	return true;
}

/*
 * The length of the host name or IPv4 address that text begins with, or 0: labels of
 * letters, digits and inner hyphens (RFC 1123, section 2.1), separated by dots.
 */
static size_t
name_len(const char *text)
{
	size_t		len = 0;
	size_t		label_len = 0;

	for (; pnvs_ascii_is_letter_or_digit(text[len]) || text[len] == '-' || text[len] == '.'; len++)
	{
		bool		ends_label = text[len] == '.';

		if ((ends_label || text[len] == '-') && label_len == 0)
			return 0;
		if (ends_label && text[len - 1] == '-')
			return 0;
		label_len = ends_label ? 0 : label_len + 1;
		if (label_len > MAX_LABEL_LEN || len >= MAX_HOST_LEN)
			return 0;
	}
	if (label_len == 0 || text[len - 1] == '-')
		return 0;
	return len;
}

/*
 * The length of the IPv6 address that text begins with, its brackets included, or 0.
 * libcurl refuses what has this form and is no address.  Zones ("%eth0") are not accepted.
 */
static size_t
ipv6_len(const char *text)
{
	size_t		len = 1;
	bool		has_colon = false;

	/* 45 is the longest form, with an IPv4 tail. */
	for (; pnvs_ascii_is_hex_digit(text[len]) || text[len] == ':' || text[len] == '.'; len++)
	{
		if (text[len] == ':')
			has_colon = true;
		if (len > 45)
			return 0;
	}
	return has_colon && text[len] == ']' ? len + 1 : 0;
}

/* A port without leading zeros, 1 to 65535, up to the end of the text. */
static bool
parse_port(const char *text, uint32_t *port)
{
	uint32_t	value = 0;

	if (*text < '1' || *text > '9')
		return false;
	for (; pnvs_ascii_is_digit(*text); text++)
	{
		value = value * 10 + (uint32_t) (*text - '0');
		if (value > 65535)
			return false;
	}
	*port = value;
	return *text == '\0';
}

/*
 * Whether the last label is a decimal or hexadecimal number.  libcurl reads such a host as
 * an IPv4 address if inet_aton() does, such as "127.1" or "0x7f000001", and would connect
 * to another host than the written and signed one.
 */
static bool
ends_in_number(const char *host, size_t len)
{
	size_t		start = len;
	bool		is_hex;

	while (start > 0 && host[start - 1] != '.')
		start--;
	is_hex = len - start >= 2 && host[start] == '0' && pnvs_ascii_lower(host[start + 1]) == 'x';
	for (size_t i = is_hex ? start + 2 : start; i < len; i++)
	{
		if (is_hex ? !pnvs_ascii_is_hex_digit(host[i]) : !pnvs_ascii_is_digit(host[i]))
			return false;
	}
	return true;
}

/* Whether the host is an IPv4 address of four decimal parts without leading zeros. */
static bool
is_ipv4(const char *host, size_t len)
{
	int			parts = 1;
	int			value = -1;

	for (size_t i = 0; i < len; i++)
	{
		if (host[i] == '.')
		{
			if (value < 0)
				return false;
			parts++;
			value = -1;
		}
		else if (pnvs_ascii_is_digit(host[i]) && value != 0)
		{
			value = (value < 0 ? 0 : value * 10) + (host[i] - '0');
			if (value > 255)
				return false;
		}
		else
			return false;
	}
	return parts == 4 && value >= 0;
}

/*
 * Whether the host is an address of this machine: 127.0.0.0/8 or [::1].  "localhost" is a
 * name, which may resolve to another machine.
 */
static bool
is_loopback(const char *host, size_t len)
{
	if (len == 5 && memcmp(host, "[::1]", 5) == 0)
		return true;
	return is_ipv4(host, len) && memcmp(host, "127.", 4) == 0;
}
