/* SPDX-License-Identifier: MIT
 *
 * Chunks that are written: clusters of zeros become holes, the order of one chunk, errors, flushes.
 */
#include "disk/block_store.h"

#include "block_rig.h"

static void test_holes(void **state)
{
    struct block_rig *b = block_rig_new("d", 2 * MIB + 100, 0x5a, false);
    struct gw_block_store *s = NULL;
    uint8_t *room;

    assert_int_equal(gw_block_store_new(&s, NULL), 0);
    assert_int_equal(gw_block_store_room(s, &room, NULL), 0);
    memset(room, 0, MIB);
    memset(room + 3 * PIECE, 1, PIECE);
    room[9 * PIECE - 1] = 2;
    gw_block_store_put(s, b->disk, 0, MIB);
    assert_int_equal(gw_block_store_zero(s, b->disk, MIB, MIB, NULL), 0);
    assert_int_equal(gw_block_store_room(s, &room, NULL), 0);
    memset(room, 3, MIB);
    gw_block_store_put(s, b->disk, 2 * MIB, 100);
    assert_int_equal(gw_block_store_settle(s, NULL), 0);
    assert_int_equal(atomic_load(&b->written), 2 * PIECE + 100);
    assert_int_equal(atomic_load(&b->zeros), 4); /* in front of, between and behind the two; the chunk */
    for (uint64_t i = 0; i < 2 * MIB; i++)
        if (b->data[i] != (i / PIECE == 3 ? 1 : i == 9 * PIECE - 1 ? 2 : 0))
            fail_msg("byte %" PRIu64 " is %u", i, b->data[i]);
    assert_int_equal(b->data[2 * MIB + 99], 3);
    /* What is a hole is left alone. */
    assert_int_equal(gw_block_store_zero(s, b->disk, 0, PIECE, NULL), 0);
    assert_int_equal(gw_block_store_flush(s, b->disk, NULL), 0);
    assert_int_equal(gw_block_store_settle(s, NULL), 0);
    assert_int_equal(atomic_load(&b->zeros), 4);
    assert_int_equal(atomic_load(&b->flushes), 1);
    gw_block_store_free(s);
    block_rig_free(b);
}

/* The last of many is what remains. */
static void test_order(void **state)
{
    struct block_rig *b = block_rig_new("d", MIB, 0, false);
    struct gw_block_store *s = NULL;

    assert_int_equal(gw_block_store_new(&s, NULL), 0);
    for (unsigned i = 1; i <= 100; i++) {
        uint8_t *room;

        assert_int_equal(gw_block_store_room(s, &room, NULL), 0);
        memset(room, (int)i, MIB);
        gw_block_store_put(s, b->disk, 0, MIB);
        if (i % 7 == 0)
            assert_int_equal(gw_block_store_zero(s, b->disk, 0, MIB, NULL), 0);
    }
    assert_int_equal(gw_block_store_settle(s, NULL), 0);
    assert_int_equal(b->data[0], 100);
    assert_int_equal(b->data[MIB - 1], 100);
    gw_block_store_free(s);
    block_rig_free(b);
}

static void test_error(void **state)
{
    struct block_rig *b = block_rig_new("d", MIB, 1, false);
    struct gw_block_store *s = NULL;
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *room;

    atomic_store(&b->fail, -ENOSPC);
    assert_int_equal(gw_block_store_new(&s, NULL), 0);
    assert_int_equal(gw_block_store_room(s, &room, NULL), 0);
    memset(room, 1, MIB);
    gw_block_store_put(s, b->disk, 0, MIB);
    assert_int_equal(gw_block_store_settle(s, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "disk d: writing at byte 0"));
    gw_block_store_free(s);
    gw_block_store_free(NULL);
    block_rig_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_error),
    };

    return cmocka_run_group_tests_name("block_store", tests, NULL, NULL);
}
