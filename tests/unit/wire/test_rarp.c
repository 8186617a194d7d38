/* SPDX-License-Identifier: MIT
 *
 * The frame of an announcement, byte for byte. tests/vm/test_announce.py compares it with QEMU's.
 */
#include "wire.h"

#include "wire/rarp.h"

static void test_bytes(void **state)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    static const uint8_t want[GW_RARP_BYTES] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x80, 0x35, /* Ethernet */
        0x00, 0x01, 0x08, 0x00, 6,    4,    0x00, 0x03,                                     /* lengths, opcode */
        0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0,    0,    0,    0,                            /* who asks */
        0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0,    0,    0,    0,                            /* about whom */
    };
    uint8_t bytes[GW_RARP_BYTES + 1];

    memset(bytes, 0xee, sizeof bytes);
    gw_rarp_put(bytes, mac);
    assert_memory_equal(bytes, want, sizeof want);
    assert_int_equal(bytes[GW_RARP_BYTES], 0xee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes)};

    return cmocka_run_group_tests_name("rarp", tests, NULL, NULL);
}
