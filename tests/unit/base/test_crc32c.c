/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/crc32c.h"

/* RFC 3720 B.4, and the check value of the catalogues. */
static void published(void **state)
{
    const struct gw_crc32c *v;
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];

    for (unsigned i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    for (unsigned i = 0; (v = gw_crc32c_variant(i)); i++) {
        assert_int_equal(v->of(0, "123456789", 9), 0xe3069283);
        assert_int_equal(v->of(0, zeros, 32), 0x8a9136aa);
        assert_int_equal(v->of(0, ones, 32), 0x62a8ab43);
        assert_int_equal(v->of(0, up, 32), 0x46dd794e);
        assert_int_equal(v->of(0, down, 32), 0x113fdb5c);
        assert_int_equal(v->of(0, "", 0), 0);
    }
    assert_int_equal(gw_crc32c(0, "123456789", 9), 0xe3069283);
}

#define TWIN_BYTES 9000u /* more than two rounds of the longest lanes */

static const struct gw_crc32c *portable(void)
{
    unsigned n = 0;

    while (gw_crc32c_variant(n))
        n++;
    assert_true(n > 0);
    assert_string_equal(gw_crc32c_variant(n - 1)->name, "portable");
    return gw_crc32c_variant(n - 1);
}

/* All variants agree with the portable one: at all lengths (which that one takes byte by byte, so that each is the one
 * before and a byte more) and alignments, whole and in two pieces. */
static void twins(void **state)
{
    const struct gw_crc32c *twin = portable(), *v;
    static uint8_t data[TWIN_BYTES + 8];

    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + (i >> 8) * 101 + 11);
    for (size_t from = 0; from < 8; from++) {
        uint32_t whole = twin->of(0, data + from, 0);

        for (size_t n = 0; n <= TWIN_BYTES; n++) {
            for (unsigned i = 0; (v = gw_crc32c_variant(i)) && v != twin; i++) {
                if (v->of(0, data + from, n) != whole ||
                    v->of(v->of(0, data + from, n / 3), data + from + n / 3, n - n / 3) != whole)
                    fail_msg("%s: %zu bytes at an address of %zu mod 8", v->name, n, from);
            }
            whole = twin->of(whole, data + from + n, 1);
        }
    }
}

/* Data of random bits, and a CRC to begin with that is random too. */
static void noise(void **state)
{
    const struct gw_crc32c *twin = portable(), *v;
    static uint8_t data[3 * 1024 + 3 * 128 + 7];
    uint64_t s = 1;

    for (unsigned turn = 0; turn < 200; turn++) {
        for (size_t i = 0; i < sizeof data; i++) {
            s = s * 6364136223846793005ull + 1442695040888963407ull;
            data[i] = (uint8_t)(s >> 56);
        }
        for (unsigned i = 0; (v = gw_crc32c_variant(i)) && v != twin; i++)
            assert_int_equal(v->of((uint32_t)s, data, sizeof data), twin->of((uint32_t)s, data, sizeof data));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published), cmocka_unit_test(twins), cmocka_unit_test(noise)};

    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
