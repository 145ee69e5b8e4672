/*-------------------------------------------------------------------------
 *
 * test_numbers.h
 *	  The numbers of pnvs.test_numbers: nothing is sent to them, and their code is known.
 *
 * 6590000001=123456 until 2027-01-31, ...
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TEST_NUMBERS_H
#define PNVS_TEST_NUMBERS_H

#include <stdint.h>

#include "core/phone_number.h"

/* Testers of a team, and the reviewers of two app stores. */
#define PNVS_MAX_TEST_NUMBERS 100

/* A test number lets everybody in who knows its code: none is to be forgotten. */
#define PNVS_TEST_NUMBER_MAX_DAYS 90

/* Codes of the service have 4 to 8 digits. */
#define PNVS_TEST_CODE_MIN_LEN 4
#define PNVS_TEST_CODE_MAX_LEN 8

#define PNVS_TEST_NUMBERS_FAULT_SIZE 200

/* The message of every result of a test number. */
#define PNVS_TEST_NUMBER_MESSAGE "Local.TestNumber"

/* "test-", the number, "-", and random letters. */
#define PNVS_TEST_ID_PREFIX "test-"
#define PNVS_TEST_ID_RANDOM_LEN 16

typedef struct PnvsTestNumber
{
	char		digits[PNVS_PHONE_NUMBER_SIZE];
	char		code[PNVS_TEST_CODE_MAX_LEN + 1];
	int64_t		ends_at_s;		/* Unix time; from then on it is a number like
								 * any other */
} PnvsTestNumber;

typedef struct PnvsTestNumbers
{
	int			nnumbers;
	PnvsTestNumber numbers[PNVS_MAX_TEST_NUMBERS];
} PnvsTestNumbers;

extern bool pnvs_test_numbers_parse(const char *text, int64_t now_s, PnvsTestNumbers *numbers,
									char fault[PNVS_TEST_NUMBERS_FAULT_SIZE]);
extern const PnvsTestNumber *pnvs_test_numbers_find(const PnvsTestNumbers *numbers,
													const char *digits, int64_t now_s);
extern bool pnvs_test_id_number(const char *verification_id, char digits[PNVS_PHONE_NUMBER_SIZE]);

#endif							/* PNVS_TEST_NUMBERS_H */
