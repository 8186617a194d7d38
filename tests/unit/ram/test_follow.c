/* SPDX-License-Identifier: MIT
 *
 * The RAM section of a destination whose pages may follow: what is agreed on beforehand, which pages are discarded,
     and what is said
 * of those that came.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ram/layout/stream.h"
#include "ram/live.h"
#include "ram/store/direct.h"
#include "wire/numbers.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"

#define PAGE 4096u
#define HUGE ((uint64_t)2 << 20)

static struct gw_ram ram;
static struct gw_live *live;
static struct ram_live *m;
static struct gw_out out;
static struct gw_error err;
static uint8_t *memory;
static char said[64];

static void add(const char *name, uint64_t pages, unsigned flags)
{
    const struct gw_ram_desc d = {.name = name, .host = memory + ram.count * 128 * PAGE, .used_bytes = pages * PAGE,
        .page_bytes = PAGE,
                                  .max_bytes = 128 * PAGE, .gpa = ram.count * 128 * PAGE, .flags = flags};

    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
}

/* "a" has 70 pages, "b" 4, and "private" is not sent. */
static int up(void **state)
{
    struct gw_ram_config config = {.ram = &ram};

    memory = aligned_alloc(PAGE, 3 * 128 * PAGE);
    memset(memory, 0xee, 3 * 128 * PAGE);
    gw_out_memory(&out);
    said[0] = 0;
    err = (struct gw_error)GW_ERROR_INIT;
    if (gw_ram_init(&ram, PAGE, NULL, NULL))
        return -1;
    add("a", 70, 0);
    add("b", 4, GW_RAM_RESIZEABLE);
    add("private", 2, GW_RAM_NO_MIGRATE);
    if (gw_store_direct_new(&ram, &config.take_store, NULL) || gw_layout_stream_in_new(&ram, false, &config.take_in, NULL) ||
        gw_ram_live_new(&config, &live, NULL))
        return -1;
    m = GW_CONTAINER(live, struct ram_live, live);
    return live->ops->load_setup(live, NULL);
}

static int down(void **state)
{
    live->ops->load_cleanup(live, false);
    live = live->ops->free(live);
    gw_out_free(&out);
    gw_ram_close(&ram);
    free(memory);
    return 0;
}

static void load(enum gw_section_kind kind)
{
    struct gw_reader r;
    const uint8_t *data;
    size_t n;

    gw_ram_put_end(&out);
    data = gw_out_data(&out, &n);
    gw_reader_init_memory(&r, data, n, 0);
    if (live->ops->load(live, kind, &r, &err) < 0)
        fail_msg("%s", err.text);
    gw_reader_close(&r);
    gw_out_free(&out);
    gw_out_memory(&out);
}

static void list(void)
{
    gw_ram_list_put_total(&out, 74 * PAGE);
    gw_ram_list_put(&out, "a", 70 * PAGE, NULL);
    gw_ram_list_put(&out, "b", 4 * PAGE, NULL);
    load(GW_SECTION_START);
}

static void zero(const char *block, uint64_t page)
{
    gw_ram_record_put(&out, page * PAGE, GW_RAMF_ZERO, block);
    gw_ram_put_zero(&out);
    load(GW_SECTION_PART);
}

static void fails(int r, int code, const char *text)
{
    assert_int_equal(r, code);
    assert_string_equal(err.text, text);
    err = (struct gw_error)GW_ERROR_INIT;
}

/* ---- ADVISE ---- */

static int advised(uint64_t host_pages, uint64_t page_bytes)
{
    return live->ops->advised(live, host_pages, page_bytes, &err);
}

static void test_advised(void **state)
{
    ram.blocks[1]->page_bytes = HUGE;
    ram.blocks[2]->page_bytes = 512 * HUGE; /* is not sent */
    fails(advised(PAGE, PAGE), -EPROTO,
          "host pages have 0x1000 bytes on the source and 0x201000 here (sums of all sizes in use): both sides need RAM of the "
              "same "
          "backing for postcopy");
    assert_int_equal(err.code, 0);
    fails(advised(HUGE | PAGE, 2 * PAGE), -EPROTO, "target pages have 0x2000 bytes on the source and 0x1000 here");
    assert_int_equal(m->host_pages, 0);
    assert_int_equal(advised(HUGE | PAGE, PAGE), 0);
    assert_int_equal(m->host_pages, HUGE | PAGE);
}

static void test_advised_any_host_pages(void **state)
{
    m->config.any_host_pages = true;
    assert_int_equal(advised(4 * HUGE, PAGE), 0);
    fails(advised(PAGE, 2 * PAGE), -EPROTO, "target pages have 0x2000 bytes on the source and 0x1000 here");
}

static void test_cannot_forget(void **state)
{
    m->store->discard = NULL;
    fails(advised(PAGE, PAGE), -ENOTSUP, "the source discards pages, which this machine cannot do");
}

/* How many bytes of the list are taken for the size of a host page. */
static int64_t taken(const struct gw_ram_block *b, uint64_t word)
{
    uint8_t data[16] = {0};
    struct gw_reader r;
    int64_t n;
    int e;

    gw_store_be64(data, word);
    gw_reader_init_memory(&r, data, sizeof data, 0);
    e = gw_ram_load_host_page(m, b, &r, &err);
    n = e < 0 ? e : (int64_t)gw_reader_offset(&r);
    gw_reader_close(&r);
    return n;
}

static void test_host_page(void **state)
{
    struct gw_ram_block *b = ram.blocks[1];

    b->page_bytes = HUGE;
    assert_int_equal(taken(b, HUGE), 0); /* nobody means postcopy */
    m->host_pages = HUGE | PAGE;
    assert_int_equal(taken(b, HUGE), 8);
    assert_int_equal(taken(ram.blocks[0], HUGE), 0);
    fails((int)taken(b, 2 * HUGE), -EPROTO, "RAM block b has host pages of 0x400000 bytes on the source and of 0x200000 here");
}

/* Where any size will do, it is one of those that ADVISE named, and no mark of the list. */
static void test_host_page_is_guessed(void **state)
{
    struct gw_ram_block *b = ram.blocks[1];

    m->config.any_host_pages = true;
    m->host_pages = HUGE | PAGE | GW_RAMF_EOS;
    assert_int_equal(taken(b, HUGE), 8);
    assert_int_equal(taken(b, 2 * HUGE), 0);
    assert_int_equal(taken(b, HUGE | PAGE), 0);
    assert_int_equal(taken(b, GW_RAMF_EOS), 0);
    assert_int_equal(taken(b, (uint64_t)'x' << 48 | (uint64_t)1 << 56), 0); /* another block's name */
}

/* ---- RAM_DISCARD ---- */

static int discard(const char *name, uint64_t start, uint64_t bytes)
{
    return live->ops->discard(live, name, start, bytes, &err);
}

static void test_discard_no_block(void **state)
{
    fails(discard("a", 0, PAGE), -EPROTO, "no RAM block is called a"); /* of this source: none was listed yet */
    list();
    fails(discard("c", 0, PAGE), -EPROTO, "no RAM block is called c");
    fails(discard("private", 0, PAGE), -EPROTO, "no RAM block is called private");
    assert_false(live->touched);
}

static void test_discard_range(void **state)
{
    static const struct {
        uint64_t start, bytes;
    } rows[] = {
        {0, 0}, {PAGE / 2, PAGE}, {0, PAGE + 1}, {4 * PAGE, PAGE}, {5 * PAGE, PAGE}, {0, 5 * PAGE}, {3 * PAGE, -3ull * PAGE},
        {-1ull * PAGE, 2 * PAGE}, {PAGE, -1ull * PAGE},
    };

    list();
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        assert_int_equal(discard("b", rows[i].start, rows[i].bytes), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
    }
    fails(discard("b", 4 * PAGE, PAGE), -EPROTO, "0x1000 bytes at 0x4000 of RAM block b, which has 0x4000 bytes and pages of "
        "0x1000");
    assert_false(live->touched);
    assert_int_equal(discard("b", 0, 4 * PAGE), 0);
    assert_true(live->touched);
}

/* Whole host pages, where they are those of both sides. */
static void test_discard_host_page(void **state)
{
    list();
    ram.blocks[1]->page_bytes = 2 * PAGE;
    fails(discard("b", PAGE, 2 * PAGE), -EPROTO, "0x2000 bytes at 0x1000 of RAM block b, which has 0x4000 bytes and pages of "
        "0x2000");
    fails(discard("b", 0, PAGE), -EPROTO, "0x1000 bytes at 0x0 of RAM block b, which has 0x4000 bytes and pages of 0x2000");
    assert_int_equal(discard("b", 2 * PAGE, 2 * PAGE), 0);
    m->config.any_host_pages = true;
    assert_int_equal(discard("b", PAGE, PAGE), 0);
}

/* ---- what came ---- */

static void received(const char *block, uint64_t pages, uint64_t word0, uint64_t word1)
{
    uint64_t *map = NULL, n = 0;

    assert_int_equal(live->ops->received(live, block, &map, &n, &err), 0);
    assert_int_equal(n, pages);
    assert_int_equal(map[0], word0);
    if (pages > 64)
        assert_int_equal(map[1], word1);
    free(map);
}

/* All is there but what was discarded and has not come again. Nothing is said of pages that the block has not. */
static void test_received(void **state)
{
    list();
    received("a", 70, ~0ull, 0x3f);
    zero("a", 1);
    assert_int_equal(live->ops->lacking(live), 0);
    assert_int_equal(discard("a", PAGE, 2 * PAGE), 0);
    assert_int_equal(discard("a", 62 * PAGE, 4 * PAGE), 0);
    assert_int_equal(discard("b", 3 * PAGE, PAGE), 0);
    received("a", 70, ~(0x6ull | 0x3ull << 62), 0x3c);
    received("b", 4, 0x7, 0);
    assert_int_equal(live->ops->lacking(live), 7 * PAGE);
    zero("a", 2);
    zero("a", 65);
    received("a", 70, ~(0x2ull | 0x3ull << 62), 0x3e);
    assert_int_equal(live->ops->lacking(live), 5 * PAGE);
    /* Back to as it was made. */
    live->ops->load_cleanup(live, false);
    assert_int_equal(live->ops->lacking(live), 0);
    assert_null(m->owed);
}

static void test_received_of_nothing(void **state)
{
    uint64_t *map = NULL, n = 0;

    list();
    fails(live->ops->received(live, "c", &map, &n, &err), -ENOENT, "no RAM block is called c");
    fails(live->ops->received(live, "private", &map, &n, &err), -ENOENT, "no RAM block is called private");
    m->store->received = NULL;
    fails(live->ops->received(live, "a", &map, &n, &err), -ENOENT, "no RAM block is called a");
    assert_null(map);
}

/* ---- who waits ---- */

static int listens(struct gw_store *s, struct gw_error *e)
{
    strcat(said, "listen ");
    return 0;
}

static void holds(struct gw_store *s)
{
    strcat(said, "hold ");
}

static void asks_again(struct gw_store *s)
{
    strcat(said, "again ");
}

static int finishes(struct gw_store *s, struct gw_error *e)
{
    strcat(said, "finish ");
    return 0;
}

static void breaks(struct gw_layout_in *l)
{
    strcat(said, "broke ");
}

/* The store is told, and the layout that its stream broke off. */
static void test_waits(void **state)
{
    m->store->listen = listens;
    m->store->hold = holds;
    m->store->ask_again = asks_again;
    m->store->finish = finishes;
    m->in->broke = breaks;
    assert_int_equal(live->ops->release(live, &err), 0);
    assert_string_equal(said, ""); /* nobody listens yet */
    assert_int_equal(live->ops->follow(live, &err), 0);
    assert_true(m->follows && m->in->follows);
    live->ops->hold(live);
    live->ops->again(live);
    assert_int_equal(live->ops->release(live, &err), 0);
    assert_string_equal(said, "listen hold broke again finish ");
}

/* Lanes turn behind the store, and are of no account when a connection is lost. */
static int one_channel(void *opaque, unsigned i, struct gw_channel **ret, struct gw_error *e)
{
    *ret = opaque;
    return 0;
}

static int reads(struct gw_layout_in *l, struct gw_reader *r, struct gw_store *s, struct gw_error *e)
{
    uint8_t byte;

    return gw_get_u8(r, &byte, e); /* a mark */
}

static void resets(struct gw_layout_in *l)
{
    strcat(said, "reset ");
}

static struct gw_layout_in *frees(struct gw_layout_in *l)
{
    return NULL;
}

static void test_lanes(void **state)
{
    struct gw_layout_in layout = {.get = reads, .reset = resets, .free = frees};
    struct gw_channel *near, *far;
    struct gw_lanes_config config = {.open = one_channel};

    assert_int_equal(gw_channel_memory_pair(64, &near, &far, NULL), 0);
    config.opaque = near;
    assert_int_equal(gw_lanes_in_new(&config, &m->lanes_in, NULL), 0);
    assert_int_equal(gw_lanes_in_add(m->lanes_in, &layout, NULL), 0);
    assert_int_equal(gw_lanes_in_begin(m->lanes_in, m->store, NULL, NULL), 0);
    m->store->listen = listens;
    assert_true(gw_ram_laned(m));
    assert_int_equal(gw_channel_write_full(far, "m", 1, NULL), 0);
    assert_int_equal(live->ops->follow(live, &err), 0);
    assert_string_equal(said, "listen ");
    live->ops->cut(live);
    live->ops->cut(live);
    assert_string_equal(said, "listen reset ");
    assert_false(gw_ram_laned(m));
    m->lanes_in = gw_lanes_in_free(m->lanes_in);
    gw_channel_free(near);
    gw_channel_free(far);
}

/* A store at which nobody waits has none of it. */
static void test_nobody_waits(void **state)
{
    assert_int_equal(live->ops->follow(live, &err), 0);
    m->in->broke = breaks;
    live->ops->hold(live);
    live->ops->again(live);
    assert_int_equal(live->ops->release(live, &err), 0);
    assert_string_equal(said, "broke ");
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_advised), T(test_advised_any_host_pages), T(test_cannot_forget), T(test_host_page), T(test_host_page_is_guessed),
        T(test_discard_no_block), T(test_discard_range), T(test_discard_host_page), T(test_received), T(test_received_of_nothing),
        T(test_waits), T(test_nobody_waits), T(test_lanes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
