/* SPDX-License-Identifier: MIT
 *
 * The array of bits, beside a model that has a byte for each bit: all calls, random ranges, and no memory now and then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "disk/bits.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define BITS (3 * GW_BITS_LEAF + 1000)

static uint8_t model[BITS];

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static uint64_t count(uint64_t first, uint64_t n)
{
    uint64_t sum = 0;

    for (uint64_t i = first; i < first + n; i++)
        sum += model[i];
    return sum;
}

static void same(const struct gw_bits *b)
{
    uint64_t at = 0;

    assert_int_equal(gw_bits_count(b), count(0, BITS));
    for (uint64_t i = 0; i < BITS; i++)
        assert_int_equal(gw_bits_test(b, i), model[i]);
    for (uint64_t i = 0; i < BITS; i = at + 1) {
        for (at = i; at < BITS && !model[at]; at++)
            ;
        assert_int_equal(gw_bits_next_set(b, i), at);
    }
    for (uint64_t i = 0; i < BITS; i = at + 1) {
        for (at = i; at < BITS && model[at]; at++)
            ;
        assert_int_equal(gw_bits_next_clear(b, i), at);
    }
}

/* Most are short; some are whole leaves and more. */
static void range(uint64_t *seed, uint64_t *ret_first, uint64_t *ret_count)
{
    uint64_t max, n;

    *ret_first = next(seed) % 4 ? next(seed) % BITS : next(seed) % 4 * GW_BITS_LEAF;
    max = BITS - *ret_first;
    n = next(seed) % 3 ? next(seed) % 200 : next(seed) % 2 ? GW_BITS_LEAF : next(seed) % BITS;
    *ret_count = GW_MIN(n, max);
}

static void test_model(void **state)
{
    uint64_t seed = 1;
    struct gw_bits *b;

    assert_int_equal(gw_bits_new(BITS, &b, NULL), 0);
    memset(model, 0, sizeof model);
    for (unsigned k = 0; k < 600; k++) {
        uint64_t first, n;
        bool set = next(&seed) % 2;

        range(&seed, &first, &n);
        if (set)
            gw_bits_set(b, first, n);
        else
            assert_int_equal(gw_bits_clear(b, first, n), 0);
        memset(model + first, set, n);
        range(&seed, &first, &n);
        assert_int_equal(gw_bits_count_range(b, first, n), count(first, n));
        if (k % 20 == 0)
            same(b);
    }
    same(b);
    gw_bits_clear_all(b);
    memset(model, 0, sizeof model);
    same(b);
    gw_bits_free(b);
}

static void test_bytes(void **state)
{
    static uint8_t got[BITS / 8 + 8], again[BITS / 8 + 8];
    uint64_t seed = 7;
    struct gw_bits *b, *other;

    assert_int_equal(gw_bits_new(BITS, &b, NULL), 0);
    assert_int_equal(gw_bits_new(BITS, &other, NULL), 0);
    gw_bits_set(other, 0, BITS); /* put replaces what is there */
    memset(model, 0, sizeof model);
    for (unsigned k = 0; k < 100; k++) {
        uint64_t first, n;

        range(&seed, &first, &n);
        gw_bits_set(b, first, n);
        memset(model + first, 1, n);
    }
    for (uint64_t at = 0; at < BITS;) {
        uint64_t n = next(&seed) % 300 * 64 + 64;

        n = GW_MIN(n, BITS - at);
        gw_bits_get(b, at, n, got);
        for (uint64_t i = 0; i < gw_div_up(n, 64) * 64; i++)
            assert_int_equal(got[i / 8] >> i % 8 & 1, i < n && model[at + i]);
        if (n % 64 && n % 64 <= 48)
            got[n / 8 + 1] = 0xff; /* behind the end: ignored */
        assert_int_equal(gw_bits_put(other, at, n, got, NULL), 0);
        at += n;
    }
    same(other);
    gw_bits_get(b, 0, BITS, got);
    gw_bits_get(other, 0, BITS, again);
    assert_memory_equal(got, again, sizeof got);
    gw_bits_free(b);
    gw_bits_free(other);
}

/* A bit that was set is never lost, and nothing that failed to be cleared is reported as clear. */
static void test_no_memory(void **state)
{
    for (uint64_t seed = 1; seed < 12; seed++) {
        uint64_t s = seed, first, n;
        struct gw_bits *b;

        assert_int_equal(gw_bits_new(BITS, &b, NULL), 0);
        memset(model, 0, sizeof model);
        for (unsigned k = 0; k < 30; k++) {
            range(&s, &first, &n);
            countdown = next(&s) % 3;
            if (next(&s) % 2) {
                gw_bits_set(b, first, n);
                memset(model + first, 1, n);
            } else {
                bool cleared = gw_bits_clear(b, first, n) == 0;

                for (uint64_t i = first; i < first + n; i++)
                    model[i] = !cleared && gw_bits_test(b, i);
                assert_true(!cleared || gw_bits_count_range(b, first, n) == 0);
            }
            countdown = 0;
            n = 0;
            for (uint64_t i = 0; i < BITS; i++) {
                if (model[i])
                    assert_true(gw_bits_test(b, i));
                model[i] = gw_bits_test(b, i); /* more may be set */
                n += model[i];
            }
            assert_int_equal(gw_bits_count(b), n);
        }
        gw_bits_free(b);
    }
}

/* 64 TiB in pieces of 64 KiB. Each leaf would have 4 KiB; the directory alone is 256 KiB. */
static void test_large(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t bits = 1ull << 30, at, found = 0;
    struct gw_bits *b;

    assert_int_equal(gw_bits_new(bits, &b, NULL), 0);
    for (unsigned i = 0; i < 100; i++)
        gw_bits_set(b, (uint64_t)i * 10000000, 3);
    for (at = gw_bits_next_set(b, 0); at < bits; at = gw_bits_next_set(b, at + 1))
        found++;
    assert_int_equal(found, 300);
    gw_bits_set(b, 0, bits); /* full leaves have no memory: one that failed would fill the array as well */
    assert_int_equal(gw_bits_count(b), bits);
    assert_int_equal(gw_bits_next_clear(b, 0), bits);
    gw_bits_free(b);
    assert_int_equal(gw_bits_new(GW_BITS_MAX + 1, &b, &err), -EFBIG);
    assert_non_null(strstr(err.text, "larger granularity"));
    assert_int_equal(gw_bits_new(0, &b, NULL), 0);
    assert_int_equal(gw_bits_next_set(b, 0), 0);
    gw_bits_set(b, 0, 0);
    gw_bits_free(b);
    for (unsigned i = 1; i <= 2; i++) {
        countdown = i;
        assert_int_equal(gw_bits_new(100, &b, NULL), -ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
