/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "units.h"

#define LEN(a) (sizeof(a) / sizeof(a)[0])

static void test_read(void **state)
{
    static const struct {
        enum gw_unit unit;
        const char *text;
        uint64_t value;
    } good[] = {
        {GW_UNIT_BYTES_PER_S, "0", 0},
        {GW_UNIT_BYTES_PER_S, "100M", 100 << 20},
        {GW_UNIT_BYTES_PER_S, "100m", 100 << 20},
        {GW_UNIT_BYTES_PER_S, "100MiB/s", 100 << 20},
        {GW_UNIT_BYTES_PER_S, "100 MiB/s", 100 << 20},
        {GW_UNIT_BYTES_PER_S, "1.5K/s", 1536},
        {GW_UNIT_BYTES_PER_S, "7B/s", 7},
        {GW_UNIT_BYTES_PER_S, "18446744073709551615", UINT64_MAX},
        {GW_UNIT_BYTES, "64MiB", 64 << 20},
        {GW_UNIT_BYTES, "2T", 2ull << 40},
        {GW_UNIT_MS, "300", 300},
        {GW_UNIT_MS, "300ms", 300},
        {GW_UNIT_MS, "0.3s", 300},
        {GW_UNIT_MS, "2 s", 2000},
        {GW_UNIT_MS, "1.5min", 90000},
        {GW_UNIT_PERCENT, "20", 20},
        {GW_UNIT_PERCENT, "20%", 20},
        {GW_UNIT_MB_PER_S, "5 MB/s", 5},
    };
    static const struct {
        enum gw_unit unit;
        const char *text;
    } bad[] = {
        {GW_UNIT_BYTES_PER_S, ""},
        {GW_UNIT_BYTES_PER_S, "M"},
        {GW_UNIT_BYTES_PER_S, "-1"},
        {GW_UNIT_BYTES_PER_S, " 1"},
        {GW_UNIT_BYTES_PER_S, "1X"},
        {GW_UNIT_BYTES_PER_S, "1MM"},
        {GW_UNIT_BYTES_PER_S, "1MB"},
        {GW_UNIT_BYTES_PER_S, "1s"},
        {GW_UNIT_BYTES_PER_S, "0x10"},
        {GW_UNIT_BYTES_PER_S, "18446744073709551616"},
        {GW_UNIT_BYTES_PER_S, "18446744073709551615K"},
        {GW_UNIT_BYTES_PER_S, "99999999999999999999999999999999"},
        {GW_UNIT_BYTES, "1M/s"},
        {GW_UNIT_BYTES, "1.3B"},
        {GW_UNIT_MS, "0.3ms"},
        {GW_UNIT_MS, "3x"},
        {GW_UNIT_MS, "3M"},
        {GW_UNIT_MS, "1e3"},
        {GW_UNIT_MS, "1  s"},
        {GW_UNIT_MS, "1.2.3s"},
        {GW_UNIT_PERCENT, "2ms"},
        {GW_UNIT_MS, "307445734561825860min"},
    };
    uint64_t n;

    for (size_t i = 0; i < LEN(good); i++) {
        n = 77;
        if (!gw_unit_read(good[i].unit, good[i].text, &n) || n != good[i].value)
            fail_msg("'%s': %llu", good[i].text, (unsigned long long)n);
    }
    for (size_t i = 0; i < LEN(bad); i++)
        if (gw_unit_read(bad[i].unit, bad[i].text, &n))
            fail_msg("'%s' was taken as %llu", bad[i].text, (unsigned long long)n);
}

/* What is shown can be given again, and is the same number. */
static void test_print(void **state)
{
    static const uint64_t values[] = {0,         1,         1000,       1023,       1024,     1536,
                                      128 << 20, 100000000, 3ull << 40, 5ull << 52, INT64_MAX};
    char buf[GW_UNIT_TEXT];
    uint64_t n;

    assert_string_equal(gw_unit_print(GW_UNIT_BYTES_PER_S, 128 << 20, buf), "128 MiB/s");
    assert_string_equal(gw_unit_print(GW_UNIT_BYTES, 64 << 20, buf), "64 MiB");
    assert_string_equal(gw_unit_print(GW_UNIT_MS, 1500, buf), "1500 ms");
    assert_string_equal(gw_unit_print(GW_UNIT_PERCENT, 20, buf), "20 %");
    for (enum gw_unit unit = GW_UNIT_BYTES; unit <= GW_UNIT_MB_PER_S; unit++)
        for (size_t i = 0; i < LEN(values); i++)
            if (!gw_unit_read(unit, gw_unit_print(unit, values[i], buf), &n) || n != values[i])
                fail_msg("%s is not %llu", buf, (unsigned long long)values[i]);
}

static void test_of(void **state)
{
    assert_int_equal(gw_unit_of("max-bandwidth"), GW_UNIT_BYTES_PER_S);
    assert_int_equal(gw_unit_of("downtime-limit"), GW_UNIT_MS);
    assert_int_equal(gw_unit_of("xbzrle-cache-size"), GW_UNIT_BYTES);
    assert_int_equal(gw_unit_of("multifd-channels"), GW_UNIT_NONE);
    assert_int_equal(gw_unit_of("downtime"), GW_UNIT_NONE);
    assert_non_null(strstr(gw_unit_expected(GW_UNIT_MS), "300ms"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_print),
                                       cmocka_unit_test(test_of)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
