/*-------------------------------------------------------------------------
 *
 * setting_text.h
 *	  Reads the words, numbers and intervals of a setting.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_SETTING_TEXT_H
#define PNVS_SETTING_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "31d", and "2678400s" if it must be. */
#define PNVS_INTERVAL_TEXT_SIZE 24

/* The most of a setting that a message quotes, NUL included. */
#define PNVS_QUOTE_SIZE 56

#define PNVS_SECOND_US INT64_C(1000000)
#define PNVS_MINUTE_US (60 * PNVS_SECOND_US)
#define PNVS_HOUR_US (60 * PNVS_MINUTE_US)
#define PNVS_DAY_US (24 * PNVS_HOUR_US)

/* What is left to be read. */
typedef struct PnvsSettingText
{
	const char *at;
	const char *end;
} PnvsSettingText;

extern bool pnvs_setting_text_at_end(PnvsSettingText *text);
extern bool pnvs_setting_text_word(PnvsSettingText *text, const char *word);
extern bool pnvs_setting_text_number(PnvsSettingText *text, uint32_t max, char sign,
									 uint32_t *number);
extern bool pnvs_setting_text_interval(PnvsSettingText *text, int64_t min_us, int64_t max_us,
									   int64_t *interval_us);
extern void pnvs_setting_text_quote(PnvsSettingText text, char out[PNVS_QUOTE_SIZE]);
extern void pnvs_setting_text_fault(PnvsSettingText text, const char *expected,
									char *fault, size_t size);
extern void pnvs_interval_text(int64_t interval_us, char text[PNVS_INTERVAL_TEXT_SIZE]);

#endif							/* PNVS_SETTING_TEXT_H */
