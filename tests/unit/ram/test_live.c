/* SPDX-License-Identifier: MIT
 *
 * The RAM section as a source writes it: what is listed, what is told of progress, and what ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ram/codec/plain.h"
#include "ram/codec/zero.h"
#include "ram/layout/stream.h"
#include "ram/live.h"
#include "ram/ram.h"
#include "ram/source/dirty.h"
#include "ram/tracker/tracker.h"
#include "wire/numbers.h"

#define PAGE 4096u

static struct gw_ram ram;
static struct gw_tracker *tracker;
static struct gw_live *live;
static struct gw_writer w;
static struct gw_error err;
static uint8_t *memory;

static void add(const char *name, uint64_t pages, unsigned flags)
{
    const struct gw_ram_desc d = {.name = name, .host = memory + ram.count * 8 * PAGE, .used_bytes = pages * PAGE,
                                  .max_bytes = 8 * PAGE, .gpa = 0x1000000 + ram.count * 8 * PAGE, .flags = flags};

    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
}

static void make(bool postcopy, bool ignore_shared)
{
    const struct gw_lanes_config none = {0};
    struct gw_ram_config config = {.ram = &ram, .postcopy = postcopy, .ignore_shared = ignore_shared};
    struct gw_layout *layout = NULL;
    struct gw_codec *codec = NULL;
    struct gw_lane *lane = NULL;

    assert_int_equal(gw_source_dirty_new(&ram, tracker, false, &config.take_source, NULL), 0);
    assert_int_equal(gw_layout_stream_new(&ram, &layout, NULL), 0);
    assert_int_equal(gw_lane_new(layout, &lane, NULL), 0);
    assert_int_equal(gw_codec_plain_new(&codec, NULL), 0);
    assert_int_equal(gw_lane_add(lane, codec, NULL), 0);
    assert_int_equal(gw_lanes_new(&none, &config.take_lanes, NULL), 0);
    assert_int_equal(gw_lanes_add(config.take_lanes, lane, NULL), 0);
    assert_int_equal(gw_ram_live_new(&config, &live, NULL), 0);
}

static int up(void **state)
{
    memory = aligned_alloc(PAGE, 32 * PAGE);
    memset(memory, 1, 32 * PAGE);
    err = (struct gw_error)GW_ERROR_INIT;
    if (gw_ram_init(&ram, PAGE, NULL, NULL))
        return -1;
    add("a", 2, GW_RAM_FRESH);
    add("left", 3, GW_RAM_NO_MIGRATE);
    add("b", 4, GW_RAM_SHARED | GW_RAM_NAMED_FILE);
    return gw_tracker_explicit_new(&ram, &tracker, NULL) || gw_writer_init_memory(&w, NULL);
}

static int down(void **state)
{
    if (live) {
        live->ops->cleanup(live);
        live->ops->free(live);
    }
    live = NULL;
    gw_tracker_free(tracker);
    gw_writer_close(&w);
    gw_ram_close(&ram);
    free(memory);
    return 0;
}

static void written(const char *hex)
{
    char text[600] = "";
    size_t n;
    const uint8_t *data;

    assert_int_equal(gw_writer_flush(&w, NULL), 0);
    data = gw_writer_data(&w, &n);
    assert_true(n < 250);
    for (size_t i = 0; i < n; i++)
        sprintf(text + 2 * i, "%02x", data[i]);
    assert_string_equal(text, hex);
}

#define TOTAL "0000000000006004"
#define A     "0161" "0000000000002000"
#define BL    "0162" "0000000000004000"
#define EOS   "0000000000000010"

/* What does not migrate is not there, and what has had a guest is not known to be zeros any more. */
static void test_list(void **state)
{
    struct gw_progress p = {0};

    make(false, false);
    assert_int_equal(live->ops->setup(live, &w, &err), 0);
    written(TOTAL A BL EOS);
    assert_false(ram.blocks[0]->flags & GW_RAM_FRESH);
    assert_true(ram.sending);
    live->ops->progress(live, &p);
    assert_int_equal(p.total_bytes, 6 * PAGE);
    assert_int_equal(p.remaining_bytes, 6 * PAGE);
}

/* Memory that both sides map is listed with its address, and does not go. */
static void test_ignore_shared(void **state)
{
    struct gw_progress p = {0};

    make(false, true);
    assert_int_equal(live->ops->setup(live, &w, &err), 0);
    written(TOTAL A "0000000001000000" BL "0000000001010000" EOS);
    live->ops->progress(live, &p);
    assert_int_equal(p.total_bytes, 2 * PAGE);
    assert_int_equal(p.remaining_bytes, 2 * PAGE);
}

/* Both sides of a postcopy migration must have the same host pages: unusual ones are told. */
static void test_host_pages(void **state)
{
    make(true, false);
    ram.blocks[0]->page_bytes = 2 << 20;
    assert_int_equal(live->ops->setup(live, &w, &err), 0);
    written(TOTAL A "0000000000200000" BL EOS);
}

static unsigned asked;

static bool spent(struct gw_budget *b, uint64_t bytes_put)
{
    asked++;
    return true;
}

/* A step ends when its budget is spent, and says when nothing is left. */
static void test_step(void **state)
{
    struct gw_budget one = {.spent = spent, .batch_bytes = PAGE};
    struct gw_progress p = {0};
    struct gw_pending due;

    make(false, false);
    assert_int_equal(live->ops->setup(live, &w, &err), 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(live->ops->step(live, &w, &one, &err), 0); /* a page each */
    assert_int_equal(live->ops->step(live, &w, &one, &err), 1);
    assert_int_equal(asked, 6);
    live->ops->progress(live, &p);
    assert_int_equal(p.remaining_bytes, 0);
    gw_tracker_mark(tracker, ram.blocks[2], 1, 2);
    assert_int_equal(live->ops->pending(live, false, &due, &err), 0);
    assert_int_equal(due.can_postcopy_bytes, 0); /* nobody has looked */
    assert_int_equal(live->ops->pending(live, true, &due, &err), 0);
    assert_int_equal(due.can_postcopy_bytes, 2 * PAGE);
    assert_int_equal(due.fresh_bytes, 2 * PAGE);
    assert_int_equal(due.must_precopy_bytes, 0);
}

/* Where lanes meet, the body of a PART has nothing but its end. */
static void test_meet(void **state)
{
    make(true, false);
    assert_false(live->apart);
    assert_int_equal(live->ops->meet(live, &w, &err), 0);
    written(EOS);
}

/* A block that was given another size meanwhile ends it, at whatever comes next. */
static void test_resized(void **state)
{
    struct gw_budget one = {.spent = spent, .batch_bytes = PAGE};

    make(false, false);
    assert_int_equal(live->ops->setup(live, &w, &err), 0);
    strcpy(ram.resized, "a");
    assert_int_equal(live->ops->step(live, &w, &one, &err), -ECANCELED);
    assert_string_equal(err.text, "RAM block a was resized while the migration was under way");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    assert_int_equal(live->ops->complete(live, &w, &err), -ECANCELED);
    assert_int_equal(live->ops->hand_over(live, &w, NULL, &err), -ECANCELED);
}

static void test_cleanup(void **state)
{
    make(false, false);
    live->ops->cleanup(live); /* of what never began */
    assert_int_equal(live->ops->setup(live, &w, &err), 0);
    assert_non_null(ram.blocks[0]->dirty);
    live->ops->cleanup(live);
    live->ops->cleanup(live);
    assert_false(ram.sending);
    assert_null(ram.blocks[0]->dirty);
}

static int map(struct gw_resume *ask, const char *block, uint64_t pages, uint64_t **ret_map, struct gw_error *e)
{
    *ret_map = gw_bitmap_new(pages);
    gw_bitmap_set_range(*ret_map, 0, !strcmp(block, "a") ? 2 : 3);
    return strcmp(block, "left") ? 0 : -EINVAL;
}

/* What the other side has does not go again. */
static void test_resume(void **state)
{
    struct gw_resume ask = {.map = map};
    struct gw_progress p = {0};

    make(true, false);
    assert_int_equal(live->ops->resume(live, &ask, &err), 0);
    live->ops->progress(live, &p);
    assert_int_equal(p.total_bytes, 6 * PAGE);
    assert_int_equal(p.remaining_bytes, PAGE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_list),    T(test_ignore_shared), T(test_host_pages), T(test_step),
                                       T(test_resized), T(test_cleanup),       T(test_resume), T(test_meet)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
