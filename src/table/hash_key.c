/*-------------------------------------------------------------------------
 *
 * hash_key.c
 *	  Hashes under a key of this database, for the tables of the extension.
 *
 * The key is made by the install script and goes where the database goes: to standbys,
 * copies and new versions of PostgreSQL, but not into a dump.  So the only key is this
 * database's, whatever its origin.  Logical replication can add the key of another: then
 * the origin decides, which is known by the same two marks as that of a verification.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "core/phone_number.h"
#include "keyed_hash.h"
#include "table/hash_key.h"
#include "table/statements.h"

/* As the script makes it. */
#define KEY_SIZE 32

/* The columns of the statement. */
enum
{
	KEY = 1,
	ORIGIN_SYSTEM,
	ORIGIN_DATABASE
};

static const PnvsTableColumn columns[] = {
	{"key", BYTEAOID, true},
	{"origin_system", INT8OID, true},
	{"origin_database", OIDOID, true},
};

static const PnvsTableStatement statements[] = {
	{"SELECT key::bytea, origin_system::bigint, origin_database::oid FROM ONLY %1$s", {0}},
};

static PnvsTable table = {
	.name = "hash_key",
	.hint = "Undo the change, or drop the extension pnvs and create it again.",
	.columns = columns,
	.ncolumns = lengthof(columns),
	.statements = statements,
	.nstatements = lengthof(statements),
};

static PnvsHasher *hasher_of_database(void);
static PnvsHasher *make_hasher(void);
static int	find_own_row(int nrows);

/*
 * A hash under the key of this database; never 0.  To be called in a transaction.  Throws
 * if there is no key.  For short data see keyed_hash.c.
 */
uint64
pnvs_database_hash(char tag, const void *data, size_t len)
{
	return pnvs_keyed_hash(hasher_of_database(), tag, data, len);
}

/* The hash of a number in the digits of E.164, by which the rows of it are found. */
uint64
pnvs_database_hash_number(const char *digits)
{
	return pnvs_database_hash(PNVS_HASH_NUMBER, digits, strlen(digits));
}

/*
 * Locks what has this hash until the end of the transaction, and waits for whoever has
 * locked it.  The class tells apart what is locked.
 */
void
pnvs_database_lock(uint64 hash, uint16 lock_class)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash, lock_class);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/*
 * What finds the rows of a number: its hash, its digits, and these masked.  A row has either
 * of the two, and another number can have the same hash.
 */
void
pnvs_database_number(const char *digits, Datum values[PNVS_NUMBER_PARAMETERS])
{
	char		masked[PNVS_PHONE_NUMBER_SIZE];

	pnvs_phone_number_mask(digits, masked);
	values[0] = Int64GetDatum((int64) pnvs_database_hash_number(digits));
	values[1] = CStringGetTextDatum(digits);
	values[2] = CStringGetTextDatum(masked);
}

/* The hasher is kept, until the extension is dropped and created again. */
static PnvsHasher *
hasher_of_database(void)
{
	static PnvsHasher *hasher = NULL;
	static Oid	made_from = InvalidOid;
	Oid			oid = pnvs_table_checked_oid(&table);
	PnvsHasher *made;

	if (hasher != NULL && oid == made_from)
		return hasher;
	made = make_hasher();
	pnvs_keyed_hash_free(hasher);
	hasher = made;
	made_from = oid;
	return hasher;
}

static PnvsHasher *
make_hasher(void)
{
	PnvsTableVisit visit;
	PnvsHasher *hasher = NULL;
	bytea	   *key;
	int			row;

	pnvs_table_enter(&table, &visit, AccessShareLock);
	row = find_own_row(pnvs_table_read(&table, 0, NULL, NULL));
	if (row < 0)
		pnvs_table_refuse(&table, "It does not have one row of this database.");
	key = DatumGetByteaPP(pnvs_result_datum(row, KEY));
	if (VARSIZE_ANY_EXHDR(key) != KEY_SIZE)
		pnvs_table_refuse(&table, "Its key has another length.");
	hasher = pnvs_keyed_hash_make("pnvs database", VARDATA_ANY(key), KEY_SIZE);
	explicit_bzero(VARDATA_ANY(key), KEY_SIZE);
	pnvs_table_leave(&visit);
	return pnvs_keyed_hash_require(hasher);
}

/* The row, from 0, with this database's key; -1 if there is none, or more than one. */
static int
find_own_row(int nrows)
{
	int			own = -1;

	if (nrows == 1)
		return 0;
	for (int row = 0; row < nrows; row++)
	{
		if (!pnvs_table_is_own_origin(pnvs_result_int64(row, ORIGIN_SYSTEM),
									  pnvs_result_oid(row, ORIGIN_DATABASE)))
			continue;
		if (own >= 0)
			return -1;
		own = row;
	}
	return own;
}
