/* SPDX-License-Identifier: MIT
 *
 * Numbers as words: each has one name, what is no number has none, and lengths are judged as the table says.
 */
#include "wire.h"

#include "wire/names.h"

static void distinct(const struct gw_wire_name *(*of)(uint16_t), unsigned want)
{
    const struct gw_wire_name *seen[32];
    unsigned count = 0;

    for (unsigned number = 0; number <= 0xffff; number++) {
        const struct gw_wire_name *n = of((uint16_t)number);

        if (!n)
            continue;
        assert_int_equal(n->number, number);
        assert_true(n->name[0] != 0);
        for (unsigned i = 0; i < count; i++)
            assert_string_not_equal(n->name, seen[i]->name);
        assert_true(count < 32);
        seen[count++] = n;
    }
    assert_int_equal(count, want);
}

static void test_tables(void **state)
{
    distinct(gw_wire_command, 13);
    distinct(gw_wire_rp, 10);
    assert_string_equal(gw_wire_command(2)->name, "PING");
    assert_string_equal(gw_wire_command(0x6701)->name, "GODWIT_COMMIT");
    assert_string_equal(gw_wire_rp(1)->name, "SHUT");
    assert_string_equal(gw_wire_rp(0x6779)->name, "GODWIT_REASON");
    assert_null(gw_wire_command(0));
    assert_null(gw_wire_command(12));
    assert_null(gw_wire_rp(0));
    assert_null(gw_wire_rp(8));
}

static void test_fits(void **state)
{
    const struct gw_wire_name none = {1, 0, "none"}, four = {1, 4, "four"}, some = {1, -1, "some"}, any = {1, -2, "any"};

    for (size_t n = 0; n < 10; n++) {
        assert_int_equal(gw_wire_fits(&none, n), n == 0);
        assert_int_equal(gw_wire_fits(&four, n), n == 4);
        assert_int_equal(gw_wire_fits(&some, n), n >= 1);
        assert_true(gw_wire_fits(&any, n));
    }
    /* No number of bytes is cut to an int. */
    assert_false(gw_wire_fits(&four, (size_t)4 + (1ull << 32)));
    assert_false(gw_wire_fits(&none, SIZE_MAX));
    assert_true(gw_wire_fits(&some, SIZE_MAX));
}

static void test_flags(void **state)
{
    unsigned known = 0;

    for (uint64_t flags = 0; flags <= 0xffff; flags++)
        known += strcmp(gw_wire_ram_flag(flags), "unknown") != 0;
    /* Each of eight, alone and where the block goes on. */
    assert_int_equal(known, 16);
    assert_string_equal(gw_wire_ram_flag(0x08), "PAGE");
    assert_string_equal(gw_wire_ram_flag(0x28), "PAGE");
    assert_string_equal(gw_wire_ram_flag(0x20), "unknown");
    assert_string_equal(gw_wire_ram_flag(0x0a), "unknown");
    /* What stands above 16 bits is not dropped. */
    assert_string_equal(gw_wire_ram_flag(0x10008), "unknown");
    assert_string_equal(gw_wire_ram_flag(UINT64_MAX), "unknown");
}

static void test_elements(void **state)
{
    unsigned known = 0;

    for (unsigned type = 0; type <= 0xff; type++)
        known += strcmp(gw_wire_element((uint8_t)type), "unknown") != 0;
    assert_int_equal(known, 10);
    assert_string_equal(gw_wire_element(0), "EOF");
    assert_string_equal(gw_wire_element(0x7e), "FOOTER");
    assert_string_equal(gw_wire_element(0x7f), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_elements),
    };

    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
