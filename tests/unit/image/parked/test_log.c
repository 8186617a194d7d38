/* SPDX-License-Identifier: MIT
 *
 * A log is a parked file, in whatever order and however often its pages come.
 */
#include "stage_rig.h"

#include "image/parked/log.h"
#include "image/parked/spool.h"

#define NONE UINT64_MAX

struct job {
    struct rig rig;
    struct gw_spool *spool;
    struct gw_parked_log *log;
    int fd;
    char path[64];
    struct { /* what the log wanted again, to be put later */
        unsigned block;
        uint64_t page;
    } * again;
    size_t again_count;
    uint64_t cleaned;
};

static void again(void *opaque, unsigned block, uint64_t page)
{
    struct job *j = opaque;

    j->again = realloc(j->again, (j->again_count + 1) * sizeof *j->again);
    j->again[j->again_count].block = block;
    j->again[j->again_count++].page = page;
    j->cleaned++;
}

static void job_open(struct job *j, uint32_t page_bytes, const uint64_t pages[RIG_BLOCKS], bool blobs, uint64_t seed)
{
    struct gw_error err = GW_ERROR_INIT;

    *j = (struct job){0};
    rig_open(&j->rig, page_bytes, pages, blobs, seed);
    j->fd = memfd_create("log", MFD_CLOEXEC);
    snprintf(j->path, sizeof j->path, "/proc/self/fd/%d", j->fd);
    assert_int_equal(gw_spool_new(j->fd, GW_PARKED_LOG_SEGMENT, 4, &j->spool, &err), 0);
    assert_int_equal(gw_parked_log_new(j->spool, page_bytes, again, j, &j->log, &err), 0);
    for (unsigned i = 0; i < j->rig.image.block_count; i++)
        assert_int_equal(gw_parked_log_block(j->log, j->rig.image.blocks[i].pages, &err), 0);
}

static void put(struct job *j, unsigned block, uint64_t page)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_parked_log_page(j->log, block, page, j->rig.ram[block] + page * j->rig.image.page_bytes, &err) < 0)
        fail_msg("%s", err.text);
}

static void put_again(struct job *j)
{
    while (j->again_count) {
        j->again_count--;
        put(j, j->again[j->again_count].block, j->again[j->again_count].page);
    }
}

static uint64_t job_close(struct job *j)
{
    uint8_t header[GW_PARKED_HEADER_BYTES];
    struct gw_error err = GW_ERROR_INIT;
    uint64_t bytes, is;

    if (gw_parked_log_finish(j->log, &j->rig.image, NULL, &bytes, &err) < 0)
        fail_msg("%s", err.text);
    gw_parked_log_header(j->log, header);
    assert_int_equal(gw_load_be64(header + 32), bytes);
    assert_int_equal(pwrite(j->fd, header, sizeof header, 0), sizeof header);
    assert_int_equal(ftruncate(j->fd, (off_t)bytes), 0);
    rig_same(&j->rig, j->path, &is);
    assert_int_equal(is, bytes);
    gw_parked_log_free(j->log);
    gw_spool_free(j->spool);
    close(j->fd);
    free(j->again);
    rig_close(&j->rig);
    return bytes;
}

static void put_all(struct job *j)
{
    for (unsigned i = 0; i < j->rig.image.block_count; i++)
        for (uint64_t page = 0; page < j->rig.image.blocks[i].pages; page++)
            put(j, i, page);
}

static void in_order(void **state)
{
    static const uint64_t pages[][RIG_BLOCKS] = {
        {NONE}, {0, NONE}, {1, NONE}, {5000, 7, 0, 300}, {255, NONE}, {256, 1, NONE},
    };
    static const uint32_t sizes[] = {1024, 4096, 65536};

    for (unsigned k = 0; k < GW_ARRAY_LEN(sizes); k++)
        for (unsigned i = 0; i < GW_ARRAY_LEN(pages); i++) {
            struct job j;

            if (sizes[k] == 65536 && i == 3)
                continue; /* too much */
            job_open(&j, sizes[k], pages[i], i & 1, i);
            put_all(&j);
            job_close(&j);
        }
}

/* Where the last segment begins, ends, is just full. */
static void every_end(void **state)
{
    for (uint64_t n = 240; n < 530; n += n < 260 || n > 505 ? 1 : 37) {
        const uint64_t pages[RIG_BLOCKS] = {n, NONE};
        struct job j;

        job_open(&j, 4096, pages, false, 1);
        memset(j.rig.ram[0], 1, n * 4096);
        put_all(&j);
        job_close(&j);
    }
}

static void any_order(void **state)
{
    for (uint64_t seed = 1; seed < 40 / RIG_LESS; seed++) {
        static const uint64_t pages[RIG_BLOCKS] = {1500, 200, 0, 3};
        uint64_t random = seed, writes = rig_random(&random) % 12000;
        struct job j;

        job_open(&j, 4096, pages, true, seed);
        put_all(&j);
        for (uint64_t n = 0; n < writes; n++) {
            static const unsigned blocks[] = {0, 0, 0, 0, 1, 3};
            unsigned block = blocks[rig_random(&random) % 6];
            uint64_t page = rig_random(&random) % pages[block];

            rig_change(&j.rig, block, page, &random);
            put(&j, block, page);
            if (rig_random(&random) % 50 == 0)
                put_again(&j);
        }
        put_again(&j);
        job_close(&j);
    }
}

/* Pages that come on and on do not make the file larger for ever. */
static void bounded(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {4000, NONE};
    uint64_t random = 3, bytes;
    struct job j;

    job_open(&j, 4096, pages, false, 1);
    memset(j.rig.ram[0], 9, 4000 * 4096);
    put_all(&j);
    for (unsigned n = 0; n < 60000 / RIG_LESS; n++) {
        uint64_t page = rig_random(&random) % 4000;

        j.rig.ram[0][page * 4096] = (uint8_t)(1 + n % 250);
        put(&j, 0, page);
        if (n % 100 == 0)
            put_again(&j);
    }
    put_again(&j);
    if (RIG_LESS == 1)
        assert_true(j.cleaned > 1000);
    bytes = job_close(&j);
    assert_true(bytes > 4000u * 4096);
    assert_true(bytes < 4000u * 4096 * 5 / 4 + (48u << 20));
}

/* All of it becomes zeros in the end: nothing is left of what lay in the file. */
static void nothing_left(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {3000, NONE};
    struct job j;

    job_open(&j, 4096, pages, true, 1);
    memset(j.rig.ram[0], 9, 3000 * 4096);
    put_all(&j);
    memset(j.rig.ram[0], 0, 3000 * 4096);
    put_all(&j);
    assert_true(job_close(&j) < 3u << 20);
}

/* A page of numbers that were given in order costs next to nothing in the index. */
static void index_is_small(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {4096, NONE};
    struct job j;
    uint64_t bytes;

    job_open(&j, 4096, pages, false, 1);
    memset(j.rig.ram[0], 1, 4096 * 4096);
    put_all(&j);
    bytes = job_close(&j);
    assert_true(bytes < 17u * 4096 + 4096u * 4096 + 4096 + 4096 / 8 * 8 + 1024);
}

static void zeros_take_no_number(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    static const uint64_t pages[RIG_BLOCKS] = {10, NONE};
    struct job j;

    job_open(&j, 4096, pages, false, 1);
    memset(j.rig.ram[0], 0, 10 * 4096);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(gw_parked_log_page(j.log, 0, i % 10, j.rig.ram[0], &err), 0);
    assert_true(job_close(&j) < 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(every_end),
        cmocka_unit_test(any_order),
        cmocka_unit_test(bounded),
        cmocka_unit_test(nothing_left),
        cmocka_unit_test(index_is_small),
        cmocka_unit_test(zeros_take_no_number),
    };

    return cmocka_run_group_tests_name("parked_log", tests, NULL, NULL);
}
