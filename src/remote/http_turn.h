/*-------------------------------------------------------------------------
 *
 * http_turn.h
 *	  One call of libcurl, which must not last, whatever the other side sends.
 *
 * Known to http.c and http_slot.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HTTP_TURN_H
#define PNVS_HTTP_TURN_H

#include <openssl/ssl.h>

extern void pnvs_http_turn_begin(void);
extern uint64 pnvs_http_turn_number(void);
extern void pnvs_http_turn_watch(SSL_CTX *context);

#endif							/* PNVS_HTTP_TURN_H */
