/*-------------------------------------------------------------------------
 *
 * table.h
 *	  Finds a table of the extension, and enters it: locked, checked, as its owner.
 *
 * Statements run within a visit: pnvs_table_enter() connects to SPI, becomes the table's
 * owner and pins settings, and pnvs_table_leave() undoes that.  So does an ERROR in
 * between.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TABLE_H
#define PNVS_TABLE_H

#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "compat.h"

#define PNVS_TABLE_SCHEMA "pnvs_internal"

/* Of tables that have IDs, which no other row has. */
#define PNVS_TABLE_ID_COLUMN 1

/* The most parameters of a statement, and columns of a table. */
#define PNVS_TABLE_MAX_PARAMETERS 40

typedef struct PnvsTableColumn
{
	const char *name;
	Oid			type;
	bool		not_null;
} PnvsTableColumn;

typedef struct PnvsTableStatement
{
	const char *text;			/* %1$s is the table */
	Oid			types[PNVS_TABLE_MAX_PARAMETERS];	/* up to a 0 */
} PnvsTableStatement;

/*
 * A table of the extension.  The first column has the IDs, if any.  Words of the library
 * alone stand in a column "state".
 */
typedef struct PnvsTable
{
	const char *name;			/* in PNVS_TABLE_SCHEMA */
	const char *hint;			/* to who has altered it */
	const PnvsTableColumn *columns;
	int			ncolumns;
	const PnvsTableStatement *statements;
	int			nstatements;
	int			not_negative;	/* an integer column, from 1, that is negative
								 * in no row of ours; 0: none */

	/* table.c */
	Oid			known;			/* a member of the extension */

	/* table_check.c */
	Oid			passed;			/* the relation that a check has passed, until
								 * it changes */
	Oid			begun;			/* the relation that is being checked, or was,
								 * until it changes */
	uint32		schema_hash;	/* of its schema, in the cache of schemas */
	bool		referenced;		/* a foreign key refers to it */
	Oid			indexes[PNVS_TABLE_MAX_PARAMETERS]; /* of each column: all its
													 * values, or 0 */
	bool		is_kept;		/* it hears of changes */
	struct PnvsTable *next;

	/* index_entries.c */
	struct PnvsIndexCondition *conditions;	/* of the indexes; and what they
											 * take */
	int			nconditions;
	struct ExprContext *evaluation;
	struct MemoryContextData *condition_context;

	/* statements.c */
	Oid			planned;		/* the relation that the plans are for */
	char	   *planned_name;	/* qualified */
	struct _SPI_plan **plans;
} PnvsTable;

typedef struct PnvsTableVisit
{
	Oid			user;
	int			security_context;
	int			guc_level;
	bool		snapshot_pushed;
} PnvsTableVisit;

extern Oid	pnvs_table_oid(PnvsTable *table);
extern Oid	pnvs_table_checked_oid(PnvsTable *table);
extern Oid	pnvs_table_find_member(const char *name, Oid *known);
extern Oid	pnvs_table_owner(PnvsTable *table);
extern bool pnvs_table_may_see(PnvsTable *table, Oid role, Oid requester);
extern bool pnvs_table_is_own_origin(int64 system, Oid database);
extern Relation pnvs_table_open(PnvsTable *table, LOCKMODE mode);
extern void pnvs_table_check(PnvsTable *table, Oid oid);
pg_noreturn extern void pnvs_table_refuse(const PnvsTable *table, const char *alteration);
extern bool pnvs_table_is_referenced(const PnvsTable *table);
extern void pnvs_table_enter(PnvsTable *table, PnvsTableVisit *visit, LOCKMODE mode);
extern void pnvs_table_enter_unattended(PnvsTable *table, PnvsTableVisit *visit);
extern void pnvs_table_leave(PnvsTableVisit *visit);
extern void pnvs_table_pin_settings(void);
extern int	pnvs_table_pin_texts(void);

#endif							/* PNVS_TABLE_H */
