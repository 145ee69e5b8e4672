/*-------------------------------------------------------------------------
 *
 * rules.h
 *	  Reads the rules of pnvs.limits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_RULES_H
#define PNVS_RULES_H

#include <stddef.h>
#include <stdint.h>

#include "core/places.h"

/* Enough for sign-up and log-in by SMS of a small service; doc/cost.md says what it stops. */
#define PNVS_DEFAULT_LIMITS \
	"number 1/30s, number unapproved 5/10min 10/1d, number VOICE 1/2min 3/1d, " \
	"prefix unapproved 20/1h 60/1d, key unapproved 10/10min, key 100/1h, " \
	"total 1000/1h 5000/1d, tries 10/1h 20/1d"

/* More than anybody needs; each message is judged by up to all of them. */
#define PNVS_MAX_RULES 32

typedef enum PnvsScope
{
	PNVS_SCOPE_NUMBER,
	PNVS_SCOPE_PREFIX,			/* the number without its last four digits */
	PNVS_SCOPE_COUNTRY,
	PNVS_SCOPE_KEY,				/* the caller's rate_key */
	PNVS_SCOPE_TOTAL,
	PNVS_SCOPE_TRIES			/* wrong codes */
} PnvsScope;

#define PNVS_SCOPE_COUNT (PNVS_SCOPE_TRIES + 1)

/* The channel that a rule counts: all of them, or one. */
typedef enum PnvsChannelWord
{
	PNVS_ANY_CHANNEL,
	PNVS_SMS,
	PNVS_VOICE,
	PNVS_WHATSAPP
} PnvsChannelWord;

#define PNVS_CHANNEL_WORD_COUNT (PNVS_WHATSAPP + 1)

/* One N/INTERVAL. */
typedef struct PnvsRule
{
	PnvsScope	scope;
	PnvsChannelWord channel;
	PnvsLimit	limit;
} PnvsRule;

typedef struct PnvsRules
{
	int			nrules;
	PnvsRule	rules[PNVS_MAX_RULES];	/* as they stand in the setting */
} PnvsRules;

/* Room for a rule's text, such as "number WHATSAPP unapproved 1000000/31d", and for a fault. */
#define PNVS_RULE_TEXT_SIZE 64
#define PNVS_RULES_FAULT_SIZE 200

extern bool pnvs_rules_parse(const char *text, PnvsRules *rules,
							 char fault[PNVS_RULES_FAULT_SIZE]);
extern void pnvs_rule_text(const PnvsRule *rule, char text[PNVS_RULE_TEXT_SIZE]);
extern const char *pnvs_scope_name(PnvsScope scope);

#endif							/* PNVS_RULES_H */
