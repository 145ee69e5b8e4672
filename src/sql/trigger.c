/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  What the trigger functions share: their table, and the columns that their arguments
 *	  name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_attribute.h"
#include "executor/spi.h"
#include "utils/rel.h"

#include "core/phone_number.h"
#include "core/unicode.h"
#include "errcodes.h"
#include "sql/sql.h"
#include "sql/trigger.h"

/*
 * A column's number, looked up each time, for partitions have other numbers.  The row lacks
 * the value of a virtual generated column, and would pass as a row without one.
 */
int
pnvs_trigger_column(const TriggerData *trigger, const char *function, const char *name)
{
	int			column = SPI_fnumber(trigger->tg_relation->rd_att, name);
	char		generated;

	if (column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" in the arguments of %s() does not exist in \"%s\"",
						name, function, RelationGetRelationName(trigger->tg_relation)),
				 errhint("After a column was renamed, the trigger must be created again."),
				 pnvs_errhide()));
	generated = TupleDescAttr(trigger->tg_relation->rd_att, column - 1)->attgenerated;
	if (generated != '\0' && generated != ATTRIBUTE_GENERATED_STORED)
		pnvs_argument_refuse(psprintf("%s() cannot see a virtual generated column", function),
							 "Name the column that it is made of, or make it STORED.");
	return column;
}

/* The trigger's table, or the topmost one of a partition. */
Oid
pnvs_trigger_table(const TriggerData *trigger)
{
	Oid			table = RelationGetRelid(trigger->tg_relation);
	List	   *ancestors = NIL;

	/* a partition that is being detached has none */
	if (trigger->tg_relation->rd_rel->relispartition)
		ancestors = get_partition_ancestors(table);
	return ancestors != NIL ? llast_oid(ancestors) : table;
}

/* The row as it is now; of INSERT or UPDATE. */
HeapTuple
pnvs_trigger_new_row(const TriggerData *trigger)
{
	return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
		trigger->tg_trigtuple;
}

/*
 * The phone number in a row's column, as it stands there, or NULL if there is none: NULL,
 * or a blank text.
 */
const char *
pnvs_trigger_number(const TriggerData *trigger, HeapTuple row, int column)
{
	const char *value = SPI_getvalue(row, trigger->tg_relation->rd_att, column);
	const char *number = value != NULL ? pnvs_argument_utf8(value) : NULL;

	return number != NULL && pnvs_unicode_is_blank(number) ? NULL : value;
}

/*
 * Whether two values of a column, which may be NULL, are the same number in whatever
 * notation.
 */
bool
pnvs_trigger_same_number(const char *one, const char *other)
{
	if (one == NULL || other == NULL)
		return one == other;
	if (strcmp(one, other) == 0)
		return true;
	one = pnvs_argument_utf8(one);
	other = pnvs_argument_utf8(other);
	return one != NULL && other != NULL && pnvs_phone_number_same_digits(one, other);
}

/* The digits of a value of a column; NULL if it is in no form that has one meaning. */
const char *
pnvs_trigger_digits(const char *number)
{
	const char *utf8 = pnvs_argument_utf8(number);
	char	   *digits = palloc(PNVS_PHONE_NUMBER_SIZE);

	if (utf8 == NULL || pnvs_phone_number_normalise(utf8, digits) != PNVS_PHONE_NUMBER_OK)
		return NULL;
	return digits;
}
