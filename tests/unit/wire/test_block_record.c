/* SPDX-License-Identifier: MIT
 *
 * Records of disks: the bytes of the examples in docs/wire-format.md 11, random ones there and back, and what is none.
 */
#include "wire.h"

#include "wire/block_record.h"

static int get_record(struct gw_in *in, void *ret, struct gw_error *err)
{
    return gw_block_get(in, ret, err);
}

static void test_examples(void **state)
{
    static const uint8_t want[] = {0, 0, 0, 0, 0, 0, 0x64, 4,                             /* 50 percent */
                                   0, 0, 0, 0, 0, 0, 0,    1,    2, 'd', '0',             /* sector 0 */
                                   0, 0, 0, 0, 0, 0x10, 0, 9,    2, 'd', '0',             /* zeros from sector 2048 */
                                   0, 0, 0, 0, 0, 0, 0,    2};
    const uint8_t *got;
    struct gw_out out;
    size_t bytes;

    gw_out_memory(&out);
    gw_block_put_progress(&out, 50);
    gw_block_put_chunk(&out, "d0", 0, false);
    gw_block_put_chunk(&out, "d0", GW_BLOCK_CHUNK_BYTES, true);
    gw_block_put_end(&out);
    got = gw_out_data(&out, &bytes);
    assert_int_equal(bytes, sizeof want);
    assert_memory_equal(got, want, sizeof want);
    gw_out_free(&out);
}

static void test_random(void **state)
{
    uint64_t seed = 7;

    for (unsigned i = 0; i < 60; i++) {
        struct gw_block_record a = {.kind = GW_BLOCK_END}, b;
        struct gw_out out;

        gw_out_memory(&out);
        if (i % 3 == 0) {
            a.kind = GW_BLOCK_CHUNK;
            a.zero = i % 2;
            a.offset = rnd(&seed) & ~511ull;
            rnd_name(&seed, a.name);
            gw_block_put_chunk(&out, a.name, a.offset, a.zero);
        } else if (i % 3 == 1) {
            a.kind = GW_BLOCK_PROGRESS;
            a.percent = rnd(&seed) % 101;
            gw_block_put_progress(&out, a.percent);
        } else {
            gw_block_put_end(&out);
        }
        whole_and_cut(&out, get_record, &b);
        assert_int_equal(b.kind, a.kind);
        assert_int_equal(b.zero, a.zero);
        assert_int_equal(b.offset, a.offset);
        assert_int_equal(b.percent, a.percent);
        assert_string_equal(b.name, a.name);
        gw_out_free(&out);
    }
}

static void refuse(uint64_t word, const char *why)
{
    struct gw_block_record r;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;
    struct gw_in in;
    const uint8_t *p;
    size_t bytes;

    gw_out_memory(&out);
    gw_put_u64(&out, word);
    gw_put_str8(&out, "d0");
    p = gw_out_data(&out, &bytes);
    gw_in_memory(&in, p, bytes, 1000);
    assert_int_equal(gw_block_get(&in, &r, &err), -EPROTO);
    assert_string_equal(err.text, why);
    gw_out_free(&out);
}

static void test_refused(void **state)
{
    refuse(0, "byte 1000: disk record with flags 0x0");
    refuse(8, "byte 1000: disk record with flags 0x8");
    refuse(3, "byte 1000: disk record with flags 0x3");
    refuse(0x101, "byte 1000: disk record with flags 0x101");
    refuse(101 << 9 | 4, "byte 1000: 101 percent of the disks");
    refuse(UINT64_MAX, "byte 1000: disk record with flags 0x1ff");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
