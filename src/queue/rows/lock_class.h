/*-------------------------------------------------------------------------
 *
 * lock_class.h
 *	  The classes of advisory locks that are pnvs's own.
 *
 * SQL's functions take locks of the classes 1 and 2, so these never meet one.
 * They show in pg_locks as "advisory", with the class as objsubid.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LOCK_CLASS_H
#define PNVS_LOCK_CLASS_H

/* A deduplication key, until the end of the transaction that used it. */
#define PNVS_LOCK_DEDUP_KEY 0x7076

/* A claimer, for as long as it lives. */
#define PNVS_LOCK_CLAIMER 0x7077

/* What the look-ups of a database have found, while one takes its share. */
#define PNVS_LOCK_LOOK_UP 0x7078

/* A database that somebody wants for himself: no worker is to come. */
#define PNVS_LOCK_KEPT_OUT 0x7079

/* The name of a prepared transaction that has queued or taken back something. */
#define PNVS_LOCK_PREPARED 0x707a

#endif							/* PNVS_LOCK_CLASS_H */
