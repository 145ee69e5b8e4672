/*-------------------------------------------------------------------------
 *
 * redaction.h
 *	  Texts of the service, made fit for a message or a log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REDACTION_H
#define PNVS_REDACTION_H

#include <stdbool.h>

extern void pnvs_redact(char *text, const char *const *words, int nwords, bool digits);

#endif							/* PNVS_REDACTION_H */
