/*-------------------------------------------------------------------------
 *
 * calling_codes.h
 *	  The numbering plans of the world: calling codes, the regions that share a
 *	  code, and the form of national numbers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_CALLING_CODES_H
#define PNVS_CALLING_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A region by ISO 3166, and a NUL. */
#define PNVS_REGION_SIZE 3

typedef enum PnvsPlanKind
{
	PNVS_PLAN_GEOGRAPHIC,
	PNVS_PLAN_SATELLITE,		/* and other networks without a country */
	PNVS_PLAN_PREMIUM,
	PNVS_PLAN_SERVICE			/* freephone, shared cost and the like */
} PnvsPlanKind;

/* A calling code and its plan; lengths are those of national numbers, in digits. */
typedef struct PnvsCallingCode
{
	uint16_t	code;
	char		region[PNVS_REGION_SIZE];	/* the main one, or empty */
	uint8_t		leading_zeros;	/* at most, of a national number */
	uint8_t		shortest;
	uint8_t		longest;
	uint8_t		kind;			/* a PnvsPlanKind */
	uint8_t		region_digits;	/* of the longest prefix of another region,
								 * with the calling code; 0: there is none */
	uint8_t		premium_digits; /* of the longest prefix of premium numbers */
} PnvsCallingCode;

/* A prefix of the numbers of one region, where several regions share a calling code. */
typedef struct PnvsRegionPrefix
{
	uint32_t	prefix;			/* with the calling code */
	char		region[PNVS_REGION_SIZE];
} PnvsRegionPrefix;

extern const PnvsCallingCode *pnvs_calling_code_find(const char *digits);
extern size_t pnvs_calling_code_len(const PnvsCallingCode *plan);
extern const char *pnvs_calling_code_region(const char *digits);
extern bool pnvs_calling_code_has_region(const char *region);
extern bool pnvs_calling_code_fits(const PnvsCallingCode *plan, const char *digits);
extern bool pnvs_calling_code_is_premium(const char *digits);

#endif							/* PNVS_CALLING_CODES_H */
