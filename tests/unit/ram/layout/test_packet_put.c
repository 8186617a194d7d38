/* SPDX-License-Identifier: MIT
 *
 * Batches become packets: which pages go into which, how packets are numbered, where marks and zeros go, and what a packing
 * that fails does. Read again: test_packet_get.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/layout/packet.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define PAGE     4096u
#define CAPACITY 128u

static struct gw_ram ram;
static struct gw_ram_block block = {.name = "pc.ram"};
static struct gw_batch batch;
static uint8_t memory[GW_BATCH_PAGES * PAGE];

static int up(void **state)
{
    memset(&batch, 0, sizeof batch);
    batch.block = &block;
    for (unsigned i = 0; i < GW_BATCH_PAGES; i++) {
        memset(memory + i * PAGE, (int)i, PAGE);
        batch.page[i] = 1000 + 2 * i;
        batch.form[i] = GW_FORM_PLAIN;
        batch.body[i] = (struct gw_body){memory + i * PAGE, PAGE};
    }
    return gw_ram_init(&ram, PAGE, NULL, NULL);
}

static int down(void **state)
{
    gw_ram_close(&ram);
    return 0;
}

static struct gw_layout *layout_new(const struct gw_packet_config *config)
{
    struct gw_layout *l = NULL;

    assert_int_equal(gw_layout_packet_new(&ram, config, &l, NULL), 0);
    return l;
}

/* The next packet's head; its contents are skipped. */
static struct gw_packet next_packet(struct gw_in *in, uint64_t *offset, const uint8_t **ret_contents)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_packet p;

    if (gw_packet_get(in, PAGE, GW_PACKET_PLAIN, &p, offset, &err) < 0)
        fail_msg("%s", err.text);
    *ret_contents = in->data + in->pos;
    assert_int_equal(gw_get_discard(in, p.bytes, &err), 0);
    return p;
}

/* Of each count of pages, with each third of zeros and some that are claimed already: all packets but the last are full, and
 * together they have each page once, in order. */
static void test_packets(void **state)
{
    static const unsigned counts[] = {0, 1, 2, CAPACITY - 1, CAPACITY, CAPACITY + 1, 300, GW_BATCH_PAGES};

    for (int zeros = 0; zeros < 2; zeros++)
        for (size_t c = 0; c < GW_ARRAY_LEN(counts); c++) {
            struct gw_packet_config config = {.zeros = zeros, .index = 3, .count = 5};
            struct gw_layout *l = layout_new(&config);
            unsigned plain = 0, zero = 0, packets = 0, want_plain = 0, want_zero = 0;
            uint64_t offset[GW_PACKET_PAGES_MAX];
            bool seen[GW_BATCH_PAGES] = {false};
            struct gw_writer w;
            struct gw_in in;
            size_t bytes;

            batch.count = counts[c];
            for (unsigned i = 0; i < batch.count; i++) {
                batch.form[i] = i % 7 == 5 ? GW_FORM_SAME : i % 3 ? GW_FORM_PLAIN : GW_FORM_ZERO;
                want_plain += batch.form[i] == GW_FORM_PLAIN;
                want_zero += zeros && batch.form[i] == GW_FORM_ZERO;
            }
            assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
            l->put(l, &batch, &w);
            assert_int_equal(gw_writer_flush(&w, NULL), 0);
            gw_in_memory(&in, gw_writer_data(&w, &bytes), gw_writer_offset(&w), 0);
            while (gw_in_buffered(&in)) {
                const uint8_t *contents;
                struct gw_packet p = next_packet(&in, offset, &contents);

                assert_string_equal(p.name, "pc.ram");
                assert_int_equal(p.flags, 0);
                assert_int_equal(p.number, 3 + 5 * packets++);
                for (uint32_t i = 0; i < p.pages + p.zeros; i++) {
                    unsigned n = (unsigned)(offset[i] / PAGE - 1000) / 2;

                    assert_int_equal(offset[i] / PAGE, 1000 + 2 * n);
                    assert_false(seen[n]);
                    seen[n] = true;
                    assert_int_equal(batch.form[n], i < p.pages ? GW_FORM_PLAIN : GW_FORM_ZERO);
                    if (i < p.pages)
                        assert_memory_equal(contents + i * PAGE, memory + n * PAGE, PAGE);
                }
                plain += p.pages;
                zero += p.zeros;
                if (gw_in_buffered(&in))
                    assert_int_equal(p.pages + p.zeros, CAPACITY);
            }
            assert_int_equal(plain, want_plain);
            assert_int_equal(zero, want_zero);
            assert_int_equal(packets, gw_div_up(want_plain + want_zero, CAPACITY));
            assert_int_equal(l->pages[GW_FORM_PLAIN], plain);
            assert_int_equal(l->pages[GW_FORM_ZERO], zero);
            l->free(l);
            gw_writer_close(&w);
        }
}

/* A packet of one block does not go on with another. */
static void test_blocks(void **state)
{
    static struct gw_ram_block other = {.name = "vga", .index = 1};
    const struct gw_packet_config config = {.count = 1};
    struct gw_layout *l = layout_new(&config);
    uint64_t offset[GW_PACKET_PAGES_MAX];
    const uint8_t *contents;
    struct gw_writer w;
    struct gw_in in;
    size_t bytes;

    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    batch.count = 2;
    l->put(l, &batch, &w);
    batch.block = &other;
    l->put(l, &batch, &w);
    gw_in_memory(&in, gw_writer_data(&w, &bytes), gw_writer_offset(&w), 0);
    assert_string_equal(next_packet(&in, offset, &contents).name, "pc.ram");
    assert_string_equal(next_packet(&in, offset, &contents).name, "vga");
    assert_int_equal(gw_in_buffered(&in), 0);
    l->free(l);
    gw_writer_close(&w);
}

/* Where zeros and marks go by the rules. */
static void test_rules(void **state)
{
    static const bool at[2][GW_BARRIER_COUNT] = {
        [GW_SYNC_SECTIONS] = {[GW_BARRIER_LISTED] = true, [GW_BARRIER_STEP] = true, [GW_BARRIER_POSTCOPY] = true,
                              [GW_BARRIER_END] = true},
        [GW_SYNC_ROUNDS] = {[GW_BARRIER_LISTED] = true, [GW_BARRIER_ROUND] = true, [GW_BARRIER_SWITCH] = true,
                            [GW_BARRIER_POSTCOPY] = true, [GW_BARRIER_END] = true},
    };
    for (unsigned rule = 0; rule < 2; rule++)
        for (unsigned kind = 0; kind < GW_BARRIER_COUNT; kind++) {
            struct gw_packet_config config = {.rule = (enum gw_sync_rule)rule, .count = 1};
            struct gw_layout *layout, *front;
            unsigned told = rule == GW_SYNC_ROUNDS && kind != GW_BARRIER_POSTCOPY ? 8 : 0;
            struct gw_writer w;

            assert_int_equal(gw_layout_packet_new(&ram, &config, &layout, NULL), 0);
            assert_int_equal(gw_layout_front_new(&ram, config.rule, false, &front, NULL), 0);
            assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
            layout->barrier(layout, (enum gw_barrier)kind, &w);
            assert_int_equal(gw_writer_offset(&w), at[rule][kind] ? gw_packet_head_bytes(PAGE) : 0);
            front->barrier(front, (enum gw_barrier)kind, &w);
            assert_int_equal(gw_writer_offset(&w), at[rule][kind] ? gw_packet_head_bytes(PAGE) + told : 0);
            layout->free(layout);
            front->free(front);
            gw_writer_close(&w);
        }
}

/* The lane in front puts zero pages, and those only, where packets do not tell of them. */
static void test_front(void **state)
{
    for (int zeros = 0; zeros < 2; zeros++) {
        struct gw_layout *l = NULL;
        struct gw_writer w;

        assert_int_equal(gw_layout_front_new(&ram, GW_SYNC_SECTIONS, zeros, &l, NULL), 0);
        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        batch.count = 10;
        batch.form[3] = batch.form[7] = GW_FORM_ZERO;
        l->put(l, &batch, &w);
        /* Two records, of which the first has the name. */
        assert_int_equal(gw_writer_offset(&w), zeros ? 2 * 9 + 7 : 0);
        assert_int_equal(l->pages[GW_FORM_ZERO], zeros ? 2 : 0);
        assert_int_equal(l->pages[GW_FORM_PLAIN], 0);
        l->free(l);
        gw_writer_close(&w);
    }
}

/* ---- packings ------------------------------------------------------------------------------------------------------ */

static struct {
    struct gw_packing packing;
    unsigned calls, freed;
    int result;
} fake;

static int pack(struct gw_packing *p, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst, size_t room,
                size_t *ret_bytes, struct gw_error *err)
{
    fake.calls++;
    assert_int_equal(room, GW_PACKET_CODED_MAX);
    if (fake.result < 0)
        return gw_fail(err, fake.result, GW_BLAME_LOCAL, "told to fail");
    for (unsigned i = 0; i < n; i++)
        dst[i] = page[i][0];
    *ret_bytes = n;
    return 0;
}

static struct gw_packing *packing_free(struct gw_packing *p)
{
    fake.freed++;
    return NULL;
}

static struct gw_packing *fake_new(int result)
{
    memset(&fake, 0, sizeof fake);
    fake.packing = (struct gw_packing){.coding = GW_PACKET_ZLIB, .pack = pack, .free = packing_free};
    fake.result = result;
    return &fake.packing;
}

/* Coded contents are out before the next packet is coded: there is room for one. */
static void test_packed(void **state)
{
    const struct gw_packet_config config = {.zeros = true, .take_packing = fake_new(0), .count = 1};
    struct gw_layout *l = layout_new(&config);
    uint64_t offset[GW_PACKET_PAGES_MAX];
    struct gw_writer w;
    struct gw_packet p;
    struct gw_in in;
    size_t bytes;

    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    batch.count = CAPACITY + 2;
    l->put(l, &batch, &w);
    batch.count = 1;
    batch.form[0] = GW_FORM_ZERO;
    l->put(l, &batch, &w); /* nothing to code */
    assert_int_equal(fake.calls, 2);
    gw_in_memory(&in, gw_writer_data(&w, &bytes), gw_writer_offset(&w), 0);
    for (unsigned i = 0; i < 3; i++) {
        static const unsigned want[] = {CAPACITY, 2, 0};

        assert_int_equal(gw_packet_get(&in, PAGE, GW_PACKET_ZLIB, &p, offset, NULL), 0);
        assert_int_equal(p.flags, GW_PACKET_ZLIB);
        assert_int_equal(p.pages, want[i]);
        assert_int_equal(p.bytes, want[i]);
        for (unsigned k = 0; k < want[i]; k++) {
            uint8_t byte;

            assert_int_equal(gw_get_u8(&in, &byte, NULL), 0);
            assert_int_equal(byte, (uint8_t)(i * CAPACITY + k));
        }
    }
    assert_int_equal(gw_in_buffered(&in), 0);
    l->free(l);
    assert_int_equal(fake.freed, 1);
    gw_writer_close(&w);
}

/* A packing that fails: the writer has its error, and nothing is put any more. */
static void test_packing_fails(void **state)
{
    const struct gw_packet_config config = {.zeros = true, .take_packing = fake_new(-EIO), .count = 1};
    struct gw_layout *l = layout_new(&config);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_writer w;

    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    batch.count = CAPACITY + 1;
    l->put(l, &batch, &w);
    assert_int_equal(gw_writer_flush(&w, &err), -EIO);
    assert_string_equal(err.text, "told to fail");
    assert_int_equal(gw_writer_offset(&w), 0);
    assert_int_equal(fake.calls, 1);
    l->barrier(l, GW_BARRIER_END, &w);
    assert_int_equal(gw_writer_offset(&w), 0);
    l->free(l);
    gw_writer_close(&w);
}

/* The packing is taken whatever happens. */
static void test_nomem(void **state)
{
    for (unsigned n = 1; n <= 2; n++) {
        const struct gw_packet_config config = {.take_packing = fake_new(0), .count = 1};
        struct gw_error err = GW_ERROR_INIT;
        struct gw_layout *l = NULL;

        countdown = n;
        assert_int_equal(gw_layout_packet_new(&ram, &config, &l, &err), -ENOMEM);
        countdown = 0;
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_string_equal(err.text, "out of memory (multifd packets)");
        assert_null(l);
        assert_int_equal(fake.freed, 1);
    }
    struct gw_layout *front = NULL;
    countdown = 1;
    assert_int_equal(gw_layout_front_new(&ram, GW_SYNC_ROUNDS, true, &front, NULL), -ENOMEM);
    countdown = 0;
    assert_null(front);
}

#define packet_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        packet_test(test_packets), packet_test(test_blocks),        packet_test(test_rules), packet_test(test_front),
        packet_test(test_packed),  packet_test(test_packing_fails), packet_test(test_nomem),
    };

    return cmocka_run_group_tests_name("packet_put", tests, NULL, NULL);
}
