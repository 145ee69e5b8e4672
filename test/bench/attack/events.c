/*-------------------------------------------------------------------------
 *
 * events.c
 *	  What is to happen: a heap, by its time.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "events.h"
#include "table.h"

static bool is_before(const Event *a, const Event *b);

void
events_open(Events *events)
{
	*events = (Events)
	{
		0
	};
}

void
events_close(Events *events)
{
	free(events->heap);
}

void
events_add(Events *events, int64_t at_us, EventKind kind, int index)
{
	Event		event = {at_us, kind, index, events->norders++};
	int			at = events->n;

	if (events->n == events->room)
	{
		events->room = events->room ? events->room * 2 : 1024;
		events->heap = need(realloc(events->heap, (size_t) events->room * sizeof(Event)));
	}
	events->n++;
	while (at > 0 && is_before(&event, &events->heap[(at - 1) / 2]))
	{
		events->heap[at] = events->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	events->heap[at] = event;
}

/* The earliest; false if there is none. */
bool
events_next(Events *events, Event *event)
{
	Event		last;
	int			at = 0;

	if (events->n == 0)
		return false;
	*event = events->heap[0];
	last = events->heap[--events->n];
	for (;;)
	{
		int			child = 2 * at + 1;

		if (child + 1 < events->n && is_before(&events->heap[child + 1], &events->heap[child]))
			child++;
		if (child >= events->n || !is_before(&events->heap[child], &last))
			break;
		events->heap[at] = events->heap[child];
		at = child;
	}
	events->heap[at] = last;
	return true;
}

static bool
is_before(const Event *a, const Event *b)
{
	return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}
