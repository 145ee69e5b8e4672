/*-------------------------------------------------------------------------
 *
 * http_turn.c
 *	  One call of libcurl, which must not last, whatever the other side sends.
 *
 * No time-out and no interrupt is served within one.  libcurl reads what the
 * network has, mostly a few buffers of it; but there are two loops that end only
 * when the other side does:
 *
 * - OpenSSL passes over what a peer may send at any time, such as HelloRequests
 *	 and session tickets, until it has what it waits for.  It is told that there
 *	 is nothing more to read for now once a turn has lasted: nothing is lost, for
 *	 the socket is still readable when the next turn comes.
 * - libcurl reads a proxy's answer to CONNECT byte by byte.  It asks its progress
 *	 callback after each, which http_slot.c answers by the number of the turn.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "remote/http_turn.h"

/*
 * A handshake takes a millisecond or two, of which reading is the least.  Sixteen
 * turns may come before the caller looks at its interrupts.
 */
#define TURN_NS (5 * 1000 * 1000)

static uint64 number = 0;
static int64 end_ns = 0;

static void on_handshake(const SSL *ssl, int where, int ret);
static long on_bio(BIO *bio, int operation, const char *data, size_t len, int argi,
				   long argl, int ret, size_t *processed);
static int64 now_ns(void);

/* To be called before each call of libcurl that may read from the network. */
void
pnvs_http_turn_begin(void)
{
	number++;
	end_ns = now_ns() + TURN_NS;
}

/* Which call of libcurl is under way. */
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

/* The first thing that OpenSSL does with a connection that libcurl has set up. */
static void
on_handshake(const SSL *ssl, int where, int ret)
{
	BIO		   *bio = SSL_get_rbio(ssl);

	/* without memory for one libcurl goes on all the same, and fails then */
	if (where == SSL_CB_HANDSHAKE_START && bio != NULL)
		BIO_set_callback_ex(bio, on_bio);
}

static long
on_bio(BIO *bio, int operation, const char *data, size_t len, int argi, long argl,
	   int ret, size_t *processed)
{
	if (operation != BIO_CB_READ || now_ns() < end_ns)
		return ret;
	BIO_clear_retry_flags(bio);
	BIO_set_retry_read(bio);
	return -1;
}

static int64
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000000 + now.tv_nsec;
}
