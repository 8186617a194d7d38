/* SPDX-License-Identifier: MIT
 *
 * Records of a page transport between pages of the stream layout: as bytes, and as the transport reads them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ram/layout/stream.h"
#include "ram/layout/transport.h"
#include "ram/store/direct.h"
#include "wire/numbers.h"
#include "wire/ram_record.h"

#define PAGE  4096u
#define PAGES 8u

static struct {
    struct gw_ram ram;
    struct gw_store *store;
    struct gw_layout_in *in;
    struct gw_transport *t;
    uint8_t *memory;
    const char *block;
    uint64_t offset, bytes; /* what record says was placed; bytes 0: nothing */
    unsigned records, blocks, overs;
    size_t asks;
} s;

static int tell(void *opaque, enum gw_transport_stretch stretch, struct gw_transport_out *out, struct gw_error *err)
{
    if (stretch == GW_TRANSPORT_FINISH)
        return -EIO;
    gw_transport_put(out, "hello", 5);
    gw_transport_put(out, "", 0);
    return 0;
}

static int block(void *opaque, const char *name, void *host, uint64_t bytes, struct gw_error *err)
{
    s.blocks++;
    assert_string_equal(name, "ram");
    assert_ptr_equal(host, s.memory);
    assert_int_equal(bytes, PAGES * PAGE);
    return 0;
}

static int record(void *opaque, struct gw_transport_in *in, struct gw_error *err)
{
    char text[64];
    int r = gw_transport_get(in, text, s.asks, err);

    s.records++;
    if (r >= 0 && s.asks)
        assert_memory_equal(text, "hello", s.asks);
    s.asks = 5 - s.asks; /* one of five bytes, one of none */
    return r < 0 || !s.bytes ? r : gw_transport_placed(in, s.block, s.offset, s.bytes, err);
}

static void over(void *opaque, bool ok)
{
    s.overs += ok ? 1 : 100;
}

static int up(void **state)
{
    struct gw_page_transport_ops ops = {GW_SIZED(struct gw_page_transport_ops), .begin = tell, .end = tell, .take = NULL,
                                        .block = block, .record = record, .over = over};
    struct gw_ram_desc d = {.name = "ram", .used_bytes = PAGES * PAGE};

    memset(&s, 0, sizeof s);
    s.asks = 5;
    d.host = s.memory = aligned_alloc(PAGE, PAGES * PAGE);
    memset(s.memory, 1, PAGES * PAGE);
    return gw_ram_init(&s.ram, PAGE, NULL, NULL) || gw_ram_add(&s.ram, &d, NULL) || gw_transport_new(&ops, NULL, &s.t, NULL) ||
           gw_store_direct_new(&s.ram, &s.store, NULL) || gw_layout_stream_in_new(&s.ram, false, &s.in, NULL) ||
           gw_layout_transport_hook_new(&s.ram, s.t, &s.in->hook, NULL) || s.store->add(s.store, s.ram.blocks[0], NULL) ||
           s.in->add(s.in, s.ram.blocks[0], NULL) || s.in->hook->add(s.in->hook, s.ram.blocks[0], NULL);
}

static int down(void **state)
{
    s.in->free(s.in);
    s.store->free(s.store);
    gw_transport_free(s.t);
    gw_ram_close(&s.ram);
    free(s.memory);
    return 0;
}

/* Reads it back with the layout; what it returns. */
static int get(const void *bytes, size_t n, struct gw_error *err)
{
    struct gw_reader r;
    int e;

    gw_reader_init_memory(&r, bytes, n, 0);
    e = s.in->get(s.in, &r, s.store, err);
    gw_reader_close(&r);
    return e;
}

static void test_there_and_back(void **state)
{
    static const uint8_t want[] = {0, 0, 0, 0, 0, 0, 0, 0x80, 'h', 'e', 'l', 'l', 'o', 0, 0, 0, 0, 0, 0, 0, 0x80};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_writer w;
    const uint8_t *data;
    size_t bytes;

    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    assert_int_equal(gw_layout_transport_tell(s.t, GW_TRANSPORT_PAGES, false, &w, &err), 0);
    data = gw_writer_data(&w, &bytes);
    assert_int_equal(bytes, sizeof want);
    assert_memory_equal(data, want, bytes);
    gw_ram_record_put(&w.out, PAGE, GW_RAMF_ZERO, "ram");
    gw_ram_put_zero(&w.out);
    assert_int_equal(gw_layout_transport_tell(s.t, GW_TRANSPORT_PAGES, true, &w, &err), 0);
    gw_ram_put_end(&w.out);
    data = gw_writer_data(&w, &bytes);
    s.block = "ram";
    s.offset = 2 * PAGE;
    s.bytes = 3 * PAGE;
    assert_int_equal(get(data, bytes, &err), 0);
    assert_int_equal(s.records, 4);
    assert_int_equal(s.blocks, 1);
    assert_int_equal(s.store->missing(s.store, s.ram.blocks[0]), PAGES - 4);
    /* A zero page behind it is one: the store knows that the page has contents. */
    assert_int_equal(gw_layout_transport_tell(s.t, GW_TRANSPORT_FINISH, true, &w, &err), -EIO);
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    for (size_t cut = 0; cut < bytes; cut++) {
        s.asks = 5;
        assert_true(get(data, cut, NULL) < 0);
    }
    s.in->hook->over(s.in->hook, true);
    assert_int_equal(s.overs, 1);
    gw_writer_close(&w);
}

static void test_lies(void **state)
{
    static const struct {
        const char *block;
        uint64_t offset, bytes;
    } bad[] = {{"ram", 0, PAGES * PAGE + PAGE}, {"ram", PAGES * PAGE, PAGE}, {"ram", 1, PAGE},         {"ram", 0, PAGE - 1},
               {"rom", 0, PAGE},                {"ram", UINT64_MAX - PAGE + 1, PAGE}, {"ram", PAGE, UINT64_MAX - PAGE + 1}};
    static const uint8_t data[] = {0, 0, 0, 0, 0, 0, 0, 0x80, 'h', 'e', 'l', 'l', 'o', 0, 0, 0, 0, 0, 0, 0, 0x10};
    static const uint8_t with_offset[] = {0, 0, 0, 0, 0, 0, 0x10, 0x80}, with_name[] = {0, 0, 0, 0, 0, 0, 0, 0xa0};
    struct gw_error err = GW_ERROR_INIT;

    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        s.asks = 5;
        s.block = bad[i].block;
        s.offset = bad[i].offset;
        s.bytes = bad[i].bytes;
        assert_int_equal(get(data, sizeof data, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, "HOOK record at byte 0"));
    }
    assert_int_equal(s.store->missing(s.store, s.ram.blocks[0]), PAGES);
    assert_int_equal(get(with_offset, sizeof with_offset, &err), -EPROTO);
    assert_int_equal(get(with_name, sizeof with_name, &err), -EPROTO);
    s.in->hook = s.in->hook->free(s.in->hook); /* without one they are refused */
    s.asks = 5;
    assert_int_equal(get(data, sizeof data, &err), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, up, down),
        cmocka_unit_test_setup_teardown(test_lies, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
