/*-------------------------------------------------------------------------
 *
 * verification.h
 *	  What a verification is by now, and what may be done with it.
 *
 * Times are in us, of any one clock; 0 stands for no time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CORE_VERIFICATION_H
#define PNVS_CORE_VERIFICATION_H

#include <stdbool.h>
#include <stdint.h>

/* So many messages are sent for a verification at the most. */
#define PNVS_MAX_MESSAGES 5

/* Nobody needs another message sooner. */
#define PNVS_RESEND_AFTER_US INT64_C(30000000)

/* No code can be typed in for longer after its verification has begun. */
#define PNVS_LONGEST_VALID_US INT64_C(3600000000)

typedef enum PnvsVerificationState
{
	PNVS_VERIFICATION_PENDING,
	PNVS_VERIFICATION_APPROVED, /* and not used yet */
	PNVS_VERIFICATION_USED,
	PNVS_VERIFICATION_EXPIRED,	/* computed: no row has it */
	PNVS_VERIFICATION_FAILED,	/* computed: no message could be sent */
	PNVS_VERIFICATION_MAX_TRIES,
	PNVS_VERIFICATION_CANCELED,
	PNVS_VERIFICATION_REFUSED	/* it was never begun */
} PnvsVerificationState;

#define PNVS_VERIFICATION_STATES (PNVS_VERIFICATION_REFUSED + 1)

typedef struct PnvsVerificationFacts
{
	PnvsVerificationState stored;
	bool		foreign;		/* it was begun in another database */
	bool		all_failed;		/* none of its messages was sent, or will be */
	int			tries;			/* wrong codes so far */
	int			max_tries;
	int64_t		expires_us;
} PnvsVerificationFacts;

extern const char *pnvs_verification_state_name(PnvsVerificationState state);
extern bool pnvs_verification_state_by_name(const char *name, PnvsVerificationState *state);
extern PnvsVerificationState pnvs_verification_state(const PnvsVerificationFacts *facts,
													 int64_t now_us);
extern int64_t pnvs_verification_resend_us(int64_t room_us, int64_t now_us);
extern int	pnvs_verification_next_position(int position, int nchannels);
extern int	pnvs_verification_tries_left(int tries, int max_tries);

#endif							/* PNVS_CORE_VERIFICATION_H */
