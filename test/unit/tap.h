/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  Assertions that print TAP, the Test Anything Protocol, for prove(1).
 *
 * Each assertion is a sentence, given as a printf() format.  What it compares
 * is printed where it fails, so texts must not be secret.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>

#define TAP_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* What is asserted, and the sentence; the result is whether it holds. */
extern bool tap_ok(bool passed, const char *sentence,...)
			__attribute__((format(printf, 2, 3)));
extern bool tap_int(long long actual, long long expected, const char *sentence,...)
			__attribute__((format(printf, 3, 4)));
extern bool tap_text(const char *actual, const char *expected, const char *sentence,...)
			__attribute__((format(printf, 3, 4)));

/* Prints the plan; the result is main()'s. */
extern int	tap_done(void);

#endif							/* TAP_H */
