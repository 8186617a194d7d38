/* SPDX-License-Identifier: MIT
 *
 * The head that a machine writes, and which heads it takes: docs/wire-format.md 2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/head.h"
#include "image/stream/put.h"

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool never(void *opaque)
{
    return false;
}

static struct gw_vm *make(uint32_t page_bytes)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};
    struct gw_vm_config config = {.machine = "virt-10.0", .page_bytes = page_bytes, .ops = &ops};
    struct gw_vm *vm = NULL;

    assert_int_equal(gw_vm_new(&config, &vm, NULL), 0);
    return vm;
}

static int take(struct gw_vm *vm, const void *bytes, size_t n, struct gw_wire_head *head, struct gw_error *err)
{
    struct gw_reader r;
    int e;

    gw_reader_init_memory(&r, bytes, n, 0);
    e = gw_vm_head_get(vm, &r, head, err);
    gw_reader_close(&r);
    return e;
}

static void sizes(uint32_t from_bytes, uint32_t to_bytes, unsigned told, const char *text)
{
    struct gw_vm *from = make(from_bytes), *to = make(to_bytes);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_wire_head head;
    struct gw_writer w;
    size_t n;

    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    gw_vm_head_put(from, &w);
    gw_put_u8(&w, 1);
    gw_writer_data(&w, &n);
    if (take(to, w.out.begin, n, &head, &err) < 0 && !text)
        fail_msg("%s", err.text);
    assert_int_equal(head.page_bits, told);
    if (text && !strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    gw_writer_close(&w);
    gw_vm_free(from);
    gw_vm_free(to);
}

static void test_page_size(void **state)
{
    sizes(4096, 4096, 0, NULL);
    sizes(16384, 16384, 14, NULL);
    sizes(16384, 4096, 14, "pages have 14 bits on the source and 12 here");
    sizes(4096, 16384, 0, "pages have 12 bits on the source and 14 here");
}

/* What is not known is refused at once, before more of it is waited for. */
static void test_unknown(void **state)
{
    static const char bytes[] = "QEVM\0\0\0\3\7\0\0\0\x09virt-10.0\5\x11"
                                "configuration/new\0\0\0\3";
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm *vm = make(4096);
    struct gw_wire_head head;

    assert_int_equal(take(vm, bytes, sizeof bytes - 1, &head, &err), -EPROTO);
    if (!strstr(err.text, "subsection configuration/new (version 3) of the configuration is not known here"))
        fail_msg("%s", err.text);
    gw_vm_free(vm);
}

/* A file has the page size when the stream it came from had it, or when it is not the usual one. */
static void test_file(void **state)
{
    static const struct {
        unsigned bits;
        bool told;
        unsigned want;
    } rows[] = {{12, false, 0}, {12, true, 12}, {14, false, 14}, {14, true, 14}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_image image = {.machine = "virt-10.0",
                                 .page_bits = rows[i].bits,
                                 .page_bytes = 1u << rows[i].bits};
        struct gw_wire_head kept = {.configured = true, .machine = "virt-10.0", .page_bits = rows[i].bits}, head;
        struct gw_writer w;
        struct gw_in in;
        size_t n;
        int r;

        image.head = rows[i].told ? &kept : NULL;
        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        gw_stream_put_begin(&image, false, &w);
        gw_writer_data(&w, &n);
        gw_in_memory(&in, w.out.begin, n, 0);
        r = gw_head_begin(&in, &head, NULL);
        while (r >= 0 && (r = gw_head_next(&in, &head, NULL)) > 0)
            ;
        assert_int_equal(r, 0);
        assert_int_equal(head.page_bits, rows[i].want);
        gw_writer_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_size),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_file),
    };

    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
