/* SPDX-License-Identifier: MIT
 *
 * Trackers of a disk: pieces that are marked, taken and found, several trackers beside each other, and writers that go
 * on while pieces are taken and read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "disk/tracker.h"
#include "disk_rig.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static struct rig_disk m;

static uint64_t take(struct gw_disk_tracker *t, uint64_t offset, uint64_t bytes)
{
    uint64_t dirty;

    assert_int_equal(gw_disk_tracker_take(t, offset, bytes, &dirty, NULL), 0);
    return dirty;
}

static void test_pieces(void **state)
{
    struct gw_disk *d = rig_disk_new(&m);
    struct gw_disk_tracker *t, *coarse;
    uint64_t at;

    assert_int_equal(gw_disk_tracker_new(d, 512, &t, NULL), 0);
    assert_int_equal(gw_disk_tracker_new(d, 1 << 20, &coarse, NULL), 0);
    assert_false(gw_disk_tracker_next(t, 0, &at));
    gw_disk_wrote(d, 511, 2);
    gw_disk_wrote(d, RIG_BYTES - 1, 1);
    assert_int_equal(gw_disk_tracker_dirty_bytes(t), 3 * 512);
    assert_true(gw_disk_tracker_next(t, 0, &at));
    assert_int_equal(at, 0);
    assert_true(gw_disk_tracker_next(t, 1024, &at));
    assert_int_equal(at, 64 * 1024);
    assert_int_equal(take(t, 1, 1023), 2);
    assert_int_equal(take(t, 0, 1024), 0);
    assert_int_equal(take(t, 1024, UINT64_MAX), 1);
    assert_int_equal(take(t, 0, 0), 0);
    assert_int_equal(take(t, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(gw_disk_tracker_dirty_bytes(coarse), 1 << 20); /* has its own bits */
    gw_disk_tracker_mark(t, 0, UINT64_MAX);
    assert_int_equal(gw_disk_tracker_dirty_bytes(t), RIG_BYTES);
    assert_int_equal(take(t, 0, RIG_BYTES), RIG_BYTES / 512);
    assert_false(gw_disk_tracker_next(t, UINT64_MAX, &at));
    gw_disk_tracker_free(t);
    gw_disk_wrote(d, 0, 1);
    gw_disk_tracker_free(coarse);
    gw_disk_tracker_free(NULL);
    gw_disk_free(d);
}

static void test_refused(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk *d = rig_disk_new(&m);
    struct gw_disk_tracker *t = NULL;
    uint64_t dirty;

    assert_int_equal(gw_disk_tracker_new(d, 256, &t, &err), -EINVAL);
    assert_int_equal(gw_disk_tracker_new(d, 1000, &t, &err), -EINVAL);
    assert_non_null(strstr(err.text, "disk drive0"));
    for (unsigned i = 1; i <= 3; i++) {
        countdown = i;
        assert_int_equal(gw_disk_tracker_new(d, 512, &t, NULL), -ENOMEM);
    }
    assert_int_equal(atomic_load(&d->listening), 0);
    assert_int_equal(gw_disk_tracker_new(d, 512, &t, NULL), 0);
    countdown = 1; /* a write that cannot be noted exactly: all counts as written */
    gw_disk_wrote(d, 0, 1);
    assert_int_equal(gw_disk_tracker_dirty_bytes(t), RIG_BYTES);
    countdown = 1;
    assert_int_equal(gw_disk_tracker_take(t, 0, 512, &dirty, NULL), -ENOMEM);
    assert_int_equal(gw_disk_tracker_dirty_bytes(t), RIG_BYTES);
    countdown = 0;
    gw_disk_tracker_free(t);
    gw_disk_free(d);
}

/* Each piece holds a number that its writer counts up. */
static void *writer(void *arg)
{
    struct gw_disk *d = arg;

    for (uint32_t i = 1; i <= 20000; i++) {
        uint64_t at = (uint64_t)(i * 7919u % (RIG_BYTES / 512)) * 512;

        __atomic_store_n((uint32_t *)(void *)(m.data + at), i, __ATOMIC_RELAXED);
        gw_disk_wrote(d, at, 4);
    }
    return NULL;
}

static void test_while_written(void **state)
{
    static uint32_t copy[RIG_BYTES / 512];
    struct gw_disk *d = rig_disk_new(&m);
    struct gw_disk_tracker *t;
    pthread_t thread;
    uint64_t at = 0;

    assert_int_equal(gw_disk_tracker_new(d, 512, &t, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, writer, d), 0);
    for (unsigned i = 0; i < 30000; i++) {
        if (!gw_disk_tracker_next(t, at, &at))
            at = 0;
        if (take(t, at, 512))
            copy[at / 512] = __atomic_load_n((uint32_t *)(void *)(m.data + at), __ATOMIC_RELAXED);
        at += 512;
    }
    pthread_join(thread, NULL);
    for (at = 0; gw_disk_tracker_next(t, at, &at); at += 512) {
        assert_int_equal(take(t, at, 512), 1);
        copy[at / 512] = *(uint32_t *)(void *)(m.data + at);
    }
    for (unsigned i = 0; i < RIG_BYTES / 512; i++)
        assert_int_equal(copy[i], *(uint32_t *)(void *)(m.data + i * 512));
    gw_disk_tracker_free(t);
    gw_disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_while_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
