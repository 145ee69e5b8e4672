/*-------------------------------------------------------------------------
 *
 * resend.c
 *	  Sends another message of a verification, cancels it, and shows it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "queue/queue.h"
#include "settings.h"
#include "table/statements.h"
#include "verification/rows.h"

static void show_missing(PnvsBegun *begun);
static void show_now(const PnvsVerification *row, PnvsBegun *begun);
static void show_refused(const PnvsVerification *row, const char *refused, int retry_after_s,
						 PnvsBegun *begun);
static int	wait_s(TimestampTz until, TimestampTz now);
static void send_another(PnvsVerification *row, PnvsChannelWord channel, PnvsBegun *begun);
static int	find_position(const PnvsVerification *row, PnvsChannelWord channel);

/*
 * Sends another message, by a channel, or by the next of the verification's if that is
 * PNVS_ANY_CHANNEL.  It replaces a message that is still queued.
 */
void
pnvs_verification_resend(const pg_uuid_t *id, PnvsChannelWord channel, PnvsBegun *begun)
{
	PnvsVerification row;
	TimestampTz now;

	pnvs_verification_require_memory("resend_verification()");
	if (!pnvs_verification_lock(id, &row))
	{
		show_missing(begun);
		return;
	}
	pnvs_verification_count_tries(&row);
	/* the lock may have been waited for */
	now = GetCurrentTimestamp();
	if (!pnvs_verification_is_open(&row))
		show_now(&row, begun);
	else if (row.messages >= PNVS_MAX_MESSAGES)
		show_refused(&row, PNVS_TOO_MANY, wait_s(row.expires_at, now), begun);
	else if (now < row.resend_at)
		show_refused(&row, PNVS_TOO_MANY, wait_s(row.resend_at, now), begun);
	else
		send_another(&row, channel, begun);
}

/*
 * Cancels a verification that can still be approved or used; false if there is none, or
 * the caller may not see it.  A message that is taken back keeps its places, as that of a
 * decoy does: whoever begins and cancels at once is not to learn which of them it was.
 */
bool
pnvs_verification_cancel(const pg_uuid_t *id)
{
	PnvsVerification row;
	PnvsTableRow open;
	bool		found;

	if (!pnvs_verification_lock(id, &row) ||
		(!pnvs_verification_is_open(&row) && row.state != PNVS_VERIFICATION_APPROVED))
		return false;
	pnvs_queue_cancel_of(id, row.last_message, false);
	pnvs_table_row_begin(&pnvs_verification_table, RowExclusiveLock, &open);
	do
	{
		found = pnvs_table_row_find_again(&open, &row.place, UUIDPGetDatum(id));
		if (found)
			pnvs_verification_put_end(&open, "canceled", GetCurrentTimestamp());
	} while (found && !pnvs_table_row_update(&open));
	pnvs_table_row_end(&open);
	return true;
}

/* What begin_verification() and confirm_verification() would show of it now. */
void
pnvs_verification_status(const pg_uuid_t *id, PnvsBegun *begun, PnvsConfirmed *confirmed)
{
	PnvsVerification row;

	memset(confirmed, 0, sizeof(*confirmed));
	confirmed->tries_left = confirmed->retry_after_s = -1;
	if (!pnvs_verification_find(id, &row))
	{
		show_missing(begun);
		return;
	}
	pnvs_verification_count_tries(&row);
	show_now(&row, begun);
	confirmed->approved = row.state == PNVS_VERIFICATION_APPROVED;
	confirmed->state = begun->state;
	confirmed->tries_left = pnvs_verification_tries_left(row.tries, pnvs_max_tries);
}

/* The same for an ID that is unknown and for that of somebody else's verification. */
static void
show_missing(PnvsBegun *begun)
{
	memset(begun, 0, sizeof(*begun));
	begun->retry_after_s = -1;
}

/* Of a verification that was refused, how long there is still to wait. */
static void
show_now(const PnvsVerification *row, PnvsBegun *begun)
{
	pnvs_verification_show(row, begun);
	if (row->refused != NULL && row->resend_at != DT_NOEND)
		begun->retry_after_s = wait_s(row->resend_at, GetCurrentTimestamp());
}

static void
show_refused(const PnvsVerification *row, const char *refused, int retry_after_s, PnvsBegun *begun)
{
	pnvs_verification_show(row, begun);
	begun->refused = refused;
	begun->retry_after_s = retry_after_s;
}

/* In seconds, or -1 for a time that never comes. */
static int
wait_s(TimestampTz until, TimestampTz now)
{
	return until == DT_NOEND ? -1 : Max(pnvs_refusal_wait_s(until, now), 0);
}

/* What is still queued is canceled only if another message is queued instead. */
static void
send_another(PnvsVerification *row, PnvsChannelWord channel, PnvsBegun *begun)
{
	int			position = channel == PNVS_ANY_CHANNEL ?
	pnvs_verification_next_position(row->position, row->nchannels) :
	find_position(row, channel);
	PnvsVerification sent = *row;
	int			retry_after_s;
	const char *refused;

	sent.position = position;
	if (channel == PNVS_ANY_CHANNEL)
		channel = row->channels[position];
	refused = pnvs_verification_send(&sent, channel, &retry_after_s);
	if (refused != NULL)
	{
		show_refused(row, refused, retry_after_s, begun);
		return;
	}
	pnvs_queue_cancel_of(&row->id, row->last_message, true);
	pnvs_verification_note_message(&sent);
	pnvs_verification_show(&sent, begun);
}

/* The position of a channel, or the present position if the channel is none of them. */
static int
find_position(const PnvsVerification *row, PnvsChannelWord channel)
{
	for (int i = 0; i < row->nchannels; i++)
	{
		if (row->channels[i] == channel)
			return i;
	}
	return row->position;
}
