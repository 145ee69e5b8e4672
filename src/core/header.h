/*-------------------------------------------------------------------------
 *
 * header.h
 *	  Reads a line of a reply's headers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PNVS_HEADER_H
#define PNVS_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern bool pnvs_header_value(const char *line, size_t line_len, const char *name,
							  char *value, size_t value_size);
extern int64_t pnvs_header_milliseconds(const char *value);

#endif							/* PNVS_HEADER_H */
