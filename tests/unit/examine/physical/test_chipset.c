/* SPDX-License-Identifier: MIT */
#include "saved.h"

#include "examine/physical/chipset.h"

static void test_cmos(void **state)
{
    static const struct {
        uint64_t below, above, told;
    } rows[] = {{8 * M, 0, 0}, {16 * M, 0, 0}, {64 * M, 0, 0}, {3 * G, 5 * G, 5 * G}, {2 * G, 1025 * G, G}};
    uint64_t below = 1, above = 1;
    struct saved s;

    saved_init(&s, "pc-q35-10.0");
    assert_false(gw_chipset_cmos(&s.devices, &below, &above));
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        saved_init(&s, "pc-q35-10.0");
        saved_cmos(&s, rows[i].below, rows[i].above);
        assert_true(gw_chipset_cmos(&s.devices, &below, &above));
        assert_int_equal(below, rows[i].below);
        assert_int_equal(above, rows[i].told);
    }
    s.list[0].body_bytes = 127;
    assert_false(gw_chipset_cmos(&s.devices, &below, &above));
}

static void test_shadow(void **state)
{
    struct saved s;

    saved_init(&s, "pc-q35-10.0");
    assert_int_equal(gw_chipset_shadow(&s.devices), 0);
    saved_bridge(&s);
    assert_int_equal(gw_chipset_shadow(&s.devices), 0xffff);
    memset(s.bridge + 4 + 0x90, 0, 7);
    s.bridge[4 + 0x91] = 0x22; /* only writes */
    assert_int_equal(gw_chipset_shadow(&s.devices), 0);
    s.bridge[4 + 0x91] = 0x01;
    s.bridge[4 + 0x96] = 0x10;
    assert_int_equal(gw_chipset_shadow(&s.devices), 1 | 1 << 11);
    s.bridge[4 + 0x90] = 0x10;
    assert_int_equal(gw_chipset_shadow(&s.devices), 0xf801);
    put_le(s.bridge + 6, 0x1237, 2); /* is not called so */
    assert_int_equal(gw_chipset_shadow(&s.devices), 0);
    s.list[0].name = "0000:00:00.0/I440FX";
    s.bridge[4 + 0x5f] = 0x01;
    assert_int_equal(gw_chipset_shadow(&s.devices), 1 << 10);
    s.list[0].body_bytes = 259;
    assert_int_equal(gw_chipset_shadow(&s.devices), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cmos), cmocka_unit_test(test_shadow)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
