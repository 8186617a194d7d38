/* SPDX-License-Identifier: MIT
 *
 * The messages of a probe, byte for byte, and which are refused.
 */
#include "wire.h"

#include "wire/probe.h"

static void test_bytes(void **state)
{
    static const uint8_t hello[] = {0x67, 0x64, 0x77, 0x70, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0};
    static const uint8_t result[] = {0x67, 0x64, 0x77, 0x70, 0, 0, 0, 7};
    uint8_t bytes[GW_PROBE_HELLO_BYTES + 1];
    struct gw_error err = GW_ERROR_INIT;
    uint32_t frames = 0;

    memset(bytes, 0xee, sizeof bytes);
    gw_probe_hello_put(bytes, GW_PROBE_FRAMES);
    assert_memory_equal(bytes, hello, sizeof hello);
    assert_int_equal(bytes[sizeof hello], 0xee);
    assert_int_equal(gw_probe_hello_get(bytes, &frames, &err), 0);
    assert_int_equal(frames, GW_PROBE_FRAMES);
    gw_probe_result_put(bytes, 7);
    assert_memory_equal(bytes, result, sizeof result);
    assert_int_equal(bytes[sizeof result], 0);
    assert_int_equal(gw_probe_result_get(bytes, 7, &err), 0);
}

static void test_refused(void **state)
{
    uint8_t bytes[GW_PROBE_HELLO_BYTES];
    struct gw_error err = GW_ERROR_INIT;
    uint32_t frames = 99;

    gw_probe_hello_put(bytes, 3);
    bytes[3] = 0;
    assert_int_equal(gw_probe_hello_get(bytes, &frames, &err), -EPROTO);
    assert_string_equal(err.text, "a probe of the link is answered with 0x67647700");
    assert_int_equal(err.blame, GW_BLAME_PEER);
    gw_probe_hello_put(bytes, 3);
    bytes[7] = 2;
    assert_int_equal(gw_probe_hello_get(bytes, &frames, &err), -EPROTO);
    assert_string_equal(err.text, "version 2 of the probe of a link is not known, only 1");
    assert_int_equal(frames, 99);
    gw_probe_result_put(bytes, 7);
    assert_int_equal(gw_probe_result_get(bytes, 8, &err), -EPROTO);
    assert_string_equal(err.text, "the probe of the link sent 8 frames; the answer is 0x67647770 and 7");
    bytes[0] = 0;
    assert_int_equal(gw_probe_result_get(bytes, 7, &err), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes), cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
