/* SPDX-License-Identifier: MIT
 *
 * Where RAM lies, by what machines of these types say; tests/interop/test_core_places.py compares with QEMU's `info
 * mtree`.
 */
#include "physical/saved.h"

#include "examine/physical.h"

#define K   1024ull
#define T   (1024 * G)
#define VGA (640 * K) /* from here to */
#define LOW (768 * K) /* here no RAM is seen */
#define BELOW(block, bytes)                                                                                            \
    {block, 0, VGA, 0},                                                                                                \
    {                                                                                                                  \
        block, LOW, (bytes)-LOW, LOW                                                                                   \
    }

struct given {
    const char *name;
    uint64_t bytes;
};

struct row {
    const char *machine;
    struct given blocks[6];
    uint64_t below, above; /* in CMOS; 0: there is none */
    uint64_t window;       /* of PCI devices; 0: no ACPI tables */
    struct node nodes[4];
    enum gw_guest_arch arch;
    struct gw_physical_range ranges[8]; /* up to one of 0 bytes */
    const char *left;                   /* the first block that is left out and no device's, and why; NULL: none */
};

static const struct row rows[] = {
    {"pc-i440fx-10.0", {{"pc.ram", 3583 * M}}, 3583 * M, 0, 0, {{0}}, GW_ARCH_X86, {BELOW(0, 3583 * M)}, NULL},
    {"pc-i440fx-10.0",
     {{"pc.ram", 3584 * M}},
     3 * G,
     512 * M,
     5 * G,
     {{0}},
     GW_ARCH_X86,
     {BELOW(0, 3 * G), {0, 3 * G, 512 * M, 4 * G}},
     NULL},
    {"pc-i440fx-7.0",
     {{"pc.ram", 8 * G}, {"pc.bios", 256 * K}, {"pc.rom", 128 * K}},
     3 * G,
     5 * G,
     0,
     {{0}},
     GW_ARCH_X86,
     {BELOW(0, 3 * G), {1, 0, 256 * K, 4 * G - 256 * K}, {0, 3 * G, 5 * G, 4 * G}},
     NULL},
    {"pc-i440fx-7.1",
     {{"pc.ram", 8 * G}},
     3 * G,
     5 * G,
     0,
     {{0}},
     GW_ARCH_X86,
     {BELOW(0, 3 * G)},
     "pc.ram: nothing in the machine says whether its RAM above 4 GiB"},
    {"pc-q35-rhel9.6.0",
     {{"pc.ram", 8 * G}},
     3 * G,
     5 * G,
     T + 5 * G,
     {{0}},
     GW_ARCH_X86,
     {BELOW(0, 3 * G), {0, 3 * G, 5 * G, T}},
     NULL},
    {"pc-q35-10.0",
     {{"mem", 2 * T}, {"system.flash0", 528 * K}, {"system.flash1", 3568 * K}},
     2 * G,
     T - 2 * G, /* modulo 1 TiB */
     2 * T + 2 * G,
     {{0}},
     GW_ARCH_X86,
     {BELOW(0, 2 * G),
      {2, 0, 3568 * K, 4 * G - 4096 * K},
      {1, 0, 528 * K, 4 * G - 528 * K},
      {0, 2 * G, 2 * T - 2 * G, 4 * G}},
     NULL},
    {"pc-i440fx-1.7",
     {{"pc.ram", 8 * G}},
     3584 * M,
     4608 * M,
     0,
     {{0}},
     GW_ARCH_X86,
     {BELOW(0, 3584 * M), {0, 3584 * M, 4608 * M, 4 * G}},
     NULL},
    /* Names are no reason. */
    {"pc-q35-10.0",
     {{"mem0", 64 * M}, {"mem1", 32 * M}},
     64 * M,
     0,
     0,
     {{0}},
     GW_ARCH_X86,
     {BELOW(0, 64 * M)},
     "mem1: it was not part of the machine's initial RAM"},
    {"pc-q35-10.0",
     {{"ram-node0", 3 * G}, {"ram-node1", 1 * G}},
     2 * G,
     2 * G,
     40 * G,
     {{0, 640 * K, 0, 1}, {M, G - M, 0, 1}, {G, G, 1, 1}, {4 * G, 2 * G, 1, 1}},
     GW_ARCH_X86,
     {BELOW(1, G), {0, 0, G, G}, {0, G, 2 * G, 4 * G}},
     NULL},
    {"pc-q35-10.0",
     {{"mem0", 2 * G}},
     0,
     0,
     3 * T,
     {{0, 640 * K, 0, 1}, {M, G - M, 0, 1}, {T, G, 0, 1}},
     GW_ARCH_X86,
     {BELOW(0, G), {0, G, G, T}},
     NULL},
    {"pc-q35-10.0",
     {{"mem0", G}, {"mem1", G}, {"mem2", 2 * G}},
     2 * G,
     2 * G,
     40 * G,
     {{0, G, 0, 1}, {G, G, 1, 1}, {4 * G, 2 * G, 2, 1}},
     GW_ARCH_X86,
     {{2, 0, 2 * G, 4 * G}},
     "mem0: it is a part of the RAM"},
    {"microvm", {{"microvm.ram", 3072 * M}}, 0, 0, 0, {{0}}, GW_ARCH_X86, {{0, 0, 3072 * M, 0}}, NULL},
    {"microvm",
     {{"microvm.ram", 3584 * M}, {"pc.bios", 64 * K}, {"mem1", M}},
     3 * G,
     512 * M,
     0,
     {{0}},
     GW_ARCH_X86,
     {{0, 0, 960 * K, 0},
      {1, 0, 64 * K, 960 * K},
      {0, M, 3 * G - M, M},
      {1, 0, 64 * K, 4 * G - 64 * K},
      {0, 3 * G, 512 * M, 4 * G}},
     "mem1: "},
    {"virt-10.0",
     {{"mach-virt.ram", 8 * G}, {"virt.flash0", 64 * M}, {"virt.flash1", 64 * M}},
     0,
     0,
     0,
     {{0}},
     GW_ARCH_ARM64,
     {{1, 0, 64 * M, 0}, {2, 0, 64 * M, 64 * M}, {0, 0, 8 * G, G}},
     NULL},
    {"virt-10.0",
     {{"mem1", G}, {"mem0", 2 * G}},
     0,
     0,
     8 * G,
     {{G, 2 * G, 0, 1}},
     GW_ARCH_ARM64,
     {{1, 0, 2 * G, G}},
     "mem1: "},
    {"virt",
     {{"riscv_virt_board.ram", 4 * G}, {"riscv_virt_board.mrom", 60 * K}},
     0,
     0,
     0,
     {{0}},
     GW_ARCH_RISCV64,
     {{0, 0, 4 * G, 2 * G}},
     NULL},
    {"virt",
     {{"mem", 4 * G}, {"riscv_virt_board.mrom", 60 * K}},
     0,
     0,
     0,
     {{0}},
     GW_ARCH_RISCV64,
     {{0, 0, 4 * G, 2 * G}},
     NULL},
    {"none", {{"r", 16 * M}}, 0, 0, 0, {{0}}, GW_ARCH_UNKNOWN, {{0, 0, 16 * M, 0}}, NULL},
    {"godwit-1",
     {{"ram0", 64 * M}, {"ram1", 2 * G}, {"ram2", M}},
     0,
     0,
     0,
     {{0}},
     GW_ARCH_X86,
     {{0, 0, 64 * M, 0}, {1, 0, 2 * G, G}, {2, 0, M, 3 * G}},
     NULL},
};

static void saved_row(struct saved *s, const struct row *row)
{
    unsigned nodes = 0;

    saved_init(s, row->machine);
    for (const struct given *b = row->blocks; b < row->blocks + 6 && b->name; b++)
        saved_block(s, b->name, b->bytes);
    if (row->below)
        saved_cmos(s, row->below, row->above);
    if (!strncmp(row->machine, "pc-", 3))
        saved_bridge(s);
    while (nodes < 4 && row->nodes[nodes].bytes)
        nodes++;
    if (row->window)
        saved_tables(s, row->window, row->nodes, nodes);
}

static void compare(const struct gw_physical *p, const struct gw_physical_range *ranges, unsigned most)
{
    unsigned k;

    for (k = 0; k < most && ranges[k].bytes; k++) {
        assert_true(k < p->count);
        assert_int_equal(p->ranges[k].block, ranges[k].block);
        assert_int_equal(p->ranges[k].offset, ranges[k].offset);
        assert_int_equal(p->ranges[k].bytes, ranges[k].bytes);
        assert_int_equal(p->ranges[k].address, ranges[k].address);
    }
    assert_int_equal(p->count, k);
}

static void test_known(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_elf_options none = {.place_count = 0};
        struct gw_error err = GW_ERROR_INIT;
        struct gw_physical p = {0};
        char text[300] = "";
        struct saved s;

        saved_row(&s, &rows[i]);
        if (gw_physical_map(&s.image, &s.devices, &none, &p, &err) < 0)
            fail_msg("%zu: %s: %s", i, rows[i].machine, err.text);
        assert_int_equal(p.arch, rows[i].arch);
        compare(&p, rows[i].ranges, GW_ARRAY_LEN(rows[i].ranges));
        for (unsigned k = 0; k < p.left_count && !*text; k++)
            if (!p.left[k].device)
                snprintf(text, sizeof text, "%s: %s", s.image.blocks[p.left[k].block].name, p.left[k].why);
        if (rows[i].left ? !strstr(text, rows[i].left) : *text != 0)
            fail_msg("%zu: %s: left out: %s", i, rows[i].machine, text);
        gw_physical_close(&p);
        saved_free(&s);
    }
}

static void test_by_bridge(void **state)
{
    struct gw_elf_options none = {.place_count = 0};
    struct gw_physical p;
    struct saved s;

    for (int i = 0; i < 2; i++) {
        saved_init(&s, i ? "" : "vendor-9");
        saved_block(&s, "pc.ram", 64 * M);
        saved_bridge(&s);
        if (i)
            s.list[0].name = "0000:00:00.0/I440FX";
        assert_int_equal(gw_physical_map(&s.image, &s.devices, &none, &p, NULL), -EINVAL); /* no CMOS */
        saved_cmos(&s, 64 * M, 0);
        assert_int_equal(gw_physical_map(&s.image, &s.devices, &none, &p, NULL), 0);
        gw_physical_close(&p);
        saved_free(&s);
    }
}

/* Below 1 MiB: ROMs where the bridge shows no RAM, and no RAM where there is no ROM. */
static void test_roms(void **state)
{
    static const struct gw_physical_range expected[3][7] = {
        {{0, 0, VGA, 0},
         {0, 768 * K, 16 * K, 768 * K},
         {2, 16 * K, 112 * K, 784 * K},
         {1, 128 * K, 128 * K, 896 * K},
         {0, M, 63 * M, M},
         {1, 0, 256 * K, 4 * G - 256 * K}},
        {{0, 0, VGA, 0},
         {2, 0, 128 * K, 768 * K},
         {1, 128 * K, 128 * K, 896 * K},
         {0, M, 63 * M, M},
         {1, 0, 256 * K, 4 * G - 256 * K}},
        {{0, 0, VGA, 0}, {0, M, 63 * M, M}, {1, 0, 256 * K, 4 * G - 256 * K}}};
    struct gw_elf_options none = {.place_count = 0};
    struct gw_physical p;
    struct saved s;

    for (int i = 0; i < 3; i++) {
        saved_init(&s, i == 1 ? "isapc" : "pc-q35-10.0");
        saved_block(&s, "pc.ram", 64 * M);
        saved_block(&s, i == 2 ? "system.flash0" : "pc.bios", 256 * K);
        if (i < 2)
            saved_block(&s, "pc.rom", 128 * K);
        saved_cmos(&s, 64 * M, 0);
        saved_bridge(&s);
        memset(s.bridge + 4 + 0x90, 0, 7);
        s.bridge[4 + 0x91] = i ? 0 : 0x03;
        assert_int_equal(gw_physical_map(&s.image, &s.devices, &none, &p, NULL), 0);
        compare(&p, expected[i], 7);
        gw_physical_close(&p);
        saved_free(&s);
    }
}

/* Pieces that are not plugged in are no gap. */
static void test_plugged(void **state)
{
    static const struct gw_physical_range expected[] = {
        BELOW(0, 64 * M), {1, 2 * M, 4 * M, 4 * G + 2 * M}, {1, 62 * M, 2 * M, 4 * G + 62 * M}};
    uint8_t body[36 + 8] = {[3] = 1, [12] = 4, [21] = 0x20, [36 + 4] = 0x80, [36 + 7] = 0x06};
    struct gw_elf_options none = {.place_count = 0};
    struct gw_physical p;
    struct saved s;

    saved_init(&s, "pc-q35-10.0");
    saved_block(&s, "pc.ram", 64 * M);
    saved_block(&s, "0000:00:01.0/vm0", 64 * M);
    saved_cmos(&s, 64 * M, 0);
    saved_bridge(&s);
    saved_device(&s, "0000:00:01.0/virtio-mem", NULL, 0);
    assert_int_equal(gw_physical_map(&s.image, &s.devices, &none, &p, NULL), 0);
    assert_int_equal(p.left_count, 1); /* of an older machine: its address is not saved */
    assert_int_equal(p.left[0].block, 1);
    assert_false(p.left[0].device);
    gw_physical_close(&p);
    saved_device(&s, "0000:00:01.0/virtio-mem-device-early", body, sizeof body);
    assert_int_equal(gw_physical_map(&s.image, &s.devices, &none, &p, NULL), 0);
    assert_int_equal(p.left_count, 0);
    compare(&p, expected, GW_ARRAY_LEN(expected));
    gw_physical_close(&p);
    saved_free(&s);
}

/* ---- what the caller tells --------------------------------------------------------------------------------------- */

static const struct row two = {"pc-q35-10.0", {{"a", 64 * M}, {"b", 64 * M}}, 64 * M, 0, 0, {{0}}, GW_ARCH_X86, {{0}},
                               NULL},
                        high = {"pc-q35-10.0", {{"pc.ram", 4 * G}}, 2 * G, 2 * G, 0, {{0}}, GW_ARCH_X86, {{0}}, NULL},
                        strange = {"sun4m", {{"ram", M}}, 0, 0, 0, {{0}}, GW_ARCH_UNKNOWN, {{0}}, NULL};

static int told(const struct row *row, const struct gw_elf_place *places, unsigned count, struct gw_physical *ret,
                struct gw_error *err)
{
    struct gw_elf_options how = {.places = places, .place_count = count};
    struct saved s;
    int r;

    saved_row(&s, row);
    r = gw_physical_map(&s.image, &s.devices, &how, ret, err);
    saved_free(&s);
    return r;
}

static void test_told(void **state)
{
    static const struct gw_elf_place first[] = {{"b", 0, 0, 0}}, dimm[] = {{"a", 4 * G, 0, 0}, {"b", 0, 0, 4096}},
                                     parts[] = {{"pc.ram", T + G, 3 * G, 0}, {"pc.ram", T, 2 * G, G}},
                                     one[] = {{"pc.ram", T + G, 3 * G, G}}, alone[] = {{"ram", 0x10000, 4096, 8192}};
    static const struct gw_physical_range upper[] = {BELOW(0, 2 * G), {0, 2 * G, G, T}, {0, 3 * G, G, T + G}};
    struct gw_physical p;

    assert_int_equal(told(&two, first, 1, &p, NULL), 0);
    assert_int_equal(p.count, 1); /* as it was told, all of it */
    assert_int_equal(p.left_count, 1);
    assert_int_equal(p.left[0].block, 0);
    gw_physical_close(&p);
    assert_int_equal(told(&two, dimm, 2, &p, NULL), 0);
    assert_int_equal(p.left_count, 0);
    assert_int_equal(p.ranges[0].bytes, 4096);
    assert_int_equal(p.ranges[1].offset, 4096);
    gw_physical_close(&p);
    assert_int_equal(told(&high, parts, 2, &p, NULL), 0);
    assert_int_equal(p.left_count, 0);
    compare(&p, upper, 4);
    gw_physical_close(&p);
    assert_int_equal(told(&high, one, 1, &p, NULL), 0);
    assert_int_equal(p.left_count, 1);
    assert_int_equal(p.left[0].offset, 2 * G);
    assert_int_equal(p.left[0].bytes, G);
    gw_physical_close(&p);
    assert_int_equal(told(&strange, alone, 1, &p, NULL), 0);
    assert_int_equal(p.count, 1);
    assert_int_equal(p.left_count, 2);
    assert_int_equal(p.left[1].offset, 12288);
    gw_physical_close(&p);
}

static void refused(const struct row *row, const struct gw_elf_place *places, unsigned count, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_physical p;

    assert_int_equal(told(row, places, count, &p, &err), -EINVAL);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
}

static void test_refused(void **state)
{
    static const struct row empty = {"pc-i440fx-7.2", {{NULL, 0}}, 0, 0, 0, {{0}}, GW_ARCH_X86, {{0}}, NULL},
                            other = {"pc-i440fx-7.2", {{"a", M}}, 64 * M, 0, 0, {{0}}, GW_ARCH_X86, {{0}}, NULL},
                            flat = {"none", {{"a", M}, {"b", M}}, 0, 0, 0, {{0}}, GW_ARCH_X86, {{0}}, NULL};
    static const struct gw_elf_place far[] = {{"ram", UINT64_MAX - 4095, 0, 0}}, none[] = {{"rum", 0, 0, 0}},
                                     both[] = {{"a", 0, 0, 0}, {"b", 64 * M - 4096, 0, 0}},
                                     same[] = {{"a", 0, 0, 0}, {"a", 4 * G, 0, 0}}, odd[] = {{"ram", 0, 100, 4096}},
                                     uneven[] = {{"ram", 0, 0, 100}}, behind[] = {{"ram", 0, M + 4096, 0}},
                                     across[] = {{"ram", 0, 4096, M}};
    struct gw_physical p;

    refused(&strange, NULL, 0, "machine 'sun4m'");
    refused(&strange, NULL, 0, "NAME=ADDRESS");
    refused(&strange, NULL, 0, "of this machine type");
    refused(&empty, NULL, 0, "no block that could be");
    refused(&other, NULL, 0, "has the size of the RAM");
    refused(&two, NULL, 0, "it is a part of the RAM");
    refused(&flat, NULL, 0, "so may other blocks");
    refused(&strange, far, 1, "beyond the end");
    refused(&strange, none, 1, "no RAM block rum");
    refused(&strange, odd, 1, "whole pages");
    refused(&strange, uneven, 1, "whole pages");
    refused(&strange, behind, 1, "not a part of RAM block ram");
    refused(&strange, across, 1, "not a part of RAM block ram");
    refused(&two, both, 2, "overlaps");
    assert_int_equal(told(&two, same, 2, &p, NULL), 0); /* twice: as it is told */
    gw_physical_close(&p);
}

/* The sizes of a file may be anything. */
static void test_huge(void **state)
{
    const struct row godwit = {"godwit-1",  {{"ram0", INT64_MAX - 4095}, {"ram1", INT64_MAX - 4095}, {"ram2", M}},
                               0,           0,
                               0,           {{0}},
                               GW_ARCH_X86, {{0}},
                               NULL},
                     one = {"virt-10.0", {{"ram", INT64_MAX - 4095}}, 0, 0, 0, {{0}}, GW_ARCH_X86, {{0}}, NULL},
                     srat = {"pc-q35-10.0",
                             {{"ram", INT64_MAX - 4095}},
                             0,
                             0,
                             40 * G,
                             {{0, 2 * G, 0, 1}, {4 * G, INT64_MAX - 4095 - 2 * G, 1, 1}},
                             GW_ARCH_X86,
                             {{0}},
                             NULL};
    struct gw_physical p;

    refused(&godwit, NULL, 0, "larger than all addresses");
    assert_int_equal(told(&one, NULL, 0, &p, NULL), 0);
    gw_physical_close(&p);
    assert_int_equal(told(&srat, NULL, 0, &p, NULL), 0);
    gw_physical_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_by_bridge),
                                       cmocka_unit_test(test_roms),  cmocka_unit_test(test_plugged),
                                       cmocka_unit_test(test_told),  cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_huge)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
