/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"

#define LEN(a) (sizeof(a) / sizeof(a)[0])

static void test_number(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "-1",
                                      "+1",
                                      "2x",
                                      "x2",
                                      " 2",
                                      "2 ",
                                      "0x2",
                                      "1e1",
                                      "33",
                                      "0",
                                      "18446744073709551616",
                                      "18446744073709551647"};
    uint64_t n = 77;

    for (size_t i = 0; i < LEN(bad); i++)
        if (gw_option_number(bad[i], 1, 32, &n))
            fail_msg("'%s'", bad[i]);
    assert_int_equal(n, 77);
    assert_true(gw_option_number("32", 1, 32, &n) && n == 32);
    assert_true(gw_option_number("007", 1, 32, &n) && n == 7);
    assert_true(gw_option_number("18446744073709551615", 0, UINT64_MAX, &n) && n == UINT64_MAX);
}

static void test_size(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"17", 17},
                {"-5", -5},
                {"1K", 1 << 10},
                {"3m", 3 << 20},
                {"2G", 2ll << 30},
                {"4t", 4ll << 40},
                {"-1k", -1024},
                {"8388607T", 8388607ll << 40},
                {"9223372036854775807", INT64_MAX}};
    static const char *const bad[] = {"",
                                      "K",
                                      "-",
                                      "--1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1KB",
                                      "1KK",
                                      "1P",
                                      "1.5G",
                                      "0x10",
                                      "soon",
                                      "8388608T",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "9007199254740992K"};
    int64_t n;

    for (size_t i = 0; i < LEN(good); i++)
        if (!gw_option_size(good[i].text, &n) || n != good[i].value)
            fail_msg("'%s' gives %lld", good[i].text, (long long)n);
    n = 77;
    for (size_t i = 0; i < LEN(bad); i++)
        if (gw_option_size(bad[i], &n) || n != 77)
            fail_msg("'%s'", bad[i]);
}

static void test_seconds(void **state)
{
    static const char *const bad[] = {"",    "0",   "-1",  "soon",  "1s", " 1",         "inf",
                                      "nan", "0x1", "1e3", "1.2.3", ".",  "1000000000", "0.0000000001"};
    uint64_t ns = 77;

    for (size_t i = 0; i < LEN(bad); i++)
        if (gw_option_seconds(bad[i], &ns) || ns != 77)
            fail_msg("'%s'", bad[i]);
    assert_true(gw_option_seconds("2", &ns) && ns == 2000000000);
    assert_true(gw_option_seconds("0.5", &ns) && ns == 500000000);
    assert_true(gw_option_seconds(".25", &ns) && ns == 250000000);
}

static void test_switch(void **state)
{
    static const char *const bad[] = {
        "", "=on", "events=maybe", "events=", "events=ON", "events=on ", "events=1", "a-name-longer-than-the-room"};
    char name[16] = "as before";
    bool on = false;

    for (size_t i = 0; i < LEN(bad); i++)
        if (gw_option_switch(bad[i], name, sizeof name, &on))
            fail_msg("'%s'", bad[i]);
    assert_string_equal(name, "as before");
    assert_true(gw_option_switch("events", name, sizeof name, &on) && on);
    assert_string_equal(name, "events");
    assert_true(gw_option_switch("xbzrle=off", name, sizeof name, &on) && !on);
    assert_string_equal(name, "xbzrle");
    assert_true(gw_option_switch("a=true", name, sizeof name, &on) && on);
    assert_true(gw_option_switch("a=false", name, sizeof name, &on) && !on);
}

static void test_setting(void **state)
{
    const char *value = NULL;
    char name[16];

    assert_false(gw_option_setting("x", name, sizeof name, &value));
    assert_false(gw_option_setting("=x", name, sizeof name, &value));
    assert_false(gw_option_setting("a-name-longer-than-the-room=1", name, sizeof name, &value));
    assert_true(gw_option_setting("x=", name, sizeof name, &value) && !*value);
    assert_true(gw_option_setting("tls-hostname=a=b", name, sizeof name, &value));
    assert_string_equal(name, "tls-hostname");
    assert_string_equal(value, "a=b");
}

static void test_uuid(void **state)
{
    static const char *const bad[] = {"",
                                      "0e9bd4a1",
                                      "0e9bd4a1-1111-4222-8333-abcdef012345 ",
                                      "0e9bd4a1-1111-4222-8333-abcdef0123456",
                                      "0e9bd4a1-1111-4222-8333-abcdef01234g",
                                      "0e9bd4a11111-4222-8333-abcdef-012345",
                                      "0e9bd4a1111142228333abcdef01234",
                                      "0e9bd4a1111142228333abcdef0123456",
                                      "-0e9bd4a1-1111-4222-8333-abcdef01234",
                                      "0e9bd4a1 1111 4222 8333 abcdef012345"};
    static const uint8_t want[16] = {0x0e, 0x9b, 0xd4, 0xa1, 0x11, 0x11, 0x42, 0x22,
                                     0x83, 0x33, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45};
    uint8_t uuid[16] = {0};

    for (size_t i = 0; i < LEN(bad); i++)
        if (gw_option_uuid(bad[i], uuid) || uuid[0])
            fail_msg("'%s'", bad[i]);
    assert_true(gw_option_uuid("0e9bd4a1-1111-4222-8333-ABCDEF012345", uuid));
    assert_memory_equal(uuid, want, 16);
    memset(uuid, 0, sizeof uuid);
    assert_true(gw_option_uuid("0e9bd4a1111142228333abcdef012345", uuid));
    assert_memory_equal(uuid, want, 16);
}

static void test_log(void **state)
{
    bool verbose = false;

    assert_true(gw_option_log("info", &verbose) && verbose);
    assert_true(gw_option_log("error", &verbose) && !verbose);
    assert_true(gw_option_log("debug", &verbose) && verbose);
    assert_true(gw_option_log("warning", &verbose) && !verbose);
    assert_false(gw_option_log("loud", &verbose));
}

static void test_local(void **state)
{
    static const char *const local[] = {"localhost", "127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"};
    static const char *const remote[] = {"", "0.0.0.0", "::", "10.0.0.1", "126.255.255.255", "128.0.0.0", "::2", "127.1", "localhost.",
                                         "::ffff:10.0.0.1", "::127.0.0.1", "example.org"};

    for (size_t i = 0; i < LEN(local); i++)
        assert_true(gw_option_is_local(local[i]));
    for (size_t i = 0; i < LEN(remote); i++)
        assert_false(gw_option_is_local(remote[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number), cmocka_unit_test(test_size),    cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_switch), cmocka_unit_test(test_setting), cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_local),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
