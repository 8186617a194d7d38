/* SPDX-License-Identifier: MIT
 *
 * The head of a block in a mapped-ram file: the bytes that QEMU writes, and everything that cannot be is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "wire/mapped.h"

#define PAGE 4096u
#define USED (2u << 20)
#define AT   0x63u

/* As a QEMU 10.0 wrote it for 2 MiB at byte 0x63 of its file. */
static const uint8_t golden[GW_MAPPED_HEAD_BYTES] = {
    0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0};

static int get(const uint8_t *bytes, size_t n, struct gw_wire_mapped *m, struct gw_error *err)
{
    struct gw_in in;

    gw_in_memory(&in, bytes, n, AT);
    return gw_mapped_get(&in, "r", USED, PAGE, AT, m, err);
}

static void test_golden(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_wire_mapped m, back;
    uint8_t bytes[GW_MAPPED_HEAD_BYTES];
    struct gw_out out;

    assert_int_equal(gw_mapped_lay("r", USED, PAGE, AT, &m, &err), 0);
    gw_out_fixed(&out, bytes, sizeof bytes);
    gw_mapped_put(&out, PAGE, &m);
    assert_int_equal(gw_out_error(&out, &err), 0);
    assert_memory_equal(bytes, golden, sizeof golden);
    assert_int_equal(get(bytes, sizeof bytes, &back, &err), 0);
    assert_memory_equal(&m, &back, sizeof m);
    assert_int_equal(m.end, 0x100000 + USED);
    assert_int_equal(m.map_bytes, 64);
}

static void test_refused(void **state)
{
    static const struct {
        unsigned at, bytes;
        uint64_t value;
    } wrong[] = {
        {0, 4, 0}, {0, 4, 2},                                    /* version */
        {4, 8, 0}, {4, 8, 8192}, {4, 8, UINT64_MAX},             /* page size */
        {12, 8, 0}, {12, 8, 0x7e}, {12, 8, UINT64_MAX}, {12, 8, 0x100000 - 63}, /* map */
        {20, 8, 0}, {20, 8, 0x7f}, {20, 8, 0x100001}, {20, 8, UINT64_MAX & ~4095ull}, {20, 8, (uint64_t)INT64_MAX & ~4095ull},
    };
    struct gw_wire_mapped m;

    for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t bytes[GW_MAPPED_HEAD_BYTES];

        memcpy(bytes, golden, sizeof bytes);
        for (unsigned k = 0; k < wrong[i].bytes; k++)
            bytes[wrong[i].at + k] = (uint8_t)(wrong[i].value >> (8 * (wrong[i].bytes - 1 - k)));
        if (get(bytes, sizeof bytes, &m, &err) != -EPROTO || err.blame != GW_BLAME_PEER || !strstr(err.text, "byte "))
            fail_msg("case %zu: %s", i, err.text);
    }
    for (size_t n = 0; n < sizeof golden; n++) {
        struct gw_error err = GW_ERROR_INIT;

        assert_int_equal(get(golden, n, &m, &err), -ENODATA);
    }
}

static void test_too_large(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_wire_mapped m;

    assert_int_equal(gw_mapped_lay("r", 1ull << 63, PAGE, AT, &m, &err), -EFBIG);
    assert_int_equal(gw_mapped_lay("r", USED, PAGE, UINT64_MAX - 10, &m, &err), -EFBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
