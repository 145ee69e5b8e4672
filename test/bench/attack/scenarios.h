/*-------------------------------------------------------------------------
 *
 * scenarios.h
 *	  The attacks that are simulated, and the settings against which.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "simulation.h"

typedef struct Scenario
{
	Attack		attack;
	Scale		scale;
} Scenario;

typedef struct Variant
{
	const char *name;
	GuardSettings settings;
} Variant;

extern const Scenario scenarios[];
extern const int nscenarios;
extern const Variant variants[];
extern const int nvariants;

#endif							/* SCENARIOS_H */
