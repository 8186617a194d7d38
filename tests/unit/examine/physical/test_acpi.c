/* SPDX-License-Identifier: MIT */
#include "saved.h"

#include "examine/physical/acpi.h"

static struct gw_acpi acpi_of(struct saved *s)
{
    struct gw_acpi a;

    assert_int_equal(gw_acpi_read(&s->image, &a, NULL), 0);
    return a;
}

static void test_nodes(void **state)
{
    static const struct node nodes[] = {{4 * G, G, 1, 1},
                                        {0, 640 * 1024, 0, 1},
                                        {M, 2 * G - M, 0, 1},
                                        {0, 0, 0, 0},
                                        {5 * G, 8 * G, 1, 3} /* may be plugged in */};
    struct saved s;
    struct gw_acpi a;

    saved_init(&s, "pc-q35-10.0");
    a = acpi_of(&s);
    assert_int_equal(a.part_count, 0);
    saved_tables(&s, 16 * G, nodes, 5);
    a = acpi_of(&s);
    assert_int_equal(a.window, 16 * G);
    assert_int_equal(a.part_count, 3);
    assert_int_equal(a.parts[0].address, 0);
    assert_int_equal(a.parts[0].bytes, M);
    assert_int_equal(a.parts[1].address, M);
    assert_int_equal(a.parts[1].bytes, 2 * G - M);
    assert_int_equal(a.parts[2].address, 4 * G);
    assert_int_equal(a.parts[2].node, 1);
    saved_free(&s);
}

/* Tables of a stream may have anything in them. */
static void test_nonsense(void **state)
{
    static const struct node twice[] = {{0, G, 0, 1}, {G - 4096, G, 1, 1}},
                             far[] = {{0, G, 0, 1}, {UINT64_MAX - 4095, G, 1, 1}}, good[] = {{0, G, 0, 1}};
    struct saved s;
    struct gw_acpi a;
    uint8_t *p;

    for (int i = 0; i < 2; i++) {
        saved_init(&s, "pc-q35-10.0");
        saved_tables(&s, 0, i ? twice : far, 2);
        a = acpi_of(&s);
        assert_int_equal(a.part_count, 0);
        assert_int_equal(a.window, 0);
        saved_free(&s);
    }
    saved_init(&s, "pc-q35-10.0");
    p = saved_tables(&s, 8 * G, good, 1);
    a = acpi_of(&s);
    assert_int_equal(a.part_count, 1);
    for (unsigned at = 0; at < 64 + 200 + 48 + 56;
         at++) /* each byte another one: no crash, and nothing beyond the table */
        for (unsigned bit = 0; bit < 8; bit++) {
            p[at] ^= (uint8_t)(1u << bit);
            a = acpi_of(&s);
            assert_true(a.part_count <= 1);
            p[at] ^= (uint8_t)(1u << bit);
        }
    memcpy(p + 64 + 200 + 48 + 56, p + 64 + 200, 48 + 56); /* two of them */
    a = acpi_of(&s);
    assert_int_equal(a.part_count, 0);
    assert_int_equal(a.window, 8 * G);
    put_le(p + 64 + 115, 31 * G, 8); /* a template */
    a = acpi_of(&s);
    assert_int_equal(a.window, 0);
    saved_free(&s);
}

static void test_root(void **state)
{
    struct saved s;
    uint64_t root;
    unsigned b;

    saved_init(&s, "pc-q35-10.0");
    b = saved_block(&s, "pc.ram", 64 * M);
    assert_int_equal(gw_acpi_root(&s.image, b, &root, NULL), 0);
    assert_int_equal(root, 0);
    saved_root_pointer(&s, b, 0x3fe2000);
    assert_int_equal(gw_acpi_root(&s.image, b, &root, NULL), 0);
    assert_int_equal(root, 0x3fe2000);
    assert_int_equal(gw_acpi_is_root(&s.image, b, root, NULL), 0);
    saved_root(&s, b, root);
    assert_int_equal(gw_acpi_is_root(&s.image, b, root, NULL), 1);
    s.pieces[1].data[20]++;
    assert_int_equal(gw_acpi_is_root(&s.image, b, root, NULL), 0);
    put_le(s.pieces[1].data + 4, 0xffffffff, 4);
    assert_int_equal(gw_acpi_is_root(&s.image, b, root, NULL), 0);
    assert_int_equal(gw_acpi_is_root(&s.image, b, 64 * M - 4, NULL), 0);
    s.pieces[0].data[16]++;
    assert_int_equal(gw_acpi_root(&s.image, b, &root, NULL), 0);
    assert_int_equal(root, 0);
    b = saved_block(&s, "small", 512 * 1024);
    assert_int_equal(gw_acpi_root(&s.image, b, &root, NULL), 0);
    assert_int_equal(root, 0);
    saved_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nodes), cmocka_unit_test(test_nonsense),
                                       cmocka_unit_test(test_root)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
