/*-------------------------------------------------------------------------
 *
 * rate_key.c
 *	  The key that a caller's messages are counted under.
 *
 * An IPv6 address counts as its network of 64 bits, for each home has at least one of them
 * (RFC 6177), and each device takes new addresses from it as it likes (RFC 8981).
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/ascii.h"
#include "core/rate_key.h"

/* The longest spelling of an address, with its network, and room for the name of a zone. */
#define ADDRESS_SIZE 128

static bool normalise_address(const char *text, size_t len, char *key);
static void drop_suffix(char *address, const char *suffix);

/*
 * Writes the key of a text.  An IPv4 address is itself, also as IPv6 has it
 * (::ffff:192.0.2.1); an IPv6 address is its /64; both as inet shows them, too (192.0.2.1/32).
 * Other texts are taken as they are, without the white space around.  The key is valid if
 * the result is PNVS_RATE_KEY_OK.
 */
PnvsRateKeyFault
pnvs_rate_key_normalise(const char *text, char key[PNVS_RATE_KEY_SIZE])
{
	size_t		len;

	while (pnvs_ascii_is_space(*text))
		text++;
	len = strlen(text);
	while (len > 0 && pnvs_ascii_is_space(text[len - 1]))
		len--;
	key[0] = '\0';
	if (len == 0)
		return PNVS_RATE_KEY_EMPTY;
	if (len > PNVS_RATE_KEY_MAX_LEN)
		return PNVS_RATE_KEY_TOO_LONG;
	if (normalise_address(text, len, key))
		return PNVS_RATE_KEY_OK;
	memcpy(key, text, len);
	key[len] = '\0';
	return PNVS_RATE_KEY_OK;
}

/* False if the text is no address. */
static bool
normalise_address(const char *text, size_t len, char *key)
{
	static const uint8_t mapped[12] = {[10] = 0xFF,[11] = 0xFF};
	char		address[ADDRESS_SIZE];
	uint8_t		bytes[16];
	char	   *zone;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	drop_suffix(address, "/32");
	if (inet_pton(AF_INET, address, bytes) == 1)
		return inet_ntop(AF_INET, bytes, key, PNVS_RATE_KEY_SIZE) != NULL;

	memcpy(address, text, len);
	drop_suffix(address, "/128");
	zone = strchr(address, '%');
	if (zone != NULL)
		*zone = '\0';
	if (inet_pton(AF_INET6, address, bytes) != 1)
		return false;
	if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
		return inet_ntop(AF_INET, bytes + sizeof(mapped), key, PNVS_RATE_KEY_SIZE) != NULL;
	memset(bytes + 8, 0, 8);
	if (inet_ntop(AF_INET6, bytes, key, PNVS_RATE_KEY_SIZE) == NULL)
		return false;
	strcat(key, "/64");
	return true;
}

static void
drop_suffix(char *address, const char *suffix)
{
	size_t		len = strlen(address);
	size_t		suffix_len = strlen(suffix);

	if (len >= suffix_len && strcmp(address + len - suffix_len, suffix) == 0)
		address[len - suffix_len] = '\0';
}
