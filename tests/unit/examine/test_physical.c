/* SPDX-License-Identifier: MIT
 *
 * Where RAM lies, against what QEMU's own `info mtree` says for these machines (docs/formats/core.md).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "examine/physical.h"

#define G GW_GIB
#define M GW_MIB

struct given {
    const char *name;
    uint64_t bytes;
};

static int map(const char *machine, const struct given *blocks, const struct gw_elf_place *places, unsigned place_count,
               struct gw_physical *ret, struct gw_error *err)
{
    struct gw_image image = {.page_bytes = 4096, .page_bits = 12};
    struct gw_image_devices none = {0};
    int r = 0;

    gw_strcopy(image.machine, sizeof image.machine, machine);
    for (; blocks->name; blocks++)
        assert_int_equal(gw_image_add_block(&image, blocks->name, blocks->bytes, NULL, NULL), 0);
    r = gw_physical_map(&image, &none, places, place_count, ret, err);
    free(image.blocks);
    return r;
}

static const struct {
    const char *machine;
    struct given blocks[6];
    enum gw_guest_arch arch;
    struct gw_physical_range ranges[6];
    unsigned count;
} known[] = {
    {"pc-i440fx-10.0", {{"pc.ram", 3583 * M}}, GW_ARCH_X86, {{0, 0, 3583 * M, 0}}, 1},
    {"pc-i440fx-10.0", {{"pc.ram", 3584 * M}}, GW_ARCH_X86, {{0, 0, 3 * G, 0}, {0, 3 * G, 512 * M, 4 * G}}, 2},
    {"pc-i440fx-7.2",
     {{"pc.ram", 8 * G}, {"pc.bios", 256 * 1024}, {"pc.rom", 128 * 1024}, {"/rom@etc/acpi/tables", 131072}},
     GW_ARCH_X86,
     {{0, 0, 3 * G, 0}, {1, 0, 256 * 1024, 4 * G - 256 * 1024}, {0, 3 * G, 5 * G, 4 * G}},
     3},
    {"pc-i440fx-1.7", {{"pc.ram", 8 * G}}, GW_ARCH_X86, {{0, 0, 3584 * M, 0}, {0, 3584 * M, 4608 * M, 4 * G}}, 2},
    {"pc-q35-7.2", {{"pc.ram", 2815 * M}}, GW_ARCH_X86, {{0, 0, 2815 * M, 0}}, 1},
    {"pc-q35-7.2",
     {{"mem", 2816 * M}, {"system.flash0", 528 * 1024}, {"system.flash1", 3568 * 1024}},
     GW_ARCH_X86,
     {{0, 0, 2 * G, 0},
      {2, 0, 3568 * 1024, 4 * G - 4096 * 1024},
      {1, 0, 528 * 1024, 4 * G - 528 * 1024},
      {0, 2 * G, 768 * M, 4 * G}},
     4},
    {"pc-q35-10.0",
     {{"ram-node1", 3 * G}, {"ram-node0", 1 * G}},
     GW_ARCH_X86,
     {{1, 0, G, 0}, {0, 0, G, G}, {0, G, 2 * G, 4 * G}},
     3},
    {"microvm", {{"microvm.ram", 3072 * M}}, GW_ARCH_X86, {{0, 0, 3072 * M, 0}}, 1},
    {"microvm",
     {{"microvm.ram", 3584 * M}, {"pc.bios", 64 * 1024}},
     GW_ARCH_X86,
     {{0, 0, 3 * G, 0}, {1, 0, 64 * 1024, 4 * G - 64 * 1024}, {0, 3 * G, 512 * M, 4 * G}},
     3},
    {"virt-10.0",
     {{"mach-virt.ram", 8 * G}, {"virt.flash0", 64 * M}, {"virt.flash1", 64 * M}},
     GW_ARCH_ARM64,
     {{1, 0, 64 * M, 0}, {2, 0, 64 * M, 64 * M}, {0, 0, 8 * G, G}},
     3},
    {"virt", {{"riscv_virt_board.ram", 4 * G}}, GW_ARCH_RISCV64, {{0, 0, 4 * G, 2 * G}}, 1},
    {"none", {{"r", 16 * M}}, GW_ARCH_UNKNOWN, {{0, 0, 16 * M, 0}}, 1},
    {"godwit-1",
     {{"ram0", 64 * M}, {"ram1", 2 * G}, {"ram2", M}},
     GW_ARCH_X86,
     {{0, 0, 64 * M, 0}, {1, 0, 2 * G, G}, {2, 0, M, 3 * G}},
     3},
};

static void test_known(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_physical p = {0};

        if (map(known[i].machine, known[i].blocks, NULL, 0, &p, &err) < 0)
            fail_msg("%zu: %s: %s", i, known[i].machine, err.text);
        assert_int_equal(p.arch, known[i].arch);
        assert_int_equal(p.count, known[i].count);
        for (unsigned k = 0; k < p.count; k++) {
            assert_int_equal(p.ranges[k].block, known[i].ranges[k].block);
            assert_int_equal(p.ranges[k].offset, known[i].ranges[k].offset);
            assert_int_equal(p.ranges[k].bytes, known[i].ranges[k].bytes);
            assert_int_equal(p.ranges[k].address, known[i].ranges[k].address);
        }
        gw_physical_close(&p);
    }
}

static void test_by_bridge(void **state)
{
    struct gw_image_device bridge = {.name = "0000:00:00.0/mch"};
    struct gw_image_devices devices = {.list = &bridge, .count = 1};
    struct gw_image image = {.page_bytes = 4096, .page_bits = 12, .machine = "vendor-9"};
    struct gw_physical p;

    assert_int_equal(gw_image_add_block(&image, "pc.ram", 4 * G, NULL, NULL), 0);
    assert_int_equal(gw_physical_map(&image, &devices, NULL, 0, &p, NULL), 0);
    assert_int_equal(p.ranges[0].bytes, 2 * G);
    gw_physical_close(&p);
    bridge.name = "0000:00:00.0/I440FX";
    image.machine[0] = 0;
    assert_int_equal(gw_physical_map(&image, &devices, NULL, 0, &p, NULL), 0);
    assert_int_equal(p.ranges[0].bytes, 3 * G);
    gw_physical_close(&p);
    free(image.blocks);
}

static void refused(const char *machine, const struct given *blocks, const struct gw_elf_place *places, unsigned count,
                    const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_physical p;

    assert_int_equal(map(machine, blocks, places, count, &p, &err), -EINVAL);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
}

static void test_unknown(void **state)
{
    const struct given one[] = {{"ram", M}, {NULL, 0}}, two[] = {{"a", M}, {"b", M}, {NULL, 0}},
                       gap[] = {{"ram-node0", M}, {"ram-node2", M}, {NULL, 0}}, empty[] = {{NULL, 0}};
    const struct gw_elf_place high = {"ram", UINT64_MAX - 4095}, none = {"rum", 0},
                              both[] = {{"a", 0}, {"b", M - 4096}}, apart[] = {{"b", 0}, {"a", M}};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_physical p;

    refused("sun4m", one, NULL, 0, "machine 'sun4m'");
    refused("", one, NULL, 0, "NAME=ADDRESS");
    refused("pc-i440fx-7.2", empty, NULL, 0, "is not known");
    refused("pc-i440fx-7.2", two, NULL, 0, "RAM blocks a, b");
    refused("pc-i440fx-7.2", gap, NULL, 0, "ram-node2");
    refused("sun4m", one, &high, 1, "beyond the end");
    refused("sun4m", one, &none, 1, "no RAM block rum");
    refused("sun4m", two, both, 2, "overlaps");
    assert_int_equal(map("pc-i440fx-7.2", two, apart, 2, &p, &err), 0);
    assert_int_equal(p.ranges[0].block, 1);
    gw_physical_close(&p);
}

/* The sizes of a file may be anything. */
static void test_huge(void **state)
{
    const struct given huge[] = {{"ram-node0", INT64_MAX - 4095},
                                 {"ram-node1", INT64_MAX - 4095},
                                 {"ram-node2", INT64_MAX - 4095},
                                 {NULL, 0}},
                       godwit[] = {{"ram0", INT64_MAX - 4095}, {"ram1", INT64_MAX - 4095}, {"ram2", M}, {NULL, 0}},
                       one[] = {{"pc.ram", INT64_MAX - 4095}, {NULL, 0}};
    struct gw_physical p;

    refused("pc-i440fx-7.2", huge, NULL, 0, "larger than all addresses");
    refused("godwit-1", godwit, NULL, 0, "larger than all addresses");
    assert_int_equal(map("pc-i440fx-7.2", one, NULL, 0, &p, NULL), 0);
    gw_physical_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_by_bridge),
                                       cmocka_unit_test(test_unknown), cmocka_unit_test(test_huge)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
