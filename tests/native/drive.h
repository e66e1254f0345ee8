/* Drive the parser over a byte stream as a connection would, and write down what it says.
 *
 * The stream may hold several requests with their bodies. Whatever the parser is shown lies flush against an
 * unmapped page, at another address at each call: a read beyond len traps, a pointer kept between two calls
 * shows.
 */
#ifndef FC_DRIVE_H
#define FC_DRIVE_H

#include <stdio.h>

#include "parser.h"

#define DRIVE_MAX (1u << 20) /* bytes of one stream */

/* How many bytes arrive next, of left that are still to come; at least 1. */
typedef size_t (*Arrive)(void *state, size_t left);

/* Write the verdict on data to out: a line for each request, and one for how the stream ends. Aborts the
 * process when the parser breaks a promise of parser.h. All arguments are borrowed. */
void drive(FILE *out, const char *data, size_t len, const FcLimits *limits, Arrive arrive, void *state);

size_t arrive_whole(void *state, size_t left);
size_t arrive_bytewise(void *state, size_t left);
size_t arrive_random(void *state, size_t left); /* state: uint64_t, the seed, not 0 */

#endif
