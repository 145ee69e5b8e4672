/*-------------------------------------------------------------------------
 *
 * trust_store.h
 *	  Where the certificate authorities of the system are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TRUST_STORE_H
#define PNVS_TRUST_STORE_H

extern void pnvs_trust_store_choose(const char *folder, const char *bundle, bool needs_file,
									const char **ca_path, const char **ca_file);

#endif							/* PNVS_TRUST_STORE_H */
