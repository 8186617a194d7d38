/* SPDX-License-Identifier: MIT
 *
 * What an embedder may say of a machine's memory, when, and what becomes of it.
 */
#include "rig.h"

#define B (rig.vm->ram.blocks[0])

static void test_add(void **state)
{
    struct gw_ram_desc desc = {.name = "more", .host = rig.ram, .used_bytes = RIG_PAGE, .gpa = 0x100000};
    struct gw_error err = GW_ERROR_INIT;

    desc.flags = GW_RAM_ELSEWHERE;
    rig_fails(gw_vm_add_ram(rig.vm, &desc, &err), -EINVAL, &err, "RAM block more: flags 0x80000000 are not known");
    desc.flags = 0;
    rig.vm->busy = true;
    rig_fails(gw_vm_add_ram(rig.vm, &desc, &err), -EBUSY, &err, "RAM block more cannot be added during a migration");
    rig_fails(gw_vm_remove_ram(rig.vm, "ram", &err), -EBUSY, &err, "RAM block ram cannot be removed during a migration");
    rig.vm->busy = false;
    assert_int_equal(gw_vm_add_ram(rig.vm, &desc, &err), 0);
    assert_int_equal(rig.vm->ram.count, 2);
    rig_fails(gw_vm_remove_ram(rig.vm, "none", &err), -ENOENT, &err, "no RAM block is called none");
    assert_int_equal(gw_vm_remove_ram(rig.vm, "ram", &err), 0);
    assert_string_equal(B->name, "more");
}

static void test_fresh(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_vm_set_fresh(rig.vm, "ram", true, &err), 0);
    assert_true(B->flags & GW_RAM_FRESH);
    rig.vm->busy = true;
    assert_int_equal(gw_vm_set_fresh(rig.vm, "ram", false, &err), -EBUSY);
    assert_true(B->flags & GW_RAM_FRESH);
    rig.vm->busy = false;
    assert_int_equal(gw_vm_set_fresh(rig.vm, "ram", false, &err), 0);
    assert_false(B->flags & GW_RAM_FRESH);
}

/* Under a session the new size waits, and the session ends for it, unless the block does not go. */
static void test_resize(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    rig_fails(gw_vm_resize_ram(rig.vm, "ram", 33 * RIG_PAGE, &err), -EINVAL, &err,
              "RAM block ram cannot have 135168 bytes: whole pages are needed, 131072 bytes at most");
    assert_int_equal(gw_vm_resize_ram(rig.vm, "ram", 100, &err), -EINVAL);
    assert_int_equal(gw_vm_resize_ram(rig.vm, "ram", 17 * RIG_PAGE, &err), 0);
    assert_int_equal(B->pages, 17);
    rig.vm->busy = true;
    assert_int_equal(gw_vm_resize_ram(rig.vm, "ram", 17 * RIG_PAGE, &err), 0); /* that is what it has */
    assert_false(B->resize);
    assert_int_equal(gw_vm_resize_ram(rig.vm, "ram", 18 * RIG_PAGE, &err), 0);
    assert_int_equal(B->pages, 17);
    assert_true(B->resize);
    assert_int_equal(B->resize_to, 18 * RIG_PAGE);
    assert_string_equal(rig.vm->ram.resized, "ram");
    gw_vm_end(rig.vm);
    rig.vm->busy = true;
    B->flags |= GW_RAM_NO_MIGRATE;
    assert_int_equal(gw_vm_resize_ram(rig.vm, "ram", 19 * RIG_PAGE, &err), 0);
    assert_string_equal(rig.vm->ram.resized, "");
    B->sealed = true;
    assert_int_equal(gw_vm_resize_ram(rig.vm, "ram", 20 * RIG_PAGE, &err), -EALREADY);
    assert_int_equal(B->resize_to, 19 * RIG_PAGE);
}

/* As a session that sends it would have it: all pages are due. */
static void begin_sending(void)
{
    assert_int_equal(gw_tracker_start(rig.vm->tracker, NULL, NULL), 0);
    assert_int_equal(rig.vm->ram.dirty_pages, gw_bitmap_count(B->dirty, RIG_PAGES));
    rig.vm->ram.sending = true;
}

static void end_sending(void)
{
    gw_tracker_stop(rig.vm->tracker);
    rig.vm->ram.sending = false;
}

/* What is discarded need not go; what comes back goes. */
static void test_discarded(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    rig_fails(gw_vm_set_discarded(rig.vm, "ram", RIG_PAGE, 32 * RIG_PAGE, true, &err), -EINVAL, &err,
              "RAM block ram: 0x20000 bytes at 0x1000 are not in it");
    assert_int_equal(gw_vm_set_discarded(rig.vm, "ram", 1, RIG_PAGE, true, &err), -EINVAL);
    assert_int_equal(gw_vm_set_discarded(rig.vm, "ram", 0, 2 * RIG_PAGE, true, &err), 0);
    assert_int_equal(B->discarded[0], 3);
    begin_sending();
    assert_int_equal(B->dirty[0], 0xfffc);
    /* Up to behind the used length, which has no pages. */
    assert_int_equal(gw_vm_set_discarded(rig.vm, "ram", 14 * RIG_PAGE, 8 * RIG_PAGE, true, &err), 0);
    assert_int_equal(B->dirty[0], 0x3ffc);
    assert_int_equal(rig.vm->ram.dirty_pages, 12);
    assert_int_equal(rig.vm->ram.skipped_pages, 2);
    assert_int_equal(gw_vm_set_discarded(rig.vm, "ram", 20 * RIG_PAGE, RIG_PAGE, true, &err), 0);
    assert_int_equal(rig.vm->ram.skipped_pages, 2);
    assert_int_equal(gw_vm_set_discarded(rig.vm, "ram", 15 * RIG_PAGE, RIG_PAGE, false, &err), 0);
    assert_int_equal(B->dirty[0], 0xbffc);
    assert_int_equal(rig.vm->ram.dirty_pages, 13);
    B->sealed = true;
    rig_fails(gw_vm_set_discarded(rig.vm, "ram", 0, RIG_PAGE, false, &err), -EALREADY, &err,
              "RAM block ram: the machine is being handed over, it is too late for changes");
    assert_true(B->discarded[0] & 1);
    end_sending();
}

/* Hints count only while somebody sends, and only for pages that lie in them whole. */
static void test_hints(void **state)
{
    assert_int_equal(gw_vm_hint_free(rig.vm, "ram", 0, RIG_PAGE), 0);
    assert_int_equal(gw_vm_hint_free(rig.vm, "none", 0, RIG_PAGE), 0);
    assert_int_equal(gw_vm_hint_free(rig.vm, "ram", UINT64_MAX - 5, RIG_PAGE), 0);
    begin_sending();
    assert_int_equal(gw_vm_hint_free(rig.vm, "ram", 1, 3 * RIG_PAGE), 2); /* pages 1 and 2 */
    assert_int_equal(B->dirty[0], 0xfff9);
    assert_int_equal(rig.vm->ram.skipped_pages, 2);
    assert_int_equal(gw_vm_hint_free(rig.vm, "ram", 0, RIG_PAGE - 1), 0);
    assert_int_equal(gw_vm_hint_free(rig.vm, "ram", 15 * RIG_PAGE, 10 * RIG_PAGE), 1);
    B->sealed = true;
    assert_int_equal(gw_vm_hint_free(rig.vm, "ram", 0, RIG_PAGE), -EALREADY);
    assert_int_equal(B->dirty[0], 0x7ff9);
    end_sending();
}

static void test_tracker(void **state)
{
    struct gw_tracker_config config = {.kind = GW_TRACKER_EXPLICIT};
    struct gw_tracker *before = rig.vm->tracker, *t = NULL;
    struct gw_error err = GW_ERROR_INIT;

    rig.vm->busy = true;
    rig_fails(gw_vm_set_tracker(rig.vm, &config, &err), -EBUSY, &err, "the dirty tracker cannot change during a migration");
    rig.vm->busy = false;
    assert_ptr_equal(rig.vm->tracker, before);
    assert_int_equal(gw_vm_tracker(rig.vm, &t, &err), 0);
    assert_ptr_equal(t, before);
    assert_string_equal(gw_vm_tracker_name(rig.vm), "explicit");
    gw_tracker_free(rig.vm->tracker);
    rig.vm->tracker = NULL;
    assert_string_equal(gw_vm_tracker_name(rig.vm), "none");
    assert_int_equal(gw_vm_mark_dirty(rig.vm, 0x10000, 1), 0);
}

static uint64_t marked(void)
{
    uint64_t fresh, map;

    assert_int_equal(gw_tracker_sync(rig.vm->tracker, &fresh, NULL), 0);
    map = B->dirty[0];
    gw_bitmap_clear_range(B->dirty, 0, RIG_PAGES);
    rig.vm->ram.dirty_pages = 0;
    return map;
}

/* Marks by address go over holes and from block to block; what lies behind the used length is nobody's. */
static void test_marks(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    begin_sending();
    marked();
    assert_int_equal(gw_vm_mark_dirty(rig.vm, 0x10000 + RIG_PAGE - 1, 2), 0); /* touches two pages */
    assert_int_equal(marked(), 3);
    assert_int_equal(gw_vm_mark_dirty(rig.vm, 0, 0x10001), 0); /* from before the block into it */
    assert_int_equal(marked(), 1);
    assert_int_equal(gw_vm_mark_dirty(rig.vm, 0, 0x10000), 0); /* up to it */
    assert_int_equal(marked(), 0);
    assert_int_equal(gw_vm_mark_dirty(rig.vm, 0x10000 + 15 * RIG_PAGE, 100 * RIG_PAGE), 0);
    assert_int_equal(marked(), 0x8000);
    assert_int_equal(gw_vm_mark_dirty_block(rig.vm, "ram", 20 * RIG_PAGE, RIG_PAGE, &err), 0);
    assert_int_equal(gw_vm_mark_dirty_block(rig.vm, "ram", 5, 0, &err), 0);
    assert_int_equal(marked(), 0);
    assert_int_equal(gw_vm_mark_dirty_block(rig.vm, "ram", 0, 33 * RIG_PAGE, &err), -EINVAL);
    assert_int_equal(gw_vm_mark_dirty_block(rig.vm, "none", 0, 1, &err), -ENOENT);
    B->sealed = true;
    assert_int_equal(gw_vm_mark_dirty(rig.vm, 0x10000, 1), -EALREADY);
    assert_int_equal(gw_vm_mark_dirty_block(rig.vm, "ram", 0, 1, &err), -EALREADY);
    end_sending();
}

int main(void)
{
    const struct CMUnitTest tests[] = {rig_test(test_add),   rig_test(test_fresh),   rig_test(test_resize), rig_test(test_discarded),
                                       rig_test(test_hints), rig_test(test_tracker), rig_test(test_marks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
