/*-------------------------------------------------------------------------
 *
 * service_due.c
 *	  What the service is to do later: a heap, by the time at which it is due.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "service_due.h"

#define MAX_DUE 16384

static Due	due[MAX_DUE];		/* what is due first stands first */
static int	ndue;

/* 0, or -1 where there is no room. */
int
due_push(Due entry)
{
	int			at = ndue;

	if (ndue == MAX_DUE)
		return -1;
	ndue++;
	while (at > 0 && due[(at - 1) / 2].at_ns > entry.at_ns)
	{
		due[at] = due[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	due[at] = entry;
	return 0;
}

/* NULL where there is nothing. */
const Due *
due_first(void)
{
	return ndue > 0 ? &due[0] : NULL;
}

Due
due_pop(void)
{
	Due			first = due[0];
	Due			last = due[--ndue];
	int			at = 0;

	for (;;)
	{
		int			child = 2 * at + 1;

		if (child + 1 < ndue && due[child + 1].at_ns < due[child].at_ns)
			child++;
		if (child >= ndue || due[child].at_ns >= last.at_ns)
			break;
		due[at] = due[child];
		at = child;
	}
	due[at] = last;
	return first;
}
