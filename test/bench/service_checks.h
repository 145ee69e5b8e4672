/*-------------------------------------------------------------------------
 *
 * service_checks.h
 *	  Checks codes, and remembers which.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVICE_CHECKS_H
#define SERVICE_CHECKS_H

#include <stddef.h>
#include <stdint.h>

#include "service_moods.h"

extern int	checks_open(const char *log);
extern int	checks_answer(const char *query, const Mood *mood, int64_t now_ns, char *body, size_t size);
extern int	checks_flush(void);

#endif
