/*-------------------------------------------------------------------------
 *
 * phone_number.h
 *	  Normalises, compares and masks phone numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_PHONE_NUMBER_H
#define PNVS_PHONE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* ITU-T E.164, section 6: at most 15 digits, the calling code included. */
#define PNVS_PHONE_NUMBER_MAX_DIGITS 15

/* The shortest international numbers (Saint Helena, Niue) have 7 digits. */
#define PNVS_PHONE_NUMBER_MIN_DIGITS 7

/* Digits and a NUL. */
#define PNVS_PHONE_NUMBER_SIZE (PNVS_PHONE_NUMBER_MAX_DIGITS + 1)

typedef enum PnvsPhoneNumberFault
{
	PNVS_PHONE_NUMBER_OK,
	PNVS_PHONE_NUMBER_BAD_CHARACTER,
	PNVS_PHONE_NUMBER_MISPLACED_PLUS,
	PNVS_PHONE_NUMBER_EXTENSION,
	PNVS_PHONE_NUMBER_DECIMAL,	/* of a spreadsheet or a numeric column */
	PNVS_PHONE_NUMBER_TRUNK_PREFIX, /* "(0)", which is not dialled from abroad */
	PNVS_PHONE_NUMBER_TRUNK_ZERO,	/* the same after the calling code */
	PNVS_PHONE_NUMBER_INTERNATIONAL_PREFIX, /* 00 */
	PNVS_PHONE_NUMBER_LEADING_ZERO, /* no calling code begins with 0 */
	PNVS_PHONE_NUMBER_TOO_SHORT,
	PNVS_PHONE_NUMBER_TOO_LONG
} PnvsPhoneNumberFault;

extern PnvsPhoneNumberFault pnvs_phone_number_normalise(const char *text,
														char out[PNVS_PHONE_NUMBER_SIZE]);
extern bool pnvs_phone_number_same_digits(const char *one, const char *other);
extern void pnvs_phone_number_mask(const char *digits,
								   char out[PNVS_PHONE_NUMBER_SIZE]);

#endif							/* PNVS_PHONE_NUMBER_H */
