/* SPDX-License-Identifier: MIT
 *
 * tests/unit/examine/test_physical.c has the layouts of all machines; here is what it does not see.
 */
#include "saved.h"

#include "examine/physical/layout.h"

static void test_kinds(void **state)
{
    static const struct {
        const char *machine, *block;
        enum gw_machine_kind kind;
    } rows[] = {{"pc-q35-10.0", "pc.ram", GW_KIND_Q35},
                {"pc-i440fx-2.4", "pc.ram", GW_KIND_PC},
                {"pc-1.3", "pc.ram", GW_KIND_PC},
                {"isapc", "pc.ram", GW_KIND_ISAPC},
                {"microvm", "mem", GW_KIND_MICROVM},
                {"virt-10.0", "mach-virt.ram", GW_KIND_VIRT_ARM},
                {"none", "r", GW_KIND_FLAT},
                {"godwit-1", "ram0", GW_KIND_GODWIT},
                {"virt", "mem", GW_KIND_UNKNOWN},
                {"virt", "riscv_virt_board.ram", GW_KIND_VIRT_RISCV},
                {"virt", "riscv_virt_board.mrom", GW_KIND_VIRT_RISCV}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct saved s;

        saved_init(&s, rows[i].machine);
        saved_block(&s, rows[i].block, M);
        assert_int_equal(gw_machine_kind_of(&s.image, &s.devices), rows[i].kind);
        saved_free(&s);
    }
}

static struct gw_ram_layout layout_of(struct saved *s, const struct gw_ram_told *told)
{
    struct gw_ram_layout l;

    assert_int_equal(gw_ram_layout_find(&s->image, &s->devices, gw_machine_kind_of(&s->image, &s->devices), told, NULL,
                                        NULL, &l, NULL),
                     0);
    return l;
}

/* A window that says nothing: SMBIOS does. One below 1 TiB says enough. */
static void test_upper(void **state)
{
    static const struct node ranges[] = {{0, 2 * G, 0, 0}, {1024 * G, G, 0, 0}};
    static const struct {
        uint64_t window;
        bool smbios;
        uint64_t address;
    } rows[] = {{0, false, GW_AREA_UNKNOWN},        {5 * G, false, 4 * G},       {5 * G - M, false, GW_AREA_UNKNOWN},
                {2000 * G, false, GW_AREA_UNKNOWN}, {1025 * G, false, 1024 * G}, {0, true, 1024 * G},
                {2000 * G, true, 1024 * G}};
    const struct gw_ram_told none[2] = {{.begin = false}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_ram_layout l;
        struct saved s;

        saved_init(&s, "pc-q35-10.0");
        saved_block(&s, "pc.ram", 3 * G);
        saved_cmos(&s, 2 * G, G);
        if (rows[i].window)
            saved_tables(&s, rows[i].window, NULL, 0);
        if (rows[i].smbios)
            saved_smbios(&s, 0, 0xf5250, 0xf5270, ranges, 2);
        l = layout_of(&s, none);
        assert_int_equal(l.area_count, 2);
        assert_int_equal(l.areas[0].bytes, 2 * G);
        assert_int_equal(l.areas[1].bytes, G);
        assert_int_equal(l.areas[1].address, rows[i].address);
        saved_free(&s);
    }
}

/* An SRAT of another shape than such a machine has is none; CMOS counts. */
static void test_other_srat(void **state)
{
    static const struct node nodes[] = {{0, G, 0, 1}, {2 * G, G, 1, 1}};
    const struct gw_ram_told none[2] = {{.begin = false}};
    struct gw_ram_layout l;
    struct saved s;

    saved_init(&s, "pc-q35-10.0");
    saved_block(&s, "pc.ram", 2 * G);
    saved_cmos(&s, 2 * G, 0);
    saved_tables(&s, 0, nodes, 2);
    l = layout_of(&s, none);
    assert_int_equal(l.area_count, 1);
    assert_int_equal(l.areas[0].bytes, 2 * G);
    saved_free(&s);
}

/* The caller says where nodes of one size are; at an address that is in no RAM, a block is none. */
static void test_told(void **state)
{
    static const struct node nodes[] = {{0, G, 0, 1}, {G, G, 1, 1}, {4 * G, G, 2, 1}};
    const struct gw_ram_told told[] = {
        {true, 4 * G, true}, {true, 8 * G, true}, {true, 0, false}, {.begin = false}, {.begin = false}};
    struct gw_ram_layout l;
    struct saved s;

    saved_init(&s, "pc-q35-10.0");
    for (const char *name = "a\0b\0c\0d\0"; *name; name += 2)
        saved_block(&s, name, G);
    saved_tables(&s, 0, nodes, 3);
    l = layout_of(&s, told);
    assert_int_equal(l.blocks.count, 3);
    assert_int_equal(l.blocks.slots[0].block, 2);
    assert_int_equal(l.blocks.slots[1].block, 3);
    assert_int_equal(l.blocks.slots[2].block, 0);
    saved_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_upper),
                                       cmocka_unit_test(test_other_srat), cmocka_unit_test(test_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
