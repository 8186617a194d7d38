/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <pthread.h>

#include <cmocka.h>

#include "base/bitmap.h"

static uint64_t rnd(uint64_t *s)
{
    uint64_t z = *s += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* Every function against an array of bools, for sizes around the ends of words. */
struct pair {
    uint64_t bits, *map;
    bool *naive;
};

static void same(const struct pair *p)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < p->bits; i++) {
        assert_int_equal(gw_bitmap_test(p->map, i), p->naive[i]);
        n += p->naive[i];
    }
    assert_int_equal(gw_bitmap_count(p->map, p->bits), n);
    if (p->bits % 64) /* past the end: clear */
        assert_int_equal(p->map[p->bits / 64] >> (p->bits % 64), 0);
}

static uint64_t naive_next(const struct pair *p, uint64_t from, bool what)
{
    while (from < p->bits && p->naive[from] != what)
        from++;
    return GW_MIN(from, p->bits);
}

static void change_range(struct pair *p, unsigned how, uint64_t first, uint64_t count)
{
    uint64_t clear = 0;

    for (uint64_t i = first; i < first + count; i++) {
        clear += !p->naive[i];
        if (how < 3)
            p->naive[i] = how != 1;
    }
    if (how == 0)
        gw_bitmap_set_range(p->map, first, count);
    else if (how == 1)
        gw_bitmap_clear_range(p->map, first, count);
    else if (how == 2)
        assert_int_equal(gw_bitmap_set_range_count(p->map, first, count), clear);
    else
        assert_int_equal(gw_bitmap_count_range(p->map, first, count), count - clear);
}

static void merge(struct pair *p, uint64_t first, uint64_t count)
{
    uint64_t *src = gw_bitmap_new(p->bits), fresh = 0;

    gw_bitmap_set_range(src, first, count);
    for (uint64_t i = first; i < first + count; i++) {
        fresh += !p->naive[i];
        p->naive[i] = true;
    }
    assert_int_equal(gw_bitmap_or_count(p->map, src, p->bits), fresh);
    gw_bitmap_free(src, p->bits);
}

static void take_word(struct pair *p, uint64_t word)
{
    uint64_t taken = gw_bitmap_take_word_atomic(p->map, word);

    for (uint64_t i = word * 64; i < GW_MIN(p->bits, (word + 1) * 64); i++) {
        assert_int_equal(taken >> (i % 64) & 1, p->naive[i]);
        p->naive[i] = false;
    }
}

static void one_step(struct pair *p, uint64_t *seed)
{
    uint64_t r = rnd(seed), first = p->bits ? rnd(seed) % p->bits : 0;
    uint64_t count = p->bits ? rnd(seed) % (p->bits - first + 1) : 0;
    unsigned how = (unsigned)(r % 9);

    if (r & 1 << 20)
        count = GW_MIN(count, 5);
    if (how < 4) {
        change_range(p, how, first, count);
    } else if (how == 4) {
        merge(p, first, count);
    } else if (how == 5 && p->bits) {
        assert_int_equal(gw_bitmap_test_clear(p->map, first), p->naive[first]);
        p->naive[first] = false;
    } else if (how == 6 && p->bits) {
        assert_int_equal(gw_bitmap_set_atomic(p->map, first), p->naive[first]);
        p->naive[first] = true;
    } else if (how == 7 && p->bits) {
        take_word(p, first / 64);
    }
    for (unsigned i = 0; i < 4; i++) {
        uint64_t from = rnd(seed) % (p->bits + 70);

        assert_int_equal(gw_bitmap_next_set(p->map, p->bits, from), naive_next(p, from, true));
        assert_int_equal(gw_bitmap_next_clear(p->map, p->bits, from), naive_next(p, from, false));
    }
}

static void test_model(void **state)
{
    static const uint64_t sizes[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 200, 511, 512, 513, 1000, 4096, 5001};
    uint64_t seed = 12345;

    for (unsigned s = 0; s < GW_ARRAY_LEN(sizes); s++) {
        struct pair p = {
            .bits = sizes[s], .map = gw_bitmap_new(sizes[s]), .naive = calloc(GW_MAX(sizes[s], 1), sizeof(bool))};

        same(&p);
        for (unsigned n = 0; n < 3000; n++) {
            one_step(&p, &seed);
            if (n % 50 == 0)
                same(&p);
        }
        same(&p);
        gw_bitmap_free(p.map, p.bits);
        free(p.naive);
    }
}

/* From every bit to every other. */
static void test_next_exhaustive(void **state)
{
    enum { BITS = 1100 };
    uint64_t *map = gw_bitmap_new(BITS);

    for (uint64_t at = 0; at < BITS; at += 1 + at / 300) {
        gw_bitmap_set(map, at);
        for (uint64_t from = 0; from < BITS; from++)
            assert_int_equal(gw_bitmap_next_set(map, BITS, from), from <= at ? at : BITS);
        gw_bitmap_clear(map, at);
    }
    gw_bitmap_set_range(map, 0, BITS);
    for (uint64_t at = 0; at < BITS; at += 1 + at / 300) {
        gw_bitmap_clear(map, at);
        for (uint64_t from = 0; from < BITS; from++)
            assert_int_equal(gw_bitmap_next_clear(map, BITS, from), from <= at ? at : BITS);
        gw_bitmap_set(map, at);
    }
    gw_bitmap_free(map, BITS);
}

/* The map of a TiB. */
static void test_large(void **state)
{
    const uint64_t bits = 1ull << 28;
    uint64_t *map = gw_bitmap_new(bits), seed = 1, last = 0;

    assert_non_null(map);
    assert_int_equal(gw_bitmap_next_set(map, bits, 0), bits);
    for (unsigned i = 0; i < 50; i++) {
        uint64_t at = rnd(&seed) % bits;

        gw_bitmap_set(map, at);
        assert_int_equal(gw_bitmap_next_set(map, bits, at ? at - 1 : 0), at);
        last = GW_MAX(last, at);
    }
    assert_int_equal(gw_bitmap_next_set(map, bits, last + 1), bits);
    assert_int_equal(gw_bitmap_count(map, bits), 50);
    gw_bitmap_free(map, bits);
    gw_bitmap_free(NULL, bits);
}

struct setter {
    uint64_t *map, bits, seed, fresh;
};

static void *setter(void *arg)
{
    struct setter *s = arg;

    for (unsigned i = 0; i < 200000; i++)
        s->fresh += !gw_bitmap_set_atomic(s->map, rnd(&s->seed) % s->bits);
    return NULL;
}

/* Two set, one takes: what was set is taken exactly once. */
static void test_atomic(void **state)
{
    uint64_t bits = 5000, taken = 0, *map = gw_bitmap_new(bits);
    struct setter s[2] = {{.map = map, .bits = bits, .seed = 1}, {.map = map, .bits = bits, .seed = 2}};
    pthread_t t[2];

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, setter, &s[i]), 0);
    for (unsigned n = 0; n < 500; n++)
        for (size_t w = 0; w < gw_bitmap_words(bits); w++)
            taken += (uint64_t)__builtin_popcountll(gw_bitmap_take_word_atomic(map, w));
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    taken += gw_bitmap_count(map, bits);
    assert_int_equal(taken, s[0].fresh + s[1].fresh);
    gw_bitmap_free(map, bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_next_exhaustive),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_atomic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
