/*-------------------------------------------------------------------------
 *
 * redaction.h
 *	  Hides secrets in a text of the service before it is shown or logged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REDACTION_H
#define PNVS_REDACTION_H

#include <stdbool.h>

extern void pnvs_redact(char *text, const char *const *words, int nwords, bool digits);

#endif							/* PNVS_REDACTION_H */
