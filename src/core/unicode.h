/*-------------------------------------------------------------------------
 *
 * unicode.h
 *	  Reads UTF-8, and recognises digits, white space and hyphens of all scripts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_UNICODE_H
#define PNVS_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

/* Stands for a byte that is not UTF-8. */
#define PNVS_UNICODE_INVALID 0xFFFD

extern const char *pnvs_unicode_next(const char *text, uint32_t *character);
extern int	pnvs_unicode_digit(uint32_t character);
extern bool pnvs_unicode_is_space(uint32_t character);
extern bool pnvs_unicode_is_line_break(uint32_t character);
extern bool pnvs_unicode_is_invisible(uint32_t character);
extern bool pnvs_unicode_is_hyphen(uint32_t character);
extern uint32_t pnvs_unicode_narrow(uint32_t character);
extern bool pnvs_unicode_is_ignorable(uint32_t character);
extern bool pnvs_unicode_is_blank(const char *text);
extern void pnvs_unicode_clean_code(char *text);

#endif							/* PNVS_UNICODE_H */
