/*-------------------------------------------------------------------------
 *
 * hash.c
 *	  The keys of lists: hashes under a secret of the server.
 *
 * The secret comes from one that initdb makes, which nobody can read by SQL, and which
 * physical copies of the server share.  So nobody can choose numbers or keys whose lists
 * are in one place of memory, and a snapshot's file shows no number.
 *
 * A hash is one block encrypted by AES-128: a byte that tells apart what is hashed, and 15
 * bytes, which have room for a number; of longer texts they are the first of a SHA-256.
 * Once the cipher is set up, this allocates nothing and cannot fail, so places can be given
 * back when a transaction is rolled back.  OpenSSL's SipHash is missing in FIPS mode.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"

#include "core/calling_codes.h"
#include "core/phone_number.h"
#include "core/rate_key.h"
#include "errcodes.h"
#include "guard/hash.h"

#define BLOCK_SIZE 16
#define DATA_SIZE (BLOCK_SIZE - 1)
#define SHA256_SIZE 32

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

static EVP_CIPHER_CTX *cipher = NULL;	/* with the key; NULL: not set up yet */

static EVP_CIPHER_CTX *make_cipher(void);
static bool digest(const void *data, size_t len, unsigned char out[SHA256_SIZE]);
static uint64 hash(char tag, const void *data, size_t len);
static uint64 hash_long(char tag, const void *data, size_t len);

/* Sets up what hashes need, once a process; throws if that fails. */
void
pnvs_hash_prepare(void)
{
	if (cipher == NULL)
		cipher = make_cipher();
	if (cipher == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not set up the hashes of phone numbers"),
				 errdetail("sent=no"),
				 errhint("OpenSSL must provide AES-128 and SHA-256."),
				 pnvs_errhide()));
}

/* Whether a process has set that up: it then may have taken places. */
bool
pnvs_hash_is_ready(void)
{
	return cipher != NULL;
}

/* The key of a number in the digits of E.164. */
uint64
pnvs_hash_number(const char *digits)
{
	return hash(TAG_NUMBER, digits, strnlen(digits, DATA_SIZE));
}

/* The key of a number without its last digits. */
uint64
pnvs_hash_prefix(const char *digits)
{
	size_t		len = strnlen(digits, DATA_SIZE);

	return hash(TAG_PREFIX, digits, len > SUFFIX_DIGITS ? len - SUFFIX_DIGITS : 0);
}

/* The key of a verification that is checked without its number. */
uint64
pnvs_hash_verification(const char *verification_id)
{
	return hash_long(TAG_VERIFICATION, verification_id, strlen(verification_id));
}

/* The key of a caller's rate_key, which is normalised, for this database and role. */
uint64
pnvs_hash_rate_key(const char *rate_key)
{
	OwnedKey	owned;

	owned.database = MyDatabaseId;
	owned.role = GetUserId();
	strlcpy(owned.key, rate_key, sizeof(owned.key));
	return hash_long(TAG_RATE_KEY, &owned, offsetof(OwnedKey, key) + strlen(owned.key));
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

/* NULL if it fails. */
static EVP_CIPHER_CTX *
make_cipher(void)
{
	EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	unsigned char purpose[sizeof("pnvs guard") + MOCK_AUTH_NONCE_LEN] = "pnvs guard";
	unsigned char key[SHA256_SIZE];

	memcpy(purpose + sizeof("pnvs guard"), GetMockAuthenticationNonce(), MOCK_AUTH_NONCE_LEN);
	if (aes == NULL || context == NULL || !digest(purpose, sizeof(purpose), key) ||
		EVP_EncryptInit_ex2(context, aes, key, NULL, NULL) != 1 ||
		EVP_CIPHER_CTX_set_padding(context, 0) != 1)
	{
		EVP_CIPHER_CTX_free(context);
		context = NULL;
	}
	EVP_CIPHER_free(aes);
	explicit_bzero(purpose, sizeof(purpose));
	explicit_bzero(key, sizeof(key));
	return context;
}

static bool
digest(const void *data, size_t len, unsigned char out[SHA256_SIZE])
{
	return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1;
}

/* Of up to 15 bytes.  Never 0, which is no key. */
static uint64
hash(char tag, const void *data, size_t len)
{
	unsigned char block[BLOCK_SIZE] = {0};
	unsigned char encrypted[BLOCK_SIZE];
	int			encrypted_len;
	uint64		result = 0;

	Assert(len <= DATA_SIZE);
	block[0] = tag;
	memcpy(block + 1, data, len);
	if (EVP_EncryptUpdate(cipher, encrypted, &encrypted_len, block, sizeof(block)) == 1)
		memcpy(&result, encrypted, sizeof(result));
	return result != 0 ? result : 1;
}

/* Of any length.  Throws before anything was taken. */
static uint64
hash_long(char tag, const void *data, size_t len)
{
	unsigned char out[SHA256_SIZE];

	if (!digest(data, len, out))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not hash a key"),
				 errdetail("sent=no"),
				 errhint("OpenSSL must provide SHA-256."),
				 pnvs_errhide()));
	return hash(tag, out, DATA_SIZE);
}
