/*-------------------------------------------------------------------------
 *
 * keyed_hash.c
 *	  Hashes of 64 bits under a secret.
 *
 * Data of up to 15 bytes, which have room for a number, is one block encrypted by AES-128:
 * a byte that tells apart what is hashed, and the data.  Longer data goes through AES-128 in
 * CMAC.  Once the hasher is made, neither allocates, so neither can fail: places can be
 * given back when a transaction is rolled back.  OpenSSL's SipHash is missing in FIPS mode,
 * and its SHA-256 allocates.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "errcodes.h"
#include "keyed_hash.h"

#define BLOCK_SIZE 16
#define DATA_SIZE (BLOCK_SIZE - 1)
#define KEY_SIZE 16

struct PnvsHasher
{
	EVP_CIPHER_CTX *cipher;
	EVP_MAC_CTX *mac;
};

static bool set_up(PnvsHasher *hasher, const unsigned char keys[2 * KEY_SIZE]);
static bool set_up_cipher(EVP_CIPHER_CTX *cipher, const unsigned char key[KEY_SIZE]);
static bool set_up_mac(EVP_MAC_CTX *mac, const unsigned char key[KEY_SIZE]);
static uint64 hash_block(EVP_CIPHER_CTX *cipher, char tag, const void *data, size_t len);
static uint64 hash_long(EVP_MAC_CTX *mac, char tag, const void *data, size_t len);

/*
 * A hasher, which is not bound to a memory context; NULL if it cannot be made.  purpose
 * tells hashers of one secret apart.
 */
PnvsHasher *
pnvs_keyed_hash_make(const char *purpose, const void *secret, size_t len)
{
	PnvsHasher *hasher = calloc(1, sizeof(PnvsHasher));
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char keys[2 * KEY_SIZE];	/* as long as a SHA-256 */

	if (hasher != NULL && digest != NULL &&
		EVP_DigestInit_ex2(digest, EVP_sha256(), NULL) == 1 &&
		EVP_DigestUpdate(digest, purpose, strlen(purpose) + 1) == 1 &&
		EVP_DigestUpdate(digest, secret, len) == 1 &&
		EVP_DigestFinal_ex(digest, keys, NULL) == 1 && set_up(hasher, keys))
	{
		EVP_MD_CTX_free(digest);
		explicit_bzero(keys, sizeof(keys));
		return hasher;
	}
	EVP_MD_CTX_free(digest);
	pnvs_keyed_hash_free(hasher);
	return NULL;
}

/* The hasher; throws if it could not be made. */
PnvsHasher *
pnvs_keyed_hash_require(PnvsHasher *hasher)
{
	if (hasher == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not set up the hashes of phone numbers"),
				 errdetail("sent=no"),
				 errhint("OpenSSL must provide AES-128, CMAC and SHA-256."),
				 pnvs_errhide()));
	return hasher;
}

void
pnvs_keyed_hash_free(PnvsHasher *hasher)
{
	if (hasher == NULL)
		return;
	EVP_CIPHER_CTX_free(hasher->cipher);
	EVP_MAC_CTX_free(hasher->mac);
	free(hasher);
}

/*
 * The hash of data of any length; never 0.  Short data of one tag must not differ in zero
 * bytes at its end alone.
 */
uint64
pnvs_keyed_hash(PnvsHasher *hasher, char tag, const void *data, size_t len)
{
	uint64		hash = len < BLOCK_SIZE ? hash_block(hasher->cipher, tag, data, len) :
	hash_long(hasher->mac, tag, data, len);

	return hash != 0 ? hash : 1;
}

static bool
set_up(PnvsHasher *hasher, const unsigned char keys[2 * KEY_SIZE])
{
	EVP_MAC    *cmac = EVP_MAC_fetch(NULL, "CMAC", NULL);

	hasher->cipher = EVP_CIPHER_CTX_new();
	hasher->mac = cmac != NULL ? EVP_MAC_CTX_new(cmac) : NULL;
	EVP_MAC_free(cmac);
	return hasher->cipher != NULL && hasher->mac != NULL &&
		set_up_cipher(hasher->cipher, keys) && set_up_mac(hasher->mac, keys + KEY_SIZE);
}

static bool
set_up_cipher(EVP_CIPHER_CTX *cipher, const unsigned char key[KEY_SIZE])
{
	EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	bool		done = aes != NULL && EVP_EncryptInit_ex2(cipher, aes, key, NULL, NULL) == 1 &&
	EVP_CIPHER_CTX_set_padding(cipher, 0) == 1;

	EVP_CIPHER_free(aes);
	return done;
}

static bool
set_up_mac(EVP_MAC_CTX *mac, const unsigned char key[KEY_SIZE])
{
	char		cipher[] = "AES-128-CBC";
	OSSL_PARAM	params[] = {
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
		OSSL_PARAM_END
	};

	return EVP_MAC_init(mac, key, KEY_SIZE, params) == 1;
}

/* Of less than a block. */
static uint64
hash_block(EVP_CIPHER_CTX *cipher, char tag, const void *data, size_t len)
{
	unsigned char block[BLOCK_SIZE] = {0};
	unsigned char encrypted[BLOCK_SIZE];
	int			encrypted_len;
	uint64		hash = 0;

	block[0] = tag;
	memcpy(block + 1, data, len);
	if (EVP_EncryptUpdate(cipher, encrypted, &encrypted_len, block, sizeof(block)) == 1)
		memcpy(&hash, encrypted, sizeof(hash));
	return hash;
}

static uint64
hash_long(EVP_MAC_CTX *mac, char tag, const void *data, size_t len)
{
	unsigned char out[BLOCK_SIZE];
	size_t		out_len;
	uint64		hash = 0;

	/* begins again with the same key */
	if (EVP_MAC_init(mac, NULL, 0, NULL) == 1 &&
		EVP_MAC_update(mac, (const unsigned char *) &tag, sizeof(tag)) == 1 &&
		EVP_MAC_update(mac, data, len) == 1 &&
		EVP_MAC_final(mac, out, &out_len, sizeof(out)) == 1)
		memcpy(&hash, out, sizeof(hash));
	return hash;
}
