/* SPDX-License-Identifier: MIT
 *
 * The heads of RAM records.
 */
#include "wire.h"

#include "wire/ram_record.h"

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

/* The longest that a coded page may be, for each size of page, and one more. */
static void test_coded_limits(void **state)
{
    for (unsigned bits = GW_PAGE_BITS_MIN; bits <= GW_PAGE_BITS_MAX; bits++) {
        const uint32_t page = 1u << bits, packed = GW_MIN(page + page / 100 + 32, GW_IN_LOOK);
        const struct {
            uint32_t kind, bytes;
            int code;
        } rows[] = {
            {GW_RAMF_COMPRESS, 1, 0},           {GW_RAMF_COMPRESS, packed, 0},
            {GW_RAMF_COMPRESS, 0, -EPROTO},     {GW_RAMF_COMPRESS, packed + 1, -EPROTO},
            {GW_RAMF_XBZRLE, 1, 0},             {GW_RAMF_XBZRLE, GW_MIN(page, 0xffffu), 0},
            {GW_RAMF_XBZRLE, 0, -EPROTO},       {GW_RAMF_XBZRLE, page + 1, page < 0xffff ? -EPROTO : 0},
        };

        for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
            const struct gw_ram_record r = {.at = 3, .word = rows[i].kind, .kind = rows[i].kind};
            struct gw_error err = GW_ERROR_INIT;
            uint32_t bytes = 0;
            struct gw_out out;
            struct gw_in in;
            size_t n;

            if (rows[i].kind == GW_RAMF_XBZRLE && rows[i].bytes > 0xffff)
                continue;
            gw_out_memory(&out);
            if (rows[i].kind == GW_RAMF_XBZRLE)
                gw_ram_put_xbzrle(&out, (uint16_t)rows[i].bytes);
            else
                gw_ram_put_compressed(&out, rows[i].bytes);
            gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
            assert_int_equal(gw_ram_coded_get(&in, &r, page, &bytes, &err), rows[i].code);
            if (rows[i].code == 0)
                assert_int_equal(bytes, rows[i].bytes);
            else
                assert_int_equal(err.blame, GW_BLAME_PEER);
            gw_out_free(&out);
        }
    }
}

/* What is put where a record has no more than a mark. */
static void test_marks(void **state)
{
    static const uint8_t want[] = {0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0};
    struct gw_out out;
    size_t n;

    gw_out_memory(&out);
    gw_ram_put_zero(&out);
    gw_ram_put_end(&out);
    gw_ram_put_flush(&out);
    gw_out_data(&out, &n);
    assert_int_equal(n, sizeof want);
    assert_memory_equal(gw_out_data(&out, &n), want, n);
    gw_out_free(&out);
}

static void test_hostile(void **state)
{
    struct gw_ram_record r;
    uint32_t n;

    REFUSED("\0\0\0\0\0\0\0\x60\2\0\1", get_coded, &n, "its encoding or length is wrong");
    REFUSED("\0\0\0\0\0\0\0\x60\1\0\0", get_coded, &n, "its encoding or length is wrong");
    REFUSED("\0\0\0\0\0\0\0\x60\1\x10\1", get_coded, &n, "its encoding or length is wrong");
    REFUSED("\0\0\0\0\0\0\1\x20\0\0\0\0", get_coded, &n, "compressed");
    REFUSED("\0\0\0\0\0\0\1\x20\xff\xff\xff\xff", get_coded, &n, "more compressed bytes");
    REFUSED("\0\0\0\0\0\0\x10\x10", get_record, &r, "it has an offset, or goes on with a block");
    REFUSED("\0\0\0\0\0\0\0\x30", get_record, &r, "it has an offset, or goes on with a block");
    REFUSED("\0\0\0\0\0\0\0\x0a", get_record, &r,
            "byte 0: RAM record 0xa (unknown): no kind of record that is known");
    REFUSED("\0\0\0\0\0\0\0\x80", get_record, &r, "(RDMA hook)");
    REFUSED("\0\0\0\0\0\0\0\x08\1\x07", get_record, &r, "0x07");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record),       cmocka_unit_test(test_flags), cmocka_unit_test(test_coded),
        cmocka_unit_test(test_coded_limits), cmocka_unit_test(test_marks), cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests_name("ram_record", tests, NULL, NULL);
}
