/* SPDX-License-Identifier: MIT
 *
 * Chunks that are read ahead: in order, with zeros behind the end, holes without a read, and errors in their turn.
 */
#include "disk/block_pull.h"

#include "block_rig.h"

static void take(struct gw_block_pull *p, uint64_t chunk, enum gw_block_holds want, int byte)
{
    struct gw_block_ask ask;
    enum gw_block_holds holds;
    const uint8_t *data;

    assert_int_equal(gw_block_pull_take(p, &ask, &holds, &data, NULL), 0);
    assert_int_equal(ask.chunk, chunk);
    assert_int_equal(holds, want);
    if (want == GW_BLOCK_BYTES) {
        assert_int_equal(data[0], byte);
        assert_int_equal(data[MIB - 1], chunk == 3 ? 0 : byte);
    }
    gw_block_pull_release(p);
}

static void test_holds(void **state)
{
    struct block_rig *b = block_rig_new("d", 3 * MIB + 100, 7, false);

    memset(b->kind + MIB / PIECE, GW_DISK_ZERO, MIB / PIECE); /* whatever is there: it is not read */
    memset(b->data + 2 * MIB, 0, MIB);
    for (unsigned find = 0; find < 2; find++) {
        struct gw_block_pull *p = NULL;

        atomic_store(&b->reads, 0);
        assert_int_equal(gw_block_pull_new(find, &p, NULL), 0);
        for (unsigned i = 0; i < GW_BLOCK_AHEAD; i++) {
            assert_int_equal(gw_block_pull_count(p), i);
            gw_block_pull_ask(p, &(struct gw_block_ask){.disk = b->disk, .chunk = i % 4});
        }
        assert_true(gw_block_pull_has(p, b->disk, 3));
        assert_false(gw_block_pull_has(p, b->disk, 4));
        for (unsigned i = 0; i < GW_BLOCK_AHEAD; i++)
            take(p, i % 4, i % 4 == 1 || (i % 4 == 2 && find) ? GW_BLOCK_ZEROS : GW_BLOCK_BYTES, i % 4 == 2 ? 0 : 7);
        assert_int_equal(atomic_load(&b->reads), 3 * GW_BLOCK_AHEAD / 4);
        assert_int_equal(gw_block_pull_count(p), 0);
        gw_block_pull_free(p);
    }
    block_rig_free(b);
}

/* Only the top layer: what is not in it is nothing; a part of it is all of the chunk; its zeros are told. */
static void test_top_only(void **state)
{
    struct block_rig *b = block_rig_new("d", 4 * MIB, 7, false);
    struct gw_block_pull *p = NULL;

    memset(b->kind, GW_DISK_ABSENT, 4 * MIB / PIECE);
    b->kind[MIB / PIECE + 3] = GW_DISK_DATA;
    memset(b->kind + 2 * MIB / PIECE, GW_DISK_ZERO, MIB / PIECE);
    b->kind[3 * MIB / PIECE] = GW_DISK_ZERO;
    assert_int_equal(gw_block_pull_new(true, &p, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        gw_block_pull_ask(p, &(struct gw_block_ask){.disk = b->disk, .chunk = i, .top_only = true});
    take(p, 0, GW_BLOCK_NOTHING, 0);
    take(p, 1, GW_BLOCK_BYTES, 7);
    take(p, 2, GW_BLOCK_ZEROS, 0);
    /* All layers: what nobody wrote in the top one may be in another. */
    gw_block_pull_ask(p, &(struct gw_block_ask){.disk = b->disk, .chunk = 0});
    take(p, 0, GW_BLOCK_BYTES, 7);
    gw_block_pull_free(p);
    block_rig_free(b);
}

static void test_error(void **state)
{
    struct block_rig *b = block_rig_new("d", 4 * MIB, 7, false);
    struct gw_block_pull *p = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_block_ask ask;
    enum gw_block_holds holds;
    const uint8_t *data;

    assert_int_equal(gw_block_pull_new(true, &p, NULL), 0);
    gw_block_pull_ask(p, &(struct gw_block_ask){.disk = b->disk, .chunk = 0});
    take(p, 0, GW_BLOCK_BYTES, 7);
    atomic_store(&b->fail, -EIO);
    gw_block_pull_ask(p, &(struct gw_block_ask){.disk = b->disk, .chunk = 2});
    assert_int_equal(gw_block_pull_take(p, &ask, &holds, &data, &err), -EIO);
    assert_non_null(strstr(err.text, "disk d: reading at byte 2097152"));
    gw_block_pull_free(p);
    gw_block_pull_free(NULL);
    block_rig_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_top_only),
        cmocka_unit_test(test_error),
    };

    return cmocka_run_group_tests_name("block_pull", tests, NULL, NULL);
}
