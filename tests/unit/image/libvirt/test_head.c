/* SPDX-License-Identifier: MIT
 *
 * The head of a libvirt save image: in both byte orders, at the limits of each field, and what it cannot be. Whole files:
 * test_libvirt.c.
 */
#include <byteswap.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/libvirt/libvirt.h"

static const struct gw_libvirt_head good = {
    .version = 2, .text_bytes = 1000, .was_running = true, .format = 5, .cookie_at = 900, .stream_at = 1092};

static void set(uint8_t *head, unsigned word, uint32_t value)
{
    memcpy(head + 16 + 4 * word, &value, 4);
}

static void swap_all(uint8_t *head)
{
    for (unsigned i = 0; i < 19; i++) {
        uint32_t v;

        memcpy(&v, head + 16 + 4 * i, 4);
        set(head, i, bswap_32(v));
    }
}

static void same(const struct gw_libvirt_head *a, const struct gw_libvirt_head *b)
{
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->text_bytes, b->text_bytes);
    assert_int_equal(a->was_running, b->was_running);
    assert_int_equal(a->format, b->format);
    assert_int_equal(a->cookie_at, b->cookie_at);
    assert_int_equal(a->stream_at, b->stream_at);
}

static void test_there_and_back(void **state)
{
    uint8_t head[GW_LIBVIRT_HEAD_BYTES + 1];
    struct gw_libvirt_head back;
    struct gw_error err = GW_ERROR_INIT;

    memset(head, 0xee, sizeof head);
    gw_libvirt_head_put(&good, head);
    assert_int_equal(head[GW_LIBVIRT_HEAD_BYTES], 0xee);
    assert_true(gw_libvirt_recognise(head, sizeof head));
    assert_int_equal(gw_libvirt_head_get(head, GW_LIBVIRT_HEAD_BYTES, &back, &err), 0);
    assert_false(back.swapped);
    same(&back, &good);
    swap_all(head);
    assert_int_equal(gw_libvirt_head_get(head, GW_LIBVIRT_HEAD_BYTES, &back, &err), 0);
    assert_true(back.swapped);
    same(&back, &good);
}

static void test_recognised(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        bool is;
    } rows[] = {{"LibvirtQemudSave", 16, true}, {"LibvirtQemudPart", 16, true}, {"LibvirtQemudSave", 15, false},
                {"LibvirtQemudSavE", 16, false}, {"", 0, false},                {"QEVM............", 16, false}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
        assert_int_equal(gw_libvirt_recognise((const uint8_t *)rows[i].bytes, rows[i].n), rows[i].is);
}

static void test_fields(void **state)
{
    enum { VERSION, TEXT, RUNNING, FORMAT, COOKIE };
    static const struct {
        unsigned word;
        uint32_t value;
        const char *text; /* NULL: good */
    } rows[] = {
        {VERSION, 1, NULL},
        {VERSION, 0, "byte 16: a libvirt save image of version 0, up to 2 are known"},
        {VERSION, 3, "byte 16: a libvirt save image of version 3, up to 2 are known"},
        {VERSION, UINT32_MAX, "byte 16: a libvirt save image of version 4294967295"},
        {TEXT, 0, "byte 20: the XML has 0 bytes, 1 to 67108864 are allowed"},
        {TEXT, GW_LIBVIRT_TEXT_MAX, NULL},
        {TEXT, GW_LIBVIRT_TEXT_MAX + 1, "byte 20: the XML has 67108865 bytes"},
        {TEXT, UINT32_MAX, "byte 20: the XML has 4294967295 bytes"},
        {TEXT, 901, NULL},
        {TEXT, 900, "byte 32: the cookie begins at byte 900 of a text of 900 bytes"},
        {RUNNING, 0, NULL},
        {RUNNING, 7, NULL},
        {FORMAT, 0, NULL},
        {FORMAT, 6, NULL},
        {FORMAT, 7, "byte 28: unknown compression method 7"},
        {FORMAT, UINT32_MAX, "byte 28: unknown compression method 4294967295"},
        {COOKIE, 0, NULL},
        {COOKIE, 999, NULL},
        {COOKIE, 1000, "byte 32: the cookie begins at byte 1000 of a text of 1000 bytes"},
        {COOKIE, UINT32_MAX, "byte 32: "},
        {5, UINT32_MAX, NULL}, /* not used */
        {18, UINT32_MAX, NULL},
    };

    for (int swapped = 0; swapped < 2; swapped++)
        for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
            uint8_t head[GW_LIBVIRT_HEAD_BYTES];
            struct gw_libvirt_head back = {.version = 77};
            struct gw_error err = GW_ERROR_INIT;

            /* No version but 1 and 2 shows which order it is in: what is wrong with it is said as it stands. */
            if (swapped && rows[i].word == VERSION && rows[i].value == 3)
                continue;
            gw_libvirt_head_put(&good, head);
            set(head, rows[i].word, rows[i].value);
            if (swapped)
                swap_all(head);
            if (gw_libvirt_head_get(head, sizeof head, &back, &err) != (rows[i].text ? -EPROTO : 0))
                fail_msg("%zu: %s", i, err.text);
            if (rows[i].text) {
                assert_int_equal(err.blame, GW_BLAME_PEER);
                if (!strstr(err.text, rows[i].text))
                    fail_msg("'%s' is not in '%s'", rows[i].text, err.text);
                assert_int_equal(back.version, 77);
            } else {
                assert_int_equal(back.swapped, swapped);
                assert_int_equal(back.stream_at, GW_LIBVIRT_HEAD_BYTES + (uint64_t)back.text_bytes);
            }
        }
}

static void test_none(void **state)
{
    uint8_t head[GW_LIBVIRT_HEAD_BYTES];
    struct gw_libvirt_head back;
    struct gw_error err = GW_ERROR_INIT;
    char text[100];

    gw_libvirt_head_put(&good, head);
    for (size_t n = 0; n < sizeof head; n++) {
        assert_int_equal(gw_libvirt_head_get(head, n, &back, &err), -EPROTO);
        snprintf(text, sizeof text, "byte %zu: the head of a libvirt save image ends early", n);
        assert_string_equal(err.text, text);
    }
    head[0] = 'l';
    assert_int_equal(gw_libvirt_head_get(head, sizeof head, &back, &err), -EPROTO);
    assert_string_equal(err.text, "byte 0: not a libvirt save image");
    memcpy(head, "LibvirtQemudPart", 16);
    assert_int_equal(gw_libvirt_head_get(head, sizeof head, &back, &err), -EPROTO);
    assert_non_null(strstr(err.text, "that was never finished (its magic is \"LibvirtQemudPart\")"));
}

static void test_formats(void **state)
{
    static const char *const names[] = {"raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"};

    for (uint32_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        assert_string_equal(gw_libvirt_format_name(i), names[i]);
        assert_int_equal(gw_libvirt_format_find(names[i]), i);
        if (i == 0 || i == 6)
            assert_null(gw_libvirt_program(i));
        else
            assert_string_equal(gw_libvirt_program(i), names[i]);
    }
    assert_null(gw_libvirt_format_name(7));
    assert_null(gw_libvirt_format_name(UINT32_MAX));
    assert_null(gw_libvirt_program(7));
    assert_int_equal(gw_libvirt_format_find("zip"), -1);
    assert_int_equal(gw_libvirt_format_find(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_recognised), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_none),           cmocka_unit_test(test_formats),
    };

    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
