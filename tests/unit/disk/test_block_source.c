/* SPDX-License-Identifier: MIT
 *
 * The source's half of the section: which records come, what is pending, what is released and when.
 */
#include <stdio.h>

#include "disk/block.h"

#include "block_rig.h"

struct budget {
    struct gw_budget budget;
    unsigned calls;
};

/* One chunk at a time. */
static bool spent(struct gw_budget *b, uint64_t bytes)
{
    GW_CONTAINER(b, struct budget, budget)->calls++;
    return true;
}

static struct gw_live *source(struct gw_disk *const *disks, unsigned count, bool zeros, struct gw_writer *w)
{
    struct gw_block_config config = {.disks = disks, .count = count, .section_id = 3, .zeros = zeros};
    struct gw_live *live = NULL;

    assert_int_equal(gw_block_source_new(&config, &live, NULL), 0);
    assert_int_equal(gw_writer_init_memory(w, NULL), 0);
    assert_int_equal(live->ops->setup(live, w, NULL), 0);
    return live;
}

static uint64_t pending(struct gw_live *live, bool exact, uint64_t *fresh)
{
    struct gw_pending p;

    assert_int_equal(live->ops->pending(live, exact, &p, NULL), 0);
    assert_int_equal(p.can_postcopy_bytes, 0);
    *fresh = p.fresh_bytes;
    return p.must_precopy_bytes;
}

/* The records so far, as "50%", "d:1" (with contents), "d:2z", "end"; the writer is closed. */
static void records_are(struct gw_writer *w, const char *want)
{
    char text[600] = "";
    size_t bytes, n = 0;
    const uint8_t *data = gw_writer_data(w, &bytes);
    struct gw_in in;

    gw_in_memory(&in, data, bytes, 0);
    while (gw_in_buffered(&in)) {
        struct gw_block_record r;

        assert_int_equal(gw_block_get(&in, &r, NULL), 0);
        n += (size_t)(r.kind == GW_BLOCK_END ? snprintf(text + n, sizeof text - n, "end ")
                      : r.kind == GW_BLOCK_PROGRESS
                          ? snprintf(text + n, sizeof text - n, "%u%% ", r.percent)
                          : snprintf(text + n, sizeof text - n, "%s:%u%s ", r.name, (unsigned)(r.offset / MIB),
                                     r.zero ? "z" : ""));
        assert_true(n < sizeof text);
        if (r.kind == GW_BLOCK_CHUNK && !r.zero)
            assert_int_equal(gw_get_discard(&in, MIB, NULL), 0);
    }
    assert_string_equal(text, want);
    gw_writer_close(w);
}

static void test_records(void **state)
{
    struct block_rig *a = block_rig_new("a", 2 * MIB, 5, false), *b = block_rig_new("b", MIB + 512, 0, false);
    struct gw_disk *disks[] = {a->disk, b->disk};
    struct budget budget = {.budget = {.spent = spent, .batch_bytes = 1}};
    struct gw_progress sum = {0};
    struct gw_writer w;
    struct gw_live *live = source(disks, 2, true, &w);
    uint64_t fresh;

    assert_int_equal(pending(live, false, &fresh), 4 * MIB);
    assert_true(live->ops->first(live));
    assert_int_equal(live->ops->step(live, &w, &budget.budget, NULL), 0);
    assert_int_equal(pending(live, false, &fresh), 3 * MIB); /* also what was read ahead */
    gw_disk_wrote(a->disk, 1, 1);
    assert_true(pending(live, true, &fresh) >= 3 * MIB);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(live->ops->first(live));
        assert_int_equal(live->ops->step(live, &w, &budget.budget, NULL), 0);
    }
    assert_false(live->ops->first(live));
    live->ops->progress(live, &sum);
    assert_int_equal(sum.disk.total_bytes, 3 * MIB + 512);
    assert_int_equal(sum.disk.transferred_bytes, 3 * MIB + 512);
    assert_int_equal(sum.disk.remaining_bytes, MIB);
    assert_int_equal(sum.total_bytes + sum.remaining_bytes, 0);
    /* As often as it takes, once in each round. */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(live->ops->step(live, &w, &budget.budget, NULL), 0);
        assert_int_equal(live->ops->step(live, &w, &budget.budget, NULL), 1);
        gw_disk_wrote(a->disk, 1, 1);
        assert_int_equal(pending(live, false, &fresh), 0);
        assert_int_equal(pending(live, true, &fresh), MIB);
        assert_int_equal(fresh, MIB);
    }
    gw_disk_wrote(b->disk, MIB, 1); /* behind the look */
    assert_int_equal(live->ops->complete(live, &w, NULL), 0);
    assert_int_equal(a->disk->blocker_count, 0); /* before the devices */
    records_are(&w, "end a:0 25% end a:1 50% end b:0z 75% end b:1z 100% end a:0 end end a:0 end end a:0 b:1z 100% end ");
    live->ops->cleanup(live);
    live->ops->free(live);
    block_rig_free(a);
    block_rig_free(b);
}

static void test_zeros_sent(void **state)
{
    struct block_rig *a = block_rig_new("a", MIB, 0, false);
    struct gw_writer w;
    struct gw_live *live = source(&a->disk, 1, false, &w);

    assert_int_equal(live->ops->step(live, &w, NULL, NULL), 1);
    assert_int_equal(atomic_load(&a->reads), 0);
    records_are(&w, "end a:0 100% end ");
    live->ops->free(live);
    block_rig_free(a);
}

static void test_nothing(void **state)
{
    struct block_rig *a = block_rig_new("a", MIB, 1, true);
    struct gw_writer w;
    struct gw_live *live = source(&a->disk, 1, false, &w);
    uint64_t fresh;

    assert_int_equal(pending(live, true, &fresh), 0);
    assert_false(live->ops->first(live));
    assert_int_equal(live->ops->step(live, &w, NULL, NULL), 1);
    assert_int_equal(live->ops->complete(live, &w, NULL), 0);
    records_are(&w, "end end 100% end ");
    live->ops->free(live);
    block_rig_free(a);
}

/* Given up anywhere. */
static void test_cleanup(void **state)
{
    for (unsigned steps = 0; steps < 5; steps++) {
        struct block_rig *a = block_rig_new("a", 40 * MIB, 1, false);
        struct budget budget = {.budget = {.spent = spent}};
        struct gw_writer w;
        struct gw_live *live = source(&a->disk, 1, false, &w);

        for (unsigned i = 0; i < steps; i++)
            assert_int_equal(live->ops->step(live, &w, &budget.budget, NULL), 0);
        atomic_store(&a->fail, -EIO);
        if (steps == 4)
            assert_int_equal(live->ops->complete(live, &w, NULL), -EIO);
        live->ops->cleanup(live);
        assert_int_equal(a->disk->blocker_count, 0);
        live->ops->cleanup(live);
        live->ops->free(live);
        gw_writer_close(&w);
        block_rig_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_zeros_sent),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_cleanup),
    };

    return cmocka_run_group_tests_name("block_source", tests, NULL, NULL);
}
