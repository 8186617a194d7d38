/* SPDX-License-Identifier: MIT
 *
 * Header and trailer: what is put is got, each field that cannot be is refused by name, and every byte is protected.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/parked/parked.h"

#define FILE_BYTES 20000u

/* Frames up to byte 5000, three parts, the trailer. */
static struct gw_parked_trailer good(void)
{
    return (struct gw_parked_trailer){
        .needs = GW_PARKED_NEEDS_ZSTD,
        .may = 0x80000001,
        .page_bytes = 4096,
        .frame_pages = 16,
        .file_bytes = FILE_BYTES,
        .frames_end = 5000,
        .numbers = GW_PARKED_NUMBERS_MAX,
        .part_count = 3,
        .parts = {{.kind = GW_PARKED_HEAD, .at = 5000, .bytes = 100, .raw_bytes = 100, .crc = 0x12345678},
                  {.kind = GW_PARKED_DEVICES, .flags = GW_PARKED_PART_ZSTD, .at = 5100, .bytes = 900, .raw_bytes = 5000},
                  {.kind = 1000, .flags = 0xffffffff, .at = 6000, .bytes = FILE_BYTES - 4096 - 6000, .raw_bytes = 0}},
    };
}

static void get(const struct gw_parked_trailer *t, int code, const char *text)
{
    uint8_t *bytes = malloc(GW_PARKED_TRAILER_BYTES);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_parked_trailer back;

    gw_parked_put_trailer(bytes, t);
    if (gw_parked_get_trailer(bytes, FILE_BYTES, &back, &err) != code)
        fail_msg("'%s' instead of '%s'", err.text, text);
    if (code < 0) {
        assert_int_equal(err.blame, GW_BLAME_PEER);
        if (!strstr(err.text, text))
            fail_msg("'%s' is not in '%s'", text, err.text);
    } else {
        assert_memory_equal(&back, t, sizeof back);
    }
    free(bytes);
}

static void test_roundtrip(void **state)
{
    struct gw_parked_trailer t = good();

    get(&t, 0, "");
    t.part_count = 0;
    memset(t.parts, 0, sizeof t.parts);
    t.frames_end = FILE_BYTES - 4096;
    get(&t, 0, "");
    /* As many as there can be, of no bytes each. */
    t.part_count = GW_PARKED_PARTS_MAX;
    for (uint32_t i = 0; i < t.part_count; i++)
        t.parts[i] = (struct gw_parked_part){.kind = 100 + i, .at = t.frames_end};
    get(&t, 0, "");
}

/* Where the header says that the file ends; false: it does not, or it cannot be there. */
static void header_end(uint64_t size, uint64_t file_bytes, uint64_t frames_end, uint32_t needs, bool can)
{
    struct gw_parked_trailer t = good();
    uint8_t bytes[GW_PARKED_HEADER_BYTES];
    uint64_t end = 1, frames = 1;

    t.needs = needs;
    t.file_bytes = file_bytes;
    t.frames_end = frames_end;
    gw_parked_put_header(bytes, &t);
    assert_int_equal(gw_parked_header_end(bytes, size, &end, &frames), can);
    assert_int_equal(end, can ? file_bytes : 1);
    assert_int_equal(frames, can ? frames_end : 1);
    bytes[60] ^= 1;
    assert_false(gw_parked_header_end(bytes, size, &end, &frames));
}

static void test_header_end(void **state)
{
    const uint32_t end = GW_PARKED_NEEDS_END;

    header_end(20000, 20000, 64, end, true);
    header_end(1 << 20, 20000, 20000 - 4096, end | 1, true);
    header_end(1 << 20, 20000, 64, 1, false);
    header_end(19999, 20000, 64, end, false);
    header_end(1 << 20, UINT64_MAX, 64, end, false);
    header_end(1 << 20, 64 + 4095, 64, end, false);
    header_end(1 << 20, 0, 64, end, false);
    header_end(1 << 20, 20000, 63, end, false);
    header_end(1 << 20, 20000, 20000 - 4095, end, false);
    header_end(1 << 20, 20000, UINT64_MAX, end, false);
}

#define WRONG(text, ...)                                                                                               \
    do {                                                                                                               \
        struct gw_parked_trailer t = good();                                                                           \
        __VA_ARGS__;                                                                                                   \
        get(&t, -EPROTO, text);                                                                                        \
    } while (0)

static void test_fields(void **state)
{
    WRONG("the file needs a feature that is not known here (0x20)", t.needs |= 0x20);
    WRONG("not known here (0x80000000)", t.needs = 0x80000000);
    WRONG("pages of 0 bytes", t.page_bytes = 0);
    WRONG("pages of 512 bytes", t.page_bytes = 512);
    WRONG("pages of 4097 bytes", t.page_bytes = 4097);
    WRONG("pages of 2097152 bytes", t.page_bytes = 2 << 20);
    WRONG("frames of 0 pages", t.frame_pages = 0);
    WRONG("frames of 1025 pages of 4096 bytes", t.frame_pages = 1025);
    WRONG("frames of 4294967295 pages", t.frame_pages = UINT32_MAX);
    WRONG("the file has 20000 bytes, and should have 20001", t.file_bytes++);
    WRONG("the file has 20000 bytes, and should have 19999", t.file_bytes--);
    WRONG("frames cannot end at byte 63", t.frames_end = 63);
    WRONG("frames cannot end at byte 15905", t.frames_end = FILE_BYTES - 4095);
    WRONG("frames cannot end at byte 18446744073709551615", t.frames_end = UINT64_MAX);
    WRONG("4294967295 stored pages", t.numbers++);
}

/* One more than there is room for: put writes no such trailer. */
static void test_too_many_parts(void **state)
{
    uint8_t *bytes = malloc(GW_PARKED_TRAILER_BYTES);
    struct gw_parked_trailer t = good();
    struct gw_error err = GW_ERROR_INIT;

    gw_parked_put_trailer(bytes, &t);
    gw_store_be32(bytes + 56, GW_PARKED_PARTS_MAX + 1);
    gw_store_be32(bytes + GW_PARKED_TRAILER_BYTES - 4, gw_crc32c(0, bytes, GW_PARKED_TRAILER_BYTES - 4));
    assert_int_equal(gw_parked_get_trailer(bytes, FILE_BYTES, &t, &err), -EPROTO);
    assert_string_equal(err.text, "65 parts");
    free(bytes);
}

static void test_parts(void **state)
{
    WRONG("head: 0x64 bytes at byte 5001 of the file: not between byte 5000 and the trailer", t.parts[0].at++);
    WRONG("devices: 0x384 bytes at byte 5099 of the file: not between byte 5100 and the trailer", t.parts[1].at--);
    WRONG("part of a kind unknown here: ", t.parts[2].bytes++);
    WRONG("part of a kind unknown here: 0xffffffffffffffff bytes", t.parts[2].bytes = UINT64_MAX);
    WRONG("byte 15903: the bytes from here to the trailer belong to no part", t.parts[2].bytes--);
    WRONG("byte 6000: the bytes from here to the trailer belong to no part", t.part_count--);
    WRONG("head (kind 1): twice", t.parts[1].kind = GW_PARKED_HEAD);
    WRONG("part of a kind unknown here (kind 0): twice", t.parts[1].kind = 0);
    WRONG("devices: unknown flags 0x3", t.parts[1].flags = 3);
    WRONG("devices: 900 bytes cannot be 900", t.parts[1].raw_bytes = 900);
    WRONG("devices: 900 bytes cannot be 16777217", t.parts[1].raw_bytes = GW_PARKED_UNPACKED_MAX + 1);
    WRONG("head: 100 bytes cannot be 101", t.parts[0].raw_bytes++);
    WRONG("page index: must not be compressed", t.parts[1].kind = GW_PARKED_PAGES);
    WRONG("frame table: must not be compressed", t.parts[1].kind = GW_PARKED_FRAMES);
}

/* Of every bit that changes the checksum, the magic or the version tells. */
static void test_every_byte(void **state)
{
    struct gw_parked_trailer t = good(), back;
    uint8_t bytes[GW_PARKED_TRAILER_BYTES];

    gw_parked_put_trailer(bytes, &t);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        struct gw_error err = GW_ERROR_INIT;

        bytes[i] ^= 0x10;
        assert_int_equal(gw_parked_get_trailer(bytes, FILE_BYTES, &back, &err), -EPROTO);
        assert_string_equal(err.text, i < 8 ? "no trailer: the file is truncated, or is still being written"
                                            : "its checksum is wrong");
        bytes[i] ^= 0x10;
    }
    gw_store_be32(bytes + 8, 2);
    gw_store_be32(bytes + sizeof bytes - 4, gw_crc32c(0, bytes, sizeof bytes - 4));
    struct gw_error err = GW_ERROR_INIT;
    assert_int_equal(gw_parked_get_trailer(bytes, FILE_BYTES, &back, &err), -EPROTO);
    assert_string_equal(err.text, "version 2 of the format; known here is 1");
}

/* The header must say what the trailer says. */
static void test_header(void **state)
{
    struct gw_parked_trailer t = good();
    uint8_t bytes[GW_PARKED_HEADER_BYTES];
    struct gw_error err = GW_ERROR_INIT;
    char text[100];

    gw_parked_put_header(bytes, &t);
    assert_memory_equal(bytes, GW_PARKED_MAGIC, 8);
    assert_int_equal(gw_parked_check_header(bytes, &t, &err), 0);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0xff;
        assert_int_equal(gw_parked_check_header(bytes, &t, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        snprintf(text, sizeof text, "byte %u: the header has 0x%02x where the trailer wants 0x%02x", i, bytes[i],
                 bytes[i] ^ 0xff);
        assert_string_equal(err.text, text);
        bytes[i] ^= 0xff;
    }
    t.needs = 0;
    assert_int_equal(gw_parked_check_header(bytes, &t, &err), -EPROTO);
    /* What only the trailer has does not matter. */
    t = good();
    t.numbers = 1;
    t.part_count = 0;
    assert_int_equal(gw_parked_check_header(bytes, &t, &err), 0);
}

static void test_names(void **state)
{
    for (uint32_t kind = GW_PARKED_HEAD; kind < GW_PARKED_PART_KINDS; kind++)
        for (uint32_t other = GW_PARKED_HEAD; other <= kind; other++)
            assert_int_equal(!strcmp(gw_parked_part_name(kind), gw_parked_part_name(other)), kind == other);
    assert_string_equal(gw_parked_part_name(0), "part of a kind unknown here");
    assert_string_equal(gw_parked_part_name(GW_PARKED_PART_KINDS), "part of a kind unknown here");
    assert_string_equal(gw_parked_part_name(UINT32_MAX), "part of a kind unknown here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roundtrip),  cmocka_unit_test(test_fields), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_every_byte), cmocka_unit_test(test_header),
        cmocka_unit_test(test_header_end), cmocka_unit_test(test_names),
        cmocka_unit_test(test_too_many_parts),
    };

    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
