/*-------------------------------------------------------------------------
 *
 * require_verification.c
 *	  require_verification(): lets a row commit only with an approved verification of its
 *	  phone number, which is used up in the same transaction.
 *
 * Arguments of the trigger: the column with the number, the column with the verification's
 * ID and, optionally, for how long an approval is good, and the purposes it may have.
 *
 * As the trigger of a foreign key does, a check leaves out a row that is gone by now: a
 * later version of it has a check of its own.  So an UPDATE that keeps number and ID must
 * be checked as well if its old row has not been.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "errcodes.h"
#include "sql/sql.h"
#include "sql/trigger.h"
#include "verification/moves.h"
#include "verification/verification.h"

#define DEFAULT_GOOD_FOR_US USECS_PER_HOUR

/* What the arguments of a trigger say, of its table. */
typedef struct Declaration
{
	int			number;			/* columns */
	int			id;
	const char *good_for;		/* or NULL */
	const char **purposes;
	int			npurposes;
} Declaration;

/* What a row has in these columns. */
typedef struct Content
{
	const char *number;			/* as it stands there, or NULL */
	bool		has_id;
	pg_uuid_t	id;
} Content;

/* What is said of a verification that cannot be used up. */
static const char *const faults[] = {
	[PNVS_USE_NOT_TOLD] = "is not approved for its phone number, has been used, is too old, or has another purpose",
	[PNVS_USE_OF_OTHER_DATABASE] = "was begun in another database",
	[PNVS_USE_NOT_CONFIRMED] = "has not been confirmed yet",
	[PNVS_USE_EXPIRED] = "has expired before it was confirmed",
	[PNVS_USE_MAX_TRIES] = "has had too many wrong codes",
	[PNVS_USE_CANCELED] = "was canceled",
	[PNVS_USE_REFUSED] = "was refused, so no code was sent",
	[PNVS_USE_USED] = "has been used already",
	[PNVS_USE_OF_OTHER_NUMBER] = "is of another phone number",
	[PNVS_USE_TOO_LATE] = "was approved too long ago",
	[PNVS_USE_FOR_OTHER_PURPOSE] = "has another purpose"
};

PG_FUNCTION_INFO_V1(pnvs_require_verification);

static Datum check(PG_FUNCTION_ARGS);
static void check_trigger(const TriggerData *trigger);
static void read_declaration(const TriggerData *trigger, Declaration *declaration);
static int	column_of(const TriggerData *trigger, int argument);
static Oid	type_of(const TriggerData *trigger, int column);
static bool is_text(Oid type);
static bool holds_digits(Oid type);
static void read_purposes(const char *list, Declaration *declaration);
static int64 read_good_for(const char *text);
static void explain_good_for(void *arg);
static void check_row(const TriggerData *trigger, const Declaration *declaration);
static bool is_unchanged(const TriggerData *trigger, const Declaration *declaration,
						 const Content *content);
static bool is_gone(const TriggerData *trigger);
static void require(const TriggerData *trigger, const Declaration *declaration,
					const Content *content);
static void note_deleted(const TriggerData *trigger, const Declaration *declaration);
static const char *digits_of(const TriggerData *trigger, const Declaration *declaration,
							 const char *number);
static void read_content(const TriggerData *trigger, const Declaration *declaration,
						 HeapTuple row, Content *content);
static bool read_id(const char *text, pg_uuid_t *id);
static PnvsMove move_of(const TriggerData *trigger, const char *digits, const pg_uuid_t *id);
pg_noreturn static void refuse(const TriggerData *trigger, const char *detail,
							   const char *hint);

Datum
pnvs_require_verification(PG_FUNCTION_ARGS)
{
	return pnvs_hide_call(check, fcinfo);
}

static Datum
check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Declaration declaration;

	if (!CALLED_AS_TRIGGER(fcinfo))
		pnvs_argument_refuse("require_verification() was not called as a trigger",
							 "Name it in CREATE TRIGGER.");
	check_trigger(trigger);
	read_declaration(trigger, &declaration);
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		note_deleted(trigger, &declaration);
	else
		check_row(trigger, &declaration);
	return PointerGetDatum(NULL);
}

static void
check_trigger(const TriggerData *trigger)
{
	int			nargs = trigger->tg_trigger->tgnargs;

	if (!TRIGGER_FIRED_AFTER(trigger->tg_event))
		pnvs_argument_refuse("require_verification() must be fired AFTER the event",
							 "Declare a CONSTRAINT TRIGGER. A BEFORE trigger would use approvals up for rows that ON CONFLICT drops, and other triggers could still change the row.");
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		pnvs_argument_refuse("require_verification() must be fired FOR EACH ROW",
							 "Add FOR EACH ROW to the trigger.");
	if (nargs < 2 || nargs > 4)
		pnvs_argument_refuse("require_verification() takes two to four arguments",
							 "They are the column with the phone number, the column with the verification's ID, for how long an approval is good, and the purposes it may have, separated by commas.");
	/* a row is known by its place and its xmin */
	if (trigger->tg_relation->rd_rel->relam != HEAP_TABLE_AM_OID)
		pnvs_argument_refuse("require_verification() cannot check rows of this kind of table",
							 "Its rows must be kept by PostgreSQL's own access method, heap.");
}

static void
read_declaration(const TriggerData *trigger, Declaration *declaration)
{
	int			nargs = trigger->tg_trigger->tgnargs;
	Oid			number_type;
	Oid			id_type;
	char	  **args = trigger->tg_trigger->tgargs;

	declaration->number = column_of(trigger, 0);
	declaration->id = column_of(trigger, 1);
	number_type = type_of(trigger, declaration->number);
	id_type = type_of(trigger, declaration->id);
	if (!is_text(number_type) && !holds_digits(number_type))
		pnvs_argument_refuse("invalid type of the column with the phone number in the arguments of require_verification()",
							 "It must be a text, or a number of digits alone.");
	if (id_type != UUIDOID && !is_text(id_type))
		pnvs_argument_refuse("invalid type of the column with the verification's ID in the arguments of require_verification()",
							 "It must be a uuid, or a text that holds one. The number's column comes first.");
	declaration->good_for = nargs > 2 ? args[2] : NULL;
	read_purposes(nargs > 3 ? args[3] : "", declaration);
}

static int
column_of(const TriggerData *trigger, int argument)
{
	return pnvs_trigger_column(trigger, "require_verification",
							   trigger->tg_trigger->tgargs[argument]);
}

/* Domains count as the type that they are made of. */
static Oid
type_of(const TriggerData *trigger, int column)
{
	return getBaseType(SPI_gettypeid(trigger->tg_relation->rd_att, column));
}

static bool
is_text(Oid type)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_STRING;
}

/* A number of these types has all its digits, whatever settings say how to show it. */
static bool
holds_digits(Oid type)
{
	return type == INT8OID || type == NUMERICOID || type == INT4OID || type == INT2OID;
}

/* Commas separate purposes, and spaces around them do not count. */
static void
read_purposes(const char *list, Declaration *declaration)
{
	char	   *rest = pstrdup(list);
	char	   *word;

	declaration->purposes = palloc((strlen(list) + 1) * sizeof(char *));
	declaration->npurposes = 0;
	while ((word = strsep(&rest, ",")) != NULL)
	{
		size_t		len;

		word += strspn(word, " ");
		for (len = strlen(word); len > 0 && word[len - 1] == ' '; len--)
			word[len - 1] = '\0';
		if (len > 0)
			declaration->purposes[declaration->npurposes++] = word;
		else if (rest != NULL || declaration->npurposes > 0)
			pnvs_argument_refuse("invalid list of purposes in the arguments of require_verification()",
								 "Separate purposes by commas; leave the argument out for verifications without a purpose.");
	}
}

/* NULL means the default, which need not be read for each row. */
static int64
read_good_for(const char *text)
{
	ErrorContextCallback callback = {.callback = explain_good_for,.previous = error_context_stack};
	Datum		interval;

	if (text == NULL)
		return DEFAULT_GOOD_FOR_US;
	error_context_stack = &callback;
	interval = DirectFunctionCall3(interval_in, CStringGetDatum(text),
								   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	error_context_stack = callback.previous;
	return pnvs_argument_good_for(DatumGetIntervalP(interval));
}

/* Makes an error of interval_in() one of ours. */
static void
explain_good_for(void *arg)
{
	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
		return;
	errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	errhint("The third argument of require_verification() is an interval, such as '1 hour'.");
	pnvs_errhide();
}

/* Of INSERT and UPDATE. */
static void
check_row(const TriggerData *trigger, const Declaration *declaration)
{
	HeapTuple	row = pnvs_trigger_new_row(trigger);
	Content		content;

	read_content(trigger, declaration, row, &content);
	if (content.number == NULL)
		return;
	if (!is_unchanged(trigger, declaration, &content))
	{
		if (is_gone(trigger))
			return;
		require(trigger, declaration, &content);
	}
	pnvs_moves_note_checked(trigger->tg_trigger->tgoid, row);
}

/*
 * Whether an UPDATE has kept number and ID of a row that was checked.  Digits alone could be
 * the same in what is no phone number.
 */
static bool
is_unchanged(const TriggerData *trigger, const Declaration *declaration, const Content *content)
{
	Content		old;

	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		!pnvs_moves_was_checked(trigger->tg_trigger->tgoid, trigger->tg_trigtuple))
		return false;
	read_content(trigger, declaration, trigger->tg_trigtuple, &old);
	if (old.number == NULL || (strcmp(old.number, content->number) != 0 &&
							   digits_of(trigger, declaration, content->number) == NULL))
		return false;
	return pnvs_trigger_same_number(old.number, content->number) && old.has_id == content->has_id &&
		(!old.has_id || memcmp(&old.id, &content->id, sizeof(old.id)) == 0);
}

/*
 * Whether the row has been changed or deleted since, in this transaction, and what has
 * become of it is sure to be checked.
 */
static bool
is_gone(const TriggerData *trigger)
{
	const Trigger *declared = trigger->tg_trigger;
	TupleTableSlot *row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newslot :
	trigger->tg_trigslot;

	if (!TRIGGER_FOR_INSERT(declared->tgtype) || !TRIGGER_FOR_UPDATE(declared->tgtype) ||
		declared->tgnattr > 0 || declared->tgqual != NULL)
		return false;
	return !table_tuple_satisfies_snapshot(trigger->tg_relation, row, SnapshotSelf);
}

/* Throws unless the row has come by a move, or with an approval, which it uses up. */
static void
require(const TriggerData *trigger, const Declaration *declaration, const Content *content)
{
	const char *digits = digits_of(trigger, declaration, content->number);
	PnvsUse		use = {
		.id = content->id,
		.recipient = digits,
		.purposes = declaration->purposes,
		.npurposes = declaration->npurposes,
		.good_for_us = read_good_for(declaration->good_for)
	};

	if (!content->has_id)
		refuse(trigger, "The row has a phone number, and no ID of a verification.",
			   "Begin a verification of the number, let the person confirm the code, and write its ID into the row.");
	if (digits == NULL)
		refuse(trigger, "The row's phone number is not in international form.",
			   "Write the number that use_verification() or normalize_phone_number() returns.");
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && pnvs_moves_any_deleted() &&
		pnvs_moves_take_deleted(move_of(trigger, digits, &content->id)))
		return;
	if (!pnvs_verification_use_up(&use))
		refuse(trigger, psprintf("The row's verification %s.", faults[pnvs_verification_use_fault(&use)]),
			   "Let the person confirm a code that was sent to this number, and write the row with the ID of that verification, once and in time.");
}

/* A deleted row may come back, in this transaction and in any partition. */
static void
note_deleted(const TriggerData *trigger, const Declaration *declaration)
{
	Content		content;
	const char *digits;

	if (!pnvs_moves_was_checked(trigger->tg_trigger->tgoid, trigger->tg_trigtuple))
		return;
	read_content(trigger, declaration, trigger->tg_trigtuple, &content);
	digits = content.number != NULL && content.has_id ?
		digits_of(trigger, declaration, content.number) : NULL;
	if (digits != NULL)
		pnvs_moves_note_deleted(move_of(trigger, digits, &content.id));
}

/* The digits of a phone number, or NULL if it is none.  In a column of numbers 62812.5 is none. */
static const char *
digits_of(const TriggerData *trigger, const Declaration *declaration, const char *number)
{
	if (strspn(number, "0123456789") != strlen(number) &&
		!is_text(type_of(trigger, declaration->number)))
		return NULL;
	return pnvs_trigger_digits(number);
}

static void
read_content(const TriggerData *trigger, const Declaration *declaration, HeapTuple row,
			 Content *content)
{
	TupleDesc	descriptor = trigger->tg_relation->rd_att;
	bool		isnull;
	Datum		id;

	content->number = pnvs_trigger_number(trigger, row, declaration->number);
	if (type_of(trigger, declaration->id) == UUIDOID)
	{
		id = SPI_getbinval(row, descriptor, declaration->id, &isnull);
		content->has_id = !isnull;
		if (!isnull)
			content->id = *DatumGetUUIDP(id);
	}
	else
		content->has_id = read_id(SPI_getvalue(row, descriptor, declaration->id), &content->id);
}

/* False if the text, or NULL, is no UUID in its usual form. */
static bool
read_id(const char *text, pg_uuid_t *id)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (text == NULL || strlen(text) != strlen(form))
		return false;
	for (int i = 0; form[i] != '\0'; i++)
	{
		if (form[i] == '-' ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	}
	*id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
	return true;
}

/*
 * Another trigger with the same arguments, of another partition, is the same.  Its
 * arguments decide of which purposes the approval was.
 */
static PnvsMove
move_of(const TriggerData *trigger, const char *digits, const pg_uuid_t *id)
{
	PnvsMove	move = {
		.number = strtoull(digits, NULL, 10),
		.id = *id,
		.table = pnvs_trigger_table(trigger)
	};

	for (int i = 0; i < trigger->tg_trigger->tgnargs; i++)
	{
		const char *arg = trigger->tg_trigger->tgargs[i];

		move.declaration = hash_bytes_extended((const unsigned char *) arg, (int) strlen(arg) + 1,
											   move.declaration);
	}
	return move;
}

static void
refuse(const TriggerData *trigger, const char *detail, const char *hint)
{
	const char *constraint = trigger->tg_trigger->tgname;

	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("new row for relation \"%s\" violates verification constraint \"%s\"",
					RelationGetRelationName(trigger->tg_relation), constraint),
			 errdetail("%s", detail),
			 errhint("%s", hint),
			 errtableconstraint(trigger->tg_relation, constraint),
			 pnvs_errhide()));
}
