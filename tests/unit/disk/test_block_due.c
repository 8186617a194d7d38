/* SPDX-License-Identifier: MIT
 *
 * Which chunk goes next: each once, disk after disk, then what was written, and nothing of a disk that cannot be.
 */
#include "disk/block_due.h"

#include "block_rig.h"

static void next_is(struct gw_block_due *due, const struct block_rig *b, uint64_t chunk, bool bulk)
{
    struct gw_disk *disk;
    uint64_t at;
    bool is_bulk;

    assert_true(gw_block_due_find(due, &disk, &at, &is_bulk));
    assert_ptr_equal(disk, b->disk);
    assert_int_equal(at, chunk);
    assert_int_equal(is_bulk, bulk);
    assert_int_equal(gw_block_due_take(due, NULL), 0);
}

static void nothing_is(struct gw_block_due *due)
{
    struct gw_disk *disk;
    uint64_t at;
    bool bulk;

    assert_false(gw_block_due_find(due, &disk, &at, &bulk));
    assert_int_equal(gw_block_due_count(due), 0);
}

static void test_order(void **state)
{
    struct block_rig *a = block_rig_new("a", 2 * MIB, 1, false), *r = block_rig_new("r", MIB, 1, true);
    struct block_rig *e = block_rig_new("e", 0, 1, false), *b = block_rig_new("b", MIB + 5, 1, false);
    struct gw_disk *disks[] = {a->disk, r->disk, e->disk, b->disk};
    struct gw_block_due due = {0};
    uint64_t fresh;

    assert_int_equal(gw_block_due_open(&due, disks, 4, NULL), 0);
    assert_int_equal(gw_block_due_count(&due), 4);
    assert_int_equal(gw_block_due_bytes(&due), 3 * MIB + 5);
    assert_int_equal(gw_disk_resized(a->disk, MIB, NULL), -EBUSY);
    assert_int_equal(gw_disk_resized(r->disk, MIB, NULL), 0);
    next_is(&due, a, 0, true);
    /* What is still to come in bulk is not due twice. */
    gw_disk_wrote(a->disk, 0, 1);
    gw_disk_wrote(b->disk, MIB + 4, 1);
    assert_int_equal(gw_block_due_look(&due, &fresh, NULL), 0);
    assert_int_equal(fresh, 1);
    assert_int_equal(gw_block_due_count(&due), 4);
    next_is(&due, a, 1, true);
    next_is(&due, b, 0, true);
    next_is(&due, b, 1, true);
    next_is(&due, a, 0, false);
    nothing_is(&due);
    /* A mark is taken away with the chunk: it is due once, and again only when it was written again. */
    gw_disk_wrote(b->disk, MIB - 1, 2);
    gw_disk_wrote(a->disk, MIB, 1);
    assert_int_equal(gw_block_due_look(&due, &fresh, NULL), 0);
    assert_int_equal(fresh, 3);
    gw_disk_wrote(b->disk, 7, 1);
    next_is(&due, a, 1, false);
    next_is(&due, b, 0, false);
    gw_disk_wrote(b->disk, 9, 1);
    next_is(&due, b, 1, false);
    nothing_is(&due);
    assert_int_equal(gw_block_due_look(&due, &fresh, NULL), 0);
    assert_int_equal(fresh, 1);
    next_is(&due, b, 0, false);
    gw_block_due_close(&due);
    gw_block_due_close(&due);
    block_rig_free(a);
    block_rig_free(r);
    block_rig_free(e);
    block_rig_free(b);
}

/* One of them cannot be blocked any more: all are released. */
static void test_refused(void **state)
{
    struct block_rig *a = block_rig_new("a", MIB, 1, false), *b = block_rig_new("b", MIB, 1, false);
    struct gw_disk *disks[] = {a->disk, b->disk};
    struct gw_block_due due = {0};

    for (unsigned i = 0; i < GW_DISK_BLOCKERS; i++)
        assert_int_equal(gw_disk_block(b->disk, "busy", NULL), 0);
    assert_int_equal(gw_block_due_open(&due, disks, 2, NULL), -ENOSPC);
    for (unsigned i = 0; i < GW_DISK_BLOCKERS; i++)
        gw_disk_unblock(b->disk, "busy");
    block_rig_free(a);
    block_rig_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests_name("block_due", tests, NULL, NULL);
}
