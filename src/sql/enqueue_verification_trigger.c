/*-------------------------------------------------------------------------
 *
 * enqueue_verification_trigger.c
 *	  enqueue_verification_trigger(): queues a message for each row of a table.
 *
 * Arguments of the trigger: the channel, the column with the number and, optionally, the
 * service's ID ('' for the setting's) and a column whose value is kept as the queue's
 * reference.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "sql/sql.h"
#include "sql/trigger.h"

/* A longer value does not fit into the index of references; keys of rows do. */
#define MAX_REFERENCE_LEN 1024

/* The default of enqueue_verification(). */
#define SEND_WITHIN_US (5 * 60 * USECS_PER_SEC)

PG_FUNCTION_INFO_V1(pnvs_enqueue_verification_trigger);

static Datum enqueue_for_row(PG_FUNCTION_ARGS);
static void check_trigger(const TriggerData *trigger);
static int	column_named(const TriggerData *trigger, const char *name);
static const char *service_of(const TriggerData *trigger);
static const char *new_number(const TriggerData *trigger);
static const char *reference_of(const TriggerData *trigger);

Datum
pnvs_enqueue_verification_trigger(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(enqueue_for_row, fcinfo);
}

static Datum
enqueue_for_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	PnvsQueueRequest request = {0};
	const char *number;

	if (!CALLED_AS_TRIGGER(fcinfo))
		pnvs_argument_refuse("enqueue_verification_trigger() was not called as a trigger", NULL);
	check_trigger(trigger);

	number = new_number(trigger);
	if (number == NULL)
		return PointerGetDatum(NULL);

	request.channel = pnvs_operation_channel(trigger->tg_trigger->tgargs[0]);
	request.recipient = pnvs_argument_check_recipient(number);
	request.service_sid = service_of(trigger);
	request.now = request.not_before = GetCurrentTimestamp();
	request.send_before = request.now + SEND_WITHIN_US;
	request.reference = reference_of(trigger);
	/* a limit must not make the row of the user's table an error */
	request.on_refusal = PNVS_KEEP_REFUSED;
	(void) pnvs_queue_enqueue(&request, NULL);
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
		pnvs_argument_refuse("enqueue_verification_trigger() must be fired FOR EACH ROW", NULL);
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		pnvs_argument_refuse("enqueue_verification_trigger() must be fired by INSERT or UPDATE", NULL);
	if (nargs < 2 || nargs > 4)
		pnvs_argument_refuse("enqueue_verification_trigger() takes two to four arguments",
							 "They are the channel, the column with the number, the service's ID, and a column to keep as reference.");
	if (pnvs_operation_channel(trigger->tg_trigger->tgargs[0]) == NULL)
		pnvs_argument_refuse("invalid channel in the arguments of enqueue_verification_trigger()",
							 "The channels are SMS, VOICE and WHATSAPP.");
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

/*
 * The row's number in UTF-8, or NULL if it has none or an UPDATE has not changed it.  An
 * UPDATE that rewrites all numbers in another notation must not send to everybody, so it
 * counts only if the digits differ.
 */
static const char *
new_number(const TriggerData *trigger)
{
	int			column = column_named(trigger, trigger->tg_trigger->tgargs[1]);
	const char *value = pnvs_trigger_number(trigger, pnvs_trigger_new_row(trigger), column);
	const char *number;

	if (value == NULL)
		return NULL;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		pnvs_trigger_same_number(pnvs_trigger_number(trigger, trigger->tg_trigtuple, column), value))
		return NULL;
	number = pnvs_argument_utf8(value);
	if (number == NULL)
		pnvs_argument_refuse("invalid phone number", "The column's value cannot be turned into UTF-8.");
	return number;
}

/* The value to keep as the message's reference, or NULL. */
static const char *
reference_of(const TriggerData *trigger)
{
	const char *reference;

	if (trigger->tg_trigger->tgnargs <= 3)
		return NULL;
	reference = SPI_getvalue(pnvs_trigger_new_row(trigger), trigger->tg_relation->rd_att,
							 column_named(trigger, trigger->tg_trigger->tgargs[3]));
	if (reference != NULL && strlen(reference) > MAX_REFERENCE_LEN)
		pnvs_argument_refuse("the value to keep as reference is too long",
							 "It can have 1024 bytes. Name a column that is a key of the row.");
	return reference;
}

static int
column_named(const TriggerData *trigger, const char *name)
{
	return pnvs_trigger_column(trigger, "enqueue_verification_trigger", name);
}
