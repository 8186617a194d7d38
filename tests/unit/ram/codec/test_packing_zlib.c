/* SPDX-License-Identifier: MIT
 *
 * zlib over the packets of a channel.
 */
#define PACKING_NEW    gw_packing_zlib_new
#define PACKING_NAME   "zlib"
#define PACKING_CODING GW_PACKET_ZLIB
#include "packing_tests.h"

/* Better levels of zlib need no more bytes, and all are read alike. */
static void test_levels(void **state)
{
    size_t last = SIZE_MAX;

    have_packing();
    for (int level = 1; level <= 9; level += 4) {
        struct gw_error err = GW_ERROR_INIT;
        size_t bytes;

        out = out->free(out);
        assert_int_equal(gw_packing_zlib_new(false, level, &out, &err), 0);
        assert_int_equal(in->reset(in, &err), 0);
        fill(8, PAGE, false);
        bytes = pack_all(8, PAGE);
        assert_true(bytes <= last);
        if (level > 1) /* 1 may be another library's */
            last = bytes;
        assert_int_equal(unpack(bytes, 8, PAGE, &err), 0);
        assert_memory_equal(back, pages, 8 * PAGE);
    }
}

/* As test_room, at a level that is zlib's in each build. */
static void test_room_of_zlib(void **state)
{
    uint8_t small[16];

    have_packing();
    fill(2, PAGE, true);
    for (size_t room = 1; room < sizeof small; room++) {
        struct gw_error err = GW_ERROR_INIT;
        size_t bytes = 777;

        out = out->free(out);
        assert_int_equal(gw_packing_zlib_new(false, 6, &out, &err), 0);
        assert_int_equal(out->pack(out, from, 2, PAGE, small, room, &bytes, &err), -EMSGSIZE);
        assert_int_equal(bytes, 777);
    }
}

/* The level changes between packets of one stream, to and from every one: whoever reads does not notice. Pages that come again, with others
 * between them, must not be told as those that came two packets ago by who did not see the ones between. */
static void test_level_changes(void **state)
{
    static const int levels[] = {1, 6, 1, 6, 6, 1, 1, 0, 1, 9, 2, 9, 1, 0, 0, 6, 0, 1, 6, 1};
    static uint8_t same[2 * PAGE];
    struct gw_error err = GW_ERROR_INIT;

    have_packing();
    fill(2, PAGE, true);
    memcpy(same, pages, sizeof same);
    for (unsigned i = 0; i < GW_ARRAY_LEN(levels); i++) {
        size_t bytes;

        assert_int_equal(out->set_level(out, levels[i], &err), 0);
        fill(2, PAGE, true);
        if (i % 2)
            memcpy(pages, same, sizeof same);
        bytes = pack_all(2, PAGE);
        if (unpack(bytes, 2, PAGE, &err) < 0)
            fail_msg("packet %u, level %d: %s", i, levels[i], err.text);
        assert_memory_equal(back, pages, 2 * PAGE);
    }
}

/* A stream that ends, where packets of a channel never do. */
static void test_ended(void **state)
{
    /* An empty stream, whole: head, a last block, checksum. */
    static const uint8_t end[] = {0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01};

    have_packing();
    fill(1, PAGE, false);
    memcpy(coded, end, sizeof end);
    refuse(sizeof end, 1, "page 0 of 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PACKING_TESTS,
        cmocka_unit_test_setup_teardown(test_levels, up, down),
        cmocka_unit_test_setup_teardown(test_room_of_zlib, up, down),
        cmocka_unit_test_setup_teardown(test_level_changes, up, down),
        cmocka_unit_test_setup_teardown(test_ended, up, down),
    };

    return cmocka_run_group_tests_name("packing_zlib", tests, NULL, NULL);
}
