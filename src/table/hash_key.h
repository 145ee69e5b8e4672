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
#define PNVS_HASH_SESSION 's'	/* its requester, a purpose, and the key */
#define PNVS_HASH_VERIFICATION 'v'	/* the ID, but for its last byte */
#define PNVS_HASH_CODE 'c'		/* the verification's hash, and the code */

/* The parameters of a statement on the rows of a number: $1 to $3. */
#define PNVS_NUMBER_PARAMETERS 3

extern uint64 pnvs_database_hash(char tag, const void *data, size_t len);
extern uint64 pnvs_database_hash_number(const char *digits);
extern void pnvs_database_lock(uint64 hash, uint16 lock_class);
extern void pnvs_database_number(const char *digits, Datum values[PNVS_NUMBER_PARAMETERS]);

#endif							/* PNVS_HASH_KEY_H */
