/*-------------------------------------------------------------------------
 *
 * service_accepted.h
 *	  What the service has accepted: for searches, and as a log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVICE_ACCEPTED_H
#define SERVICE_ACCEPTED_H

#include <stdint.h>

typedef struct Accepted
{
	int64_t		number;
	int64_t		serial;			/* its verification ID is made of it */
	int64_t		at_ns;			/* since the epoch */
	int			is_voice;		/* its channel, SMS if not */
	int			nth;			/* of this number's messages, from 1: its code is made of it */
	int			approved;		/* its code has been approved */
	struct Accepted *before;	/* of the same number, or NULL */
} Accepted;

extern int	accepted_open(const char *log);
extern int	accepted_note(int64_t number, int64_t serial, int is_voice, int64_t now_ns);
extern int	accepted_note_dropped(int64_t number, int64_t now_ns);
extern const Accepted *accepted_last(int64_t number);
extern Accepted *accepted_find(int64_t number, int64_t serial);
extern int	accepted_flush(void);

#endif
