/*-------------------------------------------------------------------------
 *
 * table.c
 *	  A hash table with open addressing.  Records never move.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "table.h"

#define FIRST_SLOTS 1024

static size_t find_slot(const Table *table, uint64_t key);
static void grow(Table *table);

void
table_open(Table *table, size_t record_size)
{
	table->record_size = record_size;
	table->nrecords = 0;
	table->nslots = FIRST_SLOTS;
	table->keys = need(calloc(table->nslots, sizeof(uint64_t)));
	table->records = need(calloc(table->nslots, sizeof(char *)));
}

void
table_close(Table *table, void (*close_record) (void *record))
{
	for (size_t i = 0; i < table->nslots; i++)
	{
		if (table->records[i] && close_record)
			close_record(table->records[i]);
		free(table->records[i]);
	}
	free(table->records);
	free(table->keys);
}

void *
table_get(Table *table, uint64_t key)
{
	size_t		slot;

	if (table->nrecords * 2 >= table->nslots)
		grow(table);
	slot = find_slot(table, key);
	if (!table->records[slot])
	{
		table->keys[slot] = key;
		table->records[slot] = need(calloc(1, table->record_size));
		table->nrecords++;
	}
	return table->records[slot];
}

void *
need(void *memory)
{
	if (!memory)
	{
		fputs("out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

static size_t
find_slot(const Table *table, uint64_t key)
{
	size_t		slot = key & (table->nslots - 1);

	while (table->records[slot] && table->keys[slot] != key)
		slot = (slot + 1) & (table->nslots - 1);
	return slot;
}

static void
grow(Table *table)
{
	Table		old = *table;

	table->nslots *= 2;
	table->keys = need(calloc(table->nslots, sizeof(uint64_t)));
	table->records = need(calloc(table->nslots, sizeof(char *)));
	for (size_t i = 0; i < old.nslots; i++)
	{
		if (old.records[i])
		{
			size_t		slot = find_slot(table, old.keys[i]);

			table->keys[slot] = old.keys[i];
			table->records[slot] = old.records[i];
		}
	}
	free(old.records);
	free(old.keys);
}
