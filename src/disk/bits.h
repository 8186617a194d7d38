/* SPDX-License-Identifier: MIT
 *
 * bits: a large array of bits in which empty and full ranges cost nothing.
 *
 * It has leaves of 32768 bits. A leaf needs memory only if some of its bits are set and some are not. So 64 TiB in
 * pieces of 64 KiB need 256 KiB, and at most 128 MiB more.
 *
 * Setting never fails: without memory for a leaf, all of its bits are set, and more is dirty than necessary. Clearing
 * may fail, and then clears less.
 *
 * Threads: one owner, or a lock of the caller's.
 */
#ifndef GW_DISK_BITS_H
#define GW_DISK_BITS_H

#include "base/base.h"

#define GW_BITS_MAX  (1ull << 40)
#define GW_BITS_LEAF 32768u

struct gw_bits;

/* -EFBIG: more than GW_BITS_MAX; -ENOMEM. */
int gw_bits_new(uint64_t bits, struct gw_bits **ret, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_bits *gw_bits_free(struct gw_bits *b);
uint64_t gw_bits_size(const struct gw_bits *b);

/* Ranges lie inside the array. */
bool gw_bits_test(const struct gw_bits *b, uint64_t bit);
void gw_bits_set(struct gw_bits *b, uint64_t first, uint64_t count);
/* -ENOMEM: some of the bits may still be set. */
int gw_bits_clear(struct gw_bits *b, uint64_t first, uint64_t count);
/* Cannot fail. */
void gw_bits_clear_all(struct gw_bits *b);
/* How many are set. */
uint64_t gw_bits_count(const struct gw_bits *b);
uint64_t gw_bits_count_range(const struct gw_bits *b, uint64_t first, uint64_t count);
/* The first one set at or after `from`, or the size. */
uint64_t gw_bits_next_set(const struct gw_bits *b, uint64_t from);
uint64_t gw_bits_next_clear(const struct gw_bits *b, uint64_t from);

/* [first, first + count) as little-endian words of 64 bits; first is a multiple of 64. Bits after count in the last
 * word is zero (get) or ignored (put). put replaces the range; -ENOMEM: more bits of it are set than were given. */
void gw_bits_get(const struct gw_bits *b, uint64_t first, uint64_t count, uint8_t *to);
int gw_bits_put(struct gw_bits *b, uint64_t first, uint64_t count, const uint8_t *from, struct gw_error *err);

#endif
