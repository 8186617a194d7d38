/* SPDX-License-Identifier: MIT
 *
 * The source of dirty bitmaps: which travel under which names, the bytes of the format document, steps, and what is
 * left afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sections.h"

static struct side s;
static struct gw_writer w;

static int up(void **state)
{
    side_up(&s, NULL);
    return gw_writer_init_memory(&w, NULL);
}

static int down(void **state)
{
    gw_writer_close(&w);
    side_down(&s);
    return 0;
}

static void put(const char *want, size_t n)
{
    size_t bytes;
    const uint8_t *data = gw_writer_data(&w, &bytes);

    assert_int_equal(bytes, n);
    assert_memory_equal(data, want, n);
    gw_writer_close(&w);
    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
}
#define PUT(text) put(text, sizeof text - 1)

static void test_bytes(void **state)
{
    struct gw_pending p;

    side_bitmap(s.disk[0], "bmdis", 4096, true, false);
    side_bitmap(s.disk[0], "bm0", 65536, false, true);
    side_bitmap(s.disk[1], "x", 4096, false, false);
    assert_int_equal(s.live->ops->setup(s.live, &w, NULL), 0);
    PUT("\x1c\x02"
        "d1\x01x\0\0\x10\0\1"
        "\x1c\x02n0\x05"
        "bmdis\0\0\x10\0\0"
        "\x14\x03"
        "bm0\0\1\0\0\3"
        "\x01");
    assert_true(s.live->ops->left_out(s.live, true));
    assert_false(s.live->ops->left_out(s.live, false));
    gw_disk_wrote(s.disk[0], 0, 1);
    gw_disk_wrote(s.disk[0], 16 * 65536, 1);
    gw_disk_wrote(s.disk[0], (8 << 20) - 1, 1);
    assert_int_equal(s.live->ops->pending(s.live, true, &p, NULL), 0);
    assert_int_equal(p.can_postcopy_bytes, 0); /* of two disks: before the machine */
    assert_null(s.live->ops->hand_over);
    assert_true(p.must_precopy_bytes > 1024 && p.must_precopy_bytes < 1300);
    assert_int_equal(s.live->ops->complete(s.live, &w, NULL), 0);
    PUT("\x4e\x02"
        "d1\x01x\0\0\0\0\0\0\0\0\0\0\x08\x01"
        "\x4e\x02n0\x05"
        "bmdis\0\0\0\0\0\0\0\0\0\0\x40\0"
        "\x44\x03"
        "bm0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\0\x20"
        "\1\0\1\0\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "\x2c\x02"
        "d1\x01x\x2c\x02n0\x05"
        "bmdis\x24\x03"
        "bm0\x01");
    assert_int_equal(s.live->ops->pending(s.live, true, &p, NULL), 0);
    assert_int_equal(p.must_precopy_bytes, 0);
}

static void test_none(void **state)
{
    assert_int_equal(s.live->ops->setup(s.live, &w, NULL), 0);
    PUT("\x01");
    assert_true(s.live->ops->left_out(s.live, false));
    /* The next session looks anew. */
    s.live->ops->cleanup(s.live);
    side_bitmap(s.disk[0], "b", 4096, false, false);
    assert_int_equal(s.live->ops->setup(s.live, &w, NULL), 0);
    assert_false(s.live->ops->left_out(s.live, false));
    s.live->ops->cleanup(s.live);
}

/* The names of the disks' list when all is released. */
static void idle(bool stored)
{
    struct gw_bitmap_info info;

    for (unsigned d = 0; d < SIDE_DISKS; d++) {
        for (unsigned i = 0; !gw_disk_bitmap_at(s.disk[d], i, &info); i++) {
            assert_false(info.busy && strcmp(info.name, "split"));
            assert_int_equal(info.not_stored, info.persistent && !stored);
        }
        assert_int_equal(s.disk[d]->blocker_count, 0);
    }
}

static void test_all_or_nothing(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    side_bitmap(s.disk[1], "good", 4096, false, true);
    side_bitmap(s.disk[0], "split", 4096, false, false);
    assert_int_equal(gw_disk_bitmap_split(s.disk[0], "split", NULL), 0);
    assert_int_equal(s.live->ops->setup(s.live, &w, &err), -EBUSY);
    assert_non_null(strstr(err.text, "dirty bitmap split of disk n0 cannot be sent: a backup uses it"));
    idle(true);
    assert_int_equal(gw_disk_bitmap_join(s.disk[0], "split", true, NULL), 0);
    for (unsigned gone = 0; gone < 2; gone++) {
        assert_int_equal(s.live->ops->setup(s.live, &w, NULL), 0);
        assert_int_equal(gw_disk_resized(s.disk[0], 4096, &err), -EBUSY);
        assert_non_null(strstr(err.text, "in use by migration"));
        s.has_gone = gone;
        s.live->ops->cleanup(s.live);
        s.live->ops->cleanup(s.live);
        idle(!gone);
    }
}

static void test_names(void **state)
{
    struct gw_disk *automatic = side_disk(NULL, "#block123", 4096), *kept = s.disk[0];
    struct gw_error err = GW_ERROR_INIT;
    char name[300];

    memset(name, 'n', 299);
    name[299] = 0;
    s.disk[0] = automatic; /* without bitmaps its name does not matter */
    assert_int_equal(s.live->ops->setup(s.live, &w, NULL), 0);
    s.live->ops->cleanup(s.live);
    side_bitmap(automatic, "b", 512, false, false);
    assert_int_equal(s.live->ops->setup(s.live, &w, &err), -EINVAL);
    assert_non_null(strstr(err.text, "dirty bitmap b: its disk has only a generated name (#block123)"));
    idle(true);
    s.disk[0] = kept;
    side_bitmap(s.disk[0], name, 512, false, false);
    err = (struct gw_error)GW_ERROR_INIT;
    assert_int_equal(s.live->ops->setup(s.live, &w, &err), -EINVAL);
    assert_non_null(strstr(err.text, "longer than 255 bytes"));
    gw_disk_free(automatic);
}

static bool always(struct gw_budget *b, uint64_t bytes)
{
    ++*(unsigned *)b->opaque;
    return true;
}

/* Postcopy: one chunk for each step, and nothing twice. */
static void test_steps(void **state)
{
    unsigned calls = 0, steps = 0;
    struct gw_budget budget = {.spent = always, .opaque = &calls};
    struct gw_progress progress = {0};

    side_bitmap(s.disk[0], "b", 512, false, false); /* two chunks */
    gw_disk_wrote(s.disk[0], 0, 8 << 20);
    assert_int_equal(s.live->ops->setup(s.live, &w, NULL), 0);
    s.live->ops->hand_over(s.live, &w, NULL, NULL);
    do {
        s.live->ops->progress(s.live, &progress);
        assert_true(progress.remaining_bytes > 0);
        steps++;
    } while (!s.live->ops->step(s.live, &w, &budget, NULL));
    assert_int_equal(steps, 3);
    assert_int_equal(calls, 2);
    progress.remaining_bytes = 0;
    s.live->ops->progress(s.live, &progress);
    assert_int_equal(progress.remaining_bytes, 0);
    s.live->ops->cleanup(s.live);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_bytes), T(test_none), T(test_all_or_nothing), T(test_names),
                                       T(test_steps)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
