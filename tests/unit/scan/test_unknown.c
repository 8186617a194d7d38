/* SPDX-License-Identifier: MIT
 *
 * Live sections that are not known: their ends are found, whatever is inside, or it is said that they cannot be.
 */
#include "walk.h"

static void assert_found(const void *body, size_t bytes, size_t piece)
{
    struct gw_error err;
    struct built b = {0};
    struct seen seen;
    uint64_t sum = 's' + 't' + 'a' + 'r' + 't';

    for (size_t i = 0; i < bytes; i++)
        sum += 2 * ((const uint8_t *)body)[i];
    for (unsigned said = 0; said <= 8; said += 8) {
        built_whole(&b, body, bytes, said);
        if (walk_built(&b, piece, &seen, &err) < 0)
            fail_msg("%zu bytes: %s", bytes, err.text);
        assert_int_equal(seen.unknown, 4);
        assert_int_equal(seen.body[0], 5);
        assert_int_equal(seen.body[1], bytes);
        assert_int_equal(seen.body[2], bytes);
        assert_int_equal(seen.body[3], 0);
        assert_int_equal(seen.sum, sum);
        assert_int_equal(seen.pages, BUILT_PAGES);
        assert_int_equal(seen.devices, 2);
        assert_int_equal(seen.described, said ? 2 : 0);
        gw_out_free(&b.out);
    }
}

#define FOOTER "\x7e\0\0\x02\x33"

static void test_what_looks_like_an_end(void **state)
{
    static const struct {
        const char *body;
        size_t bytes;
    } bodies[] = {
        {"", 0},
        {"\0", 1},
        {FOOTER, 5},
        {FOOTER FOOTER "\x7e", 11},
        {FOOTER "\x55more", 10},
        {FOOTER "\4\0\0\0\1\3a\1bxxxxxxxxxxxx", 24},             /* a device whose name cannot be one */
        {FOOTER "\4\0\0\0\2\3abc\0\0\0\0\0\0\0\1", 21},          /* one with the number of the RAM */
        {FOOTER "\2\0\0\0\2\0\0\0\0\0\0\1\x55rest", 22},         /* no record */
        {FOOTER "\2\0\0\0\2\0\0\0\0\0\0\0\2\1r\0abcdefghi", 30}, /* one record, and then none */
        {FOOTER "\3\0\0\0\2\0\0\0\0\0\0\0\x10\x7e\0\0\0\3", 23}, /* an end of the RAM with another footer */
        {FOOTER "\x08\0\x63\0\0", 10},                           /* no command */
        {FOOTER "\0\6\0\0\0\5x", 12},                            /* no description */
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(bodies); i++)
        for (size_t piece = 1; piece < 100000; piece = piece * 7 + 1)
            assert_found(bodies[i].body, bodies[i].bytes, piece);
}

static void test_large(void **state)
{
    size_t bytes = 9 << 20; /* more than can be looked at in one piece */
    uint8_t *body = malloc(bytes);

    for (size_t i = 0; i < bytes; i++)
        body[i] = (uint8_t)(i * i >> 3 ^ i);
    memcpy(body + (4 << 20) - 2, FOOTER, 5);
    assert_found(body, bytes, 1 << 20);
    free(body);
}

/* A device begins inside of the END, as far as anybody can see. */
static void test_ambiguous(void **state)
{
    static const char body[] = FOOTER "\4\0\0\0\x63\3abc\0\0\0\0\0\0\0\1rest";

    for (unsigned said = 0; said <= 8; said += 8) {
        struct gw_error err;
        struct built b = {0};
        struct seen seen;

        built_begin(&b, 4096);
        built_ram_start(&b);
        built_unknown(&b, GW_ELEMENT_START, "", 0);
        built_ram(&b, GW_ELEMENT_END, 0, BUILT_PAGES, BUILT_MIXED);
        built_unknown(&b, GW_ELEMENT_END, body, sizeof body - 1);
        built_end(&b, said);
        assert_int_equal(walk_built(&b, 4096, &seen, &err), -EPROTO);
        assert_non_null(strstr(err.text, "fork, which is not known here"));
        assert_non_null(strstr(err.text, "ambiguous whether it ends here"));
        gw_out_free(&b.out);
    }
}

static void test_refused(void **state)
{
    struct gw_error err;
    struct built b = {.no_footers = true};
    struct seen seen;
    const uint8_t *data;
    size_t bytes;

    built_whole(&b, "body", 4, 8);
    assert_int_equal(walk_built(&b, 4096, &seen, &err), -EPROTO);
    assert_non_null(strstr(err.text, "no footers"));
    gw_out_free(&b.out);
    b.no_footers = false;
    built_whole(&b, "body", 4, 8);
    data = gw_out_data(&b.out, &bytes);
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *copy = malloc(n + !n);
        int r;

        memcpy(copy, data, n);
        r = walk(copy, n, 1 << 20, &seen, &err);
        assert_true(r == -ENODATA || r == -EPROTO || (r == 0 && n > bytes - 600)); /* EOF, and no description */
        free(copy);
    }
    gw_out_free(&b.out);
}

/* As s390_css: the section is there, its size is not what is described. */
static void test_description_that_does_not_fit(void **state)
{
    for (unsigned said = 7; said <= 2000; said *= 16) {
        struct gw_error err;
        struct built b = {0};
        struct seen seen;

        built_whole(&b, "body", 4, said);
        assert_int_equal(walk_built(&b, 4096, &seen, &err), 0);
        assert_int_equal(seen.devices, 2);
        assert_int_equal(seen.described, 1);
        gw_out_free(&b.out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_looks_like_an_end),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_description_that_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
