/*-------------------------------------------------------------------------
 *
 * hash.h
 *	  The keys of lists: hashes under a secret of the server.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_HASH_H
#define PNVS_GUARD_HASH_H

#include "guard/guard.h"

extern void pnvs_hash_prepare(void);
extern bool pnvs_hash_is_ready(void);
extern uint64 pnvs_hash_number(const char *digits);
extern uint64 pnvs_hash_prefix(const char *digits);
extern uint64 pnvs_hash_rate_key(const char *rate_key);
extern uint64 pnvs_hash_verification(const char *verification_id);
extern uint64 pnvs_country_key(const char *digits);
extern void pnvs_country_text(uint64 key, char text[PNVS_GUARD_COUNTRY_SIZE + 1]);

#endif							/* PNVS_GUARD_HASH_H */
