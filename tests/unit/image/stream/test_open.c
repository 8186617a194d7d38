/* SPDX-License-Identifier: MIT
 *
 * Which streams can be opened, what is refused and why, and what stays of the set-up.
 */
#include "../files.h"

#include "base/endian.h"
#include "image/stream/file.h"
#include "wire/numbers.h"

/* What a file cannot be opened for; NULL: it can. Names not listed can be. */
static const char *refusal(const char *name)
{
    static const struct {
        const char *part, *why;
    } refused[] = {
        {"block-", "it carries disks"},
        {"colo-", "a stream of COLO checkpoints"},
        {"dirty-bitmaps", "it carries dirty bitmaps"},
        {"ignore-shared", "it stayed in shared memory"},
        {"multifd-10.0-to-7.2", "pages went over other channels"},
        {"mapped-ram-multifd", NULL},
        {"multifd", "pages went over other channels"},
        {"postcopy", "switched to postcopy"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(refused); i++)
        if (strstr(name, refused[i].part))
            return refused[i].why;
    return NULL;
}

static void test_every_capture(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(streams); i++) {
        const char *name = streams[i].name, *why = refusal(name);
        struct bytes b = stream_load(name);
        struct gw_error err = GW_ERROR_INIT;
        struct gw_image *image = NULL;
        int r = open_bytes(b.data, b.bytes, &image, &err);

        if (why ? r != -EPROTO || !strstr(err.text, why) : r != 0)
            fail_msg("%s: %d, %s", name, r, err.text);
        if (!why) {
            bool mapped = strstr(name, "mapped") != NULL;

            assert_int_equal(gw_image_kind(image), mapped ? GW_IMAGE_MAPPED_RAM : GW_IMAGE_STREAM);
            assert_true(image->devices_bytes > 0 && image->devices[0] == GW_ELEMENT_FULL);
            assert_int_equal(image->description[0], '{');
            assert_int_equal(image->early_bytes, 0);
            assert_true(image->footers);
            assert_int_equal(gw_image_page_bytes(image), 4096);
        }
        gw_image_free(image);
        free(b.data);
    }
}

static void test_uuid(void **state)
{
    static const uint8_t uuid[] = {0x0e, 0x9b, 0xd4, 0xa1, 0x11, 0x11, 0x42, 0x22};
    struct gw_image *image = open_capture("validate-uuid-10.0.bin");

    assert_true(image->has_uuid);
    assert_memory_equal(image->uuid, uuid, sizeof uuid);
    gw_image_free(image);
}

/* ---- streams made by hand ---- */

#define HEAD     "QEVM\0\0\0\3"
#define RAM      "\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4"
#define FOOT     "\x7e\0\0\0\1"
#define MARK     "\0\0\0\0\0\0\0\x10"
#define LIST(n)  "\0\0\0\0\0\0" n "\4\1a\0\0\0\0\0\0" n "\0" MARK
#define PART     "\2\0\0\0\1"
#define END      "\3\0\0\0\1" MARK FOOT
#define ZERO(at) "\0\0\0\0\0\0" at "\2\1a\0"
#define DIFF(at) "\0\0\0\0\0\0" at "\x40\1a\1"

static void expect(const char *bytes, size_t n, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;

    if (open_bytes(bytes, n, &image, &err) != -EPROTO)
        fail_msg("no \"%s\", but %s", text, err.text);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    assert_null(image);
}

#define EXPECT(bytes, text) expect(bytes, sizeof(bytes) - 1, text)

static void test_what_is_wrong_is_named(void **state)
{
    EXPECT("", "the file is empty");
    EXPECT("#!/bin/sh\n", "neither a parked machine");
    EXPECT(HEAD "\0", "it has no RAM");
    EXPECT(HEAD RAM LIST("\x10") FOOT PART ZERO("\0") MARK FOOT, "ended at byte 85");
    EXPECT(HEAD RAM LIST("\x10") FOOT END "\0", "1 of 1 pages never came");
    EXPECT(HEAD RAM LIST("\x10") FOOT "\0", "1 of 1 pages never came, and the RAM has no end");
    EXPECT(HEAD RAM LIST("\x20") FOOT PART ZERO("\0") MARK FOOT END "\0", "1 of 2 pages never came");
    EXPECT(HEAD RAM LIST("\x10") FOOT PART DIFF("\0") "\0\2\0\0" MARK FOOT END "\0", "bad length of a changed run");
    EXPECT(HEAD RAM LIST("\x10") FOOT PART DIFF("\0") "\0\5\x80\x20\1xx" MARK FOOT END "\0",
           "bad length of a changed run");
}

/* A difference to a page of zeros, then one to the result; at last all is zeros again. */
static void test_differences(void **state)
{
    static const char one[] =
        HEAD RAM LIST("\x10") FOOT PART ZERO("\0") DIFF("\0") "\0\5\2\3abc" DIFF("\0") "\0\3\3\1X" MARK FOOT END;
    static const char back[] =
        HEAD RAM LIST("\x10") FOOT PART ZERO("\0") DIFF("\0") "\0\5\2\3abc" DIFF("\0") "\0\5\2\3\0\0\0" MARK FOOT END;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *image = NULL;
    uint8_t page[4096], kind;

    assert_int_equal(open_bytes(one, sizeof one, &image, &err), 0);
    assert_int_equal(gw_image_pages(image, 0, 0, 1, page, &err), 0);
    assert_memory_equal(page, "\0\0aXc\0", 6);
    assert_int_equal(gw_image_map(image, 0, 0, 1, &kind, &err), 0);
    assert_int_equal(kind, 1);
    assert_false(image->devices_bytes || image->description_bytes || *image->machine);
    gw_image_free(image);
    assert_int_equal(open_bytes(back, sizeof back, &image, &err), 0);
    assert_int_equal(gw_image_map(image, 0, 0, 1, &kind, &err), 0);
    assert_int_equal(kind, 0);
    gw_image_free(image);
}

#define SECOND "\4\0\0\0\x64\5early\0\0\0\1\0\0\0\1more\x7e\0\0\0\x64"
#define END0   "\3\0\0\0\1" ZERO("\0") MARK FOOT /* which brings what no PART did */
#define EARLY  "\4\0\0\0\x63\5early\0\0\0\0\0\0\0\1state\x7e\0\0\0\x63"
#define DEVICE "\4\0\0\0\2\3dev\0\0\0\0\0\0\0\1xx\x7e\0\0\0\2"

/* Opens it, writes it as all formats and opens these: everything stands where it stood. */
static void stays(const char *bytes, size_t n, size_t before, size_t early_bytes)
{
    static const enum gw_image_format formats[] = {GW_IMAGE_STREAM, GW_IMAGE_MAPPED_RAM, GW_IMAGE_PARKED};
    struct gw_image *image = NULL, *again;
    struct gw_error err = GW_ERROR_INIT;

    if (open_bytes(bytes, n, &image, &err) < 0)
        fail_msg("%s", err.text);
    strcpy(image->machine, "none"); /* mapped-ram wants one */
    free(image->head);
    image->head = NULL;
    assert_int_equal(image->early_before, before);
    assert_same_blob(image->early, image->early_bytes, EARLY SECOND, early_bytes);
    assert_same_blob(image->devices, image->devices_bytes, DEVICE, sizeof(DEVICE) - 1);
    for (unsigned i = 0; i < GW_ARRAY_LEN(formats); i++) {
        const struct gw_image_write_options options = {.format = formats[i]};
        struct file out = write_to_file(image, &options);

        again = open_file(&out);
        assert_same_image(image, again);
        gw_image_free(again);
        close(out.fd);
    }
    gw_image_free(image);
}

/* Devices of the set-up, as virtio-mem is one, before the RAM's START or behind it; all lists are kept as they came. */
static void test_early_device(void **state)
{
    static const char bytes[] = HEAD EARLY RAM LIST("\x10") FOOT PART ZERO("\0") MARK FOOT END DEVICE;
    static const char behind[] = HEAD RAM LIST("\x10") FOOT EARLY SECOND PART ZERO("\0") MARK FOOT END DEVICE;
    static const char both[] = HEAD EARLY RAM LIST("\x10") FOOT SECOND PART ZERO("\0") MARK FOOT END DEVICE;
    static const char straight[] = HEAD RAM LIST("\x10") FOOT EARLY SECOND END0 DEVICE;
    const struct gw_image_write_options options = {.format = GW_IMAGE_STREAM};
    struct gw_image *image = NULL, *again;
    struct gw_error err = GW_ERROR_INIT;
    struct file out;

    stays(bytes, sizeof bytes, sizeof(EARLY) - 1, sizeof(EARLY) - 1);
    stays(behind, sizeof behind, 0, sizeof(EARLY SECOND) - 1);
    stays(both, sizeof both, sizeof(EARLY) - 1, sizeof(EARLY SECOND) - 1);
    stays(straight, sizeof straight, 0, sizeof(EARLY SECOND) - 1);
    if (open_bytes(bytes, sizeof bytes, &image, &err) < 0)
        fail_msg("%s", err.text);
    assert_same_blob(image->early, image->early_bytes, EARLY, sizeof(EARLY) - 1);
    assert_same_blob(image->devices, image->devices_bytes, DEVICE, sizeof(DEVICE) - 1);
    out = write_to_file(image, &options);
    again = open_file(&out);
    assert_same_image(image, again);
    gw_image_free(again);
    gw_image_free(image);
    close(out.fd);
    EXPECT(HEAD RAM LIST("\x10") FOOT EARLY "\2\0\0\0\2", "byte 90 inside the device sections, which begin at byte 56");
    EXPECT(HEAD RAM LIST("\x10") FOOT EARLY "\x8\0\x2\0\4\0\0\0\1" SECOND PART ZERO("\0") MARK FOOT END DEVICE,
           "unexpected data between the devices of the set-up");
    EXPECT(HEAD "\4\0\0\0\1\5early\0\0\0\0\0\0\0\1state\x7e\0\0\0\1" RAM LIST("\x10") FOOT PART ZERO("\0") MARK FOOT END
           "\0",
           "the RAM's section has the number of a device before it, 1");
    EXPECT(HEAD RAM LIST("\x10") FOOT PART ZERO("\0") MARK FOOT END "\4\0\0\0\1\3dev\0\0\0\0\0\0\0\1xx\x7e\0\0\0\1\0",
           "device dev has the number of the RAM's section, 1");
}

/* Machines up to 2.3: sections have no footers, and there is no configuration. */
static void test_without_footers(void **state)
{
    static const char bytes[] = HEAD RAM LIST("\x10") PART ZERO("\0") MARK "\3\0\0\0\1" MARK;
    struct gw_image *image = NULL;
    struct gw_error err = GW_ERROR_INIT;
    const struct gw_image_write_options options = {.format = GW_IMAGE_STREAM}, mapped = {.format = GW_IMAGE_MAPPED_RAM};
    struct file out;
    char got[sizeof bytes + 1];

    assert_int_equal(open_bytes(bytes, sizeof bytes, &image, &err), 0);
    assert_false(image->footers);
    out = write_to_file(image, &options);
    assert_int_equal(pread(out.fd, got, sizeof got, 0), sizeof bytes);
    assert_memory_equal(got, bytes, sizeof bytes);
    assert_int_equal(gw_mapped_write(image, &mapped, out.fd, &err), -EINVAL); /* it is told in the configuration */
    assert_non_null(strstr(err.text, "needs a machine type's name"));
    gw_image_free(image);
    close(out.fd);
}

/* ---- broken files ---- */

/* No memory is taken for what is only said. */
static void test_huge_blocks(void **state)
{
    static const char total[] = HEAD RAM "\x10\0\0\0\0\0\0\4\1a\x10\0\0\0\0\0\0\0" MARK FOOT;
    static const char half[] =
        HEAD RAM "\0\0\x40\0\0\0\0\4\1a\0\0\x40\0\0\0\0\0" MARK FOOT PART ZERO("\0") MARK FOOT END;

    EXPECT(total, "more than 64 TiB of RAM");
    expect(half, sizeof half, "17179869183 of 17179869184 pages never came");
}

static void test_cut_at_every_byte(void **state)
{
    struct bytes b = stream_load("stopped-source-64k-10.0.bin");

    for (size_t n = 0; n < b.bytes; n++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_image *image = NULL;
        int r = open_bytes(b.data, n, &image, &err);

        /* Without its description a stream is whole as well. */
        if (r >= 0 && (image->description_bytes || b.data[n - 1] != 0))
            fail_msg("cut at %zu, and nothing is said", n);
        if (r < 0 && (r != -EPROTO || err.code != r || (n >= 4 && !strstr(err.text, "byte "))))
            fail_msg("cut at %zu: %d %s", n, r, err.text);
        gw_image_free(image);
    }
    free(b.data);
}

/* Either it is refused, or all that it says can be read. */
static void test_changed_bytes(void **state)
{
    static const char *const names[] = {"stopped-source-64k-7.2.bin", "xbzrle-microvm-7.2.bin",
                                        "mapped-ram-10.0.bin.gz"};
    uint64_t seed = 1442695040888963407ull;

    for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
        struct bytes b = stream_load(names[i]);

        for (int k = 0; k < (i ? 40 : 1500); k++) {
            struct gw_error err = GW_ERROR_INIT;
            struct gw_image *image = NULL;
            size_t at;
            uint8_t old;

            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            at = (seed >> 33) % GW_MIN(b.bytes, 3000);
            old = b.data[at];
            b.data[at] ^= (uint8_t)(seed >> 20 | 1);
            if (open_bytes(b.data, b.bytes, &image, &err) >= 0)
                assert_same_ram(image, image);
            else
                assert_true(err.text[0] != 0);
            gw_image_free(image);
            b.data[at] = old;
        }
        free(b.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_capture),
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_early_device),
        cmocka_unit_test(test_without_footers),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_huge_blocks),
        cmocka_unit_test(test_changed_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
