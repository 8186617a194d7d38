/* SPDX-License-Identifier: MIT
 *
 * Pages as zlib streams, against zlib itself, whichever library makes them here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "ram/codec/zpage.h"

#define LARGEST 65536u

static uint8_t page[LARGEST], got[LARGEST + 64], coded[2 * LARGEST];

static void fill(unsigned kind, uint32_t bytes)
{
    uint64_t x = 1;

    for (uint32_t i = 0; i < bytes; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        page[i] = (uint8_t)(kind == 0 ? 7 : kind == 1 ? x >> 60 : kind == 2 ? i * i >> 3 : x >> 56);
    }
}

/* What is packed, zlib unpacks, and the other way round. */
static void test_there_and_back(void **state)
{
    struct gw_zunpack *u = NULL;

    assert_int_equal(gw_zunpack_new(&u, NULL), 0);
    for (uint32_t bytes = 1024; bytes <= LARGEST; bytes *= 2)
        for (unsigned level = 0; level <= 9; level++)
            for (unsigned kind = 0; kind < 4; kind++) {
                struct gw_zpack *p = NULL;
                uLongf n = bytes;
                uint32_t packed;

                fill(kind, bytes);
                assert_int_equal(gw_zpack_new(level, &p, NULL), 0);
                packed = gw_zpack(p, page, bytes, coded, sizeof coded);
                assert_true(packed && (coded[0] & 15) == 8 && (coded[0] << 8 | coded[1]) % 31 == 0);
                if (level && kind < 2)
                    assert_true(packed < bytes);
                assert_int_equal(uncompress(got, &n, coded, packed), Z_OK);
                assert_int_equal(n, bytes);
                assert_memory_equal(got, page, bytes);
                memset(coded + packed - 8, 0xaa, 16);
                assert_int_equal(gw_zpack(p, page, bytes, coded, packed - 1), 0); /* does not fit */
                assert_int_equal(coded[packed - 1], 0xaa);
                gw_zpack_free(p);

                n = sizeof coded;
                assert_int_equal(compress2(coded, &n, page, bytes, (int)level), Z_OK);
                assert_int_equal(gw_zunpack(u, coded, (uint32_t)n, got, bytes, NULL), 0);
                assert_memory_equal(got, page, bytes);
            }
    gw_zunpack_free(u);
}

static void refuse(struct gw_zunpack *u, uint32_t n, uint32_t bytes, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;

    memset(got + bytes, 0x5a, 64);
    assert_int_equal(gw_zunpack(u, coded, n, got, bytes, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_non_null(strstr(err.text, text));
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(got[bytes + i], 0x5a);
}

static void test_refused(void **state)
{
    struct gw_zunpack *u = NULL;
    uLongf n = sizeof coded;

    fill(2, 4096);
    assert_int_equal(gw_zunpack_new(&u, NULL), 0);
    assert_int_equal(compress(coded, &n, page, 4096), Z_OK);
    for (uint32_t cut = 0; cut < n; cut++)
        refuse(u, cut, 4096, "compressed bytes");
    refuse(u, (uint32_t)n + 1, 4096, "compressed bytes");
    refuse(u, (uint32_t)n, 2048, "compressed bytes");
    refuse(u, (uint32_t)n, 8192, "compressed bytes");
    coded[0] ^= 1;
    refuse(u, (uint32_t)n, 4096, "compressed bytes");
    coded[0] ^= 1;
    coded[n - 1] ^= 1; /* the check sum */
    refuse(u, (uint32_t)n, 4096, "compressed bytes");
    coded[n - 1] ^= 1;
    assert_int_equal(gw_zunpack(u, coded, (uint32_t)n, got, 4096, NULL), 0); /* nothing of that is kept */
    assert_memory_equal(got, page, 4096);
    gw_zunpack_free(u);
    gw_zunpack_free(NULL);
    gw_zpack_free(NULL);
}

static void test_hopeless(void **state)
{
    for (unsigned kind = 0; kind < 4; kind++) {
        fill(kind, 4096);
        assert_int_equal(gw_zpack_hopeless(page, 4096), kind == 3);
    }
    fill(3, 4096);
    memcpy(page + 2048, page, 2048); /* noise that comes twice */
    assert_false(gw_zpack_hopeless(page, 4096));
    for (uint32_t i = 0; i < 1024; i++) /* noise in all but the highest bytes of 32 bits */
        page[i * 4 + 3] = 3;
    assert_false(gw_zpack_hopeless(page, 4096));
    for (uint32_t i = 0; i < 4096; i++) /* a ramp */
        page[i] = (uint8_t)(i / 9);
    assert_false(gw_zpack_hopeless(page, 4096));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hopeless),
    };

    return GW_HAVE_ZPAGE ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
