/*-------------------------------------------------------------------------
 *
 * keyed_hash.h
 *	  Hashes of 64 bits under a secret.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_KEYED_HASH_H
#define PNVS_KEYED_HASH_H

typedef struct PnvsHasher PnvsHasher;

extern PnvsHasher *pnvs_keyed_hash_make(const char *purpose, const void *secret, size_t len);
extern PnvsHasher *pnvs_keyed_hash_require(PnvsHasher *hasher);
extern void pnvs_keyed_hash_free(PnvsHasher *hasher);
extern uint64 pnvs_keyed_hash(PnvsHasher *hasher, char tag, const void *data, size_t len);

#endif							/* PNVS_KEYED_HASH_H */
