/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/crc32c.h"

/* RFC 3720 B.4, and the check value of the catalogues. */
static void published(void **state)
{
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];

    for (unsigned i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(gw_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(gw_crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(gw_crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(gw_crc32c(0, up, 32), 0x46dd794e);
    assert_int_equal(gw_crc32c(0, down, 32), 0x113fdb5c);
    assert_int_equal(gw_crc32c_portable(0, down, 32), 0x113fdb5c);
    assert_int_equal(gw_crc32c(0, "", 0), 0);
}

/* All lengths and alignments, whole and in two pieces, agree. */
static void twins(void **state)
{
    uint8_t data[200];

    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 11);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; n < 150; n++) {
            uint32_t whole = gw_crc32c_portable(0, data + from, n);

            assert_int_equal(gw_crc32c(0, data + from, n), whole);
            assert_int_equal(gw_crc32c(gw_crc32c(0, data + from, n / 3), data + from + n / 3, n - n / 3), whole);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published), cmocka_unit_test(twins)};

    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
