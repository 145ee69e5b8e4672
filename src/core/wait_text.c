/*-------------------------------------------------------------------------
 *
 * wait_text.c
 *	  A time to wait, in words for the person who waits.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "core/wait_text.h"

#define MINUTE 60
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/*
 * "3:57" below an hour; then hours and, from two days on, days.  These are rounded up:
 * nobody is told to come back too early.
 */
void
pnvs_wait_text(int seconds, char text[PNVS_WAIT_TEXT_SIZE])
{
	int			hours = seconds / HOUR + (seconds % HOUR > 0);
	int			days = seconds / DAY + (seconds % DAY > 0);

	if (seconds < HOUR)
		snprintf(text, PNVS_WAIT_TEXT_SIZE, "%d:%02d", seconds / MINUTE, seconds % MINUTE);
	else if (seconds < 2 * DAY)
		snprintf(text, PNVS_WAIT_TEXT_SIZE, "%d hour%s", hours, hours == 1 ? "" : "s");
	else
		snprintf(text, PNVS_WAIT_TEXT_SIZE, "%d days", days);
}
