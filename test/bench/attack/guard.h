/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  The guard in a program of its own, in virtual time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/breaker.h"
#include "core/phone_number.h"
#include "core/rules.h"

typedef struct Guard Guard;

/* The settings of the same names. */
typedef struct GuardSettings
{
	const char *limits;
	const char *breaker;
	const char *countries;
} GuardSettings;

typedef struct GuardMessage
{
	char		recipient[PNVS_PHONE_NUMBER_SIZE];	/* digits */
	PnvsChannelWord channel;
	uint64_t	key;			/* the rate_key; 0: none */
	bool		trusted;
} GuardMessage;

typedef struct GuardAnswer
{
	bool		admitted;
	int64_t		retry_after_us; /* INT64_MAX: never */
} GuardAnswer;

extern Guard *guard_open(const GuardSettings *settings);
extern void guard_close(Guard *guard);
extern GuardAnswer guard_admit(Guard *guard, const GuardMessage *message, int64_t now_us);
extern void guard_approve(Guard *guard, const char *recipient, int64_t now_us);

#endif							/* GUARD_H */
