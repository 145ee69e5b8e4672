/*-------------------------------------------------------------------------
 *
 * errcodes.h
 *	  The SQLSTATEs that pnvs adds to PostgreSQL's own, and what all of its
 *	  errors have in common.
 *
 * Class 38 is "external routine exception".  No driver repeats a statement that
 * failed with one of them and no connection pool throws its connection away,
 * so none of them leads to a second message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_ERRCODES_H
#define PNVS_ERRCODES_H

/* The request provably did not reach the service. */
#define PNVS_ERRCODE_UNSENT MAKE_SQLSTATE('3', '8', 'V', '0', '1')

/* The request may have reached the service. */
#define PNVS_ERRCODE_MAYBE_SENT MAKE_SQLSTATE('3', '8', 'V', '0', '2')

/* The service said no. */
#define PNVS_ERRCODE_REFUSED MAKE_SQLSTATE('3', '8', 'V', '0', '4')

/* The service refused the credentials. */
#define PNVS_ERRCODE_CREDENTIALS MAKE_SQLSTATE('3', '8', 'V', '0', '5')

/*
 * Part of every ERROR of pnvs: keeps the statement out of the server's log, and
 * the context, in which PL/pgSQL quotes statements.  Both hold the caller's
 * literals: numbers, codes, keys.  The client still gets the context.
 */
static inline int
pnvs_errhide(void)
{
	errhidestmt(true);
	return errhidecontext(true);
}

#endif							/* PNVS_ERRCODES_H */
