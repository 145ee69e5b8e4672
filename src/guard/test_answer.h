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

extern bool pnvs_test_answer(PnvsOperationId id, const char *const *values, PnvsAnswer *answer);
extern void pnvs_test_answer_start(const char *recipient, PnvsAnswer *answer);

#endif							/* PNVS_TEST_ANSWER_H */
