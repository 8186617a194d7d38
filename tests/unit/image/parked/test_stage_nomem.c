/* SPDX-License-Identifier: MIT
 *
 * Every allocation of a stage fails once, on whichever thread: it says so, at commit at the latest, and leaves no file,
 * memory, descriptor or thread. The program is linked with --wrap for the three allocating functions.
 */
#include "rig.h"

#include <pthread.h>

#include "../../../failing.h"
#include "base/bitmap.h"
#include "image/parked/stage.h"

static atomic_uint countdown; /* 0: all succeed; n: the n-th from now fails */

static bool fails(void)
{
    unsigned n = atomic_load(&countdown);

    while (n && !atomic_compare_exchange_weak(&countdown, &n, n - 1))
        ;
    return n == 1;
}

static int arrive(struct gw_image *image, const char *path, struct gw_error *err)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .compress = "none"};
    int r = gw_image_stage(image, path, &o, err);

    for (unsigned i = 0; i < 2 && r >= 0; i++) {
        uint64_t *landed;
        uint8_t *host;

        r = gw_memory_add_block(image, i ? "b" : "a", 300 * 4096, &host, err);
        if (r >= 0)
            r = gw_stage_block(image->stage, host, 300, &landed, err);
        for (uint64_t page = 0; page < 300 && r >= 0; page++) {
            memset(host + page * 4096, (int)page, 4096);
            gw_bitmap_set_atomic(landed, page);
        }
    }
    return r < 0 ? r : gw_image_stage_commit(image, err);
}

static void nomem(void **state)
{
    char folder[] = "/tmp/godwit-stage-XXXXXX", path[64];
    unsigned fds = 0, threads = 0, failed = 0;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/guest", folder);
    for (unsigned n = 0; n < 300; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_image *image;
        int r;

        assert_int_equal(gw_image_new(NULL, &image, &err), 0);
        atomic_store(&countdown, n);
        r = arrive(image, path, &err);
        if (n && atomic_exchange(&countdown, 0)) { /* there are no more */
            assert_int_equal(r, 0);
            gw_image_free(image);
            unlink(path);
            rmdir(folder);
            assert_true(failed > 15);
            return;
        }
        gw_image_free(image);
        if (!n) { /* sanitizers start a thread with the first one */
            assert_int_equal(r, 0);
            unlink(path);
            fds = entries("/proc/self/fd");
            threads = entries("/proc/self/task");
            continue;
        }
        failed++;
        if (r != -ENOMEM || err.code != -ENOMEM || !strstr(err.text, "out of memory"))
            fail_msg("allocation %u: %d, %s", n, r, err.text);
        assert_int_equal(entries(folder), 2);
        assert_int_equal(entries("/proc/self/fd"), fds);
        while (entries("/proc/self/task") > threads)
            usleep(1000);
        assert_int_equal(entries("/proc/self/task"), threads);
    }
    fail_msg("no end of allocations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nomem)};

    return cmocka_run_group_tests_name("stage_nomem", tests, NULL, NULL);
}
