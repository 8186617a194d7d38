/* SPDX-License-Identifier: MIT */
#include "property.h"

#include "disk/node/probe.h"

static const char *of(const char *head, size_t bytes, unsigned at)
{
    uint8_t room[GW_PROBE_BYTES] = {0};

    memcpy(room + at, head, bytes);
    return gw_probe(room, sizeof room);
}

static void test_formats(void **state)
{
    assert_string_equal(of("QFI\xfb\0\0\0\3", 8, 0), "qcow2");
    assert_string_equal(of("QFI\xfb\0\0\0\1", 8, 0), "qcow");
    assert_string_equal(of("KDMV", 4, 0), "vmdk");
    assert_string_equal(of("\x7f\x10\xda\xbe", 4, 64), "vdi");
    assert_string_equal(of("LUKS\xba\xbe", 6, 0), "luks");
    assert_null(of("QFI", 3, 0));
    assert_null(of("QFI\xfb", 4, 1));
    assert_null(of("\xeb\x63\x90", 3, 0)); /* a boot sector */
}

static void test_short_heads(void **state)
{
    assert_null(gw_probe((const uint8_t *)"", 0));
    assert_null(gw_probe((const uint8_t *)"QFI\xfb", 3));
    assert_string_equal(gw_probe((const uint8_t *)"QFI\xfb", 4), "qcow2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formats), cmocka_unit_test(test_short_heads)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
