/* SPDX-License-Identifier: MIT
 *
 * Pages of a working set before all others; what is recorded is what was asked for, and what went beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/source/dirty.h"
#include "ram/source/prefer.h"
#include "ram/source/record.h"

#define PAGE  4096u
#define SMALL 600u
#define PER   16u /* target pages of a host page of "large" */
#define LARGE (10 * PER)

struct rig {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    struct gw_source *source;
    struct gw_requests *requests;
    struct gw_prefer *prefer;
    struct gw_working_set *set, *recorded;
    struct gw_batch batch;
    uint8_t *mem[2];
    bool given[2][SMALL];
};

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%s\n", err->text);
    assert_true(r >= 0);
}

static int open_rig(void **state)
{
    struct rig *t = calloc(1, sizeof *t);
    struct gw_error err = GW_ERROR_INIT;

    must(gw_ram_init(&t->ram, PAGE, NULL, &err), &err);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_ram_desc d = {.name = i ? "large" : "small",
                                .used_bytes = (uint64_t)(i ? LARGE : SMALL) * PAGE,
                                .page_bytes = i ? PER * PAGE : PAGE,
                                .gpa = (uint64_t)i << 32};

        d.host = t->mem[i] = aligned_alloc(PER * PAGE, (size_t)(SMALL / PER + 1) * PER * PAGE);
        must(gw_ram_add(&t->ram, &d, &err), &err);
    }
    must(gw_tracker_explicit_new(&t->ram, &t->tracker, &err), &err);
    must(gw_working_set_new(&t->set, &err), &err);
    must(gw_working_set_new(&t->recorded, &err), &err);
    *state = t;
    return 0;
}

static void make(struct rig *t)
{
    static const bool goes[2] = {true, true};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_source *s;

    must(gw_source_dirty_new(&t->ram, t->tracker, false, &s, &err), &err);
    must(gw_source_prefer_new(s, &t->ram, t->set, &s, &t->prefer, &err), &err);
    must(gw_source_requests_new(s, &t->ram, &s, &t->requests, &err), &err);
    must(gw_source_record_new(s, t->requests, &t->ram, t->recorded, &t->source, &err), &err);
    must(t->source->begin(t->source, goes, &err), &err);
    gw_requests_open(t->requests);
}

static int close_rig(void **state)
{
    struct rig *t = *state;

    t->source->end(t->source);
    t->source->free(t->source);
    gw_working_set_free(t->set);
    gw_working_set_free(t->recorded);
    gw_tracker_free(t->tracker);
    gw_ram_close(&t->ram);
    free(t->mem[0]);
    free(t->mem[1]);
    free(t);
    return 0;
}

static unsigned take(struct rig *t, unsigned max)
{
    struct gw_batch *b = &t->batch;

    assert_int_equal(t->source->next(t->source, b, max, NULL), 0);
    for (unsigned i = 0; i < b->count; i++) {
        assert_false(t->given[b->block->index][b->page[i]]);
        t->given[b->block->index][b->page[i]] = true;
    }
    return b->count;
}

static void expect(struct rig *t, unsigned max, const char *block, uint64_t first, unsigned count)
{
    assert_int_equal(take(t, max), count);
    assert_string_equal(t->batch.block->name, block);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(t->batch.page[i], first + i);
}

static void prefer(struct rig *t, const char *block, uint64_t first, uint64_t count)
{
    must(gw_working_set_add(t->set, PAGE, block, 1u << 20, false, first, count, NULL), NULL);
}

static void beside(struct rig *t, const char *block, uint64_t first, uint64_t count)
{
    must(gw_working_set_add(t->set, PAGE, block, 1u << 20, true, first, count, NULL), NULL);
}

static void ask(struct rig *t, const char *block, uint64_t page, unsigned count)
{
    struct gw_error err = GW_ERROR_INIT;

    must(gw_requests_ask(t->requests, block, page * PAGE, (uint64_t)count * PAGE, &err), &err);
}

static void all_came(struct rig *t)
{
    while (take(t, 100))
        ;
    assert_int_equal(t->source->pending(t->source), 0);
    for (unsigned i = 0; i < SMALL; i++)
        assert_true(t->given[0][i]);
    for (unsigned i = 0; i < LARGE; i++)
        assert_true(t->given[1][i]);
}

static void test_order(void **state)
{
    struct rig *t = *state;

    prefer(t, "small", 500, 3);
    beside(t, "small", 503, 16); /* behind all that was asked for */
    prefer(t, "large", 2 * PER + 5, 1); /* of a host page all goes */
    prefer(t, "small", 100, 20);
    make(t);
    expect(t, 100, "small", 500, 3);
    expect(t, 100, "large", 2 * PER, PER);
    expect(t, 8, "small", 100, 8);
    assert_true(gw_prefer_wanted(t->prefer));
    ask(t, "small", 110, 1); /* who waits comes before */
    expect(t, 100, "small", 110, 1);
    expect(t, 100, "small", 111, 16); /* and its neighbours */
    expect(t, 100, "small", 108, 2);
    assert_false(gw_prefer_wanted(t->prefer));
    expect(t, 100, "small", 503, 16);
    expect(t, 5, "small", 0, 5);
    all_came(t);
}

/* What the machine does not have, and what has gone, is passed over. */
static void test_does_not_fit(void **state)
{
    struct rig *t = *state;

    prefer(t, "other", 0, 100);
    prefer(t, "small", SMALL - 2, 10);
    prefer(t, "small", SMALL + 1, 10);
    prefer(t, "small", SMALL - 2, 1);
    prefer(t, "large", UINT32_MAX, 1);
    assert_int_equal(gw_prefer_dropped(&t->ram, t->set), 100 + 8 + 10 + 1);
    make(t);
    expect(t, 100, "small", SMALL - 2, 2);
    expect(t, 1, "small", 0, 1);
    all_came(t);
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

    prefer(t, "small", 400, 4);
    make(t);
    ask(t, "small", 300, 1);
    ask(t, "large", PER, PER);
    ask(t, "small", 300, 1); /* it has gone */
    expect(t, 100, "small", 300, 1);
    expect(t, 100, "large", PER, PER);
    expect(t, 3 * PER, "large", 2 * PER, 8 * PER); /* its neighbours, to the end of the block */
    expect(t, 100, "small", 400, 4);
    all_came(t);
    /* What came of its own accord is not in it, nor what the working set had. */
    assert_int_equal(t->recorded->run_count, 3);
    is_run(t->recorded, 0, "small", false, 300, 1);
    is_run(t->recorded, 1, "large", false, PER, PER);
    is_run(t->recorded, 2, "large", true, 2 * PER, 8 * PER);
    assert_int_equal(t->recorded->page_bytes, PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_does_not_fit, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_record, open_rig, close_rig),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
