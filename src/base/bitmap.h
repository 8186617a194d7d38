/* SPDX-License-Identifier: MIT
 *
 * bitmap: one bit per page. Word i holds bits 64i..64i+63, least significant first.
 *
 * Sizes are in bits unless the name says otherwise. Bits past the end are kept clear by every function here, so that
 * counting and searching can use whole words.
 *
 * Threads: the plain functions have one owner. The _atomic ones may run concurrently on one bitmap.
 */
#ifndef GW_BITMAP_H
#define GW_BITMAP_H

#include "base/base.h"

static inline size_t gw_bitmap_words(uint64_t bits)
{
    return (size_t)gw_div_up(bits, 64);
}

/* Zeroed memory that is not resident until it is touched (mmap for large bitmaps). Free it with gw_bitmap_free and the
 * same size. NULL: no memory. A bitmap of 0 bits is valid. */
uint64_t *gw_bitmap_new(uint64_t bits);
void gw_bitmap_free(uint64_t *map, uint64_t bits);

static inline bool gw_bitmap_test(const uint64_t *map, uint64_t bit)
{
    return map[bit / 64] >> (bit % 64) & 1;
}

static inline void gw_bitmap_set(uint64_t *map, uint64_t bit)
{
    map[bit / 64] |= 1ull << (bit % 64);
}

static inline void gw_bitmap_clear(uint64_t *map, uint64_t bit)
{
    map[bit / 64] &= ~(1ull << (bit % 64));
}

/* Returns the old value. */
static inline bool gw_bitmap_test_clear(uint64_t *map, uint64_t bit)
{
    uint64_t m = 1ull << (bit % 64), *w = &map[bit / 64];
    bool old = (*w & m) != 0;

    *w &= ~m;
    return old;
}

static inline bool gw_bitmap_test_atomic(const uint64_t *map, uint64_t bit)
{
    return __atomic_load_n(&map[bit / 64], __ATOMIC_SEQ_CST) >> (bit % 64) & 1;
}

static inline bool gw_bitmap_set_atomic(uint64_t *map, uint64_t bit)
{
    uint64_t m = 1ull << (bit % 64);

    return (__atomic_fetch_or(&map[bit / 64], m, __ATOMIC_SEQ_CST) & m) != 0;
}

static inline bool gw_bitmap_clear_atomic(uint64_t *map, uint64_t bit)
{
    uint64_t m = 1ull << (bit % 64);

    return (__atomic_fetch_and(&map[bit / 64], ~m, __ATOMIC_SEQ_CST) & m) != 0;
}

/* Sets the bits word by word; all of them are set when it returns. */
void gw_bitmap_set_range_atomic(uint64_t *map, uint64_t first, uint64_t count);

/* Returns the whole word and sets it to zero, atomically. */
static inline uint64_t gw_bitmap_take_word_atomic(uint64_t *map, size_t word)
{
    return __atomic_exchange_n(&map[word], 0, __ATOMIC_SEQ_CST);
}

void gw_bitmap_set_range(uint64_t *map, uint64_t first, uint64_t count);
void gw_bitmap_clear_range(uint64_t *map, uint64_t first, uint64_t count);

/* Sets [first, first + count); returns how many were clear before. */
uint64_t gw_bitmap_set_range_count(uint64_t *map, uint64_t first, uint64_t count);

/* The first set (clear) bit at or after `from`, or `bits` when there is none. */
uint64_t gw_bitmap_next_set(const uint64_t *map, uint64_t bits, uint64_t from);
uint64_t gw_bitmap_next_clear(const uint64_t *map, uint64_t bits, uint64_t from);

/* Bits set in the whole map, and in [first, first + count). */
uint64_t gw_bitmap_count(const uint64_t *map, uint64_t bits);
uint64_t gw_bitmap_count_range(const uint64_t *map, uint64_t first, uint64_t count);

/* dst |= src; returns how many bits of dst became set. */
uint64_t gw_bitmap_or_count(uint64_t *dst, const uint64_t *src, uint64_t bits);

#endif
