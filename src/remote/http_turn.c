/*-------------------------------------------------------------------------
 *
 * http_turn.c
 *	  Ends each call of libcurl in time, whatever the other side sends.
 *
 * Time-outs and interrupts are served between the calls of libcurl, the turns.
 * Mostly a turn reads a few buffers; but two loops end only if the other side stops:
 *
 * - OpenSSL skips what a peer may send at any time, such as HelloRequests and
 *	 session tickets, until it has what it waits for.  After a while it is told that
 *	 there is nothing more to read for now.  Nothing is lost, because the socket is
 *	 still readable when the next turn comes.
 * - libcurl reads a proxy's answer to CONNECT byte by byte.  After each byte it calls
 *	 on_progress() in http_transfer.c, which counts the bytes of a turn.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "monotonic.h"
#include "remote/http_internal.h"

/*
 * A handshake takes a millisecond or two, of which reading is the least.  Sixteen
 * turns may come before the caller looks at its interrupts.
 */
#define TURN_US 5000

static uint64 number = 0;
static int64 end_us = 0;

static void on_handshake(const SSL *ssl, int where, int ret);
static long on_bio(BIO *bio, int operation, const char *data, size_t len, int argi,
				   long argl, int ret, size_t *processed);

/* To be called before each call of libcurl that may read from the network. */
void
pnvs_http_turn_begin(void)
{
	number++;
	end_us = pnvs_monotonic_us() + TURN_US;
}

/* Which turn it is, counted from the start of the process. */
uint64
pnvs_http_turn_number(void)
{
	return number;
}

/* Watches what the connections of a TLS context read. */
void
pnvs_http_turn_watch(SSL_CTX *context)
{
	SSL_CTX_set_info_callback(context, on_handshake);
}

/* OpenSSL calls this first with a connection that libcurl has set up. */
static void
on_handshake(const SSL *ssl, int where, int ret)
{
	BIO		   *bio = SSL_get_rbio(ssl);

	/* libcurl goes on without memory for a BIO, and fails then */
	if (where == SSL_CB_HANDSHAKE_START && bio != NULL)
		BIO_set_callback_ex(bio, on_bio);
}

static long
on_bio(BIO *bio, int operation, const char *data, size_t len, int argi, long argl,
	   int ret, size_t *processed)
{
	if (operation != BIO_CB_READ || pnvs_monotonic_us() < end_us)
		return ret;
	BIO_clear_retry_flags(bio);
	BIO_set_retry_read(bio);
	return -1;
}
