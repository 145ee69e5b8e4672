/*-------------------------------------------------------------------------
 *
 * events.h
 *	  What is to happen, by its time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum EventKind
{
	EVENT_ASK,					/* a visit asks for a code */
	EVENT_TYPE,					/* and types it in */
	EVENT_ATTACK,				/* a message of an attack */
	EVENT_ATTACK_TYPE			/* whose code is typed in: a sent message */
} EventKind;

typedef struct Event
{
	int64_t		at_us;
	EventKind	kind;
	int			index;			/* of the visit, or of the sent message */
	int64_t		order;			/* of those at one time */
} Event;

typedef struct Events
{
	int			n;
	int			room;
	int64_t		norders;
	Event	   *heap;
} Events;

extern void events_open(Events *events);
extern void events_close(Events *events);
extern void events_add(Events *events, int64_t at_us, EventKind kind, int index);
extern bool events_next(Events *events, Event *event);

#endif							/* EVENTS_H */
