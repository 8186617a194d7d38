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

static const struct gw_vm_ops *make_ops(void)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};

    return &ops;
}

static struct gw_vm *make_kind(uint32_t page_bytes, uint32_t least_page_bytes)
{
    struct gw_vm_config config = {.machine = "virt-10.0", .page_bytes = page_bytes, .least_page_bytes = least_page_bytes, .ops = make_ops()};
    struct gw_vm *vm = NULL;

    assert_int_equal(gw_vm_new(&config, &vm, NULL), 0);
    return vm;
}

static struct gw_vm *make(uint32_t page_bytes)
{
    return make_kind(page_bytes, 0);
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

static void sizes_of_kinds(uint32_t from_bytes, uint32_t from_least, uint32_t to_bytes, uint32_t to_least, unsigned told,
                           const char *text)
{
    struct gw_vm *from = make_kind(from_bytes, from_least), *to = make_kind(to_bytes, to_least);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_wire_head head;
    struct gw_writer w;
    size_t n;

    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    gw_vm_head_put(from, &w);
    gw_put_u8(&w, 1);
    gw_writer_data(&w, &n);
    if ((take(to, w.out.begin, n, &head, &err) < 0) != !!text)
        fail_msg("%s", err.text);
    assert_int_equal(head.page_bits, told);
    if (text && !strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    gw_writer_close(&w);
    gw_vm_free(from);
    gw_vm_free(to);
}

static void sizes(uint32_t from_bytes, uint32_t to_bytes, unsigned told, const char *text)
{
    sizes_of_kinds(from_bytes, 0, to_bytes, 0, told, text);
}

/* A kind of machine that has the choice says 4096 too, and takes silence for its smallest. */
static void test_choice_of_page_sizes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .least_page_bytes = 16384, .ops = make_ops()};
    struct gw_vm *vm = NULL;

    sizes_of_kinds(4096, 1024, 4096, 1024, 12, NULL);
    sizes_of_kinds(1024, 1024, 1024, 1024, 0, NULL);
    sizes_of_kinds(4096, 0, 4096, 1024, 0, "pages have 10 bits on the source and 12 here");
    sizes_of_kinds(4096, 1024, 4096, 0, 12, NULL);
    assert_int_equal(gw_vm_new(&config, &vm, &err), -EINVAL);
    config.least_page_bytes = 1025;
    assert_int_equal(gw_vm_new(&config, &vm, &err), -EINVAL);
}

/* As a real one was written: it says 12, and one that lacks that is of pages of 1024 bytes. */
static void test_arm(void **state)
{
    static const char said[] = "\5\x1e" "configuration/target-page-bits\0\0\0\1\0\0\0\x0c", begin[] = "QEVM\0\0\0\3\7\0\0\0\x09virt-10.0";
    uint8_t bytes[sizeof begin - 1 + sizeof said - 1 + 1];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_wire_head head;

    for (unsigned i = 0; i < 2; i++) {
        struct gw_vm *vm = make_kind(4096, 1024);
        size_t n = sizeof begin - 1;

        memcpy(bytes, begin, n);
        if (!i)
            memcpy(bytes + n, said, sizeof said - 1);
        n += i ? 0 : sizeof said - 1;
        bytes[n++] = 1;
        assert_int_equal(take(vm, bytes, n, &head, &err), i ? -EPROTO : 0);
        gw_vm_free(vm);
    }
}

/* Without a configuration nothing is compared. */
static void test_unconfigured(void **state)
{
    static const char bytes[] = "QEVM\0\0\0\3\1";
    struct gw_vm *vm = make(16384);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_wire_head head;

    vm->without = GW_STREAM_CONFIGURATION;
    assert_int_equal(gw_options_set_capability(gw_vm_options(vm), "x-ignore-shared", true, NULL), 0);
    if (take(vm, bytes, sizeof bytes - 1, &head, &err) < 0)
        fail_msg("%s", err.text);
    gw_vm_free(vm);
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
        cmocka_unit_test(test_choice_of_page_sizes),
        cmocka_unit_test(test_arm),
        cmocka_unit_test(test_unconfigured),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_file),
    };

    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
