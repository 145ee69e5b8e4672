/*-------------------------------------------------------------------------
 *
 * errcodes.h
 *	  The SQLSTATEs of pnvs, and the part that all of its errors share.
 *
 * Class 38 is "external routine exception".  No driver repeats a statement after such an
 * error, and no connection pool closes the connection, so none leads to a second message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ERRCODES_H
#define PNVS_ERRCODES_H

/* The request provably did not reach the service. */
#define PNVS_ERRCODE_UNSENT MAKE_SQLSTATE('3', '8', 'V', '0', '1')

/* The request may have reached the service. */
#define PNVS_ERRCODE_MAYBE_SENT MAKE_SQLSTATE('3', '8', 'V', '0', '2')

/* The guard refused the message, or the code. */
#define PNVS_ERRCODE_GUARD MAKE_SQLSTATE('3', '8', 'V', '0', '3')

/* The service refused the request. */
#define PNVS_ERRCODE_REFUSED MAKE_SQLSTATE('3', '8', 'V', '0', '4')

/* The service refused the credentials. */
#define PNVS_ERRCODE_CREDENTIALS MAKE_SQLSTATE('3', '8', 'V', '0', '5')

/*
 * Part of every ERROR of pnvs: keeps the statement out of the server's log, and the
 * context, in which PL/pgSQL quotes statements.  Both have the caller's literals: numbers,
 * codes, keys.  The client still gets the context.
 */
static inline int
pnvs_errhide(void)
{
	errhidestmt(true);
	return errhidecontext(true);
}

#endif							/* PNVS_ERRCODES_H */
