/* SPDX-License-Identifier: MIT
 *
 * Multifd packets: what is put is got, with each packing, and what no packet can be is refused, with nothing written outside
 * of the block. The packings themselves: codec/test_packing_*.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ram/codec/packing.h"
#include "ram/layout/packet.h"
#include "ram/store/direct.h"

#define PAGE  4096u
#define PAGES 600u
#define CAPTURED (16u << 20)

struct side {
    struct gw_ram ram;
    uint8_t *mem;
    struct gw_store *store;
    struct gw_layout_in *in;
};

static struct gw_packing *packing(enum gw_packet_coding coding, bool in)
{
    struct gw_packing *p = NULL;

    if (coding == GW_PACKET_ZLIB)
        assert_int_equal(gw_packing_zlib_new(in, 1, &p, NULL), 0);
    if (coding == GW_PACKET_ZSTD)
        assert_int_equal(gw_packing_zstd_new(in, 1, 2, &p, NULL), 0);
    return p;
}

static void side_init(struct side *s, uint8_t fill, enum gw_packet_coding coding)
{
    struct gw_ram_desc d = {.name = "ram", .used_bytes = PAGES * PAGE};

    memset(s, 0, sizeof *s);
    assert_int_equal(gw_ram_init(&s->ram, PAGE, s, NULL), 0);
    d.host = s->mem = aligned_alloc(PAGE, PAGES * PAGE);
    memset(s->mem, fill, PAGES * PAGE);
    assert_int_equal(gw_ram_add(&s->ram, &d, NULL), 0);
    assert_int_equal(gw_store_direct_new(&s->ram, &s->store, NULL), 0);
    assert_int_equal(gw_layout_packet_in_new(&s->ram, packing(coding, true), &s->in, NULL), 0);
    assert_int_equal(s->store->add(s->store, s->ram.blocks[0], NULL), 0);
    assert_int_equal(s->in->add(s->in, s->ram.blocks[0], NULL), 0);
}

static void side_close(struct side *s)
{
    s->store->free(s->store);
    s->in->free(s->in);
    free(s->mem);
    gw_ram_close(&s->ram);
}

/* All pages, in batches, each third of zeros; with a mark behind each round. */
static void put_all(struct side *src, struct gw_layout *layout, struct gw_writer *w, unsigned rounds)
{
    static struct gw_batch batch;

    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned at = 0; at < PAGES; at += batch.count) {
            batch.block = src->ram.blocks[0];
            batch.count = GW_MIN(GW_BATCH_PAGES, PAGES - at);
            for (unsigned i = 0; i < batch.count; i++) {
                uint8_t *p = src->mem + (at + i) * PAGE;

                memset(p, (at + i) % 3 ? (int)(at + i + r) | 1 : 0, PAGE);
                p[17] = (at + i) % 3 ? (uint8_t)r : 0;
                batch.page[i] = at + i;
                batch.form[i] = (at + i) % 3 ? GW_FORM_PLAIN : GW_FORM_ZERO;
                batch.body[i] = (struct gw_body){p, PAGE};
            }
            layout->put(layout, &batch, w);
        }
        layout->barrier(layout, GW_BARRIER_ROUND, w);
    }
}

static void test_there_and_back(void **state)
{
    static const enum gw_packet_coding codings[] = {GW_PACKET_PLAIN, GW_PACKET_ZLIB, GW_PACKET_ZSTD};

    for (unsigned c = 0; c < 3; c++) {
        struct gw_packet_config config = {.rule = GW_SYNC_ROUNDS, .zeros = true, .count = 1};
        struct gw_layout *layout;
        struct gw_writer w;
        struct gw_reader r;
        struct side src, dst;
        const uint8_t *data;
        size_t bytes = 0;

        if (!gw_packing_known(codings[c]))
            continue;
        side_init(&src, 0, codings[c]);
        side_init(&dst, 0x5a, codings[c]);
        config.take_packing = packing(codings[c], false);
        assert_int_equal(gw_layout_packet_new(&src.ram, &config, &layout, NULL), 0);
        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        put_all(&src, layout, &w, 3);
        assert_int_equal(gw_writer_flush(&w, NULL), 0);
        data = gw_writer_data(&w, &bytes);
        gw_reader_init_memory(&r, data, bytes, 0);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(dst.in->get(dst.in, &r, dst.store, NULL), 0);
        assert_int_equal(gw_reader_buffered(&r), 0);
        assert_memory_equal(dst.mem, src.mem, PAGES * PAGE);
        assert_int_equal(dst.in->pages[GW_FORM_PLAIN], 3 * 400);
        assert_int_equal(dst.in->pages[GW_FORM_ZERO], 3 * 200);
        layout->free(layout);
        gw_writer_close(&w);
        side_close(&src);
        side_close(&dst);
    }
}

/* A store that notes down what comes to it. */
static uint64_t came[8];
static unsigned comes;

static uint8_t *anywhere(struct gw_store *s, struct gw_ram_block *b, uint64_t page, enum gw_intent intent)
{
    static uint8_t room[8][PAGE];

    return room[page];
}

static int note_page(struct gw_store *s, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    came[comes++] = page;
    return 0;
}

static int note_zero(struct gw_store *s, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    came[comes++] = page | 0x100;
    return 0;
}

/* Zero pages stand behind the others in a packet, and are placed among them: a large host page is put together from neighbours. */
static void test_in_order(void **state)
{
    static const uint64_t expected[] = {0x100, 1, 2, 0x103, 4, 0x105, 0x106};
    struct gw_store store = {.where = anywhere, .place = note_page, .zero = note_zero};
    struct gw_packet p = {.flags = GW_PACKET_SYNC, .pages = 3, .zeros = 4, .bytes = 3 * PAGE, .name = "ram"};
    uint64_t offset[GW_PACKET_PAGES_MAX] = {PAGE, 2 * PAGE, 4 * PAGE, 0, 3 * PAGE, 5 * PAGE, 6 * PAGE};
    static uint8_t contents[3 * PAGE];
    struct gw_reader r;
    struct gw_out out;
    struct side dst;
    const uint8_t *data;
    size_t bytes;

    side_init(&dst, 0, GW_PACKET_PLAIN);
    gw_out_memory(&out);
    gw_packet_put(&out, PAGE, &p, offset);
    gw_put_bytes(&out, contents, sizeof contents);
    data = gw_out_data(&out, &bytes);
    gw_reader_init_memory(&r, data, bytes, 0);
    comes = 0;
    assert_int_equal(dst.in->get(dst.in, &r, &store, NULL), 0);
    assert_int_equal(comes, 7);
    assert_memory_equal(came, expected, sizeof expected);
    gw_out_free(&out);
    side_close(&dst);
}

/* A packing that uses another level for each packet, and lets each third go as it is. */
struct mixed {
    struct gw_packing packing, *inner;
    unsigned packets, coded, told;
};

static int mixed_pack(struct gw_packing *p, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst,
                      size_t room, size_t *ret_bytes, struct gw_error *err)
{
    struct mixed *m = GW_CONTAINER(p, struct mixed, packing);

    *ret_bytes = 0;
    if (m->packets++ % 3 == 2)
        return 0;
    m->coded += n;
    assert_int_equal(m->inner->set_level(m->inner, (int)(m->packets * 5 % 9) + 1, NULL), 0);
    return m->inner->pack(m->inner, page, n, page_bytes, dst, room, ret_bytes, err);
}

static void mixed_sent(struct gw_packing *p)
{
    GW_CONTAINER(p, struct mixed, packing)->told++;
}

static struct gw_packing *mixed_free(struct gw_packing *p)
{
    return GW_CONTAINER(p, struct mixed, packing)->inner->free(GW_CONTAINER(p, struct mixed, packing)->inner);
}

/* The stream of the coded packets goes on behind those that are not. */
static void test_mixed(void **state)
{
    static const enum gw_packet_coding codings[] = {GW_PACKET_ZLIB, GW_PACKET_ZSTD};

    for (unsigned c = 0; c < 2; c++) {
        struct mixed m = {.packing = {.coding = codings[c], .pack = mixed_pack, .sent = mixed_sent, .free = mixed_free}};
        struct gw_packet_config config = {.rule = GW_SYNC_ROUNDS, .zeros = true, .count = 1, .take_packing = &m.packing};
        struct gw_layout *layout;
        struct gw_writer w;
        struct gw_reader r;
        struct side src, dst;
        const uint8_t *data;
        size_t bytes = 0;

        if (!gw_packing_known(codings[c]))
            continue;
        side_init(&src, 0, codings[c]);
        side_init(&dst, 0x5a, codings[c]);
        m.inner = packing(codings[c], false);
        assert_int_equal(gw_layout_packet_new(&src.ram, &config, &layout, NULL), 0);
        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        put_all(&src, layout, &w, 5);
        assert_int_equal(gw_writer_flush(&w, NULL), 0);
        data = gw_writer_data(&w, &bytes);
        gw_reader_init_memory(&r, data, bytes, 0);
        for (unsigned i = 0; i < 5; i++) {
            struct gw_error err = GW_ERROR_INIT;

            if (dst.in->get(dst.in, &r, dst.store, &err) < 0)
                fail_msg("%s", err.text);
        }
        assert_int_equal(gw_reader_buffered(&r), 0);
        assert_memory_equal(dst.mem, src.mem, PAGES * PAGE);
        assert_int_equal(dst.in->pages[GW_FORM_PLAIN], 5 * 400);
        assert_int_equal(layout->packed, m.coded);
        assert_true(m.coded < 5 * 400);
        assert_int_equal(m.told, m.packets);
        layout->free(layout);
        gw_writer_close(&w);
        side_close(&src);
        side_close(&dst);
    }
}

struct lie {
    size_t at;
    uint64_t value;
    unsigned bytes;
    const char *why;
};

static void test_hostile(void **state)
{
    static const struct lie lies[] = {
        {0, 0x11223345, 4, "this is none"},
        {4, 2, 4, "version"},
        {8, 0x41, 4, "device state"},
        {8, 0x1000, 4, "flags"},
        {8, 0x80000001, 4, "flags"}, /* as it is, where nothing is coded */
        {8, 0x03, 4, "multifd-compression is zlib at the source and none here"},
        {12, 129, 4, "more pages than a packet has"},
        {16, 129, 4, "more pages"},
        {16, UINT32_MAX, 4, "more pages"},
        {32, UINT32_MAX, 4, "more pages"},
        {32, 128, 4, "more pages"},
        {20, PAGE - 1, 4, "content bytes"},
        {20, UINT32_MAX, 4, "content bytes"},
        {64, 0, 1, "the name of its block"},
        {65, 0x78, 1, "no RAM block is called rxm"},
        {320, PAGES * PAGE, 8, "beyond RAM block"},
        {320, UINT64_MAX - PAGE + 1, 8, "beyond RAM block"},
        {320, 1, 8, "begins within a page"},
        {328, 1ull << 63, 8, "beyond RAM block"},
    };
    uint8_t good[320 + 8 * 128 + PAGE] = {0};
    struct side s;

    side_init(&s, 0, GW_PACKET_PLAIN);
    {
        static const uint64_t offsets[] = {5 * PAGE, 6 * PAGE};
        struct gw_packet p = {.flags = GW_PACKET_SYNC, .pages = 1, .zeros = 1, .bytes = PAGE, .name = "ram"};
        struct gw_out out;

        gw_out_fixed(&out, good, sizeof good);
        gw_packet_put(&out, PAGE, &p, offsets);
        assert_int_equal(gw_out_error(&out, NULL), 0);
    }
    for (unsigned i = 0; i < GW_ARRAY_LEN(lies); i++) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t bad[sizeof good];
        struct gw_reader r;

        memcpy(bad, good, sizeof bad);
        for (unsigned k = 0; k < lies[i].bytes; k++)
            bad[lies[i].at + k] = (uint8_t)(lies[i].value >> (8 * (lies[i].bytes - 1 - k)));
        gw_reader_init_memory(&r, bad, sizeof bad, 0);
        assert_true(s.in->get(s.in, &r, s.store, &err) < 0);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        if (!strstr(err.text, lies[i].why))
            fail_msg("lie %u: %s", i, err.text);
    }
    /* Cut anywhere. */
    for (size_t n = 0; n < sizeof good; n += n < 400 ? 1 : 61) {
        struct gw_reader r;

        gw_reader_init_memory(&r, good, n, 0);
        assert_int_equal(s.in->get(s.in, &r, s.store, NULL), -ENODATA);
    }
    side_close(&s);
}

/* What channels of real peers carried: both of each capture, one after the other, each up to its last mark. */
static void test_captures(void **state)
{
    static const struct {
        const char *name;
        enum gw_packet_coding coding;
    } captures[] = {{"multifd-7.2", GW_PACKET_PLAIN},      {"multifd-10.0", GW_PACKET_PLAIN},
                    {"multifd-10.0-to-7.2", GW_PACKET_PLAIN}, {"multifd-legacyzero-10.0", GW_PACKET_PLAIN},
                    {"multifd-zlib-7.2", GW_PACKET_ZLIB},  {"multifd-zlib-10.0", GW_PACKET_ZLIB},
                    {"multifd-zstd-7.2", GW_PACKET_ZSTD},  {"multifd-zstd-10.0", GW_PACKET_ZSTD}};
    uint8_t *first = NULL;

    for (unsigned c = 0; c < GW_ARRAY_LEN(captures); c++) {
        struct gw_ram_desc d = {.name = "r", .used_bytes = CAPTURED};
        struct gw_store *store;
        struct gw_ram ram;
        uint64_t plain = 0;

        if (!gw_packing_known(captures[c].coding))
            continue;
        assert_int_equal(gw_ram_init(&ram, PAGE, NULL, NULL), 0);
        d.host = aligned_alloc(PAGE, CAPTURED);
        memset(d.host, 0, CAPTURED);
        assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
        assert_int_equal(gw_store_direct_new(&ram, &store, NULL), 0);
        assert_int_equal(store->add(store, ram.blocks[0], NULL), 0);
        for (unsigned i = 0; i < 2; i++) {
            struct gw_error err = GW_ERROR_INIT;
            struct gw_layout_in *in;
            static uint8_t bytes[4 << 20];
            struct gw_reader r;
            unsigned marks = 0;
            char path[300];
            size_t n;
            FILE *f;

            snprintf(path, sizeof path, "%s/captures/%s.ch%u.src2dst.bin", GOLDEN_DIR, captures[c].name, i);
            f = fopen(path, "rb");
            assert_non_null(f);
            n = fread(bytes, 1, sizeof bytes, f);
            fclose(f);
            assert_in_range(n, 65, sizeof bytes - 1);
            assert_int_equal(gw_layout_packet_in_new(&ram, packing(captures[c].coding, true), &in, NULL), 0);
            assert_int_equal(in->add(in, ram.blocks[0], NULL), 0);
            gw_reader_init_memory(&r, bytes + 64, n - 64, 64); /* behind the greeting */
            while (gw_reader_buffered(&r) && in->get(in, &r, store, &err) >= 0)
                marks++;
            /* An old peer may have an empty packet behind its last mark. */
            if (err.code)
                assert_int_equal(err.code, -ENODATA);
            assert_int_equal(gw_reader_buffered(&r), 0);
            assert_int_equal(marks, 3);
            plain += in->pages[GW_FORM_PLAIN];
            in->free(in);
        }
        assert_true(plain > 0);
        if (!first) {
            first = malloc(CAPTURED);
            memcpy(first, d.host, CAPTURED);
        }
        assert_memory_equal(d.host, first, CAPTURED);
        free(d.host);
        store->free(store);
        gw_ram_close(&ram);
    }
    free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_captures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
