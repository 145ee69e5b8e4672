/*-------------------------------------------------------------------------
 *
 * snapshot_write.c
 *	  Writes what the guard knows to a file.
 *
 * A partition at a time is copied under its lock, and written without any.  So a snapshot
 * is not of one moment: what is admitted after its beginning may be in it in parts, and is
 * not given back after a crash, see gaps.c.  It replaces the last one when it is complete.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "guard/breakers.h"
#include "guard/keeper.h"
#include "guard/snapshot.h"
#include "monotonic.h"

#define NEW_FILE PNVS_SNAPSHOT_FILE ".tmp"

/* For the superuser of the system alone, whatever mode other files have. */
#define FILE_MODE 0600

#define BUFFER_SIZE 65536

typedef struct Writer
{
	int			file;
	int			error;			/* errno of the first failure, or 0 */
	pg_crc32c	crc;
	uint64		len;
	size_t		nbuffered;
	PnvsShareId share;			/* of the records that are being written */
	int			partition;
	const PnvsPolicy *policy;
	TimestampTz now;
	char		buffer[BUFFER_SIZE];
} Writer;

static void report_failure(int error, bool is_last);
static void write_file(Writer *writer, bool is_last);
static bool write_entry(const PnvsGuardEntry *entry, void *arg);
static void write_breakers(Writer *writer, const PnvsGuardHead *copy);
static void write_counters(Writer *writer);
static void write_memory(Writer *writer, const PnvsKeptMemory *memory);
static void write_record(Writer *writer, const PnvsSnapshotRecord *record, const void *data);
static void put(Writer *writer, const void *data, size_t len);
static void flush(Writer *writer);
static void write_header(Writer *writer, bool is_last);
static int	errno_of_write(void);

/* Writes a snapshot; false if it failed, which the log then says. */
bool
pnvs_snapshot_write(bool is_last)
{
	Writer	   *writer = malloc(sizeof(Writer));
	int			error = ENOMEM;

	if (writer != NULL)
	{
		writer->now = GetCurrentTimestamp();
		writer->error = 0;
		pg_atomic_write_u32(&pnvs_guard_head->changed, 0);
		(void) unlink(NEW_FILE);
		writer->file = BasicOpenFilePerm(NEW_FILE, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY, FILE_MODE);
		if (writer->file < 0)
			writer->error = errno;
		else
		{
			write_file(writer, is_last);
			if (close(writer->file) != 0 && writer->error == 0)
				writer->error = errno;
		}
		error = writer->error;
		free(writer);
	}
	if (error == 0 && durable_rename(NEW_FILE, PNVS_SNAPSHOT_FILE, LOG) == 0)
		return true;
	pg_atomic_write_u32(&pnvs_guard_head->changed, 1);
	if (error != 0)
		report_failure(error, is_last);
	return false;
}

/* Once a minute, but for the last. */
static void
report_failure(int error, bool is_last)
{
	static int64 next_us = 0;
	int64		now_us = pnvs_monotonic_us();

	if (now_us < next_us && !is_last)
		return;
	next_us = now_us + PNVS_LOG_LIMIT_INTERVAL_US;
	errno = error;
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", NEW_FILE),
			 errdetail("After a restart or a crash pnvs forgets what was sent since the last snapshot.")));
}

static void
write_file(Writer *writer, bool is_last)
{
	Size		max_size = sizeof(PnvsGuardHead);
	char	   *copy;

	for (int share = 0; share < PNVS_SHARE_COUNT; share++)
		max_size = Max(max_size, pnvs_partition_size(share));
	copy = malloc(max_size);
	if (copy == NULL)
	{
		writer->error = ENOMEM;
		return;
	}
	writer->policy = pnvs_policy();
	writer->len = 0;
	writer->nbuffered = 0;
	INIT_CRC32C(writer->crc);
	/* its space, until the rest is known */
	if (lseek(writer->file, sizeof(PnvsSnapshotHeader), SEEK_SET) < 0)
		writer->error = errno;
	for (int share = 0; share < PNVS_SHARE_COUNT; share++)
	{
		for (int i = 0; i < pnvs_partition_count(share); i++)
		{
			const PnvsPartition *partition = pnvs_partition_at(share, i);

			pnvs_partition_lock(partition, LW_SHARED);
			memcpy(copy, partition, pnvs_partition_size(share));
			pnvs_partition_unlock(partition);
			writer->share = share;
			writer->partition = i;
			(void) pnvs_partition_walk((PnvsPartition *) copy, write_entry, writer);
		}
	}
	pnvs_partition_lock(pnvs_partition_at(PNVS_SHARE_COUNTRY, 0), LW_SHARED);
	memcpy(copy, pnvs_guard_head, sizeof(PnvsGuardHead));
	pnvs_partition_unlock(pnvs_partition_at(PNVS_SHARE_COUNTRY, 0));
	write_breakers(writer, (PnvsGuardHead *) copy);
	write_counters(writer);
	for (int i = 0; pnvs_keeper_memory(i) != NULL; i++)
		write_memory(writer, pnvs_keeper_memory(i));
	flush(writer);
	write_header(writer, is_last);
	free(copy);
}

/* A PnvsGuardVisit.  What does not count any more is left out. */
static bool
write_entry(const PnvsGuardEntry *entry, void *arg)
{
	static PnvsPlaceList places;
	Writer	   *writer = arg;
	const PnvsPolicy *policy = writer->policy;
	PnvsSnapshotRecord record = {
		.key = entry->key,
		.share = writer->share,
		.partition = writer->partition,
		.kind = entry->kind
	};

	if (entry->kind == PNVS_KIND_NOTE)
	{
		record.len = sizeof(entry->note);
		if (!policy->valid || pnvs_note_counts(&entry->note, policy, writer->now))
			write_record(writer, &record, &entry->note);
		return writer->error == 0;
	}
	places = entry->places;
	if (policy->valid)
	{
		const PnvsRuleGroup *group = pnvs_list_group(policy, writer->share, entry->kind);

		pnvs_places_forget(&places, writer->now, group->limits, group->n);
	}
	record.len = places.n * sizeof(PnvsPlaces);
	if (places.n > 0)
		write_record(writer, &record, places.items);
	return writer->error == 0;
}

static void
write_breakers(Writer *writer, const PnvsGuardHead *copy)
{
	for (int i = 0; i <= PNVS_GUARD_BREAKERS; i++)
	{
		PnvsSnapshotRecord record = {
			.key = i < PNVS_GUARD_BREAKERS ? copy->countries[i] : 0,
			.share = PNVS_RECORD_BREAKER,
			.len = sizeof(PnvsGuardBreaker)
		};

		if (i == PNVS_GUARD_BREAKERS || record.key != 0)
			write_record(writer, &record, &copy->breakers[i]);
	}
}

static void
write_counters(Writer *writer)
{
	for (int i = 0; i < PNVS_COUNTER_SLOTS; i++)
	{
		PnvsSnapshotRecord record = {
			.key = i,
			.share = PNVS_RECORD_COUNTERS,
			.len = sizeof(PnvsSavedCounters)
		};
		PnvsSavedCounters saved;

		memset(&saved, 0, sizeof(saved));
		if (pnvs_counters_save(i, &saved))
			write_record(writer, &record, &saved);
	}
}

static void
write_memory(Writer *writer, const PnvsKeptMemory *memory)
{
	void	   *items = malloc(memory->max_items() * memory->item_size);

	if (items == NULL)
		writer->error = ENOMEM;
	for (int part = 0; items != NULL && part < memory->nparts; part++)
	{
		PnvsSnapshotRecord record = {.key = memory->id,.share = PNVS_RECORD_MEMORY};

		record.len = memory->copy(part, items) * memory->item_size;
		if (record.len > 0)
			write_record(writer, &record, items);
	}
	free(items);
}

static void
write_record(Writer *writer, const PnvsSnapshotRecord *record, const void *data)
{
	put(writer, record, sizeof(*record));
	put(writer, data, record->len);
}

static void
put(Writer *writer, const void *data, size_t len)
{
	const char *rest = data;

	COMP_CRC32C(writer->crc, data, len);
	writer->len += len;
	while (len > 0)
	{
		size_t		part = Min(len, sizeof(writer->buffer) - writer->nbuffered);

		memcpy(writer->buffer + writer->nbuffered, rest, part);
		writer->nbuffered += part;
		rest += part;
		len -= part;
		if (writer->nbuffered == BUFFER_SIZE)
			flush(writer);
	}
}

static void
flush(Writer *writer)
{
	errno = 0;
	if (writer->error == 0 &&
		write(writer->file, writer->buffer, writer->nbuffered) != (ssize_t) writer->nbuffered)
		writer->error = errno_of_write();
	writer->nbuffered = 0;
}

static void
write_header(Writer *writer, bool is_last)
{
	PnvsSnapshotHeader header = {
		.magic = PNVS_SNAPSHOT_MAGIC,
		.version = PNVS_SNAPSHOT_VERSION,
		.armed = pnvs_guard_head->armed,
		.len = writer->len,
		.written_at = writer->now,
		.is_last = is_last,
		.of_standby = pnvs_guard_starts_as_standby(),
		.ngaps = pnvs_guard_head->ngaps
	};

	memcpy(header.gaps, pnvs_guard_head->gaps, sizeof(header.gaps));
	memcpy(header.forgotten_at, pnvs_guard_head->forgotten_at, sizeof(header.forgotten_at));
	COMP_CRC32C(writer->crc, &header, sizeof(header));
	FIN_CRC32C(writer->crc);
	header.crc = writer->crc;
	errno = 0;
	if (writer->error == 0 && pwrite(writer->file, &header, sizeof(header), 0) != sizeof(header))
		writer->error = errno_of_write();
}

/* As PostgreSQL does if write() does not say why. */
static int
errno_of_write(void)
{
	return errno != 0 ? errno : ENOSPC;
}
