/* SPDX-License-Identifier: MIT
 *
 * Frames: found where the table says, unpacked once for all who want them at a time, and refused with their place when they
 * are not what they should be. Many pages at once: test_pages.c.
 */
#include <pthread.h>

#include "rig.h"
#include "repair.h"

#include "image/parked/reader.h"

static struct rig rig;
static uint8_t *file;
static size_t bytes;
static struct gw_image *image;

static struct gw_parked *parked(void)
{
    return image->own;
}

static void reopen(void)
{
    struct gw_error err = GW_ERROR_INIT;

    image = gw_image_free(image);
    if (rig_open_bytes(file, bytes, &image, &err) < 0)
        fail_msg("%s", err.text);
}

static int up(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {900, 100, UINT64_MAX};
    struct gw_error err = GW_ERROR_INIT;

    rig_open(&rig, 4096, pages, false, 6);
    if (rig_park(&rig, gw_pack_known() ? "zstd" : "none", 1, &file, &bytes, &err) < 0)
        fail_msg("%s", err.text);
    reopen();
    return 0;
}

static int down(void **state)
{
    image = gw_image_free(image);
    rig_close(&rig);
    free(file);
    return 0;
}

/* Back to back from the header to the parts, in order; the last one has the pages that are left. */
static void test_found(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked *p = parked();
    uint64_t at = GW_PARKED_HEADER_BYTES, raw = 0;

    assert_true(p->frame_count > 3);
    for (uint32_t i = 0; i < p->frame_count; i++) {
        struct gw_parked_extent x;

        assert_int_equal(gw_parked_find_frame(p, i, &x, &err), 0);
        assert_int_equal(x.at, at);
        assert_true(x.bytes > 0 && x.bytes <= x.raw_bytes);
        assert_int_equal(gw_crc32c(0, file + x.at, x.bytes), x.crc);
        if (i + 1 < p->frame_count)
            assert_int_equal(x.raw_bytes, p->frame_bytes);
        at += x.bytes;
        raw += x.raw_bytes;
    }
    assert_int_equal(at, p->trailer.frames_end);
    assert_int_equal(raw, p->trailer.numbers * 4096);
}

/* From the file, from bytes that are there already, and in the place where they are. */
static void test_unpacked(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked *p = parked();
    struct gw_parked_decoder *d = NULL, *other = NULL, *same = NULL;
    uint8_t *a = malloc(p->frame_bytes), *b = malloc(p->frame_bytes);

    assert_int_equal(gw_parked_get_decoder(p, &d, &err), 0);
    assert_int_equal(gw_parked_get_decoder(p, &other, &err), 0);
    assert_ptr_not_equal(d, other);
    for (uint32_t i = 0; i < p->frame_count; i++) {
        struct gw_parked_extent x;

        assert_int_equal(gw_parked_find_frame(p, i, &x, &err), 0);
        assert_int_equal(gw_parked_unpack(p, d, i, &x, NULL, a, &err), 0);
        assert_int_equal(gw_parked_unpack(p, other, i, &x, file + x.at, b, &err), 0);
        assert_memory_equal(a, b, x.raw_bytes);
        if (x.bytes == x.raw_bytes) {
            memcpy(b, file + x.at, x.bytes);
            assert_int_equal(gw_parked_unpack(p, d, i, &x, b, b, &err), 0);
            assert_memory_equal(a, b, x.raw_bytes);
        }
    }
    gw_parked_put_decoder(p, d);
    assert_int_equal(gw_parked_get_decoder(p, &same, &err), 0);
    assert_ptr_equal(same, d);
    gw_parked_put_decoder(p, same);
    gw_parked_put_decoder(p, other);
    free(a);
    free(b);
}

/* A byte that changed in a frame: the checksum says so, with the frame and its place. With the checksum made right it is no
 * zstd frame. */
static void test_damaged(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked_decoder *d = NULL;
    struct gw_parked_extent x;
    struct gw_parked_slot *s = NULL;
    uint8_t *dst;
    char text[100];

    assert_int_equal(gw_parked_find_frame(parked(), 1, &x, &err), 0);
    file[x.at + x.bytes / 2] ^= 1;
    reopen();
    dst = malloc(parked()->frame_bytes);
    assert_int_equal(gw_parked_get_decoder(parked(), &d, &err), 0);
    assert_int_equal(gw_parked_unpack(parked(), d, 1, &x, NULL, dst, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    snprintf(text, sizeof text, "frame 1, bytes %" PRIu64 " to %" PRIu64 ": its checksum is 0x", x.at, x.at + x.bytes);
    assert_non_null(strstr(err.text, text));
    /* It is not kept: the next one who wants it is told the same. */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(gw_parked_pin(parked(), d, 1, &x, NULL, &s, &err), -EPROTO);
        assert_null(s);
    }
    memset(file + x.at, 0x55, x.bytes);
    x.crc = gw_crc32c(0, file + x.at, x.bytes);
    err = (struct gw_error)GW_ERROR_INIT;
    if (x.bytes != x.raw_bytes) {
        assert_int_equal(gw_parked_unpack(parked(), d, 1, &x, file + x.at, dst, &err), -EPROTO);
        assert_non_null(strstr(err.text, "it is not a zstd frame of "));
    }
    gw_parked_put_decoder(parked(), d);
    free(dst);
}

/* What a hostile table may say of the second frame's bytes, with all checksums right. */
static void test_hostile(void **state)
{
    const uint32_t lies[] = {0, UINT32_MAX, parked()->frame_bytes + 1, 1, parked()->frame_bytes};
    const uint64_t at = parked()->part[GW_PARKED_FRAMES]->at + GW_PARKED_FRAME_ENTRY;
    const uint32_t right = gw_load_be32(file + at);

    for (size_t i = 0; i < GW_ARRAY_LEN(lies); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_parked_extent x;
        bool refused = false;

        if (lies[i] == right)
            continue;
        gw_store_be32(file + at, lies[i]);
        repair(file, bytes);
        reopen();
        for (uint32_t k = 0; k < parked()->frame_count; k++) {
            int r = gw_parked_find_frame(parked(), k, &x, &err);

            if (r < 0) {
                assert_int_equal(r, -EPROTO);
                assert_int_equal(err.blame, GW_BLAME_PEER);
                assert_non_null(strstr(err.text, ", where they do not fit"));
                refused = true;
            } else {
                assert_true(x.at >= GW_PARKED_HEADER_BYTES && x.at + x.bytes <= parked()->trailer.frames_end);
            }
        }
        assert_true(refused);
    }
}

static void test_pread(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked *p = parked();
    uint8_t *got = NULL, some[16];
    int fd = p->bytes->fd;

    assert_int_equal(gw_parked_pread(p, 0, some, 8, &err), 0);
    assert_memory_equal(some, GW_PARKED_MAGIC, 8);
    assert_int_equal(gw_parked_pread(p, bytes - 16, some, 16, &err), 0);
    assert_int_equal(gw_parked_pread(p, bytes, some, 0, &err), 0);
    assert_int_equal(gw_parked_pread(p, bytes - 15, some, 16, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_non_null(strstr(err.text, "the file ends before byte "));
    p->bytes->fd = -1;
    assert_int_equal(gw_parked_pread(p, 0, some, 8, &err), -EIO);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "reading at byte 0: Bad file descriptor");
    p->bytes->fd = fd;
    /* Bytes of the index, with their checksum. */
    assert_int_equal(gw_parked_load(p, 0, 8, gw_crc32c(0, GW_PARKED_MAGIC, 8), &got, &err), 0);
    assert_memory_equal(got, GW_PARKED_MAGIC, 8);
    free(got);
    got = NULL;
    assert_int_equal(gw_parked_load(p, 0, 8, 5, &got, &err), -EPROTO);
    assert_non_null(strstr(err.text, "its checksum is 0x"));
    assert_non_null(strstr(err.text, " and should be 0x00000005"));
    assert_int_equal(gw_parked_load(p, bytes, 8, 5, &got, &err), -EPROTO);
    assert_null(got);
}

static void test_publish(void **state)
{
    uint8_t *first = malloc(1), *second = malloc(1);
    _Atomic(uint8_t *) where = NULL;

    assert_ptr_equal(gw_parked_publish(&where, first), first);
    assert_ptr_equal(gw_parked_publish(&where, second), first); /* and frees the second */
    free(atomic_load(&where));
}

/* Those that are kept: one slot for all who pin a frame, none taken away from who has it pinned. */
static void test_pinned(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked *p = parked();
    struct gw_parked_decoder *d = NULL;
    struct gw_parked_slot *a = NULL, *b = NULL, *s = NULL;
    uint8_t *dst = malloc(p->frame_bytes);
    struct gw_parked_extent x;

    assert_int_equal(gw_parked_get_decoder(p, &d, &err), 0);
    assert_int_equal(gw_parked_find_frame(p, 0, &x, &err), 0);
    assert_int_equal(gw_parked_unpack(p, d, 0, &x, NULL, dst, &err), 0);
    assert_int_equal(gw_parked_pin(p, d, 0, &x, NULL, &a, &err), 0);
    assert_int_equal(gw_parked_pin(p, d, 0, &x, NULL, &b, &err), 0);
    assert_ptr_equal(a, b);
    assert_int_equal(a->pins, 2);
    gw_parked_unpin(p, b);
    /* Every other frame, many times over. */
    for (unsigned turn = 0; turn < 3; turn++)
        for (uint32_t i = 1; i < p->frame_count; i++) {
            struct gw_parked_extent y;

            assert_int_equal(gw_parked_find_frame(p, i, &y, &err), 0);
            assert_int_equal(gw_parked_pin(p, d, i, &y, NULL, &s, &err), 0);
            assert_ptr_not_equal(s, a);
            assert_int_equal(s->frame, i);
            gw_parked_unpin(p, s);
        }
    assert_int_equal(a->frame, 0);
    assert_memory_equal(a->pages, dst, x.raw_bytes);
    gw_parked_unpin(p, a);
    gw_parked_put_decoder(p, d);
    free(dst);
}

/* Threads that want few frames: all see the right pages. */
static struct looker {
    pthread_t thread;
    uint64_t seed;
    int result;
    unsigned wrong;
} lookers[4];

static uint32_t first_words[8];

static void *look(void *opaque)
{
    struct looker *l = opaque;
    struct gw_parked *p = parked();
    struct gw_parked_decoder *d;

    l->result = gw_parked_get_decoder(p, &d, NULL);
    for (unsigned i = 0; i < 2000 && l->result >= 0; i++) {
        uint32_t frame = (uint32_t)(rig_random(&l->seed) % GW_MIN(p->frame_count, 8u));
        struct gw_parked_extent x;
        struct gw_parked_slot *s;

        l->result = gw_parked_find_frame(p, frame, &x, NULL);
        if (l->result >= 0)
            l->result = gw_parked_pin(p, d, frame, &x, NULL, &s, NULL);
        if (l->result < 0)
            break;
        l->wrong += gw_crc32c(0, s->pages, x.raw_bytes) != first_words[frame];
        gw_parked_unpin(p, s);
    }
    if (l->result >= 0)
        gw_parked_put_decoder(p, d);
    return NULL;
}

static void test_threads(void **state)
{
    struct gw_parked *p = parked();
    struct gw_parked_decoder *d;
    uint8_t *dst = malloc(p->frame_bytes);

    assert_int_equal(gw_parked_get_decoder(p, &d, NULL), 0);
    for (uint32_t i = 0; i < GW_MIN(p->frame_count, 8u); i++) {
        struct gw_parked_extent x;

        assert_int_equal(gw_parked_find_frame(p, i, &x, NULL), 0);
        assert_int_equal(gw_parked_unpack(p, d, i, &x, NULL, dst, NULL), 0);
        first_words[i] = gw_crc32c(0, dst, x.raw_bytes);
    }
    gw_parked_put_decoder(p, d);
    free(dst);
    for (unsigned i = 0; i < GW_ARRAY_LEN(lookers); i++) {
        lookers[i] = (struct looker){.seed = i};
        assert_int_equal(pthread_create(&lookers[i].thread, NULL, look, &lookers[i]), 0);
    }
    for (unsigned i = 0; i < GW_ARRAY_LEN(lookers); i++)
        pthread_join(lookers[i].thread, NULL);
    for (unsigned i = 0; i < GW_ARRAY_LEN(lookers); i++) {
        assert_int_equal(lookers[i].result, 0);
        assert_int_equal(lookers[i].wrong, 0);
    }
}

#define frames_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        frames_test(test_found),   frames_test(test_unpacked), frames_test(test_damaged), frames_test(test_hostile),
        frames_test(test_pread),   frames_test(test_publish),  frames_test(test_pinned),  frames_test(test_threads),
    };

    return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
