/*-------------------------------------------------------------------------
 *
 * country_list.h
 *	  The countries of pnvs.countries: those that may be sent to, or may not.
 *
 * ISO codes and calling codes, such as "ID SG +65"; with a minus sign, such as "-ID -+7",
 * those that may not be sent to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_COUNTRY_LIST_H
#define PNVS_COUNTRY_LIST_H

#include "core/calling_codes.h"

/* More than there are regions and calling codes. */
#define PNVS_MAX_COUNTRIES 512

#define PNVS_COUNTRIES_FAULT_SIZE 200

/* A region, or a calling code with all of its regions. */
typedef struct PnvsCountry
{
	char		region[PNVS_REGION_SIZE];	/* or empty */
	bool		excluded;		/* may not be sent to */
	uint16_t	calling_code;	/* or 0 */
} PnvsCountry;

typedef struct PnvsCountryList
{
	int			ncountries;
	bool		includes;		/* some are not excluded: all others are */
	PnvsCountry countries[PNVS_MAX_COUNTRIES];
} PnvsCountryList;

extern bool pnvs_country_list_parse(const char *text, PnvsCountryList *list,
									char fault[PNVS_COUNTRIES_FAULT_SIZE]);
extern bool pnvs_country_list_allows(const PnvsCountryList *list, const char *digits);

#endif							/* PNVS_COUNTRY_LIST_H */
