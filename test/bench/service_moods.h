/*-------------------------------------------------------------------------
 *
 * service_moods.h
 *	  What goes wrong with a request, by chance.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVICE_MOODS_H
#define SERVICE_MOODS_H

#include <stdint.h>

#include "service_due.h"

/* Later than any caller waits that is not to hear of it: a soak's wait 5 s. */
#define LATE_NS INT64_C(7000000000)

#define FAILURE(code) "{\"RequestId\":\"9D5A1A7E\",\"HostId\":\"bench\",\"Code\":\"" code "\",\"Message\":\"It did not go well.\"}"

/* When the service does what it is asked to. */
typedef enum Acceptance
{
	NEVER, AT_ONCE, LATE
} Acceptance;

typedef struct Mood
{
	int			share;			/* of a thousand requests */
	Acceptance	acceptance;
	Ending		ending;
	int			late;			/* whether it ends only after LATE_NS */
	int			status;
	const char *body;			/* NULL: that of a success */
} Mood;

extern const Mood moods_fine;

extern void moods_begin(uint64_t seed);
extern void moods_end(void);
extern int	moods_are_on(void);
extern const Mood *moods_draw(void);
extern const Mood *moods_draw_of_check(void);
extern uint64_t moods_random(uint64_t below);

#endif
