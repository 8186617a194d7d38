/* SPDX-License-Identifier: MIT */
#include "saved.h"

#include "base/endian.h"
#include "examine/physical/plugged.h"

#define EARLY "0000:00:01.0/virtio-mem-device-early"

static void test_read(void **state)
{
    uint8_t body[36 + 16] = {0};
    struct gw_image_device d = {.name = EARLY, .body = body, .body_bytes = sizeof body};
    struct gw_plugged g;
    struct saved s;

    saved_init(&s, "pc-q35-10.0");
    saved_block(&s, "pc.ram", G);
    saved_block(&s, "0000:00:01.0/vm0", 256 * M);
    body[3] = 1;            /* at 4 GiB */
    body[2 * 8 - 4] = 0x10; /* 256 MiB */
    body[3 * 8 - 3] = 0x20; /* in pieces of 2 MiB */
    body[36 + 7] = 0x05;    /* 0 and 2 */
    body[36 + 8] = 0x80;    /* 127 */
    assert_true(gw_plugged_read(&s.image, &d, &g));
    assert_int_equal(g.block, 1);
    assert_int_equal(g.address, 4 * G);
    assert_int_equal(g.pieces, 128);
    for (unsigned i = 0; i < 128; i++)
        assert_int_equal(gw_plugged_has(&g, i), i == 0 || i == 2 || i == 127);
    /* What does not fit together. */
    for (unsigned bytes = 0; bytes < sizeof body; bytes++) {
        d.body_bytes = bytes;
        assert_false(gw_plugged_read(&s.image, &d, &g));
    }
    d.body_bytes = sizeof body;
    for (unsigned at = 8; at < 24; at++) {
        body[at] ^= 1;
        assert_false(gw_plugged_read(&s.image, &d, &g));
        body[at] ^= 1;
    }
    memset(body, 0xff, 8);
    assert_false(gw_plugged_read(&s.image, &d, &g));
    memset(body, 0, 8);
    assert_true(gw_plugged_read(&s.image, &d, &g));
    d.name = "0000:00:02.0/virtio-mem-device-early";
    assert_false(gw_plugged_read(&s.image, &d, &g));
    d.name = "virtio-mem-device-early";
    assert_false(gw_plugged_read(&s.image, &d, &g));
    d.name = EARLY;
    saved_block(&s, "0000:00:01.0/more", 256 * M);
    assert_false(gw_plugged_read(&s.image, &d, &g));
    saved_free(&s);
}

static void test_is(void **state)
{
    struct saved s;

    saved_init(&s, "pc-q35-10.0");
    saved_device(&s, "0000:00:01.0/virtio-mem", NULL, 0);
    saved_device(&s, "0000:00:02.0/virtio-net", NULL, 0);
    assert_true(gw_plugged_is(&s.devices, "0000:00:01.0/vm0"));
    assert_false(gw_plugged_is(&s.devices, "0000:00:02.0/vga.vram"));
    assert_false(gw_plugged_is(&s.devices, "pc.ram"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_is)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
