/* SPDX-License-Identifier: MIT
 *
 * The list of RAM blocks: its total, its entries, and what cannot be one.
 */
#include "wire.h"

#include "wire/numbers.h"
#include "wire/ram_list.h"

struct list {
    unsigned count;
    struct gw_wire_block blocks[4];
    uint64_t total, gpa[4];
};

static int get_list(struct gw_in *in, void *ret, struct gw_error *err)
{
    struct list *l = ret;
    uint64_t left = 0;
    int r = gw_ram_list_get_total(in, 4096, 1ull << 46, &left, err);

    l->total = left;
    for (l->count = 0; r >= 0 && left; l->count++) {
        r = gw_ram_list_get(in, &left, &l->blocks[l->count], err);
        if (r >= 0)
            r = gw_get_u64(in, &l->gpa[l->count], err);
    }
    return r;
}

static void test_list(void **state)
{
    uint64_t seed = 5;

    for (unsigned i = 0; i < 20; i++) {
        struct list a = {.count = 1 + i % 4}, b;
        struct gw_out out;

        for (unsigned k = 0; k < a.count; k++) {
            rnd_name(&seed, a.blocks[k].name);
            /* A block of no bytes, but not the last one: the list ends with the total. */
            a.total += a.blocks[k].used_bytes = k + 1 < a.count && i % 2 ? 0 : (1 + rnd(&seed) % 1000) << 12;
            a.gpa[k] = rnd(&seed);
        }
        gw_out_memory(&out);
        gw_ram_list_put_total(&out, a.total);
        for (unsigned k = 0; k < a.count; k++)
            gw_ram_list_put(&out, a.blocks[k].name, a.blocks[k].used_bytes, &a.gpa[k]);
        whole_and_cut(&out, get_list, &b);
        assert_int_equal(a.count, b.count);
        assert_int_equal(a.total, b.total);
        for (unsigned k = 0; k < a.count; k++) {
            assert_string_equal(a.blocks[k].name, b.blocks[k].name);
            assert_int_equal(a.blocks[k].used_bytes, b.blocks[k].used_bytes);
            assert_int_equal(a.gpa[k], b.gpa[k]);
        }
        gw_out_free(&out);
    }
}

static uint64_t total_of(uint64_t word, uint32_t page, uint64_t max, int *ret_code, struct gw_error *err)
{
    uint64_t bytes = 77;
    uint8_t raw[8];
    struct gw_in in;

    gw_store_be64(raw, word);
    gw_in_memory(&in, raw, sizeof raw, 500);
    *ret_code = gw_ram_list_get_total(&in, page, max, &bytes, err);
    return bytes;
}

/* Up to max and not a page more, for the smallest and the largest pages; the flags below the page are exact. */
static void test_total(void **state)
{
    for (unsigned bits = GW_PAGE_BITS_MIN; bits <= GW_PAGE_BITS_MAX; bits++) {
        struct gw_error err = GW_ERROR_INIT;
        uint32_t page = 1u << bits;
        uint64_t max = 1ull << 41;
        int r;

        assert_int_equal(total_of(GW_RAMF_MEM_SIZE, page, max, &r, &err), 0);
        assert_int_equal(r, 0);
        assert_true(total_of(max | GW_RAMF_MEM_SIZE, page, max, &r, &err) == max);
        assert_int_equal(r, 0);
        assert_int_equal(total_of((max + page) | GW_RAMF_MEM_SIZE, page, max, &r, &err), 77);
        assert_int_equal(r, -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_string_equal(err.text, "byte 500: more than 2 TiB of RAM");
        total_of(UINT64_MAX & ~(uint64_t)(page - 1) & ~1ull, page, max, &r, &err);
        assert_int_equal(r, -EPROTO);
        for (unsigned flag = 1; flag < page; flag *= 2) {
            total_of(0x100000 | GW_RAMF_MEM_SIZE | flag, page, max, &r, &err);
            assert_int_equal(r, flag == GW_RAMF_MEM_SIZE ? 0 : -EPROTO);
            total_of(0x100000 | flag, page, max, &r, &err);
            assert_int_equal(r, flag == GW_RAMF_MEM_SIZE ? 0 : -EPROTO);
        }
    }
}

/* A block that is refused takes nothing of what is left. */
static void test_left(void **state)
{
    static const uint8_t bytes[] = "\1a\0\0\0\0\0\0\x10\0\1b\0\0\0\0\0\0\x10\1";
    struct gw_error err = GW_ERROR_INIT;
    struct gw_wire_block block;
    uint64_t left = 0x2000;
    struct gw_in in;

    gw_in_memory(&in, bytes, sizeof bytes - 1, 0);
    assert_int_equal(gw_ram_list_get(&in, &left, &block, &err), 0);
    assert_string_equal(block.name, "a");
    assert_int_equal(left, 0x1000);
    assert_int_equal(gw_ram_list_get(&in, &left, &block, &err), -EPROTO);
    assert_int_equal(left, 0x1000);
    assert_string_equal(err.text, "RAM block b at byte 10: 0x1001 bytes, 0x1000 of the total are left");
}

static void test_hostile(void **state)
{
    struct list l;

    REFUSED("\0\0\0\0\0\0\x10\x08", get_list, &l, "RAM block list expected at byte 0, found flags 0x8");
    REFUSED("\x80\0\0\0\0\0\0\4", get_list, &l, "more than 64 TiB of RAM");
    REFUSED("\0\0\0\0\0\0\x10\4\1a\0\0\0\0\0\0\x10\1", get_list, &l, "0x1000 of the total are left");
    REFUSED("\0\0\0\0\0\0\x10\4\1a\xff\xff\xff\xff\xff\xff\xff\xff", get_list, &l, "0xffffffffffffffff bytes");
    REFUSED("\0\0\0\0\0\0\x10\4\0", get_list, &l, "empty name at byte 8");
    REFUSED("\0\0\0\0\0\0\x10\4\2a\x1b", get_list, &l, "0x1b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_total),
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests_name("ram_list", tests, NULL, NULL);
}
