/* SPDX-License-Identifier: MIT
 *
 * Pages of a working set before all others; what is recorded is what was asked for, and what went beside it.
 */
#include <stdio.h>

#define LARGE (10 * PER)
#include "asked.h"

#include "ram/source/prefer.h"
#include "ram/source/record.h"

static struct gw_prefer *preferred;
static struct gw_working_set *wanted, *recorded;
static struct gw_source_range told[20]; /* to a source that reads ahead */
static size_t told_count, took;

static int note(struct gw_source *s, const struct gw_source_range *ranges, size_t count, struct gw_error *err)
{
    assert_true(count <= GW_ARRAY_LEN(told));
    memcpy(told, ranges, count * sizeof *told);
    told_count = count;
    return 0;
}

/* Is what was told, in this order, or a part of it. */
static int take_told(struct gw_source *s, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    while (took < told_count && (told[took].block != b || first < told[took].first || first + count > told[took].first + told[took].count))
        took++;
    assert_true(took < told_count);
    return s->take(s, batch, b, first, count, err);
}

static int open_rig(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    *state = rig_new();
    must(gw_working_set_new(&wanted, &err), &err);
    must(gw_working_set_new(&recorded, &err), &err);
    return 0;
}

static bool reads_ahead;

static void make(struct rig *t)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_source *s;

    must(gw_source_dirty_new(&t->ram, t->tracker, false, &s, &err), &err);
    if (reads_ahead) {
        s->expect = note;
        s->take_expected = take_told;
    }
    must(gw_source_prefer_new(s, &t->ram, wanted, &s, &preferred, &err), &err);
    must(gw_source_requests_new(s, &t->ram, &s, &t->requests, &err), &err);
    must(gw_source_record_new(s, t->requests, &t->ram, recorded, &t->source, &err), &err);
    rig_begin(t);
    gw_requests_open(t->requests);
}

static int close_rig(void **state)
{
    rig_free(*state);
    gw_working_set_free(wanted);
    gw_working_set_free(recorded);
    return 0;
}

static void prefer(const char *block, uint64_t first, uint64_t count)
{
    must(gw_working_set_add(wanted, PAGE, block, 1u << 20, false, first, count, NULL), NULL);
}

static void beside(const char *block, uint64_t first, uint64_t count)
{
    must(gw_working_set_add(wanted, PAGE, block, 1u << 20, true, first, count, NULL), NULL);
}

static void test_order(void **state)
{
    struct rig *t = *state;

    prefer("small", 500, 3);
    beside("small", 503, 16); /* behind all that was asked for */
    prefer("large", 2 * PER + 5, 1); /* of a host page all goes */
    prefer("small", 100, 20);
    make(t);
    expect(t, 100, "small", 500, 3);
    expect(t, 100, "large", 2 * PER, PER);
    expect(t, 8, "small", 100, 8);
    assert_true(gw_prefer_wanted(preferred));
    ask(t, "small", 110, 1); /* who waits comes before */
    expect(t, 100, "small", 110, 1);
    expect(t, 100, "small", 111, 16); /* and its neighbours */
    expect(t, 100, "small", 108, 2);
    assert_false(gw_prefer_wanted(preferred));
    expect(t, 100, "small", 503, 16);
    expect(t, 5, "small", 0, 5);
    all_came(t, 100);
}

static void test_told(void **state)
{
    struct rig *t = *state;

    reads_ahead = true;
    took = 0;
    prefer("small", 500, 3);
    beside("small", 503, 16);
    prefer("other", 0, 100);
    prefer("large", 2 * PER + 5, 1);
    prefer("small", 100, 20);
    make(t);
    reads_ahead = false;
    assert_int_equal(told_count, 4);
    assert_int_equal(told[0].first, 500);
    assert_int_equal(told[1].first, 2 * PER);
    assert_int_equal(told[1].count, PER);
    assert_int_equal(told[2].count, 20);
    assert_int_equal(told[3].first, 503);
    expect(t, 100, "small", 500, 3);
    expect(t, 100, "large", 2 * PER, PER);
    expect(t, 8, "small", 100, 8);
    assert_int_equal(took, 2);
    all_came(t, 100);
    assert_int_equal(took, 3);
}

/* What the machine does not have, and what has gone, is passed over. */
static void test_does_not_fit(void **state)
{
    struct rig *t = *state;

    prefer("other", 0, 100);
    prefer("small", SMALL - 2, 10);
    prefer("small", SMALL + 1, 10);
    prefer("small", SMALL - 2, 1);
    prefer("large", UINT32_MAX, 1);
    assert_int_equal(gw_prefer_dropped(&t->ram, wanted), 100 + 8 + 10 + 1);
    make(t);
    expect(t, 100, "small", SMALL - 2, 2);
    expect(t, 1, "small", 0, 1);
    all_came(t, 100);
}

static void is_run(const struct gw_working_set *set, size_t i, const char *block, bool beside, uint64_t first, uint64_t count)
{
    assert_true(i < set->run_count);
    assert_string_equal(set->blocks[set->runs[i].block].name, block);
    assert_int_equal(set->runs[i].beside, beside);
    assert_int_equal(set->runs[i].first, first);
    assert_int_equal(set->runs[i].count, count);
}

static void test_record(void **state)
{
    struct rig *t = *state;

    prefer("small", 400, 4);
    make(t);
    ask(t, "small", 300, 1);
    ask(t, "large", PER, PER);
    ask(t, "small", 300, 1); /* it has gone */
    expect(t, 100, "small", 300, 1);
    expect(t, 100, "large", PER, PER);
    expect(t, 3 * PER, "large", 2 * PER, 8 * PER); /* its neighbours, to the end of the block */
    expect(t, 100, "small", 400, 4);
    all_came(t, 100);
    /* What came of its own accord is not in it, nor what the working set had. */
    assert_int_equal(recorded->run_count, 3);
    is_run(recorded, 0, "small", false, 300, 1);
    is_run(recorded, 1, "large", false, PER, PER);
    is_run(recorded, 2, "large", true, 2 * PER, 8 * PER);
    assert_int_equal(recorded->page_bytes, PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_told, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_does_not_fit, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_record, open_rig, close_rig),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
