/* SPDX-License-Identifier: MIT
 *
 * zstd over the packets of a channel, and which packings a build has.
 */
#define PACKING_NEW    gw_packing_zstd_new
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
        int r = zstd ? gw_packing_zstd_new(true, 0, &p, &err) : gw_packing_zlib_new(true, 0, &p, &err);

        assert_int_equal(r, gw_packing_known(zstd ? GW_PACKET_ZSTD : GW_PACKET_ZLIB) ? 0 : -ENOTSUP);
        if (r == 0)
            p = p->free(p);
        else
            assert_non_null(strstr(err.text, "this build of godwit has no "));
    }
}

/* A peer may not make us keep more than 32 MiB for a channel: a head that asks for a window of 64 MiB, and one of 32. */
static void test_window(void **state)
{
    static const uint8_t head[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00};

    have_packing();
    fill(1, PAGE, false);
    memcpy(coded, head, sizeof head);
    coded[5] = (26 - 10) << 3;
    refuse(6, 1, "zstd: ");
    refuse(6, 1, "too much memory");
    coded[5] = (25 - 10) << 3;
    refuse(6, 1, "its contents are not whole");
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
