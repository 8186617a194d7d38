/* SPDX-License-Identifier: MIT */
#include "base/bitmap.h"

#include <sys/mman.h>

/* malloc would clear the memory and so make it resident; a map of a TiB guest has 32 MiB and is mostly untouched. */
#define MMAP_FROM_BYTES 65536

uint64_t *gw_bitmap_new(uint64_t bits)
{
    size_t bytes = GW_MAX(gw_bitmap_words(bits), 1) * 8;
    void *p;

    if (bytes < MMAP_FROM_BYTES)
        return calloc(1, bytes);
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void gw_bitmap_free(uint64_t *map, uint64_t bits)
{
    size_t bytes = GW_MAX(gw_bitmap_words(bits), 1) * 8;

    if (!map)
        return;
    if (bytes < MMAP_FROM_BYTES)
        free(map);
    else
        munmap(map, bytes);
}

static uint64_t head_mask(uint64_t first)
{
    return ~0ull << (first % 64);
}

static uint64_t tail_mask(uint64_t end)
{
    return end % 64 ? ~0ull >> (64 - end % 64) : ~0ull;
}

/* Calls op(word, mask) for each word that [first, first + count) touches. */
#define FOR_MASKED(first, count, w, m)                                                                                 \
    for (uint64_t end_ = (first) + (count), w = (first) / 64, last_ = (end_ - 1) / 64, m = 0;                          \
         w <= last_ &&                                                                                                 \
         ((m = (w == (first) / 64 ? head_mask(first) : ~0ull) & (w == last_ ? tail_mask(end_) : ~0ull)), true);        \
         w++)

void gw_bitmap_set_range(uint64_t *map, uint64_t first, uint64_t count)
{
    if (!count)
        return;
    FOR_MASKED(first, count, w, m)
    map[w] |= m;
}

void gw_bitmap_clear_range(uint64_t *map, uint64_t first, uint64_t count)
{
    if (!count)
        return;
    FOR_MASKED(first, count, w, m)
    map[w] &= ~m;
}

void gw_bitmap_set_range_atomic(uint64_t *map, uint64_t first, uint64_t count)
{
    if (!count)
        return;
    FOR_MASKED(first, count, w, m)
    __atomic_fetch_or(&map[w], m, __ATOMIC_SEQ_CST);
}

uint64_t gw_bitmap_set_range_count(uint64_t *map, uint64_t first, uint64_t count)
{
    uint64_t n = 0;

    if (!count)
        return 0;
    FOR_MASKED(first, count, w, m)
    {
        n += (uint64_t)__builtin_popcountll(m & ~map[w]);
        map[w] |= m;
    }
    return n;
}

static uint64_t next(const uint64_t *map, uint64_t bits, uint64_t from, uint64_t flip)
{
    size_t words = gw_bitmap_words(bits), w = (size_t)(from / 64);
    uint64_t v, found;

    if (from >= bits)
        return bits;
    v = (map[w] ^ flip) & head_mask(from);
    if (!v) {
        w++;
        /* The maps of large guests are mostly empty: skips a cache line at a time. */
        while (w + 8 <= words &&
               !((map[w] ^ flip) | (map[w + 1] ^ flip) | (map[w + 2] ^ flip) | (map[w + 3] ^ flip) |
                 (map[w + 4] ^ flip) | (map[w + 5] ^ flip) | (map[w + 6] ^ flip) | (map[w + 7] ^ flip)))
            w += 8;
        while (w < words && !(v = map[w] ^ flip))
            w++;
        if (w >= words)
            return bits;
    }
    found = (uint64_t)w * 64 + (uint64_t)__builtin_ctzll(v);
    return GW_MIN(found, bits);
}

uint64_t gw_bitmap_next_set(const uint64_t *map, uint64_t bits, uint64_t from)
{
    return next(map, bits, from, 0);
}

uint64_t gw_bitmap_next_clear(const uint64_t *map, uint64_t bits, uint64_t from)
{
    return next(map, bits, from, ~0ull);
}

/* Without the instruction GCC counts with a table, four times slower than memory; so if the instruction may be missing,
 * each loop exists twice. */
static inline __attribute__((always_inline)) uint64_t count_words(const uint64_t *map, size_t words)
{
    uint64_t n = 0;

    for (size_t i = 0; i < words; i++)
        n += (uint64_t)__builtin_popcountll(map[i]);
    return n;
}

static inline __attribute__((always_inline)) uint64_t or_words(uint64_t *dst, const uint64_t *src, size_t words)
{
    uint64_t n = 0;

    for (size_t i = 0; i < words; i++) {
        uint64_t fresh = src[i] & ~dst[i];

        if (fresh) {
            n += (uint64_t)__builtin_popcountll(fresh);
            dst[i] |= fresh;
        }
    }
    return n;
}

#if defined(__x86_64__) && !defined(__POPCNT__)
__attribute__((target("popcnt"))) static uint64_t count_words_popcnt(const uint64_t *map, size_t words)
{
    return count_words(map, words);
}

__attribute__((target("popcnt"))) static uint64_t or_words_popcnt(uint64_t *dst, const uint64_t *src, size_t words)
{
    return or_words(dst, src, words);
}
#define BEST(fn, ...) (__builtin_cpu_supports("popcnt") ? fn##_popcnt(__VA_ARGS__) : fn(__VA_ARGS__))
#else
#define BEST(fn, ...) fn(__VA_ARGS__)
#endif

uint64_t gw_bitmap_count(const uint64_t *map, uint64_t bits)
{
    return BEST(count_words, map, gw_bitmap_words(bits));
}

uint64_t gw_bitmap_count_range(const uint64_t *map, uint64_t first, uint64_t count)
{
    uint64_t end = first + count, w = first / 64, last = (end - 1) / 64, n;

    if (!count)
        return 0;
    if (w == last)
        return (uint64_t)__builtin_popcountll(map[w] & head_mask(first) & tail_mask(end));
    n = (uint64_t)__builtin_popcountll(map[w] & head_mask(first)) +
        (uint64_t)__builtin_popcountll(map[last] & tail_mask(end));
    return n + BEST(count_words, map + w + 1, (size_t)(last - w - 1));
}

uint64_t gw_bitmap_or_count(uint64_t *dst, const uint64_t *src, uint64_t bits)
{
    return BEST(or_words, dst, src, gw_bitmap_words(bits));
}
