/* SPDX-License-Identifier: MIT
 *
 * Every allocation of writing and reading a parked file fails once: the call says -ENOMEM, and no memory, descriptor or
 * thread is left. The program is linked with --wrap for the three allocating functions.
 */
#include "rig.h"

#include <dirent.h>

#include "godwit/examine.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

struct job {
    struct rig rig;
    int fd;
    char path[64];
};

static int park(struct job *job, struct gw_error *err)
{
    struct gw_image_write_options o = {.format = GW_IMAGE_PARKED, .threads = 2};

    if (ftruncate(job->fd, 0) < 0 || lseek(job->fd, 0, SEEK_SET) < 0)
        abort();
    return gw_parked_write(&job->rig.image, &o, job->fd, err);
}

static int unpark(struct job *job, struct gw_error *err)
{
    static uint8_t got[2400 * 4096];
    struct gw_image *image;
    int r = gw_image_open(job->path, &image, err);

    if (r < 0)
        return r;
    r = gw_image_pages(image, 0, 0, job->rig.image.blocks[0].pages, got, err);
    gw_image_free(image);
    return r;
}

static int verify(struct job *job, struct gw_error *err)
{
    struct gw_verify_counts counts;
    struct gw_image *image;
    int r = gw_image_open(job->path, &image, err);

    if (r < 0)
        return r;
    r = gw_image_verify(image, NULL, &counts, err);
    gw_image_free(image);
    return r;
}

static void every_allocation(struct job *job, int (*f)(struct job *job, struct gw_error *err))
{
    struct gw_error first = GW_ERROR_INIT;
    unsigned fds, threads, failed = 0;

    assert_int_equal(f(job, &first), 0); /* sanitizers start a thread with the first one */
    fds = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    for (unsigned n = 1; n < 1000; n++) {
        struct gw_error err = GW_ERROR_INIT;
        bool hit;
        int r;

        countdown = n;
        r = f(job, &err);
        hit = countdown == 0;
        countdown = 0;
        assert_int_equal(entries("/proc/self/fd"), fds);
        /* A thread that was joined may still be on the list for a moment. */
        while (entries("/proc/self/task") > threads)
            usleep(1000);
        threads = entries("/proc/self/task"); /* fewer, if one was still on it at first */
        if (!hit) {
            assert_int_equal(r, 0);
            assert_true(failed > 10);
            return;
        }
        failed++;
        if (r != -ENOMEM || err.code != -ENOMEM || err.blame != GW_BLAME_LOCAL || !strstr(err.text, "out of memory"))
            fail_msg("allocation %u: %d, %s", n, r, err.text);
    }
    fail_msg("no end of allocations");
}

static void nomem(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {600, 20, 0, 1};
    struct job job;

    rig_open(&job.rig, 4096, pages, true, 40);
    job.fd = memfd_create("parked", MFD_CLOEXEC);
    snprintf(job.path, sizeof job.path, "/proc/self/fd/%d", job.fd);
    every_allocation(&job, park);
    every_allocation(&job, unpark);
    every_allocation(&job, verify);
    close(job.fd);
    rig_close(&job.rig);
}

static void nomem_with_dictionary(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {2400, 20, 0, 1};
    struct job job;

    rig_needs_zstd();
    rig_open(&job.rig, 4096, pages, true, 40);
    for (size_t b = 0; b < 2400 * 4096; b += 32)
        snprintf((char *)job.rig.ram[0] + b, 32, "entry of a table: %08x", (unsigned)(b % 4096 ? b % 4096 : b * 77));
    job.fd = memfd_create("parked", MFD_CLOEXEC);
    snprintf(job.path, sizeof job.path, "/proc/self/fd/%d", job.fd);
    every_allocation(&job, park);
    every_allocation(&job, unpark);
    close(job.fd);
    rig_close(&job.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nomem), cmocka_unit_test(nomem_with_dictionary)};

    return cmocka_run_group_tests_name("parked_nomem", tests, NULL, NULL);
}
