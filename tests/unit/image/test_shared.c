/* SPDX-License-Identifier: MIT
 *
 * Many readers of one image: all see what it has, and what one has read the others do not read again.
 */
#include "parked/rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "image/shared.h"

#define PAGES   (9000u / RIG_LESS)
#define READERS 6u

struct job {
    pthread_t thread;
    const struct rig *rig;
    struct gw_image *view;
    uint64_t seed;
    bool ordered;
    const char *wrong; /* what was found, for the test's own thread */
};

static bool same(const struct rig *rig, unsigned block, uint64_t page, const uint8_t *data, uint8_t kind)
{
    const uint8_t *is = rig->ram[block] + page * rig->image.page_bytes;

    return kind ? !memcmp(data, is, rig->image.page_bytes) : rig_is_zero(is, rig->image.page_bytes);
}

/* All of it, in pieces of random sizes, in order or not. */
static void *read_all(void *arg)
{
    struct job *j = arg;
    uint32_t bytes = j->view->page_bytes;
    uint8_t *data = malloc((size_t)300 * bytes), kinds[300];
    uint64_t random = j->seed;

    for (unsigned b = 0; b < j->view->block_count && !j->wrong; b++)
        for (uint64_t at = 0, n, first, pages = j->view->blocks[b].pages; at < pages && !j->wrong; at += n) {
            n = 1 + rig_random(&random) % 300;
            n = GW_MIN(n, pages - at);
            first = j->ordered ? at : rig_random(&random) % (pages - n + 1);
            if (gw_image_fetch(j->view, b, first, n, kinds, data, NULL) < 0)
                j->wrong = "fetch";
            for (uint64_t i = 0; i < n && !j->wrong; i++)
                if (!same(j->rig, b, first + i, data + i * bytes, kinds[i]))
                    j->wrong = "contents";
            if (!j->wrong && gw_image_pages(j->view, b, first, n, data, NULL) < 0)
                j->wrong = "read";
            for (uint64_t i = 0; i < n && !j->wrong; i++)
                if (!same(j->rig, b, first + i, data + i * bytes, 1))
                    j->wrong = "contents, zeros with them";
        }
    free(data);
    return NULL;
}

static struct gw_image *parked(struct rig *rig, uint32_t page_bytes, const char *compress, uint64_t seed)
{
    const uint64_t pages[RIG_BLOCKS] = {PAGES, 700, UINT64_MAX};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;
    uint8_t *file = NULL;
    size_t bytes = 0;

    rig_open(rig, page_bytes, pages, true, seed);
    if (rig_park(rig, compress, 1, &file, &bytes, &err) < 0 || rig_open_bytes(file, bytes, &image, &err) < 0)
        fail_msg("%s", err.text);
    free(file);
    return image;
}

static uint64_t filled_pages(const struct rig *rig)
{
    uint64_t filled = 0;

    for (unsigned b = 0; b < rig->image.block_count; b++)
        for (uint64_t i = 0; i < rig->image.blocks[b].pages; i++)
            filled += !rig_is_zero(rig->ram[b] + i * rig->image.page_bytes, rig->image.page_bytes);
    return filled;
}

static struct gw_shared_counts run(struct rig *rig, struct gw_image *image, uint64_t cache_bytes, bool ordered)
{
    struct job *jobs = calloc(READERS, sizeof *jobs);
    struct gw_shared_counts counts;
    struct gw_shared *shared = NULL;
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_shared_new(image, cache_bytes, &shared, &err), 0);
    for (unsigned i = 0; i < READERS; i++) {
        jobs[i] = (struct job){.rig = rig, .seed = i + 1, .ordered = ordered};
        assert_int_equal(gw_shared_view(shared, &jobs[i].view, &err), 0);
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, read_all, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(jobs[i].thread, NULL);
    for (unsigned i = 0; i < READERS; i++) {
        if (jobs[i].wrong)
            fail_msg("reader %u: %s", i, jobs[i].wrong);
        gw_image_free(jobs[i].view);
    }
    gw_shared_get_counts(shared, &counts);
    gw_shared_free(shared);
    free(jobs);
    return counts;
}

static void test_each_page_is_read_once(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct rig rig;
        struct gw_image *image = parked(&rig, i & 1 ? 4096 : 1024, i & 2 ? "zstd" : "none", i + 1);
        struct gw_shared_counts counts = run(&rig, image, 1 << 30, true);

        assert_int_equal(counts.read_pages, filled_pages(&rig));
        assert_int_equal(counts.given_pages, 2 * READERS * counts.read_pages);
        assert_int_equal(counts.dropped_chunks, 0);
        gw_image_free(image);
        rig_close(&rig);
    }
}

static void test_little_room(void **state)
{
    struct rig rig;
    struct gw_image *image = parked(&rig, 4096, "zstd", 7);
    struct gw_shared_counts counts = run(&rig, image, 1, false);

    assert_true(counts.dropped_chunks > 0);
    assert_true(counts.kept_bytes <= GW_SHARED_LEAST * GW_SHARED_CHUNK_BYTES);
    gw_image_free(image);
    rig_close(&rig);
}

/* A view is the same machine, and has no file. */
static void test_view(void **state)
{
    struct rig rig;
    struct gw_image *image = parked(&rig, 4096, "none", 3), *view = NULL;
    struct gw_shared *shared = NULL;
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_shared_new(image, 1 << 20, &shared, &err), 0);
    assert_int_equal(gw_shared_view(shared, &view, &err), 0);
    assert_string_equal(gw_image_machine(view), gw_image_machine(image));
    assert_int_equal(gw_image_blocks(view), 2);
    assert_int_equal(view->devices_bytes, image->devices_bytes);
    assert_int_equal(gw_image_lock(view, &err), -EINVAL);
    gw_image_free(view);
    assert_non_null(image->blocks);
    gw_shared_free(shared);
    gw_shared_free(NULL);
    gw_image_free(image);
    rig_close(&rig);
}

static atomic_int bad_reads;

static int bad_read(struct gw_image *image, unsigned block, uint64_t first, uint64_t count, uint8_t *kinds, uint8_t *dst,
                    struct gw_error *err)
{
    atomic_fetch_add(&bad_reads, 1);
    return gw_fail(err, -EIO, GW_BLAME_LOCAL, "a bad sector");
}

/* What could not be read is tried again by who wants it next. */
static void test_broken(void **state)
{
    struct rig rig;
    struct gw_image *image = parked(&rig, 4096, "none", 3), *view = NULL;
    const struct gw_image_ops *ops = image->ops;
    struct gw_image_ops broken = *ops;
    struct gw_shared *shared = NULL;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t kinds[128], *data = malloc(128 * 4096);

    broken.fetch = bad_read;
    assert_int_equal(gw_shared_new(image, 1 << 20, &shared, &err), 0);
    assert_int_equal(gw_shared_view(shared, &view, &err), 0);
    image->ops = &broken;
    atomic_store(&bad_reads, 0);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(gw_image_fetch(view, 0, 0, 128, kinds, data, &err), -EIO);
        assert_non_null(strstr(err.text, "a bad sector"));
        assert_int_equal(atomic_load(&bad_reads), i);
    }
    image->ops = ops;
    assert_int_equal(gw_image_fetch(view, 0, 0, 128, kinds, data, &err), 0);
    for (unsigned i = 0; i < 128; i++)
        assert_true(same(&rig, 0, i, data + i * 4096, kinds[i]));
    gw_image_free(view);
    gw_shared_free(shared);
    gw_image_free(image);
    rig_close(&rig);
    free(data);
}

/* One page does not cost a chunk. */
static void test_pieces(void **state)
{
    struct rig rig;
    struct gw_image *image = parked(&rig, 4096, "none", 3), *view = NULL;
    struct gw_shared_counts counts;
    struct gw_shared *shared = NULL;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t kind, *data = malloc(4096);
    uint64_t page = 0;

    while (rig_is_zero(rig.ram[0] + page * 4096, 4096))
        page++;
    assert_int_equal(gw_shared_new(image, 1 << 20, &shared, &err), 0);
    assert_int_equal(gw_shared_view(shared, &view, &err), 0);
    assert_int_equal(gw_image_fetch(view, 0, page, 1, &kind, data, &err), 0);
    gw_shared_get_counts(shared, &counts);
    assert_in_range(counts.read_pages, 1, GW_SHARED_CHUNK_PAGES / GW_SHARED_PIECES);
    assert_int_equal(counts.given_pages, 1);
    gw_image_free(view);
    gw_shared_free(shared);
    gw_image_free(image);
    rig_close(&rig);
    free(data);
}

static void test_in_memory(void **state)
{
    struct gw_image *image = NULL;
    struct gw_shared *shared = NULL;
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_image_new(NULL, &image, &err), 0);
    assert_int_equal(gw_shared_new(image, 1, &shared, &err), -EINVAL);
    gw_image_free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_page_is_read_once), cmocka_unit_test(test_little_room), cmocka_unit_test(test_view),
        cmocka_unit_test(test_broken),                 cmocka_unit_test(test_pieces),      cmocka_unit_test(test_in_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
