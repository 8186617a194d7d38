/* SPDX-License-Identifier: MIT
 *
 * Many pages of a parked file at once, from a disk with nothing of it in the cache: the same bytes as one page at a
 * time, and what is broken is refused with the frame and where it lies.
 */
#include "rig.h"

#include "image/parked/reader.h"

#define PAGES 3000u

struct parked {
    struct rig rig;
    int fd; /* of the file, without a name */
    uint8_t *file;
    size_t bytes;
    struct gw_image *image;
};

static void forget(struct parked *p)
{
    assert_int_equal(posix_fadvise(p->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static void reopen(struct parked *p)
{
    struct gw_error err = GW_ERROR_INIT;
    char path[64];

    p->image = gw_image_free(p->image);
    snprintf(path, sizeof path, "/proc/self/fd/%d", p->fd);
    if (gw_image_open(path, &p->image, &err) < 0)
        fail_msg("%s", err.text);
}

static void open_parked(struct parked *p, const char *compress, uint32_t page_bytes, uint64_t seed)
{
    const uint64_t pages[RIG_BLOCKS] = {PAGES, 700, UINT64_MAX};
    char name[] = "test_parked_pages.XXXXXX";
    struct gw_error err = GW_ERROR_INIT;

    *p = (struct parked){.fd = mkstemp(name)};
    assert_true(p->fd >= 0);
    unlink(name);
    rig_open(&p->rig, page_bytes, pages, false, seed);
    if (rig_park(&p->rig, compress, 1, &p->file, &p->bytes, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(write(p->fd, p->file, p->bytes), p->bytes);
    assert_int_equal(fsync(p->fd), 0); /* what is not on the disk stays in the cache */
    reopen(p);
}

static void close_parked(struct parked *p)
{
    gw_image_free(p->image);
    rig_close(&p->rig);
    free(p->file);
    close(p->fd);
}

/* Fetched in pieces of this many pages: contents where there are some, and nothing is written elsewhere. */
static void same(struct parked *p, uint64_t step, bool cold)
{
    uint32_t page_bytes = p->image->page_bytes;
    uint8_t *got = malloc(step * page_bytes), *kinds = malloc(step);
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned b = 0; b < p->image->block_count; b++)
        for (uint64_t at = 0, n; at < p->image->blocks[b].pages; at += n) {
            const uint8_t *is = p->rig.ram[b] + at * page_bytes;

            n = GW_MIN(step, p->image->blocks[b].pages - at);
            memset(got, 0xee, n * page_bytes);
            if (cold)
                forget(p);
            if (gw_image_fetch(p->image, b, at, n, kinds, got, &err) < 0)
                fail_msg("%s", err.text);
            for (uint64_t i = 0; i < n; i++) {
                const uint8_t *page = got + i * page_bytes;

                assert_int_equal(kinds[i], !rig_is_zero(is + i * page_bytes, page_bytes));
                if (kinds[i])
                    assert_memory_equal(page, is + i * page_bytes, page_bytes);
                else
                    assert_true(page[0] == 0xee && !memcmp(page, page + 1, page_bytes - 1));
            }
        }
    free(got);
    free(kinds);
}

static void every_way(void **state)
{
    static const uint32_t page_bytes[] = {1024, 4096, 16384};
    static const uint64_t steps[] = {1, 7, 64, 511, 512, 513, PAGES};
    const char *const ways[] = {"none", gw_pack_known() ? "zstd" : "none"};

    for (unsigned i = 0; i < GW_ARRAY_LEN(page_bytes) * 2; i++) {
        struct parked p;

        open_parked(&p, ways[i % 2], page_bytes[i / 2], 100 + i);
        for (unsigned k = 0; k < GW_ARRAY_LEN(steps); k++)
            for (unsigned cold = 0; cold < 2; cold++)
                if (steps[k] >= (cold ? 511 : 7) * RIG_LESS || (i == 2 && !cold))
                    same(&p, steps[k], cold);
        close_parked(&p);
    }
}

/* The reason names the frame; the pages of others can still be read, one by one. */
static void broken_frame(void **state)
{
    struct gw_parked_extent x = {0};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *got = malloc(512 * 4096), kinds[512], bad;
    struct parked p;
    char want[64];
    uint32_t frame;

    for (unsigned cold = 0; cold < 2; cold++) {
        open_parked(&p, cold ? "none" : NULL, 4096, 7);
        for (frame = 0; frame < 3; frame++) {
            struct gw_parked *parked = p.image->own;
            unsigned failed = 0;

            assert_int_equal(gw_parked_find_frame(parked, frame, &x, &err), 0);
            bad = p.file[x.at + x.bytes / 2] ^ 0x10;
            assert_int_equal(pwrite(p.fd, &bad, 1, (off_t)(x.at + x.bytes / 2)), 1);
            assert_int_equal(fsync(p.fd), 0);
            if (cold)
                forget(&p);
            reopen(&p);
            err = (struct gw_error)GW_ERROR_INIT;
            assert_int_equal(gw_image_fetch(p.image, 0, 0, 512, kinds, got, &err), -EPROTO);
            snprintf(want, sizeof want, "frame %u, bytes %" PRIu64 " to %" PRIu64, frame, x.at, x.at + x.bytes);
            if (!strstr(err.text, want) || !strstr(err.text, "checksum"))
                fail_msg("%s", err.text);
            for (unsigned i = 0; i < 512; i++)
                failed += gw_image_pages(p.image, 0, i, 1, got, &err) < 0;
            assert_true(failed >= 1 && failed < 300);
            assert_int_equal(pwrite(p.fd, &p.file[x.at + x.bytes / 2], 1, (off_t)(x.at + x.bytes / 2)), 1);
        }
        reopen(&p);
        same(&p, 512, cold);
        close_parked(&p);
    }
    free(got);
}

/* Cut off while it is open: said, with the place, and nothing is read by way of a mapping. */
static void cut_off(void **state)
{
    uint8_t *got = malloc(512 * 4096), kinds[512];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked_extent x = {0};
    struct parked p;

    for (unsigned cold = 0; cold < 2; cold++) {
        open_parked(&p, "none", 4096, 9);
        same(&p, 512, false); /* the index is in memory */
        assert_int_equal(gw_parked_find_frame(p.image->own, 20, &x, &err), 0);
        assert_int_equal(ftruncate(p.fd, (off_t)x.at + 100), 0);
        if (cold)
            forget(&p);
        assert_int_equal(gw_image_fetch(p.image, 0, 512, 512, kinds, got, &err), -EPROTO);
        if (!strstr(err.text, "the file ends before byte"))
            fail_msg("%s", err.text);
        close_parked(&p);
    }
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_way), cmocka_unit_test(broken_frame),
                                       cmocka_unit_test(cut_off)};

    return cmocka_run_group_tests_name("parked_pages", tests, NULL, NULL);
}
