/*-------------------------------------------------------------------------
 *
 * enqueue_verification_trigger.c
 *	  enqueue_verification_trigger(): queues a message for each row of a table.
 *
 * Arguments of the trigger: the channel, the column with the number and, optionally, the
 * service's ID ('' for the setting's) and a column whose value is kept as the queue's
 * reference.
 *
 * With a reference, what is queued follows its row.  If the digits change, or the row is
 * deleted, the message is taken back.  If another reference is all that changes, the message
 * gets it.
 *
 * An UPDATE that moves a row to another partition fires the triggers of DELETE and INSERT,
 * one directly after the other.  PostgreSQL marks the deleted version as moved: it then is
 * the old row of the INSERT, which is treated as an UPDATE.  So a move neither sends again
 * nor takes back.  A DELETE and an INSERT that the user writes are what they say: a message
 * that was taken back cannot be queued again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "sql/sql.h"
#include "sql/trigger.h"
#include "table/table.h"

/* A longer value does not fit into the index of references; keys of rows do. */
#define MAX_REFERENCE_LEN 1024

/* The default of enqueue_verification(). */
#define SEND_WITHIN_US (5 * 60 * USECS_PER_SEC)

/* Rows that are being moved at the same time, by triggers within triggers. */
#define MAX_MOVED_ROWS 64

/* What a row has in the columns that the arguments name. */
typedef struct Content
{
	const char *number;			/* as it stands there; NULL: none */
	const char *reference;		/* or NULL */
} Content;

/* The old version of a row that a command is moving to another partition, for one trigger. */
typedef struct MovedRow
{
	Oid			table;			/* the topmost one */
	char		trigger[NAMEDATALEN];	/* the same for all partitions */
	TransactionId deleted_by;	/* and the new one inserted; or invalid */
	CommandId	command;
	Content		content;
	struct MovedRow *next;
} MovedRow;

static MovedRow *moved_rows = NULL;

PG_FUNCTION_INFO_V1(pnvs_enqueue_verification_trigger);

static Datum enqueue_for_row(PG_FUNCTION_ARGS);
static void check_trigger(const TriggerData *trigger);
static void follow(const TriggerData *trigger, const Content *old, const Content *new);
static void queue(const TriggerData *trigger, const Content *content);
static const char *checked_reference(const Content *content);
static Content content_of(const TriggerData *trigger, HeapTuple row);
static int	column_of(const TriggerData *trigger, int argument);
static const char *service_of(const TriggerData *trigger);
static bool is_moved(HeapTuple row);
static void note_moved(const TriggerData *trigger);
static void take_moved(const TriggerData *trigger, Content *content);
static MovedRow *find_moved(const TriggerData *trigger, TransactionId xid, CommandId command);
static MovedRow *take_free_entry(void);
static void keep(const char **kept, const char *text);
static const char *name_of_table(const TriggerData *trigger);

Datum
pnvs_enqueue_verification_trigger(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(enqueue_for_row, fcinfo);
}

static Datum
enqueue_for_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Content		old = {0};
	Content		new = {0};
	int			guc_level;

	if (!CALLED_AS_TRIGGER(fcinfo))
		pnvs_argument_refuse("enqueue_verification_trigger() was not called as a trigger",
							 "Name it in CREATE TRIGGER.");
	check_trigger(trigger);

	/* the message is found by texts, which another session may have written */
	guc_level = pnvs_table_pin_texts();
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && is_moved(trigger->tg_trigtuple))
		note_moved(trigger);
	else
	{
		if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
			new = content_of(trigger, pnvs_trigger_new_row(trigger));
		if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
			take_moved(trigger, &old);
		else
			old = content_of(trigger, trigger->tg_trigtuple);
		follow(trigger, &old, &new);
	}
	AtEOXact_GUC(true, guc_level);
	return PointerGetDatum(NULL);
}

static void
check_trigger(const TriggerData *trigger)
{
	int			nargs = trigger->tg_trigger->tgnargs;

	if (!TRIGGER_FIRED_AFTER(trigger->tg_event))
		pnvs_argument_refuse("enqueue_verification_trigger() must be fired AFTER the event",
							 "A BEFORE trigger would send for rows that ON CONFLICT drops.");
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		pnvs_argument_refuse("enqueue_verification_trigger() must be fired FOR EACH ROW",
							 "Add FOR EACH ROW to the trigger.");
	if (nargs < 2 || nargs > 4)
		pnvs_argument_refuse("enqueue_verification_trigger() takes two to four arguments",
							 "They are the channel, the column with the number, the service's ID, and a column to keep as reference.");
	if (pnvs_operation_channel(trigger->tg_trigger->tgargs[0]) == NULL)
		pnvs_argument_refuse("invalid channel in the arguments of enqueue_verification_trigger()",
							 "The channels are SMS, VOICE and WHATSAPP.");
	if (TRIGGER_FOR_DELETE(trigger->tg_trigger->tgtype) && nargs < 4)
		pnvs_argument_refuse("enqueue_verification_trigger() needs a reference to be fired by DELETE",
							 "Add a fourth argument, a column that is a key of the row: by it the message is found.");
}

/*
 * Takes back what is queued for the old version of a row, and queues a message for the new
 * one, if their digits differ.  An UPDATE that rewrites all numbers in another notation must
 * not send to everybody.
 */
static void
follow(const TriggerData *trigger, const Content *old, const Content *new)
{
	bool		same_number = pnvs_trigger_same_number(old->number, new->number);
	bool		same_reference = old->reference != NULL && new->reference != NULL &&
	strcmp(old->reference, new->reference) == 0;
	PnvsQueueSource source = {.reference = old->reference};

	if (old->number != NULL && old->reference != NULL && !(same_number && same_reference))
		source.recipient = pnvs_trigger_digits(old->number);
	if (source.recipient != NULL)
	{
		source.table = name_of_table(trigger);
		if (same_number)
			pnvs_queue_rename_row(&source, checked_reference(new));
		else
			pnvs_queue_cancel_of_row(&source);
	}
	if (new->number != NULL && !same_number)
		queue(trigger, new);
}

static void
queue(const TriggerData *trigger, const Content *content)
{
	const char *number = pnvs_argument_utf8(content->number);
	PnvsQueueRequest request = {0};

	if (number == NULL)
		pnvs_argument_refuse("invalid phone number", "The column's value cannot be turned into UTF-8.");
	request.channel = pnvs_operation_channel(trigger->tg_trigger->tgargs[0]);
	request.recipient = pnvs_argument_check_recipient(number);
	request.service_sid = service_of(trigger);
	request.now = request.not_before = GetCurrentTimestamp();
	request.send_before = request.now + SEND_WITHIN_US;
	request.source = name_of_table(trigger);
	request.reference = checked_reference(content);
	/* a limit must not make the row of the user's table an error */
	request.on_refusal = PNVS_KEEP_REFUSED;
	(void) pnvs_queue_enqueue(&request, NULL);
}

/* The value to keep as the message's reference, or NULL. */
static const char *
checked_reference(const Content *content)
{
	if (content->reference != NULL && strlen(content->reference) > MAX_REFERENCE_LEN)
		pnvs_argument_refuse("the value to keep as reference is too long",
							 "It can have 1024 bytes. Name a column that is a key of the row.");
	return content->reference;
}

static Content
content_of(const TriggerData *trigger, HeapTuple row)
{
	Content		content = {.number = pnvs_trigger_number(trigger, row, column_of(trigger, 1))};

	if (trigger->tg_trigger->tgnargs > 3)
		content.reference = SPI_getvalue(row, trigger->tg_relation->rd_att, column_of(trigger, 3));
	return content;
}

static const char *
service_of(const TriggerData *trigger)
{
	const char *service_sid = "";

	if (trigger->tg_trigger->tgnargs > 2)
		service_sid = trigger->tg_trigger->tgargs[2];
	if (service_sid[0] != '\0')
		return pnvs_argument_check_service_sid(service_sid);
	service_sid = pnvs_settings_service_sid();
	if (service_sid[0] == '\0')
		pnvs_argument_refuse("no service is named",
							 "Name it in the trigger's arguments, or set \"pnvs.service_sid\".");
	return service_sid;
}

/* Whether a deleted version of a row lives on in another partition.  A foreign table's has no place. */
static bool
is_moved(HeapTuple row)
{
	return ItemPointerIsValid(&row->t_data->t_ctid) &&
		HeapTupleHeaderIndicatesMovedPartitions(row->t_data);
}

/* Keeps the old row for the INSERT that the same statement has made. */
static void
note_moved(const TriggerData *trigger)
{
	HeapTupleHeader header = trigger->tg_trigtuple->t_data;
	TransactionId deleted_by = HeapTupleHeaderGetUpdateXid(header);
	CommandId	command = HeapTupleHeaderGetCmax(header);
	Content		content = content_of(trigger, trigger->tg_trigtuple);
	MovedRow   *row = find_moved(trigger, deleted_by, command);

	if (row == NULL)
		row = take_free_entry();
	row->deleted_by = InvalidTransactionId;
	row->table = pnvs_trigger_table(trigger);
	strlcpy(row->trigger, trigger->tg_trigger->tgname, sizeof(row->trigger));
	keep(&row->content.number, content.number);
	keep(&row->content.reference, content.reference);
	row->command = command;
	row->deleted_by = deleted_by;
}

/* Of a row that is inserted: the old version, if the row was moved. */
static void
take_moved(const TriggerData *trigger, Content *content)
{
	HeapTupleHeader header = trigger->tg_trigtuple->t_data;
	TransactionId inserted_by = HeapTupleHeaderGetRawXmin(header);
	MovedRow   *row;

	/*
	 * COPY FREEZE inserts rows that have no command; those of foreign tables
	 * have no header
	 */
	if (moved_rows == NULL || HeapTupleHeaderXminFrozen(header) ||
		!TransactionIdIsCurrentTransactionId(inserted_by))
		return;
	row = find_moved(trigger, inserted_by, HeapTupleHeaderGetCmin(header));
	if (row == NULL)
		return;
	row->deleted_by = InvalidTransactionId;
	*content = row->content;
}

/* What a command has moved last. */
static MovedRow *
find_moved(const TriggerData *trigger, TransactionId xid, CommandId command)
{
	MovedRow   *row = moved_rows;
	Oid			table = row != NULL ? pnvs_trigger_table(trigger) : InvalidOid;

	while (row != NULL && (row->deleted_by != xid || row->command != command ||
						   row->table != table ||
						   strcmp(row->trigger, trigger->tg_trigger->tgname) != 0))
		row = row->next;
	return row;
}

/*
 * An entry that nobody waits for, as the first of the list.  If each is of this transaction,
 * the oldest goes: moves are rarely nested, and what is lost on its way leaves an entry, too.
 */
static MovedRow *
take_free_entry(void)
{
	MovedRow  **link = &moved_rows;
	MovedRow   *row;
	int			n = 0;

	while (*link != NULL && TransactionIdIsValid((*link)->deleted_by) &&
		   TransactionIdIsCurrentTransactionId((*link)->deleted_by) && ++n < MAX_MOVED_ROWS)
		link = &(*link)->next;
	row = *link;
	if (row == NULL)
		row = MemoryContextAllocZero(TopMemoryContext, sizeof(MovedRow));
	else
		*link = row->next;
	row->next = moved_rows;
	moved_rows = row;
	return row;
}

/* Replaces a text that is kept; NULL: none. */
static void
keep(const char **kept, const char *text)
{
	if (*kept != NULL)
		pfree((char *) *kept);
	*kept = NULL;
	if (text != NULL)
		*kept = MemoryContextStrdup(TopMemoryContext, text);
}

/* The name by which the queue knows the trigger's table. */
static const char *
name_of_table(const TriggerData *trigger)
{
	Oid			table = pnvs_trigger_table(trigger);

	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
									  get_rel_name(table));
}

/* The column that an argument of the trigger names. */
static int
column_of(const TriggerData *trigger, int argument)
{
	return pnvs_trigger_column(trigger, "enqueue_verification_trigger",
							   trigger->tg_trigger->tgargs[argument]);
}
