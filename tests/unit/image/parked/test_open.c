/* SPDX-License-Identifier: MIT
 *
 * Parked files that are broken: cut, changed anywhere, or made to mislead. They are refused with where and why, or,
 * where the break is in a page, that page is.
 */
#include "rig.h"
#include "repair.h"

struct file {
    uint8_t *data;
    size_t bytes;
};

static struct file small_file(const char *compress)
{
    static const uint64_t pages[RIG_BLOCKS] = {24, 3, 0, 1};
    struct gw_error err = GW_ERROR_INIT;
    struct file f = {0};
    struct rig rig;

    rig_open(&rig, 1024, pages, true, 20);
    assert_int_equal(rig_park(&rig, compress, 1, &f.data, &f.bytes, &err), 0);
    rig_close(&rig);
    return f;
}

static int read_all(struct gw_image *image, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < image->block_count && r >= 0; i++) {
        uint64_t pages = image->blocks[i].pages;
        uint8_t *got = malloc(pages * image->page_bytes + 1);

        r = gw_image_pages(image, i, 0, pages, got, err);
        free(got);
    }
    return r;
}

static int open_and_read(const uint8_t *data, size_t bytes, struct gw_error *err)
{
    struct gw_image *image;
    int r = rig_open_bytes(data, bytes, &image, err);

    if (r < 0)
        return r;
    r = read_all(image, err);
    gw_image_free(image);
    return r;
}

static void cut(void **state)
{
    struct file f = small_file("none");

    for (size_t n = 0; n < f.bytes; n += n < 64 || n > f.bytes - 5000 ? 1 : 97) {
        struct gw_error err = GW_ERROR_INIT;
        int r = open_and_read(f.data, n, &err);

        if (r != -EPROTO || (n >= 8 && !strstr(err.text, "byte ")))
            fail_msg("cut at %zu: %d, %s", n, r, err.text);
    }
    free(f.data);
}

static void flip_each(const char *compress)
{
    struct file f = small_file(compress);
    uint64_t seed = 1;

    for (size_t i = 8; i < f.bytes; i += i < f.bytes - GW_PARKED_TRAILER_BYTES + 800 ? RIG_LESS : 7 * RIG_LESS) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t bit = (uint8_t)(1 << rig_random(&seed) % 8);
        int r;

        f.data[i] ^= bit;
        r = open_and_read(f.data, f.bytes, &err);
        if (r != -EPROTO || !strstr(err.text, "byte"))
            fail_msg("byte %zu ^ 0x%02x: %d, %s", i, bit, r, err.text);
        f.data[i] ^= bit;
    }
    free(f.data);
}

static void flipped_bits(void **state)
{
    flip_each("none");
    if (gw_pack_known())
        flip_each("zstd");
}

/* What a broken page says: the file, the block, where it lies. */
static void place_is_named(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {500, 64, 0, 0};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t page[4096];
    struct gw_image *image;
    struct rig rig;
    struct file f;
    int r = 0;

    rig_open(&rig, 4096, pages, false, 30);
    memset(rig.ram[1], 7, 4096);
    rig.ram[1][77] = 1;
    assert_int_equal(rig_park(&rig, "none", 1, &f.data, &f.bytes, &err), 0);
    for (size_t i = GW_PARKED_HEADER_BYTES; r >= 0; i += 4096) /* uncompressed: pages lie at steps of a page */
        if (f.data[i] == 7 && f.data[i + 77] == 1) {
            f.data[i + 1000] ^= 0x10;
            r = -1;
        }
    assert_int_equal(rig_open_bytes(f.data, f.bytes, &image, &err), 0);
    assert_int_equal(gw_image_pages(image, 1, 0, 1, page, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_non_null(strstr(err.text, ": RAM block vga.vram: frame "));
    assert_non_null(strstr(err.text, "its checksum is 0x"));
    /* Others can still be read. */
    assert_int_equal(gw_image_pages(image, 0, 0, 1, page, &err), 0);
    gw_image_free(image);
    free(f.data);
    rig_close(&rig);
}

/* ---- what a file may claim ----------------------------------------------------------------------------------------
 */

struct claim {
    const char *what; /* of the error */
    uint32_t part;    /* 0: the trailer */
    size_t at, width; /* bytes that are changed */
    uint64_t value;
};

static void put(uint8_t *p, size_t width, uint64_t value)
{
    for (size_t i = 0; i < width; i++)
        p[i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

#define ENTRY(kind, field) (GW_PARKED_PARTS_AT + ((kind)-1) * GW_PARKED_PART_BYTES + (field))

static void claims(void **state)
{
    static const struct claim all[] = {
        {"version 2", 0, 8, 4, 2},
        {"needs a feature that is not known here (0x80000000)", 0, 12, 4, 0x80000000},
        {"pages of 0 bytes", 0, 20, 4, 0},
        {"pages of 1000 bytes", 0, 20, 4, 1000},
        {"pages of 2097152 bytes", 0, 20, 4, 2u << 20},
        {"frames of 0 pages", 0, 24, 4, 0},
        {"frames of 4294967295 pages", 0, 24, 4, 0xffffffff},
        {"should have 18446744073709551615", 0, 32, 8, UINT64_MAX},
        {"frames cannot end at byte 63", 0, 40, 8, 63},
        {"frames cannot end at byte 18446744073709551615", 0, 40, 8, UINT64_MAX},
        {"stored pages", 0, 48, 8, UINT64_MAX},
        {"layout is invalid", 0, 48, 8, 0xfffffffe},
        {"next page", 0, 48, 8, 0},
        {"4294967295 parts", 0, 56, 4, 0xffffffff},
        {"belong to no part", 0, 56, 4, 6},
        {"it has no head", 0, ENTRY(1, 0), 4, 1000},
        {"twice", 0, ENTRY(1, 0), 4, 2},
        {"twice", 0, ENTRY(1, 0), 4, 0},
        {"unknown flags", 0, ENTRY(1, 4), 4, 2},
        {"marked as compressed", 0, ENTRY(1, 4), 12, 0},
        {"not between", 0, ENTRY(1, 8), 8, 64},
        {"not between", 0, ENTRY(2, 16), 8, UINT64_MAX},
        {"cannot be", 0, ENTRY(2, 24), 8, UINT64_MAX},
        {"layout is invalid", GW_PARKED_HEAD, 0, 1, 4},
        {"layout is invalid", GW_PARKED_HEAD, 21, 2, 0xffff},
        {"layout is invalid", GW_PARKED_HEAD, 21, 2, 3},
        {"layout is invalid", GW_PARKED_HEAD, 25, 1, 0},
        {"layout is invalid", GW_PARKED_BLOCKS, 0, 4, 3},
        {"layout is invalid", GW_PARKED_BLOCKS, 0, 4, 0xffffffff},
        {"layout is invalid", GW_PARKED_BLOCKS, 4, 2, 0xffff},
        {"layout is invalid", GW_PARKED_BLOCKS, 4, 2, 0},
        {"layout is invalid", GW_PARKED_BLOCKS, 12, 1, 2},
        {"no multiple of the page", GW_PARKED_BLOCKS, 13, 8, 1023},
        {"no multiple of the page", GW_PARKED_BLOCKS, 13, 8, 0xfffffffffffffc00},
        {"page directory", GW_PARKED_BLOCKS, 13, 8, 0x7ffffffffffffc00},
        {"page directory", GW_PARKED_BLOCKS, 13, 8, 4097 * 1024},
        {"page index", GW_PARKED_BLOCKS, 13, 8, 25 * 1024},
        {"bytes of index", GW_PARKED_PAGE_DIRECTORY, 0, 4, 0xffffffff},
        {"next page 4294967295", GW_PARKED_PAGE_DIRECTORY, 8, 4, 0xffffffff},
        {"names stored pages", GW_PARKED_PAGE_DIRECTORY, 8, 4, 5},
        {"not a list of runs", GW_PARKED_PAGES, 0, 8, UINT64_MAX},
        {"cover more than its", GW_PARKED_PAGES, 0, 2, 0xfc7f},
        {"that no file can have", GW_PARKED_PAGES, 0, 3, 0x02cf0f},
        {"not a list of runs", GW_PARKED_PAGES, 0, 2, 0x8000},
        {"cannot be at byte 65", GW_PARKED_FRAME_DIRECTORY, 0, 8, 65},
        {"cannot be at byte", GW_PARKED_FRAME_DIRECTORY, 0, 8, UINT64_MAX},
        {"do not fit", GW_PARKED_FRAMES, 0, 4, 0xffffffff},
        {"do not fit", GW_PARKED_FRAMES, 0, 4, 0},
        {"do not fit", GW_PARKED_FRAMES, 0, 4, 1000},
        {"place of the early devices", GW_PARKED_EARLY_SPLIT, 0, 8, 101},
        {"layout is invalid", GW_PARKED_EARLY_SPLIT, 0, 8, UINT64_MAX},
    };
    struct file f = small_file("none");
    uint8_t *copy = malloc(f.bytes);

    /* The claims that change nothing prove that repair() repairs. */
    memcpy(copy, f.data, f.bytes);
    repair(copy, f.bytes);
    assert_memory_equal(copy, f.data, f.bytes);
    for (size_t i = 0; i < GW_ARRAY_LEN(all); i++) {
        const struct claim *c = &all[i];
        struct gw_error err = GW_ERROR_INIT;
        uint8_t *to = copy + f.bytes - GW_PARKED_TRAILER_BYTES;
        int r;

        memcpy(copy, f.data, f.bytes);
        if (c->part)
            to = repair_find(copy, f.bytes, c->part).data;
        if (c->width == 12) /* a part said to be compressed, and larger */
            put(to + c->at, 4, 1), put(to + c->at + 20, 8, 5000);
        else
            put(to + c->at, c->width, c->value);
        repair(copy, f.bytes);
        r = open_and_read(copy, f.bytes, &err);
        if (r != -EPROTO || err.blame != GW_BLAME_PEER || !strstr(err.text, c->what))
            fail_msg("claim %zu (%s): %d, %s", i, c->what, r, err.text);
    }
    free(copy);
    free(f.data);
}

/* A part of a later godwit is checked by who wants to know whether the file is whole. */
static void unknown_part(void **state)
{
    struct file f = small_file("none");
    struct repair_part xml = repair_find(f.data, f.bytes, GW_PARKED_LIBVIRT_XML);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image;

    gw_store_be32(xml.entry, 12345);
    repair(f.data, f.bytes);
    for (unsigned i = 0; i < 2; i++) {
        xml.data[3] ^= (uint8_t)i;
        assert_int_equal(open_and_read(f.data, f.bytes, &err), 0);
        assert_int_equal(rig_open_bytes(f.data, f.bytes, &image, &err), 0);
        assert_int_equal(image->ops->check(image, &err), i ? -EPROTO : 0);
        gw_image_free(image);
    }
    assert_non_null(strstr(err.text, "part of a kind unknown here, "));
    free(f.data);
}

/* A reader of today reads what has only features and parts that it may ignore. */
static void later_versions(void **state)
{
    struct file f = small_file("none");
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *trailer = f.data + f.bytes - GW_PARKED_TRAILER_BYTES;

    gw_store_be32(trailer + 16, 0xffffffff);
    for (uint32_t i = 0; i < gw_load_be32(trailer + 56); i++) {
        uint8_t *entry = trailer + GW_PARKED_PARTS_AT + i * GW_PARKED_PART_BYTES;

        if (gw_load_be32(entry) == GW_PARKED_LIBVIRT_XML) {
            gw_store_be32(entry, 12345);
            gw_store_be32(entry + 4, 0xff);
            gw_store_be64(entry + 24, 0);
        }
    }
    repair(f.data, f.bytes);
    assert_int_equal(open_and_read(f.data, f.bytes, &err), 0);
    free(f.data);
}

/* Compressed parts and frames that unpack to something else. */
static void packed_lies(void **state)
{
    struct file f = small_file(gw_pack_known() ? "zstd" : "none");
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *trailer = f.data + f.bytes - GW_PARKED_TRAILER_BYTES, *entry;
    struct repair_part devices = repair_find(f.data, f.bytes, GW_PARKED_DEVICES);

    if (!gw_pack_known())
        free(f.data);
    rig_needs_zstd();
    entry = devices.entry;
    assert_int_equal(devices.flags, GW_PARKED_PART_ZSTD);
    gw_store_be64(entry + 24, gw_load_be64(entry + 24) + 1);
    repair(f.data, f.bytes);
    assert_int_equal(open_and_read(f.data, f.bytes, &err), -EPROTO);
    assert_non_null(strstr(err.text, "not a zstd frame of 5001 bytes"));
    gw_store_be64(entry + 24, (16u << 20) + 1);
    repair(f.data, f.bytes);
    assert_int_equal(open_and_read(f.data, f.bytes, &err), -EPROTO);
    assert_non_null(strstr(err.text, "cannot be"));
    gw_store_be64(entry + 24, 5000);
    f.data[GW_PARKED_HEADER_BYTES] ^= 1; /* the first frame is no zstd any more */
    repair(f.data, f.bytes);
    assert_int_equal(open_and_read(f.data, f.bytes, &err), -EPROTO);
    assert_non_null(strstr(err.text, "frame 0, bytes 64 to "));
    f.data[GW_PARKED_HEADER_BYTES] ^= 1;
    gw_store_be32(trailer + 12, 0);
    repair(f.data, f.bytes);
    assert_int_equal(open_and_read(f.data, f.bytes, &err), -EPROTO);
    free(f.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut),
        cmocka_unit_test(flipped_bits), cmocka_unit_test(place_is_named),
        cmocka_unit_test(claims),       cmocka_unit_test(later_versions),
        cmocka_unit_test(unknown_part), cmocka_unit_test(packed_lies),
    };

    return cmocka_run_group_tests_name("parked_hostile", tests, NULL, NULL);
}
