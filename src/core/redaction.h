/*-------------------------------------------------------------------------
 *
 * redaction.h
 *	  Texts of the service, made fit for a message or a log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_REDACTION_H
#define PNVS_REDACTION_H

extern void pnvs_redact(char *text, const char *key);
extern void pnvs_redact_words(char *text, const char *const *words, int nwords);

#endif							/* PNVS_REDACTION_H */
