/* SPDX-License-Identifier: MIT
 *
 * Groups of changes at random, beside a second pair of disks on which the same changes are made one by one: all of them were made, or
 * nothing has changed. And no write falls between two of them.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "disk/bitmap.h"
#include "disk_rig.h"

#define DISKS    2u
#define NAMES    4u
#define GROUPS   2000u
#define MOST     6u
#define SECTOR   512u
#define SECTORS  (RIG_BYTES / SECTOR)

static struct rig_disk ours[DISKS], theirs[DISKS];
static const char *const names[NAMES] = {"a", "b", "c", "d"};
static uint64_t seed;

static unsigned any(unsigned n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % n;
}

/* All that can be seen of a disk's bitmaps, as text. */
static char *seen(struct gw_disk *d)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    struct gw_bitmap_info info;

    for (unsigned i = 0; !gw_disk_bitmap_at(d, i, &info); i++) {
        uint64_t at = 0, bytes = 0;

        fprintf(f, "%s %u %u %u:", info.name, (unsigned)info.granularity, info.recording, info.busy);
        for (uint64_t from = 0; !gw_disk_bitmap_next(d, info.name, from, &at, &bytes, NULL) && bytes; from = at + bytes)
            fprintf(f, " %u+%u", (unsigned)at, (unsigned)bytes);
        fprintf(f, "\n");
    }
    fclose(f);
    return text;
}

static int make_one(const struct gw_bitmap_action *a)
{
    switch (a->change) {
    case GW_BITMAP_ADD:
        return gw_disk_bitmap_add(a->disk, &a->config, NULL);
    case GW_BITMAP_REMOVE:
        return gw_disk_bitmap_remove(a->disk, a->config.name, NULL);
    case GW_BITMAP_CLEAR:
        return gw_disk_bitmap_clear(a->disk, a->config.name, NULL);
    case GW_BITMAP_ENABLE:
        return gw_disk_bitmap_enable(a->disk, a->config.name, NULL);
    case GW_BITMAP_DISABLE:
        return gw_disk_bitmap_disable(a->disk, a->config.name, NULL);
    case GW_BITMAP_MERGE:
        return gw_disk_bitmap_merge(a->disk, a->config.name, a->from_disk, a->from, NULL);
    }
    return -1;
}

static struct gw_bitmap_action random_action(struct gw_disk *const *disk)
{
    return (struct gw_bitmap_action){.change = any(6),
                                     .disk = disk[any(DISKS)],
                                     .config = {.name = names[any(NAMES)], .granularity = SECTOR << any(3), .disabled = any(3) == 0},
                                     .from_disk = disk[any(DISKS)],
                                     .from = names[any(NAMES)]};
}

static struct gw_disk *twin(struct gw_disk *d)
{
    return d == ours[0].disk ? theirs[0].disk : theirs[1].disk;
}

static void write_some(void)
{
    for (unsigned i = any(4); i; i--) {
        unsigned d = any(DISKS), at = any(SECTORS - 8) * SECTOR, bytes = (1 + any(8)) * SECTOR;

        gw_disk_wrote(ours[d].disk, at, bytes);
        gw_disk_wrote(theirs[d].disk, at, bytes);
    }
}

static void same(char *const *want, unsigned group)
{
    for (unsigned i = 0; i < DISKS; i++) {
        char *is = seen(ours[i].disk);

        if (strcmp(is, want[i]))
            fail_msg("group %u, disk %u:\n%swanted:\n%s", group, i, is, want[i]);
        free(is);
    }
}

static void test_random(void **state)
{
    struct gw_disk *disk[DISKS] = {rig_disk_new(&ours[0]), rig_disk_new(&ours[1])};
    unsigned made = 0, refused = 0;

    for (unsigned i = 0; i < DISKS; i++)
        rig_disk_new(&theirs[i]);
    seed = 11;
    for (unsigned g = 0; g < GROUPS; g++) {
        char *before[DISKS] = {seen(disk[0]), seen(disk[1])}, *after[DISKS];
        struct gw_bitmap_action actions[MOST];
        size_t n = any(MOST + 1), failed = 99;
        int r;

        for (size_t i = 0; i < n; i++)
            actions[i] = random_action(disk);
        r = gw_disk_bitmaps_change(actions, n, &failed, NULL);
        if (r < 0) {
            same(before, g);
            refused++;
        } else {
            for (size_t i = 0; i < n; i++) {
                actions[i].disk = twin(actions[i].disk);
                actions[i].from_disk = twin(actions[i].from_disk);
                assert_int_equal(make_one(&actions[i]), 0);
            }
            after[0] = seen(theirs[0].disk);
            after[1] = seen(theirs[1].disk);
            same(after, g);
            free(after[0]);
            free(after[1]);
            made += n > 1;
        }
        free(before[0]);
        free(before[1]);
        write_some();
    }
    assert_true(made > 50 && refused > 500);
    for (unsigned i = 0; i < DISKS; i++) {
        gw_disk_free(ours[i].disk);
        gw_disk_free(theirs[i].disk);
    }
}

static void test_refused(void **state)
{
    struct gw_disk *d = rig_disk_new(&ours[0]);
    struct gw_bitmap_action two[] = {{.change = GW_BITMAP_ADD, .disk = d, .config = {.name = "x"}},
                                     {.change = GW_BITMAP_ADD, .disk = d, .config = {.name = "y", .granularity = 777}}};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bitmap_info info;
    size_t failed = 0;

    assert_int_equal(gw_disk_bitmaps_change(two, 2, &failed, &err), -EINVAL);
    assert_int_equal(failed, 1);
    assert_non_null(strstr(err.text, "dirty bitmap y of disk drive0: the granularity"));
    assert_int_equal(gw_disk_bitmap_at(d, 0, &info), -ENOENT);
    two[1] = (struct gw_bitmap_action){.change = GW_BITMAP_MERGE, .disk = d, .config = {.name = "x"}};
    assert_int_equal(gw_disk_bitmaps_change(two, 2, &failed, &err), -EINVAL);
    assert_non_null(strstr(err.text, "lacks a kind, a disk or a name"));
    two[1] = (struct gw_bitmap_action){.change = 77, .disk = d, .config = {.name = "x"}};
    assert_int_equal(gw_disk_bitmaps_change(two, 2, &failed, &err), -EINVAL);
    assert_int_equal(gw_disk_bitmaps_change(two, 1025, &failed, &err), -EINVAL);
    assert_non_null(strstr(err.text, "at most 1024"));
    assert_int_equal(gw_disk_bitmaps_change(NULL, 0, NULL, NULL), 0);
    /* One that is in use stays what it is, and so does all before it. */
    assert_int_equal(gw_disk_bitmaps_change(two, 1, NULL, NULL), 0);
    assert_int_equal(gw_disk_bitmap_split(d, "x", NULL), 0);
    two[0].config.name = "z";
    two[1] = (struct gw_bitmap_action){.change = GW_BITMAP_CLEAR, .disk = d, .config = {.name = "x"}};
    assert_int_equal(gw_disk_bitmaps_change(two, 2, NULL, &err), -EBUSY);
    assert_int_equal(gw_disk_bitmap_at(d, 1, &info), -ENOENT);
    gw_disk_free(d);
}

static void *write_all(void *arg)
{
    for (unsigned i = 0; i < SECTORS; i++) {
        gw_disk_wrote(arg, (uint64_t)i * SECTOR, SECTOR);
        sched_yield();
    }
    return NULL;
}

/* Two bitmaps, one of which records: each write is in one of them. */
static void test_no_write_between(void **state)
{
    struct gw_disk *d = rig_disk_new(&ours[0]);
    struct gw_bitmap_info a, b;
    pthread_t writer;

    for (unsigned round = 0; round < 50; round++) {
        struct gw_bitmap_action begin[] = {
            {.change = GW_BITMAP_ADD, .disk = d, .config = {.name = "a", .granularity = SECTOR}},
            {.change = GW_BITMAP_ADD, .disk = d, .config = {.name = "b", .granularity = SECTOR, .disabled = true}}};

        assert_int_equal(gw_disk_bitmaps_change(begin, 2, NULL, NULL), 0);
        assert_int_equal(pthread_create(&writer, NULL, write_all, d), 0);
        for (unsigned i = 0; i < 200; i++) {
            struct gw_bitmap_action turn[] = {
                {.change = GW_BITMAP_DISABLE, .disk = d, .config = {.name = i % 2 ? "b" : "a"}},
                {.change = GW_BITMAP_ENABLE, .disk = d, .config = {.name = i % 2 ? "a" : "b"}}};

            assert_int_equal(gw_disk_bitmaps_change(turn, 2, NULL, NULL), 0);
        }
        pthread_join(writer, NULL);
        assert_int_equal(gw_disk_bitmap_at(d, 0, &a), 0);
        assert_int_equal(gw_disk_bitmap_at(d, 1, &b), 0);
        assert_int_equal(a.dirty_bytes + b.dirty_bytes, SECTORS * SECTOR);
        assert_int_equal(gw_disk_bitmap_remove(d, "a", NULL), 0);
        assert_int_equal(gw_disk_bitmap_remove(d, "b", NULL), 0);
    }
    gw_disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_write_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
