/*-------------------------------------------------------------------------
 *
 * policy.h
 *	  The rules in force, arranged by the lists that they judge.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_POLICY_H
#define PNVS_GUARD_POLICY_H

#include "core/breaker.h"
#include "core/rules.h"

/* The rules of a scope and channel word: they share one list of places for each key. */
typedef struct PnvsRuleGroup
{
	int			n;
	bool		counts_approved;	/* a rule counts approved messages, too */
	PnvsLimit	limits[PNVS_MAX_RULES];
	uint8		rules[PNVS_MAX_RULES];	/* their indexes in the setting */
} PnvsRuleGroup;

typedef struct PnvsPolicy
{
	bool		valid;			/* if a setting is not, nothing is known to be
								 * forgotten */
	PnvsRules	rules;
	PnvsRuleGroup groups[PNVS_SCOPE_COUNT][PNVS_CHANNEL_WORD_COUNT];
	bool		has[PNVS_SCOPE_COUNT];	/* whether a scope has any rule */
	uint8		slots[PNVS_MAX_RULES];	/* the counters of each rule, see
										 * counters.c */
	PnvsBreakerRule breaker;
	bool		judges_approval;	/* it counts whether a message was
									 * approved */
	bool		observe;		/* limits and the breaker refuse nothing */
	bool		needs_notes;	/* somebody asks for a number's latest message */
	int64		note_us;		/* a note is needed for so long */
} PnvsPolicy;

extern const PnvsPolicy *pnvs_policy(void);
extern bool pnvs_policy_has_memory(void);

#endif							/* PNVS_GUARD_POLICY_H */
