/* SPDX-License-Identifier: MIT
 *
 * The list of RAM blocks and the heads of RAM records.
 */
#include "wire.h"

#include "wire/ram_list.h"
#include "wire/ram_record.h"

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

static int get_record(struct gw_in *in, void *ret, struct gw_error *err)
{
    return gw_ram_record_get(in, 4096, ret, err);
}

static int get_coded(struct gw_in *in, void *ret, struct gw_error *err)
{
    struct gw_ram_record r;
    int e = gw_ram_record_get(in, 4096, &r, err);

    return e < 0 ? e : gw_ram_coded_get(in, &r, 4096, ret, err);
}

static void test_record(void **state)
{
    static const uint32_t kinds[] = {GW_RAMF_ZERO, GW_RAMF_PAGE, GW_RAMF_XBZRLE, GW_RAMF_COMPRESS};
    uint64_t seed = 6;

    for (unsigned i = 0; i < 80; i++) {
        uint64_t offset = rnd(&seed) & ~4095ull;
        struct gw_ram_record r;
        struct gw_out out;
        char name[256];

        rnd_name(&seed, name);
        gw_out_memory(&out);
        gw_ram_record_put(&out, offset, kinds[i % 4], i & 4 ? name : NULL);
        whole_and_cut(&out, get_record, &r);
        assert_int_equal(r.kind, kinds[i % 4]);
        assert_int_equal(r.offset, offset);
        assert_int_equal(r.named, (i & 4) != 0);
        if (r.named)
            assert_string_equal(r.name, name);
        gw_out_free(&out);
    }
}

/* Every word of flags, alone and with CONTINUE: those that are, and no other. */
static void test_flags(void **state)
{
    for (uint64_t flags = 0; flags < 4096; flags++) {
        uint64_t kind = flags & ~(uint64_t)GW_RAMF_CONTINUE;
        bool page = kind == 2 || kind == 8 || kind == 0x40 || kind == 0x100, mark = flags == 0x10 || flags == 0x200;
        struct gw_error err = GW_ERROR_INIT;
        struct gw_ram_record r;
        uint8_t word[8];
        struct gw_in in;

        gw_store_be64(word, flags);
        gw_in_memory(&in, word, sizeof word, 0);
        assert_int_equal(gw_ram_word_get(&in, 4096, &r, &err), page || mark ? 0 : -EPROTO);
        gw_store_be64(word, flags | 0x5000);
        gw_in_memory(&in, word, sizeof word, 0);
        assert_int_equal(gw_ram_word_get(&in, 4096, &r, &err), page ? 0 : -EPROTO);
    }
}

static void test_coded(void **state)
{
    uint32_t n = 0;
    struct gw_out out;

    gw_out_memory(&out);
    gw_ram_record_put(&out, 0x7000, GW_RAMF_XBZRLE, NULL);
    gw_ram_put_xbzrle(&out, 4096);
    whole_and_cut(&out, get_coded, &n);
    assert_int_equal(n, 4096);
    gw_out_free(&out);
    gw_out_memory(&out);
    gw_ram_record_put(&out, 0x7000, GW_RAMF_COMPRESS, "ram");
    gw_ram_put_compressed(&out, 77);
    whole_and_cut(&out, get_coded, &n);
    assert_int_equal(n, 77);
    gw_out_free(&out);
}

static void test_hostile(void **state)
{
    struct list l;
    uint32_t n;

    REFUSED("\0\0\0\0\0\0\x10\x08", get_list, &l, "RAM block list expected at byte 0, found flags 0x8");
    REFUSED("\x80\0\0\0\0\0\0\4", get_list, &l, "more than 64 TiB of RAM");
    REFUSED("\0\0\0\0\0\0\x10\4\1a\0\0\0\0\0\0\x10\1", get_list, &l, "0x1000 of the total are left");
    REFUSED("\0\0\0\0\0\0\0\x60\2\0\1", get_coded, &n, "its encoding or length is wrong");
    REFUSED("\0\0\0\0\0\0\0\x60\1\0\0", get_coded, &n, "its encoding or length is wrong");
    REFUSED("\0\0\0\0\0\0\0\x60\1\x10\1", get_coded, &n, "its encoding or length is wrong");
    REFUSED("\0\0\0\0\0\0\1\x20\0\0\0\0", get_coded, &n, "more compressed bytes");
    REFUSED("\0\0\0\0\0\0\1\x20\xff\xff\xff\xff", get_coded, &n, "more compressed bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),  cmocka_unit_test(test_record),  cmocka_unit_test(test_flags),
        cmocka_unit_test(test_coded), cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests_name("ram", tests, NULL, NULL);
}
