/*-------------------------------------------------------------------------
 *
 * blocked.c
 *	  What blocks a phone number now, and until when.
 *
 * It is what the guard would say to a message of now, of somebody who is not trusted and
 * without a rate_key; nobody's places are taken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "core/channel_list.h"
#include "core/operation.h"
#include "guard/guard.h"
#include "settings.h"
#include "verification/history.h"

typedef struct Block
{
	PnvsChannelWord channel;
	PnvsRefusal refusal;
	TimestampTz until;
} Block;

static int	judge_channels(const char *number, TimestampTz now, Block *blocks);
static bool are_same(const Block *blocks, int nblocks);
static void add(PnvsHistory *history, const Block *block, TimestampTz now);
static void add_tries(PnvsHistory *history, const char *number, TimestampTz now);

/* Adds an event for each channel that is blocked, or one if all are, and one for codes. */
void
pnvs_history_add_blocks(PnvsHistory *history, const char *number, TimestampTz now)
{
	Block		blocks[PNVS_CHANNEL_WORD_COUNT];
	int			nblocks = judge_channels(number, now, blocks);

	if (are_same(blocks, nblocks))
	{
		nblocks = 1;
		blocks[0].channel = PNVS_ANY_CHANNEL;
	}
	for (int i = 0; i < nblocks; i++)
		add(history, &blocks[i], now);
	add_tries(history, number, now);
}

/* Of the channels that may be used at all; if there are none, of one. */
static int
judge_channels(const char *number, TimestampTz now, Block *blocks)
{
	uint32		channels = pnvs_settings_channels();
	int			nblocks = 0;

	for (int word = PNVS_SMS; word < PNVS_CHANNEL_WORD_COUNT; word++)
	{
		PnvsGuardMessage message = {
			.recipient = number,
			.channel = (PnvsChannelWord) word,
			.direct = true,
			.due = now
		};
		Block	   *block = &blocks[nblocks];

		if (channels != 0 && (channels & PNVS_CHANNEL_BIT(word)) == 0)
			continue;
		block->channel = (PnvsChannelWord) word;
		block->refusal = pnvs_guard_judge(&message, now, &block->until);
		nblocks++;
	}
	return nblocks;
}

static bool
are_same(const Block *blocks, int nblocks)
{
	for (int i = 1; i < nblocks; i++)
	{
		if (blocks[i].refusal.reason != blocks[0].refusal.reason ||
			blocks[i].refusal.scope != blocks[0].refusal.scope ||
			blocks[i].until != blocks[0].until)
			return false;
	}
	return true;
}

static void
add(PnvsHistory *history, const Block *block, TimestampTz now)
{
	PnvsHistoryEvent *event;

	if (block->refusal.reason == PNVS_ADMITTED)
		return;
	event = pnvs_history_add(history, "blocked", now);
	event->channel = pnvs_operation_channel_text(block->channel);
	event->detail = pnvs_guard_limit(&block->refusal);
	if (block->until != PNVS_PLACES_NEVER)
		event->until = block->until;
}

/* No code is checked for a number with too many wrong ones. */
static void
add_tries(PnvsHistory *history, const char *number, TimestampTz now)
{
	Block		block = {
		.refusal = {PNVS_REFUSED_LIMIT, PNVS_SCOPE_TRIES, -1},
		.until = pnvs_guard_try_room_at(number, now)
	};

	if (block.until > now)
		add(history, &block, now);
}
