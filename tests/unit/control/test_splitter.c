/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "control/splitter.h"

/* The messages of a text, each between bars, when the bytes come `step` at a time. */
static void frames(const char *text, size_t bytes, size_t step, char *out, size_t size)
{
    struct gw_splitter f = {0};
    size_t start = 0, begin, end;

    out[0] = 0;
    for (size_t have = 0; have < bytes;) {
        have = GW_MIN(have + step, bytes);
        for (;;) {
            int r = gw_splitter_next(&f, text + start, have - start, &begin, &end);
            size_t n = strlen(out);

            assert_true(f.at <= have - start);
            if (r < 0)
                snprintf(out + n, size - n, "deep|");
            if (r <= 0 && f.skip) {
                start += f.at;
                f.at = 0;
            }
            if (r == 0)
                break;
            if (r < 0)
                continue;
            assert_true(begin < end && end <= have - start);
            if (!f.skip)
                snprintf(out + n, size - n, "%.*s|", (int)(end - begin), text + start + begin);
            start += end;
            gw_splitter_restart(&f);
        }
    }
}

static void test_where_messages_end(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {" \r\n\t ", ""},
        {"{}", "{}|"},
        {"{}{}[1]", "{}|{}|[1]|"},
        {" {\"a\":\n [1,2]}\n\n{}", "{\"a\":\n [1,2]}|{}|"},
        {"{\"}\\\"}\":\"]\"} {}", "{\"}\\\"}\":\"]\"}|{}|"},
        {"{\"\\\\\"}{}", "{\"\\\\\"}|{}|"},
        {"1 2\n\"a b\" x{}", "1|2|\"a b\"|x|{}|"},
        {"}]{}", "}|]|{}|"},
        {"[}{}", "[}|{}|"},
        {"{\"a\n{}", "{\"a\n|{}|"},
        {"\"a\n{}", "\"a\n|{}|"},
        {"{\"a\":\xff{}", "{\"a\":\xff|{}|"},
        {"\xff\xff{}\xff", "{}|"},
        {"{{{", ""},
        {"tru", ""},
        {"true ", "true|"},
        {"{'a':']}\"'}{}", "{'a':']}\"'}|{}|"},
        {"{\"'\":1}'{' {}", "{\"'\":1}|'{'|{}|"},
        {"{'a\\'}':1}{}", "{'a\\'}':1}|{}|"},
    };
    char out[256];

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step < 20; step++) {
            frames(cases[i][0], strlen(cases[i][0]), step, out, sizeof out);
            assert_string_equal(out, cases[i][1]);
        }
    }
}

static void test_depth(void **state)
{
    static char text[4 * GW_SPLITTER_DEPTH], out[8 * GW_SPLITTER_DEPTH];

    memset(text, '[', GW_SPLITTER_DEPTH + 1);
    frames(text, GW_SPLITTER_DEPTH, 7, out, sizeof out);
    assert_string_equal(out, "");
    frames(text, GW_SPLITTER_DEPTH + 1, 7, out, sizeof out);
    assert_string_equal(out, "deep|");
    /* It is passed over as a whole, however deep it goes, and what follows it is not. */
    memset(text, '[', 1500);
    memset(text + 1500, ']', 1500);
    snprintf(text + 3000, sizeof text - 3000, "{}[\xff{}");
    frames(text, strlen(text), 7, out, sizeof out);
    assert_string_equal(out, "deep|{}|[\xff|{}|");
    memset(text, '[', 3000);
    text[2500] = '\xff';
    frames(text, 2600, 7, out, sizeof out);
    assert_string_equal(out, "deep|");
    /* Mismatched brackets count alike, so that nothing hides behind them. */
    for (size_t i = 0; i <= GW_SPLITTER_DEPTH; i++)
        text[i] = i % 2 ? '{' : '[';
    frames(text, GW_SPLITTER_DEPTH + 1, 1, out, sizeof out);
    assert_string_equal(out, "deep|");
    /* In a string they are nothing. */
    memset(text, '[', sizeof text);
    text[0] = '"';
    text[sizeof text - 2] = '"';
    text[sizeof text - 1] = ' ';
    frames(text, sizeof text, 5, out, sizeof out);
    assert_int_equal(strlen(out), sizeof text);
}

/* Whatever the bytes: split anyhow, the messages are the same. */
static void test_random_splits(void **state)
{
    static const char alphabet[] = "{}[]\"'\\ \n1a:,\xff";
    uint64_t seed = 42;
    char text[200], whole[600], split[600];

    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            text[i] = alphabet[(seed >> 33) % (sizeof alphabet - 1)];
        }
        frames(text, sizeof text, sizeof text, whole, sizeof whole);
        frames(text, sizeof text, 1 + (size_t)(seed >> 40) % 9, split, sizeof split);
        assert_string_equal(whole, split);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_messages_end),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_random_splits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
