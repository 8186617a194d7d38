/* SPDX-License-Identifier: MIT
 *
 * The section of dirty bitmaps of a session: when there is one, the mapping that it gets, and the start of the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/bitmap_live.h"
#include "engine/vm_bitmaps.h"

static int no(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool running(void *opaque)
{
    return false;
}

static int read_disk(void *opaque, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return 0;
}

struct seen {
    unsigned count;
    char text[100];
};

static void see(void *opaque, const struct gw_bitmap_alias *a)
{
    struct seen *s = opaque;
    size_t n = strlen(s->text);

    s->count++;
    snprintf(s->text + n, sizeof s->text - n, "%s=%s/%s=%s%s ", a->disk, a->disk_alias, a->bitmap, a->alias, a->set_persistent ? "!" : "");
}

static void test_aliases(void **state)
{
    static const struct gw_vm_ops vm_ops = {GW_SIZED(struct gw_vm_ops), .stop = no, .start = no, .running = running};
    const struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &vm_ops};
    static const struct gw_bitmap_alias aliases[] = {{"d", "x", "b", "y"}, {"d", "x", "c", "z", .set_persistent = true}};
    struct seen seen = {0};
    struct gw_vm *vm;

    assert_int_equal(gw_vm_new(&config, &vm, NULL), 0);
    assert_false(gw_vm_for_each_bitmap_alias(vm, see, &seen));
    assert_int_equal(gw_vm_map_bitmaps(vm, aliases, 0, NULL), 0);
    assert_true(gw_vm_for_each_bitmap_alias(vm, see, &seen));
    assert_int_equal(seen.count, 0);
    assert_int_equal(gw_vm_map_bitmaps(vm, aliases, 2, NULL), 0);
    assert_true(gw_vm_for_each_bitmap_alias(vm, see, &seen));
    assert_string_equal(seen.text, "d=x/b=y d=x/c=z! ");
    assert_int_equal(gw_vm_map_bitmaps(vm, NULL, 0, NULL), 0);
    assert_false(gw_vm_for_each_bitmap_alias(vm, see, &seen));
    assert_int_equal(seen.count, 2);
    gw_vm_free(vm);
}

static void test_section(void **state)
{
    static const struct gw_vm_ops vm_ops = {GW_SIZED(struct gw_vm_ops), .stop = no, .start = no, .running = running};
    static const struct gw_disk_ops ops = {GW_SIZED(struct gw_disk_ops), .read = read_disk};
    const struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &vm_ops};
    const struct gw_disk_desc desc = {.device = "d", .bytes = 1 << 20, .ops = &ops};
    const struct gw_bitmap_alias alias = {"d", "x", "b", "y"};
    struct gw_bitmap_config arriving = {.name = "b"};
    struct gw_bitmap_info info;
    struct gw_live *live = NULL;
    struct gw_disk *d;
    struct gw_vm *vm;
    uint32_t id;

    assert_int_equal(gw_vm_new(&config, &vm, NULL), 0);
    assert_int_equal(gw_vm_add_disk(vm, &desc, &d, NULL), 0);
    assert_int_equal(gw_vm_map_bitmaps(vm, &alias, 1, NULL), 0);
    assert_int_equal(gw_vm_bitmap_section(vm, true, &live, NULL), 0);
    id = live->section_id;
    assert_string_equal(gw_bitmap_map_at(gw_bitmap_live_of(live)->config.map, 0)->alias, "y");
    assert_int_equal(gw_vm_map_bitmaps(vm, NULL, 0, NULL), 0);
    assert_string_equal(gw_bitmap_map_at(gw_bitmap_live_of(live)->config.map, 0)->alias, "y"); /* it keeps its own */
    live = live->ops->free(live);
    assert_int_equal(gw_vm_bitmap_section(vm, true, &live, NULL), 0);
    assert_int_equal(live->section_id, id);
    assert_null(gw_bitmap_live_of(live)->config.map);
    live = live->ops->free(live);

    assert_int_equal(gw_disk_bitmap_arrive(d, &arriving, NULL), 0);
    gw_vm_begin_bitmaps(vm);
    assert_true(d->begun);
    gw_disk_wrote(d, 0, 1);
    assert_int_equal(gw_disk_bitmap_at(d, 0, &info), 0);
    assert_int_equal(info.dirty_bytes, 65536);
    gw_vm_stand_bitmaps(vm);
    assert_false(d->begun);
    gw_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_aliases), cmocka_unit_test(test_section)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
