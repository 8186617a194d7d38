/* SPDX-License-Identifier: MIT
 *
 * What stands behind the frames: the index as it was kept, the rest of the machine, and a trailer that says where all of it
 * is; also when the disk or the memory fails in between.
 */
#include "rig.h"

#include "image/parked/tail.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

/* A file in memory that takes at most so many bytes. */
struct disk {
    uint8_t *bytes;
    size_t at, most;
    unsigned puts;
};

static int put(void *opaque, const void *src, size_t bytes, struct gw_error *err)
{
    struct disk *d = opaque;

    d->puts++;
    if (bytes > d->most - d->at)
        return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL, "the disk is full");
    if (bytes)
        memcpy(d->bytes + d->at, src, bytes);
    d->at += bytes;
    return 0;
}

#define ROOM (1u << 20)
#define FRAMES (GW_PARKED_GROUP_FRAMES + 5)

static const uint64_t pages[RIG_BLOCKS] = {40, 3, 0, UINT64_MAX};

static void begin(struct gw_parked_tail *t, struct disk *d, size_t most)
{
    *d = (struct disk){.bytes = malloc(ROOM), .most = most};
    *t = (struct gw_parked_tail){
        .trailer = {.page_bytes = 4096, .frame_pages = 1}, .at = GW_PARKED_HEADER_BYTES, .put = put, .opaque = d};
}

static void end(struct gw_parked_tail *t, struct disk *d)
{
    gw_parked_tail_close(t);
    gw_parked_tail_close(t);
    free(d->bytes);
}

/* One group of pages, and frames of three bytes each. */
static int index_all(struct gw_parked_tail *t, struct gw_error *err)
{
    static struct gw_parked_runs runs;
    int r = 0;

    gw_parked_runs_begin(&runs, 0);
    for (uint32_t i = 0; i < 40; i++)
        gw_parked_runs_page(&runs, i);
    gw_parked_runs_end(&runs);
    r = gw_parked_tail_group(t, &runs, 0, err);
    gw_parked_runs_begin(&runs, 40);
    gw_parked_runs_zero(&runs, 3);
    gw_parked_runs_end(&runs);
    if (r >= 0)
        r = gw_parked_tail_group(t, &runs, 40, err);
    for (uint32_t i = 0; r >= 0 && i < FRAMES; i++)
        r = gw_parked_tail_frame(t, 3, 0x100 + i, err);
    for (uint32_t i = 0; r >= 0 && i < FRAMES; i++)
        r = gw_parked_tail_put(t, "abc", 3, err);
    t->trailer.numbers = FRAMES;
    return r;
}

static const struct gw_parked_part *part(const struct gw_parked_trailer *t, uint32_t kind)
{
    for (uint32_t i = 0; i < t->part_count; i++)
        if (t->parts[i].kind == kind)
            return &t->parts[i];
    return NULL;
}

static void test_written(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked_trailer back;
    const struct gw_parked_part *p;
    struct gw_parked_tail t;
    const uint8_t *data;
    struct disk d;
    struct rig rig;

    rig_open(&rig, 4096, pages, true, 2);
    begin(&t, &d, ROOM);
    d.at = GW_PARKED_HEADER_BYTES;
    if (index_all(&t, &err) < 0 || gw_parked_tail_write(&t, &rig.image, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(t.at, d.at);
    if (gw_parked_get_trailer(d.bytes + d.at - GW_PARKED_TRAILER_BYTES, d.at, &back, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(back.frames_end, GW_PARKED_HEADER_BYTES + 3 * FRAMES);
    assert_int_equal(back.numbers, FRAMES);
    for (uint32_t i = 0; i < back.part_count; i++) {
        assert_int_equal(back.parts[i].flags, 0); /* no packer */
        assert_int_equal(gw_crc32c(0, d.bytes + back.parts[i].at, back.parts[i].bytes), back.parts[i].crc);
    }
    /* The head: flags, the section's number, UUID, machine type. */
    p = part(&back, GW_PARKED_HEAD);
    data = d.bytes + p->at;
    assert_int_equal(data[0], 3);
    assert_int_equal(gw_load_be32(data + 1), 2);
    assert_int_equal(data[5], 9);
    assert_int_equal(gw_load_be16(data + 21), 11);
    assert_memory_equal(data + 23, "pc-q35-10.0", 11);
    assert_int_equal(p->bytes, 34);
    /* Groups: bytes, checksum, number of the first fresh page; a group of zeros has none. */
    p = part(&back, GW_PARKED_PAGE_DIRECTORY);
    data = d.bytes + p->at;
    assert_int_equal(p->bytes, 2 * GW_PARKED_PAGE_ENTRY);
    assert_int_equal(gw_load_be32(data), part(&back, GW_PARKED_PAGES)->bytes);
    assert_int_equal(gw_load_be32(data + 4), part(&back, GW_PARKED_PAGES)->crc);
    assert_int_equal(gw_load_be32(data + 8), 0);
    assert_int_equal(gw_load_be32(data + 12), 0);
    assert_int_equal(gw_load_be32(data + 20), 40);
    /* Frames: each with its bytes and checksum, and each group's place and checksum. */
    p = part(&back, GW_PARKED_FRAMES);
    data = d.bytes + p->at;
    assert_int_equal(p->bytes, FRAMES * GW_PARKED_FRAME_ENTRY);
    for (uint32_t i = 0; i < FRAMES; i++) {
        assert_int_equal(gw_load_be32(data + 8 * i), 3);
        assert_int_equal(gw_load_be32(data + 8 * i + 4), 0x100 + i);
    }
    const uint8_t *directory = d.bytes + part(&back, GW_PARKED_FRAME_DIRECTORY)->at;
    assert_int_equal(part(&back, GW_PARKED_FRAME_DIRECTORY)->bytes, 2 * GW_PARKED_FRAMES_ENTRY);
    assert_int_equal(gw_load_be64(directory), GW_PARKED_HEADER_BYTES);
    assert_int_equal(gw_load_be32(directory + 8), gw_crc32c(0, data, GW_PARKED_GROUP_FRAMES * 8));
    assert_int_equal(gw_load_be64(directory + 12), GW_PARKED_HEADER_BYTES + 3 * GW_PARKED_GROUP_FRAMES);
    assert_int_equal(gw_load_be32(directory + 20), gw_crc32c(0, data + GW_PARKED_GROUP_FRAMES * 8, 5 * 8));
    /* The rest as it was. */
    p = part(&back, GW_PARKED_DEVICES);
    assert_int_equal(p->bytes, rig.image.devices_bytes);
    assert_memory_equal(d.bytes + p->at, rig.image.devices, p->bytes);
    p = part(&back, GW_PARKED_EARLY_SPLIT);
    assert_int_equal(gw_load_be64(d.bytes + p->at), 50);
    p = part(&back, GW_PARKED_LIBVIRT_XML);
    assert_memory_equal(d.bytes + p->at, rig.image.libvirt_xml, p->bytes);
    assert_null(part(&back, GW_PARKED_LIVE));
    assert_null(part(&back, GW_PARKED_DICTIONARY));
    end(&t, &d);
    rig_close(&rig);
}

/* Another XML than the image's own, and a dictionary. What is empty is no part. */
static void test_given(void **state)
{
    static const uint8_t dictionary[20] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked_trailer back;
    const struct gw_parked_part *p;
    struct gw_parked_tail t;
    struct disk d;
    struct rig rig;

    rig_open(&rig, 4096, pages, false, 2);
    begin(&t, &d, ROOM);
    d.at = GW_PARKED_HEADER_BYTES;
    t.dictionary = dictionary;
    t.dictionary_bytes = sizeof dictionary;
    assert_int_equal(gw_parked_tail_write(&t, &rig.image, "<domain/>", NULL, &err), 0);
    assert_int_equal(gw_parked_get_trailer(d.bytes + d.at - GW_PARKED_TRAILER_BYTES, d.at, &back, &err), 0);
    p = part(&back, GW_PARKED_LIBVIRT_XML);
    assert_int_equal(p->bytes, 9);
    assert_memory_equal(d.bytes + p->at, "<domain/>", 9);
    p = part(&back, GW_PARKED_DICTIONARY);
    assert_memory_equal(d.bytes + p->at, dictionary, sizeof dictionary);
    assert_null(part(&back, GW_PARKED_DEVICES));
    assert_null(part(&back, GW_PARKED_EARLY));
    assert_null(part(&back, GW_PARKED_EARLY_SPLIT));
    assert_null(part(&back, GW_PARKED_DESCRIPTION));
    assert_null(part(&back, GW_PARKED_LIBVIRT_STATE));
    end(&t, &d);
    rig_close(&rig);
}

/* Parts are packed where that makes them shorter; those that are looked up in place never are. */
static void test_packed(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_unpacker *u = NULL;
    struct gw_packer *packer = NULL;
    struct gw_parked_trailer back;
    struct gw_parked_tail t;
    struct disk d;
    struct rig rig;

    rig_needs_zstd();
    assert_int_equal(gw_packer_new(3, NULL, &packer, &err), 0);
    assert_int_equal(gw_unpacker_new(NULL, &u, &err), 0);
    rig_open(&rig, 4096, pages, true, 2);
    begin(&t, &d, ROOM);
    d.at = GW_PARKED_HEADER_BYTES;
    assert_int_equal(index_all(&t, &err), 0);
    assert_int_equal(gw_parked_tail_write(&t, &rig.image, NULL, packer, &err), 0);
    assert_int_equal(gw_parked_get_trailer(d.bytes + d.at - GW_PARKED_TRAILER_BYTES, d.at, &back, &err), 0);
    const struct gw_parked_part *p = part(&back, GW_PARKED_DEVICES);
    uint8_t *raw = malloc(p->raw_bytes);
    assert_int_equal(p->flags, GW_PARKED_PART_ZSTD);
    assert_int_equal(p->raw_bytes, rig.image.devices_bytes);
    assert_true(gw_unpacker_unpack(u, d.bytes + p->at, p->bytes, raw, p->raw_bytes));
    assert_memory_equal(raw, rig.image.devices, p->raw_bytes);
    assert_int_equal(gw_crc32c(0, d.bytes + p->at, p->bytes), p->crc);
    assert_int_equal(part(&back, GW_PARKED_HEAD)->flags, 0);
    assert_int_equal(part(&back, GW_PARKED_PAGES)->flags, 0);
    assert_int_equal(part(&back, GW_PARKED_FRAMES)->flags, 0);
    free(raw);
    gw_packer_free(packer);
    gw_unpacker_free(u);
    end(&t, &d);
    rig_close(&rig);
}

/* A disk that is full, before each write: the error names the part, and no trailer comes after it. */
static void test_full(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked_tail t;
    size_t whole;
    struct disk d;
    struct rig rig;

    rig_open(&rig, 4096, pages, true, 2);
    begin(&t, &d, ROOM);
    assert_int_equal(gw_parked_tail_write(&t, &rig.image, NULL, NULL, &err), 0);
    whole = d.at;
    end(&t, &d);
    for (size_t most = 0; most < whole; most += 1 + most / 40) {
        uint64_t at;

        err = (struct gw_error)GW_ERROR_INIT;
        begin(&t, &d, most);
        at = t.at;
        assert_int_equal(gw_parked_tail_write(&t, &rig.image, NULL, NULL, &err), -ENOSPC);
        assert_non_null(strstr(err.text, "the disk is full"));
        assert_int_equal(t.at - at, d.at);
        if (most == 0)
            assert_string_equal(err.text, "head: the disk is full");
        end(&t, &d);
    }
    rig_close(&rig);
}

/* Each allocation, from the first group to the trailer. */
static void test_nomem(void **state)
{
    struct gw_packer *packer = NULL;
    unsigned failed = 0;
    struct rig rig;

    if (gw_pack_known())
        assert_int_equal(gw_packer_new(3, NULL, &packer, NULL), 0);
    rig_open(&rig, 4096, pages, true, 2);
    for (unsigned n = 1;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_parked_tail t;
        struct disk d;
        bool hit;
        int r;

        begin(&t, &d, ROOM);
        countdown = n;
        r = index_all(&t, &err);
        if (r >= 0)
            r = gw_parked_tail_write(&t, &rig.image, NULL, packer, &err);
        hit = countdown == 0;
        countdown = 0;
        end(&t, &d);
        if (!hit) {
            assert_int_equal(r, 0);
            break;
        }
        failed++;
        /* What packs may do without the memory that it would like: the part is stored as it is then. */
        if (r < 0) {
            assert_int_equal(r, -ENOMEM);
            assert_int_equal(err.blame, GW_BLAME_LOCAL);
            assert_non_null(strstr(err.text, "out of memory"));
        }
    }
    assert_true(failed > 5);
    gw_packer_free(packer);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written), cmocka_unit_test(test_given), cmocka_unit_test(test_packed),
        cmocka_unit_test(test_full),    cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("tail", tests, NULL, NULL);
}
