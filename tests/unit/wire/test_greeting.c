/* SPDX-License-Identifier: MIT
 *
 * The first bytes of a channel of pages.
 */
#include "wire.h"

#include "wire/greeting.h"

static const struct gw_greeting some = {.uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, .channel = 200};

static void test_bytes(void **state)
{
    uint8_t bytes[GW_GREETING_BYTES + 1], want[GW_GREETING_BYTES] = {0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_greeting back = {{0}, 0};

    for (unsigned i = 0; i < 16; i++)
        want[8 + i] = (uint8_t)(i + 1);
    want[24] = 200;
    memset(bytes, 0xee, sizeof bytes);
    gw_greeting_put(bytes, &some);
    assert_memory_equal(bytes, want, sizeof want);
    assert_int_equal(bytes[GW_GREETING_BYTES], 0xee);
    assert_int_equal(gw_greeting_get(bytes, &back, &err), 0);
    assert_memory_equal(&back, &some, sizeof some);
}

/* Every byte of the magic and the version counts; nothing behind the channel does. */
static void test_each_byte(void **state)
{
    uint8_t bytes[GW_GREETING_BYTES];

    for (unsigned i = 0; i < sizeof bytes; i++) {
        struct gw_greeting back = {{0}, 99};
        struct gw_error err = GW_ERROR_INIT;
        int r;

        gw_greeting_put(bytes, &some);
        bytes[i] ^= 0x80;
        r = gw_greeting_get(bytes, &back, &err);
        assert_int_equal(r, i < 8 ? -EPROTO : 0);
        if (i < 8) {
            assert_int_equal(err.blame, GW_BLAME_PEER);
            assert_non_null(strstr(err.text, i < 4 ? "a multifd channel begins with 0x" : "multifd version "));
            assert_int_equal(back.channel, 99);
        } else {
            assert_int_equal(!memcmp(&back, &some, sizeof some), i > 24);
        }
    }
}

static void test_words(void **state)
{
    static const uint8_t other[GW_GREETING_BYTES] = "QEVM", newer[GW_GREETING_BYTES] = "\x11\x22\x33\x44\0\0\0\2";
    struct gw_error err = GW_ERROR_INIT;
    struct gw_greeting g;

    assert_int_equal(gw_greeting_get(other, &g, &err), -EPROTO);
    assert_string_equal(err.text, "a multifd channel begins with 0x5145564d instead of 0x11223344");
    assert_int_equal(gw_greeting_get(newer, &g, &err), -EPROTO);
    assert_string_equal(err.text, "multifd version 2 is not known, only 1");
    assert_int_equal(gw_greeting_get(newer, &g, NULL), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests_name("greeting", tests, NULL, NULL);
}
