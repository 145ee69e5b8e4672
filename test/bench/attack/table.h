/*-------------------------------------------------------------------------
 *
 * table.h
 *	  A hash table of records of one size, by a key of 64 bits that is a hash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct Table
{
	size_t		record_size;
	size_t		nrecords;
	size_t		nslots;			/* a power of two */
	uint64_t   *keys;			/* of the slots that have a record */
	char	  **records;
} Table;

extern void table_open(Table *table, size_t record_size);
extern void table_close(Table *table, void (*close_record) (void *record));

/* A key's record; it is made of zeros if there is none. */
extern void *table_get(Table *table, uint64_t key);

/* The memory; ends the program if there is none. */
extern void *need(void *memory);

#endif							/* TABLE_H */
