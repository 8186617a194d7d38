/* SPDX-License-Identifier: MIT
 *
 * zoo: a device with every kind of field, for tests and fuzzing. zoo_make gives it random contents, zoo_image flattens
 * everything that can be reached from it, so that two zoos, or one before and after, are compared by memcmp.
 */
#ifndef TEST_ZOO_H
#define TEST_ZOO_H

#include <stdio.h>

#include "base/base.h"
#include "godwit/state.h"

#define ZOO_BITS 100
#define ZOO_HEAP 40
#define ZOO_LIST 6

struct zoo_rng {
    uint64_t s;
};

static inline uint64_t zoo_random(struct zoo_rng *r)
{
    uint64_t z = r->s += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

struct cage {
    uint16_t lo;
    uint32_t hi;
    uint8_t bits;
    uint8_t n;
    uint16_t some[4];
    bool wet;
    uint32_t depth;
};

struct animal {
    struct animal *next;
    uint32_t weight;
    uint8_t n;
    uint8_t name[8];
};

struct zoo {
    uint64_t private; /* never described */
    bool open;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    double f64;
    int64_t timer;
    uint8_t bytes[13];
    uint32_t rx_len;
    uint8_t rx[16];
    int32_t words_len;
    uint64_t words[9];
    uint16_t heap_len;
    uint32_t *heap; /* room for ZOO_HEAP */
    uint8_t heap_bytes_len;
    char *heap_bytes; /* room for 255 */
    uint32_t *alone;
    uint64_t map[2]; /* ZOO_BITS */
    uint8_t map_n_len;
    uint64_t map_n[3];
    uint64_t *heap_map; /* 70 bits */
    struct cage cage, plain;
    struct cage cages[3];
    uint8_t cages_len;
    struct cage cages_n[5];
    struct cage *far_cage;
    struct cage *maybe[4];
    uint8_t heap_cages_len;
    struct cage *heap_cages; /* room for 3 */
    struct animal *animals;
    bool has_extra;
    uint32_t extra;
    uint32_t newer; /* since 3 */
    uint32_t fixed, limit;
    bool has_sub, has_sub2, has_deep;
    uint32_t sub, sub_list[3], sub2, deep;
    unsigned loaded, cage_loaded; /* hooks counted; not described */
};

/* ---- descriptions ------------------------------------------------------------------------------------------------ */

static bool cage_is_wet(const void *p, uint32_t version)
{
    return ((const struct cage *)p)->wet;
}

static bool cage_needs_bits(const void *p)
{
    return ((const struct cage *)p)->bits & 1;
}

static int cage_check(const void *p, uint32_t version, struct gw_error *err)
{
    if (((const struct cage *)p)->lo == 0xdead)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a dead cage");
    return 0;
}

static const struct gw_field cage_bits_fields[] = {GW_FIELD(struct cage, bits), GW_END};
static const struct gw_state cage_bits_state = {
    .name = "cage/bits", .version = 1, .fields = cage_bits_fields, .needed = cage_needs_bits};
static const struct gw_field cage_fields[] = {
    GW_FIELD(struct cage, lo),
    GW_FIELD(struct cage, wet),
    GW_FIELD_WHEN(cage_is_wet, struct cage, depth),
    GW_FIELD(struct cage, n),
    GW_ARRAY_N(struct cage, some, n),
    GW_FIELD(struct cage, hi),
    GW_END,
};
static const struct gw_state cage_state = {
    .name = "cage",
    .version = 2,
    .fields = cage_fields,
    .check = cage_check,
    .subsections = (const struct gw_state *const[]){&cage_bits_state, NULL},
};
/* The same structure with a fixed layout: one entry describes an array of it. */
static const struct gw_field plain_fields[] = {
    GW_FIELD(struct cage, lo),
    GW_ARRAY(struct cage, some),
    GW_FIELD(struct cage, hi),
    GW_END,
};
static const struct gw_state plain_state = {.name = "plain", .version = 0, .fields = plain_fields};

static const struct gw_field animal_fields[] = {
    GW_FIELD(struct animal, weight),
    GW_FIELD(struct animal, n),
    GW_BYTES_N(struct animal, name, n),
    GW_END,
};
static const struct gw_state animal_state = {.name = "animal", .version = 1, .fields = animal_fields};

static inline void *zoo_first(void *p)
{
    return ((struct zoo *)p)->animals;
}

static inline void *zoo_next(void *p)
{
    return ((struct animal *)p)->next;
}

static inline void *zoo_alloc(void *p)
{
    return calloc(1, sizeof(struct animal));
}

static inline void zoo_append(void *p, void *element)
{
    struct animal **a = &((struct zoo *)p)->animals;

    while (*a)
        a = &(*a)->next;
    *a = element;
}

static inline void zoo_clear(void *p)
{
    struct zoo *z = p;

    while (z->animals) {
        struct animal *next = z->animals->next;

        free(z->animals);
        z->animals = next;
    }
}

static inline void zoo_free_element(void *p, void *element)
{
    free(element);
}

static const struct gw_list_ops zoo_list = {.first = zoo_first,
                                            .next = zoo_next,
                                            .alloc = zoo_alloc,
                                            .append = zoo_append,
                                            .clear = zoo_clear,
                                            .free_element = zoo_free_element,
                                            .max = ZOO_LIST};

static bool zoo_has_extra(const void *p, uint32_t version)
{
    return ((const struct zoo *)p)->has_extra;
}

static bool zoo_exists(const void *p, uint32_t version)
{
    return ((const struct zoo *)p)->fixed == 77;
}

static bool zoo_needs_sub(const void *p)
{
    return ((const struct zoo *)p)->has_sub;
}

static bool zoo_needs_sub2(const void *p)
{
    return ((const struct zoo *)p)->has_sub2;
}

static bool zoo_needs_deep(const void *p)
{
    return ((const struct zoo *)p)->has_deep;
}

static void zoo_loaded(void *p, uint32_t version)
{
    ((struct zoo *)p)->loaded++;
}

static const struct gw_field zoo_deep_fields[] = {GW_FIELD(struct zoo, deep), GW_END};
static const struct gw_state zoo_deep_state = {
    .name = "zoo/sub/deep", .version = 1, .fields = zoo_deep_fields, .needed = zoo_needs_deep};
static const struct gw_field zoo_sub_fields[] = {
    GW_FIELD(struct zoo, sub),
    GW_ARRAY(struct zoo, sub_list),
    GW_END,
};
static const struct gw_state zoo_sub_state = {
    .name = "zoo/sub",
    .version = 4,
    .oldest = 3,
    .fields = zoo_sub_fields,
    .needed = zoo_needs_sub,
    .subsections = (const struct gw_state *const[]){&zoo_deep_state, NULL},
};
static const struct gw_field zoo_sub2_fields[] = {GW_FIELD(struct zoo, sub2), GW_END};
static const struct gw_state zoo_sub2_state = {
    .name = "zoo/sub2", .version = 1, .fields = zoo_sub2_fields, .needed = zoo_needs_sub2};

static const struct gw_field zoo_fields[] = {
    GW_FIELD(struct zoo, open),
    GW_FIELD(struct zoo, u8),
    GW_FIELD(struct zoo, u16),
    GW_FIELD(struct zoo, u32),
    GW_FIELD(struct zoo, u64),
    GW_FIELD(struct zoo, i8),
    GW_FIELD(struct zoo, i16),
    GW_FIELD(struct zoo, i32),
    GW_FIELD(struct zoo, i64),
    GW_FIELD(struct zoo, f64),
    GW_TIMER(struct zoo, timer),
    GW_BYTES(struct zoo, bytes),
    GW_UNUSED_BYTES(5),
    GW_FIELD(struct zoo, rx_len),
    GW_BYTES_N(struct zoo, rx, rx_len),
    GW_FIELD(struct zoo, words_len),
    GW_ARRAY_N(struct zoo, words, words_len),
    GW_UNUSED_BYTES(3),
    GW_FIELD(struct zoo, heap_len),
    GW_ARRAY_POINTER_N(struct zoo, heap, heap_len, ZOO_HEAP),
    GW_FIELD(struct zoo, heap_bytes_len),
    GW_BYTES_POINTER_N(struct zoo, heap_bytes, heap_bytes_len, 255),
    GW_FIELD_POINTER(struct zoo, alone),
    GW_BITMAP(struct zoo, map, ZOO_BITS),
    GW_FIELD(struct zoo, map_n_len),
    GW_BITMAP_N(struct zoo, map_n, map_n_len),
    GW_BITMAP_POINTER(struct zoo, heap_map, 70),
    GW_STRUCT(struct zoo, cage, &cage_state),
    GW_STRUCT(struct zoo, plain, &plain_state, .state_version = 0),
    GW_STRUCT_ARRAY(struct zoo, cages, &plain_state),
    GW_FIELD(struct zoo, cages_len),
    GW_STRUCT_ARRAY_N(struct zoo, cages_n, cages_len, &cage_state),
    GW_POINTER(struct zoo, far_cage, &cage_state),
    GW_POINTER_ARRAY(struct zoo, maybe, &cage_state),
    GW_FIELD(struct zoo, heap_cages_len),
    GW_STRUCT_POINTER_N(struct zoo, heap_cages, heap_cages_len, 3, &plain_state),
    GW_LIST(struct zoo, animals, &animal_state, &zoo_list),
    GW_FIELD(struct zoo, has_extra),
    GW_FIELD_WHEN(zoo_has_extra, struct zoo, extra),
    GW_FIELD_SINCE(3, struct zoo, newer),
    GW_FIELD_EQUAL(struct zoo, fixed),
    GW_FIELD_AT_MOST(struct zoo, limit),
    GW_CHECK("the zoo has a number", zoo_exists),
    GW_END,
};
static const struct gw_state zoo_state = {
    .name = "zoo",
    .version = 3,
    .oldest = 2,
    .fields = zoo_fields,
    .subsections = (const struct gw_state *const[]){&zoo_sub_state, &zoo_sub2_state, NULL},
    .loaded = zoo_loaded,
};

/* ---- contents ---------------------------------------------------------------------------------------------------- */

static inline struct cage cage_make(struct zoo_rng *r)
{
    return (struct cage){.lo = (uint16_t)(zoo_random(r) % 50000),
                         .hi = (uint32_t)zoo_random(r),
                         .bits = (uint8_t)zoo_random(r),
                         .n = (uint8_t)(zoo_random(r) % 5),
                         .some = {(uint16_t)zoo_random(r), 2, (uint16_t)zoo_random(r), 4},
                         .wet = zoo_random(r) & 1,
                         .depth = (uint32_t)zoo_random(r)};
}

static inline void zoo_fill(void *p, size_t n, struct zoo_rng *r)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = (uint8_t)zoo_random(r);
}

/* shape: which pointers are NULL and which limits hold; must be the same on both sides. */
static inline struct zoo *zoo_make(uint64_t seed, unsigned shape)
{
    struct zoo_rng rng = {seed}, *r = &rng;
    struct zoo *z = calloc(1, sizeof *z);
    unsigned animals = (unsigned)(zoo_random(r) % (ZOO_LIST + 1));

    zoo_fill(&z->u8, offsetof(struct zoo, f64) - offsetof(struct zoo, u8), r);
    z->private = zoo_random(r);
    z->open = zoo_random(r) & 1;
    z->f64 = (double)zoo_random(r) / 3;
    z->timer = zoo_random(r) & 1 ? -1 : (int64_t)(zoo_random(r) >> 2);
    zoo_fill(z->bytes, sizeof z->bytes, r);
    z->rx_len = (uint32_t)(zoo_random(r) % 17);
    zoo_fill(z->rx, sizeof z->rx, r);
    z->words_len = (int32_t)(zoo_random(r) % 10);
    zoo_fill(z->words, sizeof z->words, r);
    z->heap_len = (uint16_t)(zoo_random(r) % (ZOO_HEAP + 1));
    z->heap = malloc(ZOO_HEAP * sizeof *z->heap);
    zoo_fill(z->heap, ZOO_HEAP * sizeof *z->heap, r);
    z->heap_bytes_len = (uint8_t)zoo_random(r);
    z->heap_bytes = malloc(255);
    zoo_fill(z->heap_bytes, 255, r);
    z->alone = malloc(sizeof *z->alone);
    *z->alone = (uint32_t)zoo_random(r);
    zoo_fill(z->map, sizeof z->map, r);
    z->map[1] &= (1ull << (ZOO_BITS - 64)) - 1;
    z->map_n_len = (uint8_t)(zoo_random(r) % 193);
    zoo_fill(z->map_n, sizeof z->map_n, r);
    for (unsigned i = z->map_n_len; i < 192; i++)
        z->map_n[i / 64] &= ~(1ull << i % 64);
    z->heap_map = calloc(2, 8);
    z->heap_map[0] = zoo_random(r);
    z->heap_map[1] = zoo_random(r) & 63;
    z->cage = cage_make(r);
    z->plain = cage_make(r);
    for (int i = 0; i < 3; i++)
        z->cages[i] = cage_make(r);
    z->cages_len = (uint8_t)(zoo_random(r) % 6);
    for (int i = 0; i < 5; i++)
        z->cages_n[i] = cage_make(r);
    z->far_cage = malloc(sizeof *z->far_cage);
    *z->far_cage = cage_make(r);
    for (int i = 0; i < 4; i++) {
        if (!(shape & (1u << i)))
            continue;
        z->maybe[i] = malloc(sizeof *z->maybe[i]);
        *z->maybe[i] = cage_make(r);
    }
    z->heap_cages_len = (uint8_t)(zoo_random(r) % 4);
    z->heap_cages = malloc(3 * sizeof *z->heap_cages);
    for (int i = 0; i < 3; i++)
        z->heap_cages[i] = cage_make(r);
    for (unsigned i = 0; i < animals; i++) {
        struct animal *a = calloc(1, sizeof *a);

        a->weight = (uint32_t)zoo_random(r);
        a->n = (uint8_t)(zoo_random(r) % 9);
        zoo_fill(a->name, a->n, r);
        zoo_append(z, a);
    }
    z->has_extra = zoo_random(r) & 1;
    z->extra = (uint32_t)zoo_random(r);
    z->newer = (uint32_t)zoo_random(r);
    z->fixed = 77;
    z->limit = 1000 + shape;
    z->has_sub = zoo_random(r) & 1;
    z->has_sub2 = zoo_random(r) & 1;
    z->has_deep = zoo_random(r) & 1;
    z->sub = (uint32_t)zoo_random(r);
    z->sub2 = (uint32_t)zoo_random(r);
    z->deep = (uint32_t)zoo_random(r);
    return z;
}

static inline void zoo_free(struct zoo *z)
{
    zoo_clear(z);
    for (int i = 0; i < 4; i++)
        free(z->maybe[i]);
    free(z->heap);
    free(z->heap_bytes);
    free(z->alone);
    free(z->heap_map);
    free(z->far_cage);
    free(z->heap_cages);
    free(z);
}

/* Everything, byte for byte, pointers included: for "it was not touched". */
#define ZOO_IMAGE 8192
static inline size_t zoo_image(const struct zoo *z, uint8_t *image)
{
    uint8_t *p = image;

#define PUT(from, n) p = (uint8_t *)memcpy(p, from, n) + (n)
    PUT(z, sizeof *z);
    PUT(z->heap, ZOO_HEAP * sizeof *z->heap);
    PUT(z->heap_bytes, 255);
    PUT(z->alone, sizeof *z->alone);
    PUT(z->heap_map, 16);
    PUT(z->far_cage, sizeof *z->far_cage);
    PUT(z->heap_cages, 3 * sizeof *z->heap_cages);
    for (int i = 0; i < 4; i++)
        if (z->maybe[i])
            PUT(z->maybe[i], sizeof *z->maybe[i]);
    for (const struct animal *a = z->animals; a; a = a->next)
        PUT(a, sizeof *a);
#undef PUT
    return (size_t)(p - image);
}

#endif
