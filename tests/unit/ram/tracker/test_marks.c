/* SPDX-License-Identifier: MIT
 *
 * Marks: each is taken once, none is lost between threads, none is kept where none should be. With a whole tracker:
 * test_tracker.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <pthread.h>

#include <cmocka.h>

#include "ram/tracker/tracker.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define PAGES (GW_CHUNK_PAGES + 70)

static _Alignas(64) uint8_t memory[64];

static struct rig {
    struct gw_ram ram;
    struct gw_tracker t;
    struct gw_marks m;
    struct gw_ram_block *a, *b;
    uint64_t dirty[2][2 * PAGES / 64 + 1], unclean[2][1];
} rig;

static void add(const char *name, uint64_t gpa, uint64_t pages, uint64_t max)
{
    const struct gw_ram_desc d = {
        .name = name, .host = memory, .gpa = gpa, .used_bytes = pages * 4096, .max_bytes = max * 4096};

    assert_int_equal(gw_ram_add(&rig.ram, &d, NULL), 0);
}

static int up(void **state)
{
    memset(&rig, 0, sizeof rig);
    assert_int_equal(gw_ram_init(&rig.ram, 4096, NULL, NULL), 0);
    add("a", 0, PAGES, PAGES + 64);
    add("b", 1ull << 40, 5, 0);
    rig.t.ram = &rig.ram;
    rig.a = rig.ram.blocks[0];
    rig.b = rig.ram.blocks[1];
    for (unsigned i = 0; i < 2; i++) {
        rig.ram.blocks[i]->dirty = rig.dirty[i];
        rig.ram.blocks[i]->unclean = rig.unclean[i];
    }
    return 0;
}

static int down(void **state)
{
    gw_marks_close(&rig.m);
    gw_ram_close(&rig.ram);
    return 0;
}

static void test_once(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, &err), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 10, 1), 1);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 10, 2), 1); /* one of them is new */
    assert_int_equal(gw_marks_set(&rig.m, rig.a, GW_CHUNK_PAGES - 1, 66), 66);
    assert_int_equal(gw_marks_set(&rig.m, rig.b, 0, 5), 5);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 68);
    assert_int_equal(rig.ram.dirty_pages, 68);
    assert_int_equal(gw_bitmap_count(rig.dirty[0], PAGES), 68);
    assert_true(gw_bitmap_test(rig.dirty[0], 10) && gw_bitmap_test(rig.dirty[0], 11));
    assert_int_equal(gw_bitmap_count_range(rig.dirty[0], GW_CHUNK_PAGES - 1, 66), 66);
    assert_int_equal(rig.unclean[0][0], 3);
    assert_int_equal(gw_bitmap_count(rig.dirty[1], 5), 0);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 0);
    /* Dirty already: taken, and not new. */
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 10, 1), 1);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 0);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.b), 5);
}

/* Of one chunk, and nothing else; the chunk does not become unclean by it. */
static void test_chunks(void **state)
{
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    assert_int_equal(gw_marks_take_chunks(&rig.m, &rig.t, rig.a, 0, GW_CHUNK_PAGES), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, GW_CHUNK_PAGES - 1, 2), 2);
    assert_int_equal(gw_marks_take_chunks(&rig.m, &rig.t, rig.a, GW_CHUNK_PAGES, GW_CHUNK_PAGES), 1);
    assert_true(gw_bitmap_test(rig.dirty[0], GW_CHUNK_PAGES));
    assert_false(gw_bitmap_test(rig.dirty[0], GW_CHUNK_PAGES - 1));
    assert_int_equal(rig.unclean[0][0], 0);
    assert_int_equal(gw_marks_take_chunks(&rig.m, &rig.t, rig.a, GW_CHUNK_PAGES, GW_CHUNK_PAGES), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, GW_CHUNK_PAGES, 1), 1); /* again, and dirty already */
    assert_int_equal(gw_marks_take_chunks(&rig.m, &rig.t, rig.a, 0, UINT64_C(1) << 40), 1);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 0);
}

static void test_ends(void **state)
{
    const uint64_t max = PAGES + 64;
    struct gw_ram_block stranger = {.index = 2};

    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 0, 0), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, max, 1), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(gw_marks_set(&rig.m, &stranger, 0, 1), 0);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, &stranger), 0);
    /* All of it, also what the block could grow to; only what it has is taken. */
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 0, UINT64_MAX), max);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), PAGES);
    assert_int_equal(gw_bitmap_count(rig.dirty[0], sizeof rig.dirty[0] * 8), PAGES);
}

/* None before the first open, none while shut; and none of before when it is opened again. */
static void test_shut(void **state)
{
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 0, 1), 0);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 0);
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 1, 1), 1);
    gw_marks_shut(&rig.m);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 2, 1), 0);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 0);
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 3, 1), 1);
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 0);
    /* Nor do they come back with one beside them. */
    assert_int_equal(gw_marks_set(&rig.m, rig.a, 4, 1), 1);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 1);
    assert_int_equal(gw_bitmap_count(rig.dirty[0], PAGES), 1);
    assert_true(gw_bitmap_test(rig.dirty[0], 4));
    gw_marks_shut(&rig.m);
    gw_marks_close(&rig.m);
    gw_marks_shut(&rig.m);
    gw_marks_close(&rig.m);
}

/* Blocks that came, and one that moved up into the room of a smaller one. */
static void test_grows(void **state)
{
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    add("c", 1ull << 41, 2 * PAGES - 200, 0);
    rig.ram.blocks[2]->dirty = rig.dirty[0];
    rig.ram.blocks[2]->unclean = rig.unclean[0];
    /* It has no room yet. */
    assert_int_equal(gw_marks_set(&rig.m, rig.ram.blocks[2], 0, 1), 0);
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    assert_int_equal(gw_marks_set(&rig.m, rig.ram.blocks[2], 0, UINT64_MAX), 2 * PAGES - 200);
    gw_ram_remove(&rig.ram, rig.b);
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    assert_int_equal(rig.ram.blocks[1]->index, 1);
    assert_int_equal(gw_marks_set(&rig.m, rig.ram.blocks[1], 0, UINT64_MAX), 2 * PAGES - 200);
    memset(rig.dirty, 0, sizeof rig.dirty);
    assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.ram.blocks[1]), 2 * PAGES - 200);
}

/* Opening fails at each allocation: the marks of before work on. */
static void test_nomem(void **state)
{
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    add("c", 1ull << 41, PAGES, 0);
    for (unsigned n = 1;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        bool hit;
        int r;

        countdown = n;
        r = gw_marks_open(&rig.m, &rig.ram, &err);
        hit = countdown == 0;
        countdown = 0;
        if (!hit) {
            assert_int_equal(r, 0);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_string_equal(err.text, "out of memory (dirty marks)");
        memset(rig.dirty, 0, sizeof rig.dirty);
        gw_marks_set(&rig.m, rig.a, 7, 1);
        assert_int_equal(gw_marks_take(&rig.m, &rig.t, rig.a), 1);
    }
}

#define THREADS 4
#define EACH    20000u

static unsigned running;

/* Pages of its own, each marked after it was written. */
static uint64_t written[PAGES];

static void *mark(void *opaque)
{
    uint64_t me = (uint64_t)(uintptr_t)opaque;

    for (uint64_t i = 0; i < EACH; i++) {
        uint64_t page = (i * 37 % (PAGES / THREADS)) * THREADS + me;

        __atomic_fetch_add(&written[page], 1, __ATOMIC_RELAXED);
        gw_marks_set(&rig.m, rig.a, page, 1);
    }
    __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Whoever takes a mark sees what was written before it, and at the end nothing was missed. */
static void test_threads(void **state)
{
    static uint64_t seen[PAGES];
    pthread_t thread[THREADS];
    bool last = false;

    memset(written, 0, sizeof written);
    memset(seen, 0, sizeof seen);
    assert_int_equal(gw_marks_open(&rig.m, &rig.ram, NULL), 0);
    running = THREADS;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, mark, (void *)i), 0);
    while (!last) {
        last = __atomic_load_n(&running, __ATOMIC_SEQ_CST) == 0;
        gw_marks_take(&rig.m, &rig.t, rig.a);
        for (uint64_t p = 0; p < PAGES; p++)
            if (gw_bitmap_test_clear(rig.dirty[0], p))
                seen[p] = __atomic_load_n(&written[p], __ATOMIC_RELAXED);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (uint64_t p = 0; p < PAGES; p++)
        assert_int_equal(seen[p], written[p]);
}

#define marks_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        marks_test(test_once),  marks_test(test_ends),  marks_test(test_shut),
        marks_test(test_chunks),
        marks_test(test_grows), marks_test(test_nomem), marks_test(test_threads),
    };

    return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
