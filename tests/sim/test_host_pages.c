/* SPDX-License-Identifier: MIT
 *
 * Postcopy with pages that are compressed by threads: what was given by the source, read again from the stream. Host
 * pages are sent whole, one after the other, with no record of one after its end; requested pages are sent at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/codec/deflate.h"
#include "ram/codec/plain.h"
#include "ram/codec/zero.h"
#include "ram/codec/zpage.h"
#include "ram/lane/lanes.h"
#include "ram/layout/stream.h"
#include "ram/source/dirty.h"
#include "ram/source/requests.h"
#include "wire/ram_record.h"

#define PAGE   4096u
#define PAGES  700u
#define BLOCKS 3u

static const uint32_t host_bytes[BLOCKS] = {PAGE, 4 * PAGE, 64 * PAGE};

struct rig {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    struct gw_source *source;
    struct gw_requests *requests;
    struct gw_lanes *lanes;
    struct gw_writer w;
    uint8_t *mem[BLOCKS], *there[BLOCKS];
    unsigned came[BLOCKS][PAGES]; /* since the last look */
    /* The reader's. */
    struct gw_zunpack *unpack;
    size_t read;
    struct gw_ram_block *block; /* of the record before */
    uint64_t host, host_left;   /* the current host page; its target pages that have not come */
    bool postcopy;
    unsigned coded;
};

static uint8_t *page_of(struct rig *t, unsigned block, uint64_t page)
{
    return t->mem[block] + page * PAGE;
}

/* Zeros, noise, and what can be compressed, in turns that fit no host page. */
static void fill(uint8_t *p, unsigned i)
{
    for (unsigned k = 0; k < PAGE; k++)
        p[k] = (uint8_t)(i % 7 == 2 ? 0 : i % 5 == 3 ? rand() : (int)(k >> 6) * (int)(i % 11 + 1));
}

static void add_codecs(struct rig *t, struct gw_lane *lane)
{
    struct gw_deflate_config config = {.level = 1, .threads = 3, .wait = true};
    struct gw_codec *zero, *deflate, *plain;

    assert_int_equal(gw_codec_zero_new(&zero, NULL), 0);
    assert_int_equal(gw_lane_add(lane, zero, NULL), 0);
    assert_int_equal(gw_codec_deflate_new(&t->ram, &config, &gw_clock_real, &deflate, NULL), 0);
    assert_int_equal(gw_lane_add(lane, deflate, NULL), 0);
    assert_int_equal(gw_codec_plain_new(&plain, NULL), 0);
    assert_int_equal(gw_lane_add(lane, plain, NULL), 0);
}

static int up(void **state)
{
    static const struct gw_lanes_config one = {0};
    static const char *names[BLOCKS] = {"small", "middle", "large"};
    struct rig *t = calloc(1, sizeof *t);
    struct gw_source *dirty;
    struct gw_layout *layout;
    struct gw_lane *lane;

    srand(1);
    assert_int_equal(gw_ram_init(&t->ram, PAGE, NULL, NULL), 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct gw_ram_desc d = {.name = names[i], .used_bytes = (uint64_t)PAGES * PAGE, .page_bytes = host_bytes[i],
                                .gpa = (uint64_t)i << 32};

        d.host = t->mem[i] = aligned_alloc(64 * PAGE, (size_t)(PAGES + 63) / 64 * 64 * PAGE);
        t->there[i] = calloc(PAGES, PAGE);
        for (unsigned k = 0; k < PAGES; k++)
            fill(page_of(t, i, k), k);
        assert_int_equal(gw_ram_add(&t->ram, &d, NULL), 0);
    }
    assert_int_equal(gw_tracker_explicit_new(&t->ram, &t->tracker, NULL), 0);
    assert_int_equal(gw_source_dirty_new(&t->ram, t->tracker, false, &dirty, NULL), 0);
    assert_int_equal(gw_source_requests_new(dirty, &t->ram, &t->source, &t->requests, NULL), 0);
    assert_int_equal(gw_layout_stream_new(&t->ram, &layout, NULL), 0);
    assert_int_equal(gw_lane_new(layout, &lane, NULL), 0);
    add_codecs(t, lane);
    assert_int_equal(gw_lanes_new(&one, &t->lanes, NULL), 0);
    assert_int_equal(gw_lanes_add(t->lanes, lane, NULL), 0);
    assert_int_equal(gw_writer_init_memory(&t->w, NULL), 0);
    assert_int_equal(gw_zunpack_new(&t->unpack, NULL), 0);
    assert_int_equal(gw_lanes_begin(t->lanes, NULL), 0);
    assert_int_equal(t->source->begin(t->source, (bool[]){true, true, true}, NULL), 0);
    *state = t;
    return 0;
}

static int down(void **state)
{
    struct rig *t = *state;

    gw_lanes_end(t->lanes);
    t->source->end(t->source);
    gw_lanes_free(t->lanes);
    t->source->free(t->source);
    gw_tracker_free(t->tracker);
    gw_ram_close(&t->ram);
    gw_writer_close(&t->w);
    gw_zunpack_free(t->unpack);
    for (unsigned i = 0; i < BLOCKS; i++) {
        free(t->mem[i]);
        free(t->there[i]);
    }
    free(t);
    return 0;
}

/* The rules for records that postcopy's destination relies on. */
static void check_host_page(struct rig *t, const struct gw_ram_block *b, uint64_t page)
{
    uint64_t per = host_bytes[b->index] / PAGE, host = page / per;

    if (!t->host_left) {
        assert_int_equal(page % per, 0);
        t->host = host;
        t->host_left = GW_MIN(per, PAGES - page);
    }
    assert_int_equal(host, t->host);
    assert_int_equal(page, GW_MIN((host + 1) * per, (uint64_t)PAGES) - t->host_left);
    t->host_left--;
}

static void take_record(struct rig *t, struct gw_in *in)
{
    struct gw_ram_record r;
    uint32_t bytes = 0;
    const uint8_t *body;
    uint64_t page;

    assert_int_equal(gw_ram_record_get(in, PAGE, &r, NULL), 0);
    if (r.named) {
        assert_true(!t->postcopy || !t->host_left);
        t->block = gw_ram_find(&t->ram, r.name);
    }
    page = r.offset / PAGE;
    if (r.kind == GW_RAMF_COMPRESS)
        assert_int_equal(gw_ram_coded_get(in, &r, PAGE, &bytes, NULL), 0);
    else
        bytes = r.kind == GW_RAMF_ZERO ? 1 : PAGE;
    assert_int_equal(gw_in_need(in, bytes, &body, NULL), 0);
    if (r.kind == GW_RAMF_COMPRESS)
        assert_int_equal(gw_zunpack(t->unpack, body, bytes, t->there[t->block->index] + page * PAGE, PAGE, NULL), 0);
    else if (r.kind == GW_RAMF_PAGE)
        memcpy(t->there[t->block->index] + page * PAGE, body, PAGE);
    else
        memset(t->there[t->block->index] + page * PAGE, 0, PAGE);
    gw_in_skip(in, bytes);
    t->coded += r.kind == GW_RAMF_COMPRESS;
    t->came[t->block->index][page]++;
    if (t->postcopy)
        check_host_page(t, t->block, page);
}

/* All that has left so far. */
static void read_on(struct rig *t)
{
    size_t bytes;
    const uint8_t *data = gw_writer_data(&t->w, &bytes);
    struct gw_in in;

    gw_in_memory(&in, data + t->read, bytes - t->read, t->read);
    while (gw_in_buffered(&in))
        take_record(t, &in);
    t->read = bytes;
}

/* Sends a batch; false: nothing was left. */
static bool go(struct rig *t, unsigned max)
{
    struct gw_batch *b;
    bool urgent;
    unsigned count, block = 0;
    uint64_t last = 0;

    assert_int_equal(gw_lanes_batch(t->lanes, t->source, &t->w, &b, NULL), 0);
    assert_int_equal(t->source->next(t->source, b, max, NULL), 0);
    urgent = b->urgent;
    count = b->count;
    if (count) {
        block = b->block->index;
        last = b->page[count - 1];
    }
    assert_int_equal(urgent, gw_requests_urgent(t->requests) && count);
    assert_int_equal(gw_lanes_submit(t->lanes, b, &t->w, NULL), 0);
    if (urgent) { /* it has left, with all before it */
        read_on(t);
        assert_int_equal(t->came[block][last], 1);
    }
    return count;
}

static void end_step(struct rig *t)
{
    assert_int_equal(gw_lanes_barrier(t->lanes, GW_BARRIER_STEP, &t->w, NULL), 0);
    assert_int_equal(gw_writer_flush(&t->w, NULL), 0);
    read_on(t);
}

static void compare(struct rig *t)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        assert_memory_equal(t->mem[i], t->there[i], (size_t)PAGES * PAGE);
}

static void test_host_pages(void **state)
{
    struct rig *t = *state;
    unsigned before, urgent = 0;
    uint64_t fresh;

    if (!GW_HAVE_ZPAGE) {
        print_message("SKIP: built without zlib\n");
        skip();
    }
    /* A part of the first pass, then the switchover in the middle of a host page. */
    for (unsigned i = 0; i < 9; i++)
        assert_true(go(t, 101));
    end_step(t);
    assert_int_equal(t->source->sync(t->source, &fresh, NULL), 0);
    assert_int_equal(gw_lanes_barrier(t->lanes, GW_BARRIER_POSTCOPY, &t->w, NULL), 0);
    gw_requests_open(t->requests);
    memset(t->came, 0, sizeof t->came);
    t->postcopy = true;
    before = t->coded;
    for (unsigned i = 0;; i++) {
        if (i % 2) {
            unsigned b = 1 + (unsigned)rand() % 2;

            assert_int_equal(gw_requests_ask(t->requests, t->ram.blocks[b]->name,
                                             (uint64_t)rand() % (PAGES * PAGE / host_bytes[b]) * host_bytes[b], host_bytes[b], NULL),
                             0);
        }
        if (!go(t, 16))
            break;
        urgent += gw_requests_urgent(t->requests);
        if (i % 3 == 2)
            end_step(t);
    }
    end_step(t);
    assert_int_equal(t->host_left, 0);
    assert_int_equal(gw_lanes_barrier(t->lanes, GW_BARRIER_END, &t->w, NULL), 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        for (unsigned k = 0; k < PAGES; k++)
            assert_true(t->came[i][k] <= 1);
    compare(t);
    assert_true(urgent >= 3);
    assert_true(t->coded > before);
}

/* Requested pages are not compressed, nor is the rest of their host page. */
static void test_urgent_as_it_is(void **state)
{
    struct rig *t = *state;

    assert_int_equal(gw_lanes_barrier(t->lanes, GW_BARRIER_POSTCOPY, &t->w, NULL), 0);
    gw_requests_open(t->requests);
    gw_requests_hold(t->requests, true);
    t->postcopy = true;
    for (unsigned i = 0; i < PAGES / 64; i++)
        assert_int_equal(gw_requests_ask(t->requests, "large", (uint64_t)i * 64 * PAGE, 64 * PAGE, NULL), 0);
    while (go(t, 16))
        ;
    assert_int_equal(t->coded, 0);
    for (unsigned i = 0; i < PAGES / 64 * 64; i++)
        assert_int_equal(t->came[2][i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_host_pages, up, down),
        cmocka_unit_test_setup_teardown(test_urgent_as_it_is, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
