/* SPDX-License-Identifier: MIT
 *
 * What reading all pages does not look at: each part's checksum, and the frame table to its end.
 */
#include "rig.h"
#include "repair.h"

#include "image/parked/reader.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

static struct rig rig;
static uint8_t *file;
static size_t bytes;
static struct gw_image *image;

static int up(void **state)
{
    static const uint64_t pages[RIG_BLOCKS] = {300, 10, UINT64_MAX};
    struct gw_error err = GW_ERROR_INIT;

    rig_open(&rig, 4096, pages, true, 8);
    if (rig_park(&rig, "none", 1, &file, &bytes, &err) < 0)
        fail_msg("%s", err.text);
    return 0;
}

static int down(void **state)
{
    image = gw_image_free(image);
    rig_close(&rig);
    free(file);
    return 0;
}

static void reopen(void)
{
    struct gw_error err = GW_ERROR_INIT;

    image = gw_image_free(image);
    if (rig_open_bytes(file, bytes, &image, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_good(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    reopen();
    if (gw_parked_check(image, &err) < 0)
        fail_msg("%s", err.text);
}

/* A part of a kind that nobody here knows is carried along, and its bytes are checked all the same. */
static void test_unknown_part(void **state)
{
    struct repair_part part = repair_find(file, bytes, GW_PARKED_DESCRIPTION);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *trailer = file + bytes - GW_PARKED_TRAILER_BYTES;
    char text[160];

    gw_store_be32(part.entry, 999);
    gw_store_be32(trailer + GW_PARKED_TRAILER_BYTES - 4, gw_crc32c(0, trailer, GW_PARKED_TRAILER_BYTES - 4));
    reopen();
    assert_int_equal(gw_parked_check(image, &err), 0);
    part.data[3] ^= 1;
    reopen(); /* nobody looks at it */
    assert_int_equal(gw_parked_check(image, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    snprintf(text, sizeof text, "part of a kind unknown here, %zu bytes at byte %zu: its checksum is 0x", (size_t)part.bytes,
             (size_t)(part.data - file));
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in '%s'", text, err.text);
    /* Which file it was. */
    assert_non_null(strstr(err.text, "/proc/self/fd/"));
}

/* The last frame of the table must end where the parts begin, also where no page leads to it. */
static void test_frames(void **state)
{
    struct repair_part table = repair_find(file, bytes, GW_PARKED_FRAMES);
    uint32_t n = (uint32_t)(table.bytes / GW_PARKED_FRAME_ENTRY);
    uint8_t *last = table.data + (n - 1) * GW_PARKED_FRAME_ENTRY;
    struct gw_error err = GW_ERROR_INIT;

    gw_store_be32(last, gw_load_be32(last) - 1);
    repair(file, bytes);
    reopen();
    assert_int_equal(gw_parked_check(image, &err), -EPROTO);
    assert_non_null(strstr(err.text, "where they do not fit"));
}

static void test_nomem(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    reopen();
    countdown = 1;
    assert_int_equal(gw_parked_check(image, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_non_null(strstr(err.text, "out of memory (checking)"));
    assert_int_equal(gw_parked_check(image, &err), 0);
}

#define check_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        check_test(test_good),
        check_test(test_unknown_part),
        check_test(test_frames),
        check_test(test_nomem),
    };

    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
