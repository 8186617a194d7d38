/* SPDX-License-Identifier: MIT
 *
 * zstd over the packets of a channel, and which packings a build has.
 */
#define PACKING_NEW(in, level, ret, err) gw_packing_zstd_new(in, level, 16, ret, err)
#define PACKING_NAME   "zstd"
#define PACKING_CODING GW_PACKET_ZSTD
#include "packing_tests.h"

static void test_known(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_packing *p = NULL;

    assert_true(gw_packing_known(GW_PACKET_PLAIN));
    for (unsigned coding = 0; coding < 64; coding++)
        if (coding != GW_PACKET_PLAIN && coding != GW_PACKET_ZLIB && coding != GW_PACKET_ZSTD)
            assert_false(gw_packing_known((enum gw_packet_coding)coding));
    /* What is not known cannot be made, and says so. */
    for (int zstd = 0; zstd < 2; zstd++) {
        int r = zstd ? gw_packing_zstd_new(true, 0, 1, &p, &err) : gw_packing_zlib_new(true, 0, &p, &err);

        assert_int_equal(r, gw_packing_known(zstd ? GW_PACKET_ZSTD : GW_PACKET_ZLIB) ? 0 : -ENOTSUP);
        if (r == 0)
            p = p->free(p);
        else
            assert_non_null(strstr(err.text, "this build of godwit has no "));
    }
}

/* Whatever each channel asks for, all of them together get no more than the bound. */
static void test_window(void **state)
{
    have_packing();
    for (unsigned count = 1; count <= 64; count++) {
        unsigned bits = gw_packing_window_bits(count);
        struct gw_packing *reader = NULL;
        struct gw_error err = GW_ERROR_INIT;
        size_t bytes = 0;

        assert_true(((uint64_t)count << bits) <= GW_PACKING_KEPT_BYTES && bits >= 20 && bits <= 25);
        fill(1, PAGE, false);
        assert_int_equal(gw_packing_zstd_new(true, 0, count, &reader, NULL), 0);
        out->reset(out, NULL);
        assert_int_equal(out->pack(out, from, 1, PAGE, coded, GW_PACKET_CODED_MAX, &bytes, NULL), 0);
        assert_int_equal(coded[4], 0); /* the frame's form: the byte behind it is the size of its window */
        coded[5] = (uint8_t)((bits - 10) << 3);
        assert_int_equal(reader->unpack(reader, coded, bytes, to, 1, PAGE, &err), 0);
        reader->reset(reader, NULL);
        coded[5] = (uint8_t)((bits - 10) << 3 | 1);
        assert_int_equal(reader->unpack(reader, coded, bytes, to, 1, PAGE, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, "MiB of memory, which each of so many channels may have here"));
        reader->free(reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PACKING_TESTS,
        cmocka_unit_test(test_known),
        cmocka_unit_test_setup_teardown(test_window, up, down),
    };

    return cmocka_run_group_tests_name("packing_zstd", tests, NULL, NULL);
}
