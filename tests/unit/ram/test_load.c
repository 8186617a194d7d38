/* SPDX-License-Identifier: MIT
 *
 * The RAM section as a destination reads it: the list is checked against the machine before anything of it has an effect.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ram/layout/stream.h"
#include "ram/live.h"
#include "ram/ram.h"
#include "ram/store/direct.h"
#include "wire/numbers.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"

#define PAGE 4096u

static struct gw_ram ram;
static struct gw_live *live;
static struct gw_out out;
static struct gw_error err;
static uint8_t *memory;
static uint64_t resized_to;

static int resized(void *opaque, uint64_t used_bytes, struct gw_error *e)
{
    resized_to = used_bytes;
    return used_bytes == 6 * PAGE ? gw_fail(e, -ENOMEM, GW_BLAME_EMBEDDER, "no memory") : 0;
}

static void add(const char *name, uint64_t pages, unsigned flags)
{
    const struct gw_ram_desc d = {.name = name, .host = memory + ram.count * 8 * PAGE, .used_bytes = pages * PAGE,
                                  .max_bytes = 8 * PAGE, .gpa = ram.count * 8 * PAGE, .flags = flags, .resized = resized};

    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
}

static void make_of(struct gw_ram_config config)
{
    assert_int_equal(gw_store_direct_new(&ram, &config.take_store, NULL), 0);
    assert_int_equal(gw_layout_stream_in_new(&ram, false, &config.take_in, NULL), 0);
    assert_int_equal(gw_ram_live_new(&config, &live, NULL), 0);
    assert_int_equal(live->ops->load_setup(live, NULL), 0);
}

static void make(bool ignore_shared)
{
    make_of((struct gw_ram_config){.ram = &ram, .ignore_shared = ignore_shared});
}

static int up(void **state)
{
    memory = aligned_alloc(PAGE, 32 * PAGE);
    memset(memory, 0xee, 32 * PAGE);
    gw_out_memory(&out);
    resized_to = 0;
    if (gw_ram_init(&ram, PAGE, NULL, NULL))
        return -1;
    add("a", 2, 0);
    add("b", 4, GW_RAM_RESIZEABLE);
    return 0;
}

static int down(void **state)
{
    if (live) {
        live->ops->load_cleanup(live, false);
        live->ops->free(live);
    }
    live = NULL;
    gw_out_free(&out);
    gw_ram_close(&ram);
    free(memory);
    return 0;
}

static void list(uint64_t a, uint64_t b)
{
    gw_ram_list_put_total(&out, (a + b) * PAGE);
    if (a)
        gw_ram_list_put(&out, "a", a * PAGE, NULL);
    if (b)
        gw_ram_list_put(&out, "b", b * PAGE, NULL);
    gw_ram_put_end(&out);
}

static int load(enum gw_section_kind kind)
{
    struct gw_reader r;
    const uint8_t *data;
    size_t n;
    int e;

    if (!live)
        make(false);
    data = gw_out_data(&out, &n);
    gw_reader_init_memory(&r, data, n, 0);
    err = (struct gw_error)GW_ERROR_INIT;
    e = live->ops->load(live, kind, &r, &err);
    gw_reader_close(&r);
    gw_out_free(&out);
    gw_out_memory(&out);
    return e;
}

static void refused(const char *text)
{
    assert_int_equal(load(GW_SECTION_START), -EPROTO);
    assert_string_equal(err.text, text);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_false(live->touched);
    assert_int_equal(ram.blocks[1]->pages, 4);
    assert_int_equal(resized_to, 0);
}

static void test_good(void **state)
{
    struct gw_progress p = {0};
    char note[GW_LIVE_NOTE] = "";

    list(2, 4);
    assert_int_equal(load(GW_SECTION_START), 0);
    live->ops->progress(live, &p);
    assert_int_equal(p.total_bytes, 6 * PAGE);
    gw_ram_record_put(&out, PAGE, GW_RAMF_ZERO, "a");
    gw_ram_put_zero(&out);
    gw_ram_put_end(&out);
    assert_int_equal(load(GW_SECTION_PART), 0);
    assert_true(live->touched);
    assert_int_equal(memory[PAGE], 0);
    assert_int_equal(memory[0], 0xee);
    /* What never came is told where the section ended, and is the end of it where it did not. */
    assert_int_equal(live->ops->check_ended(live, GW_LIVE_ENDED, note, &err), 0);
    assert_string_equal(note, "5 pages never arrived and keep the contents that they had");
    assert_int_equal(live->ops->check_ended(live, GW_LIVE_OPEN, note, &err), -EPROTO);
    assert_string_equal(err.text, "its section ram does not end, and 5 pages did not come");
}

static void reset_nothing(struct gw_layout_in *layout)
{
}

static struct gw_layout_in *free_nothing(struct gw_layout_in *layout)
{
    return NULL;
}

/* Lanes refuse pages when the whole machine is here, not when RAM alone is, nor when they have been cut off. */
static void test_over(void **state)
{
    struct gw_layout_in layout = {.reset = reset_nothing, .free = free_nothing};
    struct gw_ram_config config = {.ram = &ram};
    char note[GW_LIVE_NOTE] = "";

    for (unsigned cut = 0; cut < 2; cut++) {
        layout.over = false;
        assert_int_equal(gw_lanes_in_new(&(struct gw_lanes_config){0}, &config.take_lanes_in, NULL), 0);
        assert_int_equal(gw_lanes_in_add(config.take_lanes_in, &layout, NULL), 0);
        make_of(config);
        assert_int_equal(live->ops->check_ended(live, GW_LIVE_ENDED, note, NULL), 0);
        assert_false(layout.over);
        if (cut)
            live->ops->cut(live);
        live->ops->over(live);
        assert_int_equal(layout.over, !cut);
        live->ops->load_cleanup(live, false);
        live = live->ops->free(live);
    }
}

static void test_absent(void **state)
{
    char note[GW_LIVE_NOTE] = "";

    make(false);
    assert_int_equal(live->ops->check_ended(live, GW_LIVE_ABSENT, note, &err), -EPROTO);
    assert_string_equal(err.text, "it had no section ram: RAM block a did not come");
}

static void test_missing_block(void **state)
{
    list(2, 0);
    refused("RAM block b (0x4000 bytes) is not in the stream");
}

static void test_unknown_block(void **state)
{
    gw_ram_list_put_total(&out, PAGE);
    gw_ram_list_put(&out, "c", PAGE, NULL);
    refused("the source has a RAM block c (0x1000 bytes), which this machine lacks");
}

static void test_twice(void **state)
{
    gw_ram_list_put_total(&out, 4 * PAGE);
    gw_ram_list_put(&out, "a", 2 * PAGE, NULL);
    gw_ram_list_put(&out, "a", 2 * PAGE, NULL);
    refused("RAM block a is listed twice");
}

static void test_another_size(void **state)
{
    list(3, 4);
    refused("RAM block a has 0x3000 bytes on the source and 0x2000 here");
}

static void test_larger_than_it_can_be(void **state)
{
    list(2, 9);
    refused("RAM block b has 0x9000 bytes on the source and 0x4000 here");
}

/* A size that may change changes when all of the list is good, and the embedder is told. */
static void test_resized(void **state)
{
    list(2, 5);
    assert_int_equal(load(GW_SECTION_START), 0);
    assert_int_equal(resized_to, 5 * PAGE);
    assert_int_equal(ram.blocks[1]->pages, 5);
    assert_true(live->touched); /* nobody else's machine from here on */
}

static void test_cannot_resize(void **state)
{
    list(2, 6);
    assert_int_equal(load(GW_SECTION_START), -ENOMEM);
    assert_string_equal(err.text, "RAM block b cannot be given 0x6000 bytes: no memory");
    assert_int_equal(ram.blocks[1]->pages, 4);
}

static void test_list_twice(void **state)
{
    list(2, 4);
    assert_int_equal(load(GW_SECTION_START), 0);
    list(2, 4);
    assert_int_equal(load(GW_SECTION_START), -EPROTO);
    assert_string_equal(err.text, "a second RAM block list at byte 0");
}

static void test_pages_first(void **state)
{
    gw_ram_put_end(&out);
    assert_int_equal(load(GW_SECTION_PART), -EPROTO);
    assert_string_equal(err.text, "RAM pages at byte 0 before the block list");
}

static void test_no_end(void **state)
{
    gw_ram_list_put_total(&out, 6 * PAGE);
    gw_ram_list_put(&out, "a", 2 * PAGE, NULL);
    gw_ram_list_put(&out, "b", 4 * PAGE, NULL);
    gw_put_u64(&out, GW_RAMF_MULTIFD_FLUSH);
    assert_int_equal(load(GW_SECTION_START), -EPROTO);
    assert_non_null(strstr(err.text, "capability multifd is on at the source and off here"));
}

static void test_flush_without_channels(void **state)
{
    list(2, 4);
    assert_int_equal(load(GW_SECTION_START), 0);
    gw_put_u64(&out, GW_RAMF_MULTIFD_FLUSH);
    gw_ram_put_end(&out);
    assert_int_equal(load(GW_SECTION_PART), -EPROTO);
    assert_int_equal(strncmp(err.text, "MULTIFD_FLUSH before byte ", 26), 0);
}

/* Memory that both sides map stays, and has to be at the same place. */
static void test_ignore_shared(void **state)
{
    struct gw_progress p = {0};

    ram.blocks[0]->flags |= GW_RAM_SHARED | GW_RAM_NAMED_FILE;
    for (int wrong = 0; wrong < 2; wrong++) {
        make(true);
        gw_ram_list_put_total(&out, 6 * PAGE);
        gw_ram_list_put(&out, "a", 2 * PAGE, NULL);
        gw_put_u64(&out, ram.blocks[0]->gpa + (wrong ? PAGE : 0));
        gw_ram_list_put(&out, "b", 4 * PAGE, NULL);
        gw_put_u64(&out, 77); /* of what goes it does not matter */
        gw_ram_put_end(&out);
        assert_int_equal(load(GW_SECTION_START), wrong ? -EPROTO : 0);
        if (wrong) {
            assert_string_equal(err.text, "RAM block a is at guest address 0x1000 on the source and 0x0 here");
        } else {
            live->ops->progress(live, &p);
            assert_int_equal(p.total_bytes, 4 * PAGE);
            live->ops->load_cleanup(live, false);
            live = live->ops->free(live);
        }
    }
}

/* After a load of which something came no block is known to be zeros, also when it failed. */
static void test_fresh(void **state)
{
    ram.blocks[0]->flags |= GW_RAM_FRESH;
    make(false);
    live->ops->load_cleanup(live, false);
    assert_true(ram.blocks[0]->flags & GW_RAM_FRESH);
    assert_int_equal(live->ops->load_setup(live, NULL), 0);
    live->touched = true;
    live->ops->load_cleanup(live, false);
    assert_false(ram.blocks[0]->flags & GW_RAM_FRESH);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_good),  T(test_over), T(test_absent),        T(test_missing_block), T(test_unknown_block), T(test_twice),
        T(test_another_size), T(test_larger_than_it_can_be), T(test_resized), T(test_cannot_resize), T(test_list_twice),
        T(test_pages_first),  T(test_no_end),        T(test_flush_without_channels), T(test_ignore_shared), T(test_fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
