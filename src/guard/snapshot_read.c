/*-------------------------------------------------------------------------
 *
 * snapshot_read.c
 *	  Reads what the guard knew when its snapshot was written.
 *
 * The memory may have another size than before.  If it is smaller, some keys share buckets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "guard/breakers.h"
#include "guard/keeper.h"
#include "guard/snapshot.h"

/* A process may have looked at the clock so long before it took a place. */
#define MARGIN_US (10 * USECS_PER_SEC)

static const char *read_file(char **contents);
static const char *check(const char *contents, uint64 len);
static const char *walk(const char *records, uint64 len, bool load, TimestampTz now);
static bool is_valid(const PnvsSnapshotRecord *record);
static const PnvsKeptMemory *find_memory(uint64 id);
static void load_record(const PnvsSnapshotRecord *record, const char *data, TimestampTz now);
static void load_entry(const PnvsSnapshotRecord *record, const char *data, TimestampTz now);
static void load_memory(const PnvsSnapshotRecord *record, const char *data, TimestampTz now);

/*
 * Fills the empty memory at the server's start.  If the file cannot be used, the log says
 * so, and all limits begin anew: a database must not be down for that.  A standby begins
 * with counts of its own: a file that no standby has written came with a copy of its primary.
 */
void
pnvs_snapshot_load(void)
{
	char	   *contents = NULL;
	const char *fault = read_file(&contents);
	const PnvsSnapshotHeader *header = (PnvsSnapshotHeader *) contents;

	pnvs_gaps_begin();
	if (fault != NULL)
		ereport(LOG,
				(errmsg("pnvs cannot use file \"%s\": %s", PNVS_SNAPSHOT_FILE, fault),
				 errdetail("What was sent before is forgotten, so all limits and breakers begin anew.")));
	else if (header != NULL && (header->of_standby || !pnvs_guard_starts_as_standby()))
	{
		pnvs_guard_head->armed = header->armed != 0;
		pnvs_guard_head->ngaps = header->ngaps;
		memcpy(pnvs_guard_head->gaps, header->gaps, sizeof(header->gaps));
		memcpy(pnvs_guard_head->forgotten_at, header->forgotten_at, sizeof(header->forgotten_at));
		pnvs_gaps_add(header->is_last ? header->written_at : header->written_at - MARGIN_US);
		(void) walk(contents + sizeof(*header), header->len, true, GetCurrentTimestamp());
	}
	free(contents);
}

/* Returns what is wrong with the file, or NULL; without a file, contents stays NULL. */
static const char *
read_file(char **contents)
{
	int			file = BasicOpenFile(PNVS_SNAPSHOT_FILE, O_RDONLY | PG_BINARY);
	struct stat status;
	const char *fault = NULL;

	if (file < 0)
		return errno == ENOENT ? NULL : strerror(errno);
	if (fstat(file, &status) != 0)
		fault = strerror(errno);
	else if ((*contents = malloc(Max(status.st_size, 1))) == NULL)
		fault = "out of memory";
	else if (read(file, *contents, status.st_size) != status.st_size)
		fault = "it could not be read";
	else
		fault = check(*contents, status.st_size);
	close(file);
	return fault;
}

static const char *
check(const char *contents, uint64 len)
{
	PnvsSnapshotHeader header;
	pg_crc32c	crc;
	uint32		expected;

	if (len < sizeof(header))
		return "it is incomplete";
	memcpy(&header, contents, sizeof(header));
	if (header.magic != PNVS_SNAPSHOT_MAGIC)
		return "it is no file of pnvs";
	if (header.version != PNVS_SNAPSHOT_VERSION)
		return "it was written by another version of pnvs";
	if (header.len != len - sizeof(header))
		return "it is incomplete";
	expected = header.crc;
	header.crc = 0;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, contents + sizeof(header), header.len);
	COMP_CRC32C(crc, &header, sizeof(header));
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, expected))
		return "it is damaged";
	if (header.ngaps < 1 || header.ngaps > PNVS_GUARD_GAPS)
		return "it makes no sense";
	return walk(contents + sizeof(header), header.len, false, 0);
}

/* Checks all records, or loads them. */
static const char *
walk(const char *records, uint64 len, bool load, TimestampTz now)
{
	while (len > 0)
	{
		PnvsSnapshotRecord record;

		if (len < sizeof(record))
			return "it makes no sense";
		memcpy(&record, records, sizeof(record));
		if (record.len > len - sizeof(record) || !is_valid(&record))
			return "it makes no sense";
		if (load)
			load_record(&record, records + sizeof(record), now);
		records += sizeof(record) + record.len;
		len -= sizeof(record) + record.len;
	}
	return NULL;
}

static bool
is_valid(const PnvsSnapshotRecord *record)
{
	if (record->share == PNVS_RECORD_BREAKER)
		return record->len == sizeof(PnvsGuardBreaker);
	if (record->share == PNVS_RECORD_COUNTERS)
		return record->len == sizeof(PnvsSavedCounters) && record->key < PNVS_COUNTER_SLOTS;
	if (record->share == PNVS_RECORD_MEMORY)
	{
		const PnvsKeptMemory *memory = find_memory(record->key);

		return memory != NULL && record->len % memory->item_size == 0;
	}
	if (record->share >= PNVS_SHARE_COUNT ||
		record->partition >= pnvs_partition_count(record->share))
		return false;
	if (record->kind == PNVS_KIND_NOTE)
		return record->share == PNVS_SHARE_NUMBER && record->len == sizeof(PnvsGuardNote);
	return (record->kind & ~PNVS_KIND_BUCKET) < PNVS_KIND_COUNT &&
		record->len > 0 && record->len % sizeof(PnvsPlaces) == 0 &&
		record->len / sizeof(PnvsPlaces) <= PNVS_MAX_PLACES;
}

/* A module's memory, or NULL. */
static const PnvsKeptMemory *
find_memory(uint64 id)
{
	for (int i = 0; pnvs_keeper_memory(i) != NULL; i++)
	{
		if (pnvs_keeper_memory(i)->id == id)
			return pnvs_keeper_memory(i);
	}
	return NULL;
}

static void
load_record(const PnvsSnapshotRecord *record, const char *data, TimestampTz now)
{
	if (record->share == PNVS_RECORD_BREAKER)
	{
		PnvsGuardBreaker breaker;

		memcpy(&breaker, data, sizeof(breaker));
		pnvs_breaker_load(record->key, &breaker);
	}
	else if (record->share == PNVS_RECORD_COUNTERS)
	{
		PnvsSavedCounters saved;

		memcpy(&saved, data, sizeof(saved));
		pnvs_counters_load((int) record->key, &saved);
	}
	else if (record->share == PNVS_RECORD_MEMORY)
		load_memory(record, data, now);
	else
		load_entry(record, data, now);
}

static void
load_entry(const PnvsSnapshotRecord *record, const char *data, TimestampTz now)
{
	static PnvsGuardEntry entry;

	entry.key = record->key;
	entry.kind = record->kind;
	if (record->kind == PNVS_KIND_NOTE)
		memcpy(&entry.note, data, sizeof(entry.note));
	else
	{
		entry.places.n = record->len / sizeof(PnvsPlaces);
		memcpy(entry.places.items, data, record->len);
	}
	pnvs_partition_add(pnvs_partition_at(record->share, record->partition), &entry,
					   pnvs_policy(), now);
}

static void
load_memory(const PnvsSnapshotRecord *record, const char *data, TimestampTz now)
{
	const PnvsKeptMemory *memory = find_memory(record->key);

	for (uint32 i = 0; i < record->len; i += memory->item_size)
		memory->load(data + i, now);
}
