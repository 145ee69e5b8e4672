/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  The guard: what may be sent at all, and which codes may be checked.
 *
 * A message is admitted at the door, before it is sent or queued; it then has a place
 * under every limit that counts it.  Places are the server's: ROLLBACK does not undo
 * them, whoever took them gives them back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_H
#define PNVS_GUARD_H

#include "datatype/timestamp.h"

#include "compat.h"
#include "core/phone_number.h"
#include "core/rules.h"

/* Room for a region or a calling code with its plus sign. */
#define PNVS_GUARD_COUNTRY_SIZE 8

/* The most that pnvs_guard_read_rules() and pnvs_guard_read_breakers() return. */
#define PNVS_GUARD_MAX_RULES PNVS_MAX_RULES
#define PNVS_GUARD_MAX_BREAKERS 257

/* A message at the door. */
typedef struct PnvsGuardMessage
{
	const char *recipient;		/* digits */
	PnvsChannelWord channel;
	const char *rate_key;		/* normalised, or NULL */
	uint64		key;			/* without rate_key: its hash, or 0: rules for
								 * keys do not apply */
	bool		trusted;
	bool		direct;			/* sent at once, so that pnvs.sending counts */
	TimestampTz due;			/* when it is to be sent */
} PnvsGuardMessage;

/* The places that an admitted message has; all zeros: none. */
typedef struct PnvsAdmission
{
	char		recipient[PNVS_PHONE_NUMBER_SIZE];
	PnvsChannelWord channel;
	TimestampTz due;			/* 0: it has no places */
	TimestampTz taken_at;		/* a crash since then may have forgotten them */
	uint64		key;			/* hash of the rate_key, of this server,
								 * database and role; 0: none */
	bool		trusted;
	bool		by_this_process;	/* set by pnvs_guard_admit(); false if it
									 * comes from a row */
	bool		is_test;		/* set by pnvs_guard_admit(): to a test
								 * number, so that nothing is sent */
} PnvsAdmission;

/* Why a message was refused. */
typedef enum PnvsRefusalReason
{
	PNVS_ADMITTED,
	PNVS_REFUSED_LIMIT,			/* Local.RateLimited */
	PNVS_REFUSED_COUNTRY,		/* Local.CountryNotAllowed */
	PNVS_REFUSED_BREAKER,		/* Local.BreakerOpen */
	PNVS_REFUSED_CHANNEL,		/* Local.ChannelNotAllowed */
	PNVS_REFUSED_OFF,			/* pnvs.sending is off */
	PNVS_REFUSED_SETTING,		/* a setting that would judge it is invalid */
	PNVS_REFUSED_UNDECIDED		/* a code; not by the guard: whose try it is
								 * is not known */
} PnvsRefusalReason;

typedef struct PnvsRefusal
{
	PnvsRefusalReason reason;
	PnvsScope	scope;			/* of the limit */
	int			retry_after_s;	/* of a limit or the breaker; -1: never */
} PnvsRefusal;

/* The place that a check has under the rules for tries. */
typedef struct PnvsTry
{
	uint64		key;			/* 0: no place was taken */
	bool		of_number;		/* a number's share of memory, not an ID's */
	TimestampTz at;
} PnvsTry;

/* A rule of the setting, for views. */
typedef struct PnvsGuardRuleStat
{
	char		rule[PNVS_RULE_TEXT_SIZE];
	PnvsScope	scope;
	uint64		admitted;
	uint64		refused;
	uint64		observed;		/* what would have been refused */
	uint64		observed_approved;	/* of those, approved later */
	uint64		keys;			/* that have a list of their own */
	uint64		forgotten;		/* keys in which nothing counted any more */
	uint64		shared;			/* places taken in shared buckets */
	TimestampTz since;
} PnvsGuardRuleStat;

/* A country that messages were sent to. */
typedef struct PnvsGuardBreakerStat
{
	char		country[PNVS_GUARD_COUNTRY_SIZE + 1];	/* empty: all that have
														 * no breaker of their
														 * own */
	bool		armed;			/* the same for all */
	bool		open;
	TimestampTz open_until;		/* if it is open */
	uint32		judged_sent;	/* the figures on which it opened last */
	uint32		judged_approved;
	uint32		sent;			/* numbers, in the interval until now */
	uint32		approved;
	uint64		refused;
	uint64		observed;
} PnvsGuardBreakerStat;

/*
 * Memory of a module above the guard, which the guard's snapshots keep, too: items of one
 * size, in parts that are copied one at a time.  copy returns how many items of a part still
 * count; load gets each, not aligned, at the server's start.
 */
typedef struct PnvsKeptMemory
{
	uint64		id;				/* in the file */
	Size		item_size;
	int			nparts;
	int			(*max_items) (void);	/* of a part */
	int			(*copy) (int part, void *items);
	void		(*load) (const void *item, TimestampTz now);
} PnvsKeptMemory;

/* Writes a line of the log that stands for so many cases. */
typedef void (*PnvsGuardWarning) (int64 cases, const void *arg);

/* guard.c */
extern void pnvs_guard_init(void);
extern bool pnvs_guard_is_shared(void);
extern uint64 pnvs_guard_hash_rate_key(const char *rate_key);
extern PnvsRefusal pnvs_guard_admit(const PnvsGuardMessage *message, TimestampTz now,
									PnvsAdmission *admission);
extern void pnvs_guard_give_back(const PnvsAdmission *admission, TimestampTz now);
extern bool pnvs_guard_counts_sent(const PnvsAdmission *admission);
extern void pnvs_guard_count_sent(const PnvsAdmission *admission, TimestampTz now);

/* room.c */
extern TimestampTz pnvs_guard_room_at(const PnvsGuardMessage *message, TimestampTz now);
extern PnvsRefusal pnvs_guard_judge(const PnvsGuardMessage *message, TimestampTz now,
									TimestampTz *until);

/* approval.c */
extern void pnvs_guard_approve_latest(const char *number, TimestampTz now);
extern void pnvs_guard_approve(const PnvsAdmission *admission, TimestampTz now);

/* reset.c */
extern void pnvs_guard_unblock(const char *number);
extern void pnvs_guard_reset(bool all, PnvsScope scope);

/* tries.c */
extern PnvsRefusal pnvs_guard_admit_try(const char *number, const char *verification_id,
										TimestampTz now, PnvsTry *try);
extern TimestampTz pnvs_guard_try_room_at(const char *number, TimestampTz now);
extern void pnvs_guard_give_back_try(const PnvsTry *try, TimestampTz now);

/* transaction.c */
extern void pnvs_guard_give_back_at_abort(const PnvsAdmission *admission);
extern void pnvs_guard_give_back_at_commit(const PnvsAdmission *admission);
extern void pnvs_guard_count_sent_at_commit(const PnvsAdmission *admission);

/* refusal.c */
extern int	pnvs_refusal_wait_s(TimestampTz until, TimestampTz now);
pg_noreturn extern void pnvs_guard_throw(const PnvsRefusal *refusal);
extern const char *pnvs_guard_code(const PnvsRefusal *refusal);
extern const char *pnvs_guard_limit(const PnvsRefusal *refusal);
extern const char *pnvs_guard_message(const PnvsRefusal *refusal);

/* counters.c, breakers.c */
extern int	pnvs_guard_read_rules(PnvsGuardRuleStat *stats, int max);
extern int	pnvs_guard_read_breakers(PnvsGuardBreakerStat *stats, int max);

/* report.c */
extern void pnvs_guard_warn(const char *cause, PnvsGuardWarning write, const void *arg);

/* keeper.c */
extern void pnvs_guard_keep_memory(const PnvsKeptMemory *memory);
extern void pnvs_guard_note_change(void);
extern int64 pnvs_guard_keep(void);

#endif							/* PNVS_GUARD_H */
