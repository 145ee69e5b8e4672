/*-------------------------------------------------------------------------
 *
 * operation.h
 *	  The operations of the service: their names, their parameters, and which
 *	  of those are personal or secret.
 *
 * A caller fills an array of values by the operation's own enumeration below;
 * NULL leaves a parameter out.  Parameters stand in the order of their names'
 * bytes, which is the order in which they are signed.
 *
 * Source: Alibaba Cloud, Phone Number Verification Service, API 2017-07-25.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_OPERATION_H
#define PNVS_OPERATION_H

#include <stdbool.h>

#include "core/rules.h"

#define PNVS_API_VERSION "2017-07-25"

/* SearchVerification has most: seven. */
#define PNVS_MAX_PARAMETERS 8

/* Those of the service have about 30 characters. */
#define PNVS_MAX_VERIFICATION_ID_LEN 256

typedef enum PnvsOperationId
{
	PNVS_START_VERIFICATION,
	PNVS_CHECK_VERIFICATION,
	PNVS_SEARCH_VERIFICATION
} PnvsOperationId;

#define PNVS_OPERATION_COUNT (PNVS_SEARCH_VERIFICATION + 1)

enum PnvsStartParameter
{
	PNVS_START_CHANNEL,
	PNVS_START_SERVICE_SID,
	PNVS_START_TO
};

enum PnvsCheckParameter
{
	PNVS_CHECK_CODE,
	PNVS_CHECK_SERVICE_SID,
	PNVS_CHECK_TO,
	PNVS_CHECK_VERIFICATION_ID
};

enum PnvsSearchParameter
{
	PNVS_SEARCH_CODE,
	PNVS_SEARCH_CURRENT_PAGE,
	PNVS_SEARCH_PAGE_SIZE,
	PNVS_SEARCH_SEND_DATE,
	PNVS_SEARCH_SERVICE_SID,
	PNVS_SEARCH_TO,
	PNVS_SEARCH_VERIFICATION_ID
};

typedef enum PnvsSensitivity
{
	PNVS_PLAIN,					/* may be shown */
	PNVS_PERSONAL,				/* a phone number: shown masked only */
	PNVS_SECRET					/* a one-time code: never shown */
} PnvsSensitivity;

typedef struct PnvsParameter
{
	const char *name;
	bool		required;
	PnvsSensitivity sensitivity;
} PnvsParameter;

typedef struct PnvsOperation
{
	const char *name;			/* as in x-acs-action */
	bool		sends_message;	/* a repeat costs money and a second message */
	int			nparameters;
	PnvsParameter parameters[PNVS_MAX_PARAMETERS];
} PnvsOperation;

extern const PnvsOperation *pnvs_operation_get(PnvsOperationId id);
extern const char *pnvs_operation_channel(const char *text);
extern PnvsChannelWord pnvs_operation_channel_word(const char *text);
extern const char *pnvs_operation_channel_text(PnvsChannelWord word);

#endif							/* PNVS_OPERATION_H */
