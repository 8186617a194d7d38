/* SPDX-License-Identifier: MIT */
#include "saved.h"

#include "examine/physical/blocks.h"

static uint64_t told[8];

static struct gw_ram_blocks find(struct saved *s, struct gw_ram_total total, const uint64_t *nodes, unsigned count,
                                 uint64_t first_bytes)
{
    struct gw_ram_blocks b;

    assert_int_equal(gw_ram_blocks_find(&s->image, told, total, nodes, count, first_bytes, &b, NULL), 0);
    return b;
}

static int nothing_told(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(told); i++)
        told[i] = GW_RAM_ANYWHERE;
    return 0;
}

static void test_names(void **state)
{
    assert_true(gw_ram_of_a_device("vmsvga.fifo"));
    assert_true(gw_ram_of_a_device("riscv_virt_board.mrom"));
    assert_true(gw_ram_of_a_device("0000:00:02.0/vga.vram"));
    assert_true(gw_ram_of_a_device("/rom@etc/acpi/tables"));
    assert_false(gw_ram_of_a_device("/objects/mem0"));
    assert_false(gw_ram_of_a_device("pc.ram"));
}

static void test_one(void **state)
{
    const struct gw_ram_total any = {.bytes = 0}, low = {.bytes = 64 * M, .below_only = true}, high = {.bytes = 3 * G},
                              exact = {.bytes = 3 * G, .exact = true};
    struct gw_ram_blocks b;
    struct saved s;

    saved_init(&s, "");
    saved_block(&s, "pc.bios", 64 * M);
    b = find(&s, any, NULL, 0, 0);
    assert_int_equal(b.count, 0);
    assert_false(b.choice);
    saved_block(&s, "mem0", 64 * M + 8192);
    b = find(&s, any, NULL, 0, 0);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.slots[0].block, 1);
    b = find(&s, low, NULL, 0, 0);
    assert_int_equal(b.slots[0].block, 1);
    assert_int_equal(b.slots[0].bytes, 64 * M + 8192);
    saved_block(&s, "mem1", 3 * G + 1024 * G);
    b = find(&s, any, NULL, 0, 0);
    assert_int_equal(b.count, 0);
    assert_true(b.choice);
    b = find(&s, low, NULL, 0, 0);
    assert_int_equal(b.slots[0].block, 1);
    b = find(&s, high, NULL, 0, 0);
    assert_int_equal(b.slots[0].block, 2);
    b = find(&s, exact, NULL, 0, 0);
    assert_int_equal(b.count, 0);
    saved_block(&s, "mem2", 3 * G);
    b = find(&s, exact, NULL, 0, 0);
    assert_int_equal(b.slots[0].block, 3);
    b = find(&s, high, NULL, 0, 0); /* modulo 1 TiB it may be both */
    assert_true(b.choice);
    told[2] = GW_RAM_ELSEWHERE;
    b = find(&s, high, NULL, 0, 0);
    assert_int_equal(b.slots[0].block, 3);
    told[2] = 0;
    b = find(&s, high, NULL, 0, 0);
    assert_int_equal(b.slots[0].block, 2);
    saved_free(&s);
}

static void test_equal(void **state)
{
    const struct gw_ram_total total = {.bytes = 64 * M, .exact = true};
    struct gw_ram_blocks b;
    struct saved s;

    saved_init(&s, "");
    saved_block(&s, "a", 64 * M);
    saved_block(&s, "b", 64 * M);
    b = find(&s, total, NULL, 0, 64 * M);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.slots[0].block, -1);
    saved_root_pointer(&s, 1, 0x3fe0000);
    saved_root(&s, 0, 0x3fe0000); /* not where it should be */
    b = find(&s, total, NULL, 0, 64 * M);
    assert_int_equal(b.slots[0].block, -1);
    saved_root(&s, 1, 0x3fe0000);
    b = find(&s, total, NULL, 0, 64 * M);
    assert_int_equal(b.slots[0].block, 1);
    b = find(&s, total, NULL, 0, 0); /* no BIOS */
    assert_int_equal(b.slots[0].block, -1);
    saved_root_pointer(&s, 0, 0x3fe0000); /* both have them */
    b = find(&s, total, NULL, 0, 64 * M);
    assert_int_equal(b.slots[0].block, -1);
    told[0] = 0;
    b = find(&s, total, NULL, 0, 64 * M);
    assert_int_equal(b.slots[0].block, 0);
    saved_free(&s);
}

static void test_nodes(void **state)
{
    const uint64_t nodes[] = {M * 32, M * 64, M * 32, M * 32};
    const struct gw_ram_total total = {.bytes = 160 * M, .exact = true};
    struct gw_ram_blocks b;
    struct saved s;

    saved_init(&s, "");
    saved_block(&s, "a", 32 * M);
    saved_block(&s, "b", 32 * M);
    saved_block(&s, "c", 64 * M);
    b = find(&s, total, nodes, 4, 96 * M);
    assert_int_equal(b.count, 0); /* one is missing */
    saved_block(&s, "d", 32 * M);
    b = find(&s, total, nodes, 4, 96 * M);
    assert_int_equal(b.count, 4);
    assert_int_equal(b.slots[1].block, 2); /* by its size */
    assert_int_equal(b.slots[1].offset, 32 * M);
    assert_int_equal(b.slots[0].block, -1);
    saved_root_pointer(&s, 3, 98 * M);
    saved_root(&s, 0, 2 * M);
    b = find(&s, total, nodes, 4, 128 * M);
    assert_int_equal(b.slots[0].block, 3); /* its tables are there, */
    assert_int_equal(b.slots[2].block, 0); /* and end there, */
    assert_int_equal(b.slots[3].block, 1); /* so this is left */
    saved_block(&s, "dimm", 32 * M);
    b = find(&s, total, nodes, 4, 128 * M);
    assert_int_equal(b.slots[0].block, 3);
    assert_int_equal(b.slots[3].block, -1);
    told[1] = 128 * M;
    b = find(&s, total, nodes, 4, 128 * M);
    assert_int_equal(b.slots[3].block, 1);
    saved_block(&s, "all", 160 * M); /* nodes of one block, and a DIMM for each? */
    b = find(&s, total, nodes, 4, 128 * M);
    assert_true(b.choice);
    assert_int_equal(b.count, 0);
    saved_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test_setup(test_one, nothing_told),
                                       cmocka_unit_test_setup(test_equal, nothing_told),
                                       cmocka_unit_test_setup(test_nodes, nothing_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
