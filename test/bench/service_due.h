/*-------------------------------------------------------------------------
 *
 * service_due.h
 *	  What the service is to do later: a heap, by the time at which it is due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVICE_DUE_H
#define SERVICE_DUE_H

#include <stdint.h>

/* What the caller hears in the end. */
typedef enum Ending
{
	ANSWER,
	CLOSE,						/* the connection's orderly end */
	RESET,						/* ... and its other one */
	SILENCE
} Ending;

typedef struct Due
{
	int64_t		at_ns;			/* of the monotonic clock */
	int			fd;
	int			generation;		/* of this descriptor */
	Ending		ending;
	int64_t		number;			/* that is accepted only then, or 0 */
	int64_t		serial;
	int			is_voice;		/* its channel, SMS if not */
} Due;

extern int	due_push(Due entry);
extern const Due *due_first(void);
extern Due	due_pop(void);

#endif
