/*-------------------------------------------------------------------------
 *
 * hash_key.h
 *	  Hashes under a key of this database, for the tables of the extension.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HASH_KEY_H
#define PNVS_HASH_KEY_H

/* What is hashed is told apart by its first byte. */
#define PNVS_HASH_NUMBER 'n'	/* the digits of E.164 */
#define PNVS_HASH_DEDUP_KEY 'd' /* its requester, and the key */

extern uint64 pnvs_database_hash(char tag, const void *data, size_t len);

#endif							/* PNVS_HASH_KEY_H */
