/*-------------------------------------------------------------------------
 *
 * trust_store.h
 *	  Where the certificate authorities of the system are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TRUST_STORE_H
#define PNVS_TRUST_STORE_H

extern bool pnvs_trust_store_is_hashed(const char *folder);

#endif							/* PNVS_TRUST_STORE_H */
