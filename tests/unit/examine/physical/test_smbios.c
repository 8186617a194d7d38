/* SPDX-License-Identifier: MIT */
#include "saved.h"

#include "examine/physical/smbios.h"

#define T (1024 * G)

static const struct node above_1_tib[] = {{0, 2 * G, 0, 0}, {T, G, 0, 0}};

static uint64_t upper_of(struct saved *s, uint64_t below, uint64_t above)
{
    uint64_t upper = 1;

    assert_int_equal(gw_smbios_upper(&s->image, 0, below, above, &upper, NULL, NULL, NULL), 0);
    return upper;
}

static void test_found(void **state)
{
    static const struct node longs[] = {{0, 2 * G, 0, 0}, {4 * G, 8 * T, 0, 1}};
    struct saved s;

    saved_init(&s, "pc-q35-10.0");
    saved_block(&s, "pc.ram", 16 * T);
    assert_int_equal(upper_of(&s, 2 * G, G), 0);
    saved_smbios(&s, 0, 0xf5250, 0xf5270, above_1_tib, 2);
    assert_int_equal(upper_of(&s, 2 * G, G), T);
    /* Others than this machine has. */
    assert_int_equal(upper_of(&s, 2 * G, 2 * G), 0);
    assert_int_equal(upper_of(&s, G, G), 0);
    /* Where firmware that is no BIOS has them: anywhere below 4 GiB, the structures elsewhere. */
    s.piece_count = 0;
    saved_smbios(&s, 0, 0x7f9ff000, 0x7f9fe000, above_1_tib, 2);
    assert_int_equal(upper_of(&s, 2 * G, G), T);
    s.piece_count = 0;
    saved_smbios(&s, 0, 0x7f9ff000, 0x7f9fe000, longs, 2);
    assert_int_equal(upper_of(&s, 2 * G, 8 * T), 4 * G);
    saved_free(&s);
}

static void test_entry_64(void **state)
{
    struct saved s;
    uint8_t *p;

    saved_init(&s, "pc-q35-10.0");
    saved_block(&s, "pc.ram", 3 * G);
    saved_smbios(&s, 0, 0x1000000, 0x2000010, above_1_tib, 2);
    p = s.pieces[1].data;
    memset(p, 0, 32);
    s.pieces[1].bytes = 24;
    memcpy(p, "_SM3_", 5);
    p[6] = 24;
    put_le(p + 12, 12 + 66 + 6, 4);
    put_le(p + 16, 0x2000010, 8);
    put_sum(p, 24, 5);
    assert_int_equal(upper_of(&s, 2 * G, G), T);
    put_le(p + 16, UINT64_MAX - 3, 8);
    put_sum(p, 24, 5);
    assert_int_equal(upper_of(&s, 2 * G, G), 0);
    saved_free(&s);
}

/* Three ranges, one that comes twice, and every byte wrong in turn. */
static void test_nonsense(void **state)
{
    static const struct node three[] = {{0, 2 * G, 0, 0}, {T, G, 0, 0}, {2 * T, G, 0, 0}},
                             lower[] = {{0, 2 * G, 0, 0}, {0, 2 * G, 0, 0}};
    struct saved s;
    uint8_t *t;

    saved_init(&s, "pc-q35-10.0");
    saved_block(&s, "pc.ram", 3 * G);
    saved_smbios(&s, 0, 0xf5250, 0xf5270, three, 3);
    assert_int_equal(upper_of(&s, 2 * G, G), 0);
    s.piece_count = 0;
    saved_smbios(&s, 0, 0xf5250, 0xf5270, lower, 2);
    assert_int_equal(upper_of(&s, 2 * G, G), 0);
    s.piece_count = 0;
    t = saved_smbios(&s, 0, 0xf5250, 0xf5270, above_1_tib, 2);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned at = 0; at < s.pieces[i].bytes; at++) {
            uint64_t upper;

            s.pieces[i].data[at] ^= 0x41;
            upper = upper_of(&s, 2 * G, G);
            assert_true(!upper || upper == T);
            if (i) /* the entry point has a checksum */
                assert_int_equal(upper, at < 31 ? 0 : T);
            s.pieces[i].data[at] ^= 0x41;
        }
    t[1] = 0; /* the length of the first structure */
    assert_int_equal(upper_of(&s, 2 * G, G), 0);
    t[1] = 255;
    assert_int_equal(upper_of(&s, 2 * G, G), 0);
    saved_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found), cmocka_unit_test(test_entry_64),
                                       cmocka_unit_test(test_nonsense)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
