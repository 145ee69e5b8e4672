/*-------------------------------------------------------------------------
 *
 * hash.c
 *	  The keys of lists: hashes under a secret of the server.
 *
 * The secret comes from one that initdb makes, which nobody can read by SQL, and which
 * physical copies of the server share.  So nobody can choose numbers or keys whose lists
 * are in one place of memory, and a snapshot's file shows no number.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"

#include "core/calling_codes.h"
#include "core/phone_number.h"
#include "core/rate_key.h"
#include "guard/hash.h"
#include "keyed_hash.h"

/* Of a number, those that are not part of its prefix. */
#define SUFFIX_DIGITS 4

/* What is hashed is told apart by its first byte. */
#define TAG_NUMBER 'n'
#define TAG_PREFIX 'p'
#define TAG_RATE_KEY 'k'
#define TAG_VERIFICATION 'v'

/* A rate_key counts for a database and a role. */
typedef struct OwnedKey
{
	Oid			database;
	Oid			role;
	char		key[PNVS_RATE_KEY_SIZE];
} OwnedKey;

static PnvsHasher *hasher = NULL;	/* NULL: not made yet */

/* Sets up what hashes need, once a process; throws if that fails. */
void
pnvs_hash_prepare(void)
{
	if (hasher == NULL)
		hasher = pnvs_keyed_hash_require(pnvs_keyed_hash_make("pnvs guard", GetMockAuthenticationNonce(),
															  MOCK_AUTH_NONCE_LEN));
}

/* Whether a process has set that up: it then may have taken places. */
bool
pnvs_hash_is_ready(void)
{
	return hasher != NULL;
}

/* The key of a number in the digits of E.164. */
uint64
pnvs_hash_number(const char *digits)
{
	return pnvs_keyed_hash(hasher, TAG_NUMBER, digits, strnlen(digits, PNVS_PHONE_NUMBER_MAX_DIGITS));
}

/* The key of a number without its last digits. */
uint64
pnvs_hash_prefix(const char *digits)
{
	size_t		len = strnlen(digits, PNVS_PHONE_NUMBER_MAX_DIGITS);

	return pnvs_keyed_hash(hasher, TAG_PREFIX, digits,
						   len > SUFFIX_DIGITS ? len - SUFFIX_DIGITS : 0);
}

/* The key of a verification that is checked without its number. */
uint64
pnvs_hash_verification(const char *verification_id)
{
	return pnvs_keyed_hash(hasher, TAG_VERIFICATION, verification_id, strlen(verification_id));
}

/* The key of a caller's rate_key, which is normalised, for this database and role. */
uint64
pnvs_hash_rate_key(const char *rate_key)
{
	OwnedKey	owned;

	owned.database = MyDatabaseId;
	owned.role = GetUserId();
	strlcpy(owned.key, rate_key, sizeof(owned.key));
	return pnvs_keyed_hash(hasher, TAG_RATE_KEY, &owned,
						   offsetof(OwnedKey, key) + strlen(owned.key));
}

/* The key of a number's country: its region, or its calling code if it has no region. */
uint64
pnvs_country_key(const char *digits)
{
	const char *region = pnvs_calling_code_region(digits);
	char		text[PNVS_GUARD_COUNTRY_SIZE] = {0};
	uint64		key;

	if (region != NULL)
		memcpy(text, region, strnlen(region, sizeof(text)));
	else
	{
		const PnvsCallingCode *plan = pnvs_calling_code_find(digits);

		/* the longest calling codes have three digits */
		text[0] = '+';
		memcpy(text + 1, digits, strnlen(digits, plan != NULL ? pnvs_calling_code_len(plan) : 3));
	}
	memcpy(&key, text, sizeof(key));
	return key;
}

/* The same as a text. */
void
pnvs_country_text(uint64 key, char text[PNVS_GUARD_COUNTRY_SIZE + 1])
{
	memcpy(text, &key, sizeof(key));
	text[PNVS_GUARD_COUNTRY_SIZE] = '\0';
}
