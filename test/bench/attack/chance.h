/*-------------------------------------------------------------------------
 *
 * chance.h
 *	  Random numbers from a seed: the same on every machine.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Chance
{
	uint64_t	state;
} Chance;

/* splitmix64, by Vigna */
static inline uint64_t
chance_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline uint64_t
chance_next(Chance *chance)
{
	chance->state += UINT64_C(0x9e3779b97f4a7c15);
	return chance_mix(chance->state);
}

/* From 0 to below - 1. */
static inline uint64_t
chance_below(Chance *chance, uint64_t below)
{
	return chance_next(chance) % below;
}

/* From first to last. */
static inline int64_t
chance_between(Chance *chance, int64_t first, int64_t last)
{
	return first + (int64_t) chance_below(chance, (uint64_t) (last - first + 1));
}

static inline bool
chance_percent(Chance *chance, int percent)
{
	return chance_below(chance, 100) < (uint64_t) percent;
}

#endif							/* CHANCE_H */
