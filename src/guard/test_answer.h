/*-------------------------------------------------------------------------
 *
 * test_answer.h
 *	  The answers that requests for test numbers get, without the service.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_TEST_ANSWER_H
#define PNVS_TEST_ANSWER_H

#include "remote/client.h"

extern bool pnvs_test_answer_check(const char *const *values, PnvsAnswer *answer);
extern const char *pnvs_test_tried_number(const char *const *check);
extern char *pnvs_test_answer_make_id(const char *recipient);
extern void pnvs_test_answer_start(const char *recipient, PnvsAnswer *answer);

#endif							/* PNVS_TEST_ANSWER_H */
