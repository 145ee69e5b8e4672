/*-------------------------------------------------------------------------
 *
 * lock_class.h
 *	  The classes of pnvs's advisory locks.
 *
 * SQL functions take advisory locks of the classes 1 and 2, and so never one of these.
 * pg_locks shows them as "advisory", with the class as objsubid.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_LOCK_CLASS_H
#define PNVS_LOCK_CLASS_H

/* A deduplication key, until the end of the transaction that used it. */
#define PNVS_LOCK_DEDUP_KEY 0x7076

/* A claimer, for as long as it lives. */
#define PNVS_LOCK_CLAIMER 0x7077

/* The records that look-ups of a database have found, while they are given to rows. */
#define PNVS_LOCK_LOOK_UP 0x7078

/* A database that a session needs for itself: no worker is to connect. */
#define PNVS_LOCK_KEPT_OUT 0x7079

/* The name of a prepared transaction that has queued or canceled a message. */
#define PNVS_LOCK_PREPARED 0x707a

/* The key of a session that begins a verification, until the end of the transaction. */
#define PNVS_LOCK_SESSION 0x707b

/* A verification that a session confirms, until the service has answered. */
#define PNVS_LOCK_CONFIRM 0x707c

#endif							/* PNVS_LOCK_CLASS_H */
