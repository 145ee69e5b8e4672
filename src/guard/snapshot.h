/*-------------------------------------------------------------------------
 *
 * snapshot.h
 *	  Keeps what the guard knows over restarts, in a file.
 *
 * For the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_GUARD_SNAPSHOT_H
#define PNVS_GUARD_SNAPSHOT_H

#include "guard/counters.h"

#define PNVS_SNAPSHOT_FILE PGSTAT_STAT_PERMANENT_DIRECTORY "/pnvs_guard.stat"

#define PNVS_SNAPSHOT_MAGIC 0x50474431	/* "1DGP" */

/* To be increased when anything that is in the file changes. */
#define PNVS_SNAPSHOT_VERSION 2

/* The file: this, and records. */
typedef struct PnvsSnapshotHeader
{
	uint32		magic;
	uint32		version;
	uint32		crc;			/* CRC-32C of the records, and of the header
								 * with 0 here */
	uint32		armed;
	uint64		len;			/* of the records, in bytes */
	TimestampTz written_at;		/* when writing began */
	bool		is_last;		/* nothing has happened since then */
	bool		of_standby;		/* it was written during recovery */
	int32		ngaps;
	PnvsGuardGap gaps[PNVS_GUARD_GAPS];
	TimestampTz forgotten_at[PNVS_SHARE_COUNT];
} PnvsSnapshotHeader;

/* What a record has, beside PNVS_SHARE_... */
#define PNVS_RECORD_BREAKER 100
#define PNVS_RECORD_COUNTERS 101
#define PNVS_RECORD_MEMORY 102	/* items of other modules */

/* A record: this, and len bytes. */
typedef struct PnvsSnapshotRecord
{
	uint64		key;			/* or a country, or the ID of a module's
								 * memory */
	uint8		share;
	uint8		partition;
	uint8		kind;
	uint8		unused;
	uint32		len;
} PnvsSnapshotRecord;

/* snapshot_read.c */
extern void pnvs_snapshot_load(void);

/* snapshot_write.c */
extern bool pnvs_snapshot_write(bool is_last);

#endif							/* PNVS_GUARD_SNAPSHOT_H */
