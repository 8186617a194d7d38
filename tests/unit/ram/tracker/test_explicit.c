/* SPDX-License-Identifier: MIT
 *
 * The tracker that is told: it finds what was marked, when it was marked, and nothing else. The model of a migration
 * with it: test_tracker.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/tracker/tracker.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define PAGES 100u

static _Alignas(4096) uint8_t memory[PAGES * 4096];

static struct gw_ram ram;
static struct gw_tracker *t;

static int up(void **state)
{
    const struct gw_ram_desc d = {.name = "a", .host = memory, .used_bytes = sizeof memory};

    assert_int_equal(gw_ram_init(&ram, 4096, NULL, NULL), 0);
    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
    assert_int_equal(gw_tracker_explicit_new(&ram, &t, NULL), 0);
    return 0;
}

static int down(void **state)
{
    t = gw_tracker_free(t);
    gw_ram_close(&ram);
    return 0;
}

/* What is dirty at the start is sent, chunk by chunk. */
static void send_all(void)
{
    struct gw_ram_block *b = ram.blocks[0];
    uint64_t fresh = 0;

    assert_int_equal(gw_tracker_clean(t, b, 0, &fresh, NULL), 0);
    assert_int_equal(fresh, 0);
    gw_bitmap_clear_range(b->dirty, 0, PAGES);
    ram.dirty_pages = 0;
}

static void test_finds(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram_block *b = ram.blocks[0];
    uint64_t fresh = 0;

    assert_string_equal(t->ops->name, "explicit");
    gw_tracker_mark(t, b, 3, 1); /* before the start: all is dirty then anyway */
    assert_int_equal(gw_tracker_start(t, NULL, &err), 0);
    assert_int_equal(gw_bitmap_count(b->dirty, PAGES), PAGES);
    send_all();
    /* A store that nobody tells of is not found. */
    memory[5 * 4096] = 1;
    gw_tracker_mark(t, b, 9, 2);
    assert_int_equal(gw_tracker_sync(t, &fresh, &err), 0);
    assert_int_equal(fresh, 2);
    assert_int_equal(gw_bitmap_count(b->dirty, PAGES), 2);
    assert_true(gw_bitmap_test(b->dirty, 9) && gw_bitmap_test(b->dirty, 10));
    /* A mark between the sync and the clean is taken by the clean: of what is due anyway it changes nothing. */
    gw_tracker_mark(t, b, 9, 1);
    gw_tracker_mark(t, b, 50, 1);
    assert_int_equal(gw_tracker_clean(t, b, 0, &fresh, NULL), 0);
    assert_int_equal(fresh, 1);
    assert_int_equal(gw_bitmap_count(b->dirty, PAGES), 3);
    assert_true(gw_bitmap_test(b->dirty, 50));
    /* One after the clean is for the next sync, and is not lost. */
    gw_tracker_mark(t, b, 10, 1);
    send_all();
    assert_int_equal(gw_tracker_sync(t, &fresh, &err), 0);
    assert_int_equal(fresh, 1);
    assert_int_equal(gw_bitmap_count(b->dirty, PAGES), 1);
    assert_true(gw_bitmap_test(b->dirty, 10));
    gw_tracker_stop(t);
    assert_null(b->dirty);
    gw_tracker_mark(t, b, 51, 1);
    /* The next session begins with all of it, and without marks of the last. */
    assert_int_equal(gw_tracker_start(t, NULL, &err), 0);
    send_all();
    assert_int_equal(gw_tracker_sync(t, &fresh, &err), 0);
    assert_int_equal(fresh, 0);
    gw_tracker_stop(t);
}

static void test_no_rings(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_tracker_ring_full(t, &err), 0);
    assert_int_equal(t->vcpus, 0);
}

static void test_nomem(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_tracker *other = NULL;

    countdown = 1;
    assert_int_equal(gw_tracker_explicit_new(&ram, &other, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "out of memory (dirty tracker)");
    assert_null(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_finds, up, down),
        cmocka_unit_test_setup_teardown(test_no_rings, up, down),
        cmocka_unit_test_setup_teardown(test_nomem, up, down),
    };

    return cmocka_run_group_tests_name("explicit", tests, NULL, NULL);
}
