/*-------------------------------------------------------------------------
 *
 * service_accepted.c
 *	  What the service has accepted: for searches, and as a log.
 *
 * All functions but accepted_last() and accepted_find() return 0, or -1 if something is wrong.
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "service_accepted.h"

#define LOG_RECORDS 1024

/* More than twice what the longest soak has accepted. */
#define MAX_ACCEPTED (1 << 22)

static Accepted *list;
static int	naccepted;
static int *places;				/* by the number's hash: in the list, from 1 */
static int64_t log_records[LOG_RECORDS][2];
static int	nlog_records;
static int	log_fd;

static int *find(int64_t number);
static int	write_later(int64_t number, int64_t now_ns);

int
accepted_open(const char *log)
{
	list = calloc(MAX_ACCEPTED / 2, sizeof(Accepted));
	places = calloc(MAX_ACCEPTED, sizeof(int));
	log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return list && places && log_fd >= 0 ? 0 : -1;
}

int
accepted_note(int64_t number, int64_t serial, int is_voice, int64_t now_ns)
{
	int		   *place = find(number);
	Accepted   *before = *place > 0 ? &list[*place - 1] : NULL;
	Accepted	entry = {number, serial, now_ns, is_voice, before ? before->nth + 1 : 1, 0, before};

	if (naccepted == MAX_ACCEPTED / 2)
		return -1;
	list[naccepted++] = entry;
	*place = naccepted;
	return write_later(number, now_ns);
}

/* One that was read and of which the caller hears nothing certain: not accepted. */
int
accepted_note_dropped(int64_t number, int64_t now_ns)
{
	return write_later(-number, now_ns);
}

/* The last message to a number, or NULL. */
const Accepted *
accepted_last(int64_t number)
{
	int			place = *find(number);

	return place > 0 ? &list[place - 1] : NULL;
}

/* A message by its verification ID, or NULL. */
Accepted *
accepted_find(int64_t number, int64_t serial)
{
	int			place = *find(number);
	Accepted   *entry = place > 0 ? &list[place - 1] : NULL;

	while (entry && entry->serial != serial)
		entry = entry->before;
	return entry;
}

int
accepted_flush(void)
{
	ssize_t		len = nlog_records * (ssize_t) sizeof(log_records[0]);

	nlog_records = 0;
	return len == 0 || write(log_fd, log_records, len) == len ? 0 : -1;
}

/* The place of a number, whether it was accepted or not. */
static int *
find(int64_t number)
{
	uint64_t	at = (uint64_t) number * UINT64_C(11400714819323198485) >> 42;

	while (places[at] > 0 && list[places[at] - 1].number != number)
		at = (at + 1) % MAX_ACCEPTED;
	return &places[at];
}

static int
write_later(int64_t number, int64_t now_ns)
{
	log_records[nlog_records][0] = number;
	log_records[nlog_records][1] = now_ns;
	return ++nlog_records == LOG_RECORDS ? accepted_flush() : 0;
}
