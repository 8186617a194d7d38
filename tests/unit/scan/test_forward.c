/* SPDX-License-Identifier: MIT
 *
 * Device sections and commands in memory, told apart by what may follow what: sections without a length, whatever is inside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "scan/parts.h"
#include "wire/command.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static struct gw_out out;

static void section(uint32_t id, const char *name, const void *body, size_t bytes, bool footer)
{
    const struct gw_section_head head = {.id = id, .instance = 3, .version = 2, .name = ""};
    struct gw_section_head named = head;

    strcpy(named.name, name);
    gw_section_put_head(&out, GW_ELEMENT_FULL, &named);
    gw_put_bytes(&out, body, bytes);
    if (footer)
        gw_section_put_footer(&out, id);
}

static int find(bool footers, enum gw_scan_goal goal, struct gw_scan_found **list, size_t *count, size_t *end,
                struct gw_error *err)
{
    size_t bytes;
    const uint8_t *data = gw_out_data(&out, &bytes);
    uint8_t *copy = malloc(bytes + !bytes);
    struct gw_scan_search what = {.data = copy, .bytes = bytes, .footers = footers, .goal = goal, .page_bytes = 4096};
    int r;

    *list = NULL;
    *count = *end = 0;
    *err = (struct gw_error)GW_ERROR_INIT;
    if (bytes)
        memcpy(copy, data, bytes);
    r = gw_scan_forward(&what, list, count, end, err);
    free(copy);
    return r;
}

static void test_package(void **state)
{
    for (int footers = 0; footers < 2; footers++) {
        struct gw_scan_found *list;
        struct gw_error err;
        size_t count, end, at[5];

        gw_out_memory(&out);
        at[0] = out.offset;
        section(7, "cpu", "0123456789", 10, footers);
        at[1] = out.offset;
        gw_command_put(&out, GW_COMMAND_POSTCOPY_RUN, NULL, 0);
        at[2] = out.offset;
        section(8, "timer", "", 0, footers);
        at[3] = out.offset;
        section(0xffffffff, "x", "abc", 3, footers);
        if (find(footers, GW_SCAN_TO_END, &list, &count, &end, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(end, out.offset);
        assert_int_equal(count, 4);
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(list[i].at, at[i]);
            assert_int_equal(list[i].end, i < 3 ? at[i + 1] : out.offset);
        }
        assert_int_equal(list[0].element, GW_ELEMENT_FULL);
        assert_int_equal(list[0].id, 7);
        assert_int_equal(list[0].instance, 3);
        assert_int_equal(list[0].version, 2);
        assert_int_equal(list[0].name_bytes, 3);
        assert_int_equal(list[0].body_bytes, 10);
        assert_memory_equal(out.begin + list[0].name, "cpu", 3);
        assert_memory_equal(out.begin + list[0].body, "0123456789", 10);
        assert_int_equal(list[1].element, GW_ELEMENT_COMMAND);
        assert_int_equal(list[1].id, GW_COMMAND_POSTCOPY_RUN);
        assert_int_equal(list[1].body_bytes, 0);
        assert_int_equal(list[2].body_bytes, 0);
        assert_int_equal(list[3].body_bytes, 3);
        free(list);
        gw_out_free(&out);
    }
}

/* A body that holds its own footer, and what looks like the next section: the way that leads to the goal is taken. */
static void test_looks_like(void **state)
{
    static const uint8_t trap[] = "..\x7e\0\0\0\7..\x7e\0\0\0\7\4\0\0\0\x09\3abc\0\0\0\0\0\0\0\1..";
    struct gw_scan_found *list;
    struct gw_error err;
    size_t count, end;

    gw_out_memory(&out);
    section(7, "cpu", trap, sizeof trap - 1, true);
    section(8, "timer", "12", 2, true);
    assert_int_equal(find(true, GW_SCAN_TO_END, &list, &count, &end, &err), 0);
    assert_int_equal(count, 2);
    assert_int_equal(list[0].body_bytes, sizeof trap - 1);
    assert_int_equal(list[1].id, 8);
    free(list);
    gw_out_free(&out);
}

/* EOF, and behind it nothing, a description, or zeros. */
static void test_to_eof(void **state)
{
    static const struct {
        const char *behind;
        size_t bytes;
        bool good;
    } rows[] = {
        {"\0", 1, true},
        {"\0\6\0\0\0\2{}", 8, true},
        {"\0\6", 2, true},                  /* the description has only begun */
        {"\0\0\0\0\0\0\0\0\0", 9, true},
        {"\0\6\0\0\0\2[]", 8, false},
        {"\0x", 2, false},
        {"\0\0\0\1", 4, false},
        {"x", 1, false},
        {"", 0, false},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_scan_found *list;
        struct gw_error err;
        size_t count, end, at;
        int r;

        gw_out_memory(&out);
        section(7, "cpu", "0123", 4, true);
        at = out.offset;
        gw_put_bytes(&out, rows[i].behind, rows[i].bytes);
        r = find(true, GW_SCAN_TO_EOF, &list, &count, &end, &err);
        if (r != (rows[i].good ? 0 : -EPROTO))
            fail_msg("%zu: %d (%s)", i, r, err.text);
        if (r == 0)
            assert_int_equal(end, at);
        else
            assert_string_equal(err.text, "device sections that cannot be told apart");
        free(list);
        gw_out_free(&out);
    }
}

/* What shows that the set-up goes on: a START, PART or END of what is bound, a command. */
static void test_to_live(void **state)
{
    static const struct gw_section_head live[] = {{.id = 2, .name = "ram"}, {.id = 3, .name = "block"}};
    static const struct {
        const char *behind;
        size_t bytes;
        bool good;
    } rows[] = {
        {"\1\0\0\0\5\3ram", 9, true},
        {"\2\0\0\0\3", 5, true},                        /* PART of block */
        {"\2\0\0\0\2\0\0\0\0\0\0\0\x10", 13, true},     /* of ram, with its end mark */
        {"\2\0\0\0\2\0\0\0\0\0\0\0\x11", 13, false},    /* no RAM record */
        {"\2\0\0\0\2\0\0", 7, false},
        {"\3\0\0\0\3", 5, true},
        {"\3\0\0\0\4", 5, false},                       /* is not bound */
        {"\x08\0\2\0\4\0\0\0\1", 9, true},              /* PING */
        {"\x08\0\2\0\5\0\0\0\1", 9, false},
        {"\1\0\0\0\5\0", 6, false},
        {"", 0, false},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_scan_search what = {
            .footers = true, .goal = GW_SCAN_TO_LIVE, .live = live, .live_count = 2, .page_bytes = 4096};
        struct gw_scan_found *list = NULL;
        struct gw_error err = GW_ERROR_INIT;
        size_t count, end = 0, at;
        int r;

        gw_out_memory(&out);
        section(9, "virtio-mem", "0123", 4, true);
        at = out.offset;
        gw_put_bytes(&out, rows[i].behind, rows[i].bytes);
        what.data = gw_out_data(&out, &what.bytes);
        r = gw_scan_forward(&what, &list, &count, &end, &err);
        if (r != (rows[i].good ? 0 : -EPROTO))
            fail_msg("%zu: %d (%s)", i, r, err.text);
        if (r == 0)
            assert_int_equal(end, at);
        free(list);
        gw_out_free(&out);
    }
}

/* No sections, cut ones, packages in packages, versions that no device has. */
static void test_refused(void **state)
{
    struct gw_scan_found *list;
    struct gw_error err;
    size_t count, end, whole;

    gw_out_memory(&out);
    assert_int_equal(find(true, GW_SCAN_TO_END, &list, &count, &end, &err), -EPROTO);
    section(7, "cpu", "0123456789", 10, true);
    whole = out.offset;
    for (size_t n = 0; n < whole; n++) {
        out.at = out.begin + n;
        assert_int_equal(find(true, GW_SCAN_TO_END, &list, &count, &end, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_null(list);
    }
    out.at = out.begin + whole;
    out.begin[whole - 1] ^= 1; /* another section's footer */
    assert_int_equal(find(true, GW_SCAN_TO_END, &list, &count, &end, &err), -EPROTO);
    gw_out_free(&out);
    gw_out_memory(&out);
    gw_command_put(&out, GW_COMMAND_PACKAGED, "\0\0\0\1", 4);
    assert_int_equal(find(true, GW_SCAN_TO_END, &list, &count, &end, &err), -EPROTO);
    gw_out_free(&out);
    gw_out_memory(&out);
    gw_section_put_head(&out, GW_ELEMENT_FULL, &(struct gw_section_head){.id = 1, .version = 65536, .name = "x"});
    gw_section_put_footer(&out, 1);
    assert_int_equal(find(true, GW_SCAN_TO_END, &list, &count, &end, &err), -EPROTO);
    gw_out_free(&out);
}

/* As many commands as a way may have, and one more. */
static void test_limit(void **state)
{
    struct gw_scan_found *list;
    struct gw_error err;
    size_t count, end;

    gw_out_memory(&out);
    for (unsigned i = 0; i < GW_SCAN_FOUND_MAX; i++)
        gw_command_put(&out, GW_COMMAND_POSTCOPY_RUN, NULL, 0);
    assert_int_equal(find(true, GW_SCAN_TO_END, &list, &count, &end, &err), 0);
    assert_int_equal(count, GW_SCAN_FOUND_MAX);
    free(list);
    gw_command_put(&out, GW_COMMAND_POSTCOPY_RUN, NULL, 0);
    assert_int_equal(find(true, GW_SCAN_TO_END, &list, &count, &end, &err), -E2BIG);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_string_equal(err.text, "more than 65536 device sections before byte 327680 of them");
    gw_out_free(&out);
}

/* Bytes made so that every place could be a beginning and an end: given up after work that grows with the bytes. */
static void test_hostile(void **state)
{
    struct gw_scan_found *list;
    struct gw_error err;
    size_t count, end;

    for (int footers = 0; footers < 2; footers++) {
        gw_out_memory(&out);
        for (unsigned i = 0; i < 20000; i++)
            gw_put_bytes(&out, "\4\0\0\0\1\1a\0\0\0\0\0\0\0\1\x7e\0\0\0\1", footers ? 20 : 15);
        gw_put_u8(&out, 0xff);
        assert_int_equal(find(footers, GW_SCAN_TO_END, &list, &count, &end, &err), footers ? -EPROTO : 0);
        free(list);
        gw_out_free(&out);
    }
}

static void test_nomem(void **state)
{
    struct gw_scan_found *list;
    struct gw_error err;
    size_t count, end;

    gw_out_memory(&out);
    for (unsigned i = 0; i < 100; i++)
        section(i, "cpu", "0123456789", 10, true);
    for (unsigned n = 2;; n++) { /* the first is this test's own */
        bool hit;
        int r;

        countdown = n;
        r = find(true, GW_SCAN_TO_END, &list, &count, &end, &err);
        hit = countdown == 0;
        countdown = 0;
        if (!hit) {
            assert_int_equal(r, 0);
            assert_int_equal(count, 100);
            assert_true(n > 4);
            free(list);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_string_equal(err.text, "out of memory (device sections)");
        assert_null(list);
    }
    gw_out_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_package), cmocka_unit_test(test_looks_like), cmocka_unit_test(test_to_eof),
        cmocka_unit_test(test_to_live), cmocka_unit_test(test_refused),    cmocka_unit_test(test_limit),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
