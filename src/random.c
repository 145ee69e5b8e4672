/*-------------------------------------------------------------------------
 *
 * random.c
 *	  Random bytes that nobody can guess.
 *
 * They are PostgreSQL's, drawn for many uses at once: to draw a few costs nearly as much
 * as to draw a kilobyte.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "errcodes.h"
#include "random.h"

#define STOCK_LEN 1024

/* Fills in len bytes, STOCK_LEN at the most.  Throws if there are none, before anything is sent. */
void
pnvs_random(void *to, size_t len)
{
	static uint8 stock[STOCK_LEN];
	static size_t left = 0;

	Assert(len <= sizeof(stock));
	if (left < len)
	{
		left = 0;
		if (!pg_strong_random(stock, sizeof(stock)))
			ereport(ERROR,
					(errcode(PNVS_ERRCODE_UNSENT),
					 errmsg("could not generate random bytes"),
					 errdetail("sent=no stage=resolve: OpenSSL failed."),
					 errhint("Nothing was sent. Check the OpenSSL library of this server."),
					 pnvs_errhide()));
		left = sizeof(stock);
	}
	left -= len;
	memcpy(to, stock + left, len);
	/* what was given away is a secret of whoever has it */
	explicit_bzero(stock + left, len);
}
