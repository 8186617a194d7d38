/* SPDX-License-Identifier: MIT
 *
 * seeds: what the files of seeds share.
 */
#ifndef FUZZ_SEEDS_H
#define FUZZ_SEEDS_H

#include <stddef.h>

/* Writes one seed; 0: done. */
typedef int (*seeds_put)(const char *name, const void *data, size_t bytes);

/* For fuzz_postcopy.c and fuzz_bitmaps.c. */
int seeds_postcopy(seeds_put put);
int seeds_bitmaps(seeds_put put);

#endif
