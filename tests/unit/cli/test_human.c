/* SPDX-License-Identifier: MIT
 *
 * Figures as people read them: at the borders between two units.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "human.h"

static void test_ms(void **state)
{
    static const struct {
        double ms;
        const char *text;
    } cases[] = {{0, "0 ms"},          {1.25, "1.25 ms"},        {999, "999 ms"},           {1000, "1.0 s"},
                 {59949, "59.9 s"},    {59950, "1 min 00 s"},    {60000, "1 min 00 s"},     {125000, "2 min 05 s"},
                 {7199900, "119 min 59 s"}, {7200000, "2.0 h"}};
    char buf[GW_HUMAN];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(gw_human_ms(buf, cases[i].ms), cases[i].text);
}

static void test_eta(void **state)
{
    static const struct {
        double s;
        const char *text;
    } cases[] = {{0, "< 1 s"},          {0.99, "< 1 s"},         {1, "1 s"},             {59.4, "59 s"},   {59.6, "1 min 00 s"},
                 {125, "2 min 05 s"},   {122, "2 min 00 s"},     {123, "2 min 05 s"},    {597, "9 min 55 s"}, {598, "10 min"},
                 {3597, "59 min"},      {3598, "1 h 00 min"},    {12000, "3 h 20 min"},  {36000, "10 h"}, {172800, "2 d"},
                 {1e300, "11574 d"}};
    char buf[GW_HUMAN];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(gw_human_eta(buf, cases[i].s), cases[i].text);
}

static void test_bytes(void **state)
{
    char buf[GW_HUMAN];

    assert_string_equal(gw_human_bytes(buf, 0), "0 B");
    assert_string_equal(gw_human_bytes(buf, 999), "999 B");
    assert_string_equal(gw_human_bytes(buf, 1000), "0.98 KiB");
    assert_string_equal(gw_human_bytes(buf, 1536), "1.50 KiB");
    assert_string_equal(gw_human_bytes(buf, 20.5 * 1048576), "20.5 MiB");
    assert_string_equal(gw_human_bytes(buf, 4096.0 * 1048576), "4.00 GiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ms), cmocka_unit_test(test_eta), cmocka_unit_test(test_bytes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
