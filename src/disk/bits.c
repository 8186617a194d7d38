/* SPDX-License-Identifier: MIT */
#include "disk/bits.h"

#include "base/bitmap.h"

#define LEAF_WORDS (GW_BITS_LEAF / 64)

struct leaf {
    uint32_t count; /* set bits, 1 to leaf_bits() - 1 */
    uint64_t word[LEAF_WORDS];
};

/* leaf[i] is NULL: no bit of it is set; &full_leaf: all are. */
struct gw_bits {
    uint64_t bits, set;
    uint64_t leaves;
    struct leaf **leaf;
};

static const struct leaf full_leaf; /* only its address is used */
#define FULL ((struct leaf *)(uintptr_t)&full_leaf)

static uint32_t leaf_bits(const struct gw_bits *b, uint64_t i)
{
    return (uint32_t)GW_MIN(b->bits - i * GW_BITS_LEAF, GW_BITS_LEAF);
}

int gw_bits_new(uint64_t bits, struct gw_bits **ret, struct gw_error *err)
{
    struct gw_bits *b;

    if (bits > GW_BITS_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_CALLER,
                       "%" PRIu64 " dirty bits are more than 2^40: choose a larger granularity", bits);
    b = calloc(1, sizeof *b);
    if (!b)
        return gw_nomem(err, "dirty bits");
    b->bits = bits;
    b->leaves = gw_div_up(bits, GW_BITS_LEAF);
    b->leaf = calloc(GW_MAX(b->leaves, 1u), sizeof *b->leaf);
    if (!b->leaf) {
        free(b);
        return gw_nomem(err, "dirty bits");
    }
    *ret = b;
    return 0;
}

static void drop(struct gw_bits *b, uint64_t i)
{
    if (b->leaf[i] != FULL)
        free(b->leaf[i]);
    b->leaf[i] = NULL;
}

struct gw_bits *gw_bits_free(struct gw_bits *b)
{
    if (!b)
        return NULL;
    gw_bits_clear_all(b);
    free(b->leaf);
    free(b);
    return NULL;
}

uint64_t gw_bits_size(const struct gw_bits *b)
{
    return b->bits;
}

uint64_t gw_bits_count(const struct gw_bits *b)
{
    return b->set;
}

void gw_bits_clear_all(struct gw_bits *b)
{
    for (uint64_t i = 0; b->set && i < b->leaves; i++) {
        if (b->leaf[i])
            drop(b, i);
    }
    b->set = 0;
}

bool gw_bits_test(const struct gw_bits *b, uint64_t bit)
{
    const struct leaf *l = b->leaf[bit / GW_BITS_LEAF];

    return l && (l == FULL || gw_bitmap_test(l->word, bit % GW_BITS_LEAF));
}

static uint32_t leaf_count(const struct gw_bits *b, uint64_t i)
{
    const struct leaf *l = b->leaf[i];

    return !l ? 0 : l == FULL ? leaf_bits(b, i) : l->count;
}

/* ---- changes, one leaf at a time -----------------------------------------------------------------------------------
 */

static void fill(struct gw_bits *b, uint64_t i)
{
    b->set += leaf_bits(b, i) - leaf_count(b, i);
    drop(b, i);
    b->leaf[i] = FULL;
}

/* The leaf, with memory of its own; NULL: no memory. */
static struct leaf *writable(struct gw_bits *b, uint64_t i)
{
    struct leaf *l = b->leaf[i];

    if (l && l != FULL)
        return l;
    l = calloc(1, sizeof *l);
    if (l && b->leaf[i]) {
        l->count = leaf_bits(b, i);
        gw_bitmap_set_range(l->word, 0, l->count);
    }
    if (l)
        b->leaf[i] = l;
    return l;
}

static void set_in_leaf(struct gw_bits *b, uint64_t i, uint32_t first, uint32_t count)
{
    struct leaf *l = b->leaf[i];
    uint32_t fresh;

    if (l == FULL)
        return;
    if (count == leaf_bits(b, i) || !(l = writable(b, i))) {
        fill(b, i);
        return;
    }
    fresh = (uint32_t)gw_bitmap_set_range_count(l->word, first, count);
    l->count += fresh;
    b->set += fresh;
    if (l->count == leaf_bits(b, i))
        fill(b, i);
}

static int clear_in_leaf(struct gw_bits *b, uint64_t i, uint32_t first, uint32_t count)
{
    struct leaf *l = b->leaf[i];
    uint32_t gone;

    if (!l)
        return 0;
    if (count == leaf_bits(b, i)) {
        b->set -= leaf_count(b, i);
        drop(b, i);
        return 0;
    }
    l = writable(b, i);
    if (!l)
        return -ENOMEM;
    gone = (uint32_t)gw_bitmap_count_range(l->word, first, count);
    gw_bitmap_clear_range(l->word, first, count);
    l->count -= gone;
    b->set -= gone;
    if (!l->count)
        drop(b, i);
    return 0;
}

/* The part of the range that lies in one leaf. */
static uint32_t part(uint64_t first, uint64_t count, uint64_t *ret_leaf, uint32_t *ret_first)
{
    *ret_leaf = first / GW_BITS_LEAF;
    *ret_first = (uint32_t)(first % GW_BITS_LEAF);
    return (uint32_t)GW_MIN(count, GW_BITS_LEAF - *ret_first);
}

void gw_bits_set(struct gw_bits *b, uint64_t first, uint64_t count)
{
    while (count) {
        uint64_t i;
        uint32_t at, n = part(first, count, &i, &at);

        set_in_leaf(b, i, at, n);
        first += n;
        count -= n;
    }
}

int gw_bits_clear(struct gw_bits *b, uint64_t first, uint64_t count)
{
    int r = 0;

    while (count) {
        uint64_t i;
        uint32_t at, n = part(first, count, &i, &at);

        if (clear_in_leaf(b, i, at, n) < 0)
            r = -ENOMEM;
        first += n;
        count -= n;
    }
    return r;
}

/* ---- looking ------------------------------------------------------------------------------------------------------
 */

uint64_t gw_bits_count_range(const struct gw_bits *b, uint64_t first, uint64_t count)
{
    uint64_t sum = 0;

    while (count) {
        uint64_t i;
        uint32_t at, n = part(first, count, &i, &at);
        const struct leaf *l = b->leaf[i];

        sum += !l ? 0 : l == FULL ? n : gw_bitmap_count_range(l->word, at, n);
        first += n;
        count -= n;
    }
    return sum;
}

uint64_t gw_bits_next_set(const struct gw_bits *b, uint64_t from)
{
    for (; from < b->bits; from = (from / GW_BITS_LEAF + 1) * GW_BITS_LEAF) {
        uint64_t i = from / GW_BITS_LEAF, at;
        const struct leaf *l = b->leaf[i];

        if (l == FULL)
            return from;
        if (!l)
            continue;
        at = gw_bitmap_next_set(l->word, leaf_bits(b, i), from % GW_BITS_LEAF);
        if (at < leaf_bits(b, i))
            return i * GW_BITS_LEAF + at;
    }
    return b->bits;
}

uint64_t gw_bits_next_clear(const struct gw_bits *b, uint64_t from)
{
    for (; from < b->bits; from = (from / GW_BITS_LEAF + 1) * GW_BITS_LEAF) {
        uint64_t i = from / GW_BITS_LEAF, at;
        const struct leaf *l = b->leaf[i];

        if (!l)
            return from;
        if (l == FULL)
            continue;
        at = gw_bitmap_next_clear(l->word, leaf_bits(b, i), from % GW_BITS_LEAF);
        if (at < leaf_bits(b, i))
            return i * GW_BITS_LEAF + at;
    }
    return b->bits;
}

/* ---- as bytes -----------------------------------------------------------------------------------------------------
 */

static uint64_t word_of(const struct gw_bits *b, uint64_t first)
{
    const struct leaf *l = b->leaf[first / GW_BITS_LEAF];

    return !l ? 0 : l == FULL ? UINT64_MAX : l->word[first % GW_BITS_LEAF / 64];
}

void gw_bits_get(const struct gw_bits *b, uint64_t first, uint64_t count, uint8_t *to)
{
    for (; count; to += 8) {
        uint64_t n = GW_MIN(count, 64u), w = word_of(b, first);

        if (n < 64)
            w &= (1ull << n) - 1;
        for (unsigned k = 0; k < 8; k++)
            to[k] = (uint8_t)(w >> (8 * k));
        first += n;
        count -= n;
    }
}

int gw_bits_put(struct gw_bits *b, uint64_t first, uint64_t count, const uint8_t *from, struct gw_error *err)
{
    int r = gw_bits_clear(b, first, count);

    for (; count; from += 8) {
        uint64_t n = GW_MIN(count, 64u), w = 0;

        for (unsigned k = 0; k < 8; k++)
            w |= (uint64_t)from[k] << (8 * k);
        if (n < 64)
            w &= (1ull << n) - 1;
        while (w) {
            unsigned at = (unsigned)__builtin_ctzll(w), run = ~(w >> at) ? (unsigned)__builtin_ctzll(~(w >> at)) : 64;

            run = GW_MIN(run, 64 - at);
            gw_bits_set(b, first + at, run);
            w = at + run >= 64 ? 0 : w >> (at + run) << (at + run);
        }
        first += n;
        count -= n;
    }
    return r < 0 ? gw_nomem(err, "dirty bits") : 0;
}
