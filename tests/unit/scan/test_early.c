/* SPDX-License-Identifier: MIT
 *
 * Device sections of the set-up: found before anything is taken, told, and put as they stood. In whole streams: test_scan.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "scan/parts.h"
#include "wire/command.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static struct {
    unsigned sections, commands;
    struct gw_scan_section last;
    char name[256];
    int result;
} seen;

static int on_section(void *opaque, const struct gw_scan_section *s)
{
    seen.sections++;
    seen.last = *s;
    strcpy(seen.name, s->name);
    return seen.result;
}

static int on_command(void *opaque, const struct gw_scan_command *c)
{
    seen.commands++;
    return 0;
}

static const struct gw_scan_visitor visitor = {.section = on_section, .command = on_command};
static struct gw_out out;
static struct gw_reader reader;
static struct gw_scan scan;

static int up(void **state)
{
    static const struct gw_section_head head = {.id = 9, .instance = 4, .version = 1, .name = "virtio-mem"};

    memset(&seen, 0, sizeof seen);
    gw_out_memory(&out);
    gw_section_put_head(&out, GW_ELEMENT_FULL, &head);
    gw_put_bytes(&out, "01234", 5);
    gw_section_put_footer(&out, 9);
    gw_command_put(&out, GW_COMMAND_PING, "\0\0\0\1", 4);
    return 0;
}

static void open_scan(size_t bytes)
{
    size_t n;

    gw_reader_init_memory(&reader, gw_out_data(&out, &n), bytes, 500);
    gw_scan_init(&scan, &reader, &visitor, NULL);
    scan.footers = 1;
    scan.page_bytes = 4096;
}

static int down(void **state)
{
    gw_scan_close(&scan);
    gw_reader_close(&reader);
    gw_out_free(&out);
    return 0;
}

/* Up to the command behind them. */
static void test_found(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out again;
    bool done = false;
    size_t n;

    open_scan(out.offset);
    assert_int_equal(gw_scan_early(&scan, &done, &err), 0);
    assert_true(done);
    assert_int_equal(scan.early, 1);
    assert_int_equal(seen.sections, 1);
    assert_int_equal(seen.commands, 0);
    assert_string_equal(seen.name, "virtio-mem");
    assert_int_equal(seen.last.id, 9);
    assert_int_equal(seen.last.instance, 4);
    assert_int_equal(seen.last.at, 500);
    assert_int_equal(seen.last.body_bytes, 5);
    assert_memory_equal(seen.last.body, "01234", 5);
    assert_true(seen.last.early);
    assert_int_equal(gw_reader_buffered(&reader), GW_COMMAND_HEAD_BYTES + 4);
    /* Put again it is the bytes that it was. */
    gw_out_memory(&again);
    gw_scan_put_section(&scan, &seen.last, &again);
    assert_int_equal(again.offset, seen.last.bytes);
    assert_memory_equal(gw_out_data(&again, &n), gw_out_data(&out, &n), again.offset);
    gw_out_free(&again);
    /* And without a footer, where the machine has none. */
    scan.footers = 0;
    assert_false(gw_scan_footers(&scan));
    gw_out_memory(&again);
    gw_scan_put_section(&scan, &seen.last, &again);
    assert_int_equal(again.offset, seen.last.bytes - GW_FOOTER_BYTES);
    gw_out_free(&again);
    /* Of one that goes on only the number is put. */
    seen.last.element = GW_ELEMENT_PART;
    gw_out_memory(&again);
    gw_scan_put_section(&scan, &seen.last, &again);
    assert_int_equal(again.offset, 5 + 5);
    gw_out_free(&again);
}

/* Cut anywhere: they are none, nothing is taken and nothing told. */
static void test_cut(void **state)
{
    for (size_t n = 1; n < out.offset; n++) {
        struct gw_error err = GW_ERROR_INIT;
        bool done = true;

        open_scan(n);
        assert_int_equal(gw_scan_early(&scan, &done, &err), 0);
        assert_false(done);
        assert_int_equal(seen.sections, 0);
        assert_int_equal(gw_reader_offset(&reader), 500);
        if (n + 1 < out.offset) {
            gw_scan_close(&scan);
            gw_reader_close(&reader);
        }
    }
}

/* What the visitor says is handed on. */
static void test_visitor(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    bool done;

    open_scan(out.offset);
    seen.result = -ECANCELED;
    assert_int_equal(gw_scan_early(&scan, &done, &err), -ECANCELED);
}

static void test_nomem(void **state)
{
    for (unsigned n = 1;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        bool done = false, hit;
        int r;

        open_scan(out.offset);
        countdown = n;
        r = gw_scan_early(&scan, &done, &err);
        hit = countdown == 0;
        countdown = 0;
        if (!hit) {
            assert_int_equal(r, 0);
            assert_true(n > 2);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_int_equal(seen.sections, 0);
        gw_scan_close(&scan);
        gw_reader_close(&reader);
    }
}

#define early_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        early_test(test_found),
        early_test(test_cut),
        early_test(test_visitor),
        early_test(test_nomem),
    };

    return cmocka_run_group_tests_name("early", tests, NULL, NULL);
}
