/* SPDX-License-Identifier: MIT
 *
 * What is recorded of the batches that pass: which of them, in which runs, and what happens when it cannot be.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/source/around.h"
#include "ram/source/dirty.h"
#include "ram/source/record.h"

#define PAGE  4096u
#define PAGES 100u

static bool no_memory;

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes)
{
    return no_memory ? NULL : __real_calloc(n, bytes);
}

/* Between `requests` and `record`: fails when it is told to, and is seen to be freed. */
struct between {
    struct gw_around around;
    int fails;
    unsigned freed;
};

struct rig {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    struct between between;
    struct gw_source *source;
    struct gw_requests *requests;
    struct gw_working_set *set;
    struct gw_batch batch;
    uint8_t *mem;
};

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%s\n", err->text);
    assert_true(r >= 0);
}

static int between_next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct between *b = GW_CONTAINER(source, struct between, around.source);

    return b->fails ? gw_fail(err, b->fails, GW_BLAME_LOCAL, "a bad page") : b->around.inner->next(b->around.inner, batch, max, err);
}

static struct gw_source *between_free(struct gw_source *source)
{
    struct between *b = GW_CONTAINER(source, struct between, around.source);

    b->freed++;
    b->around.inner->free(b->around.inner);
    return NULL;
}

static int open_rig(void **state)
{
    struct rig *t = calloc(1, sizeof *t);
    struct gw_ram_desc d = {.name = "r", .used_bytes = PAGES * PAGE, .page_bytes = PAGE};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_source *s;

    must(gw_ram_init(&t->ram, PAGE, NULL, &err), &err);
    d.host = t->mem = aligned_alloc(PAGE, PAGES * PAGE);
    must(gw_ram_add(&t->ram, &d, &err), &err);
    must(gw_tracker_explicit_new(&t->ram, &t->tracker, &err), &err);
    must(gw_working_set_new(&t->set, &err), &err);
    must(gw_source_dirty_new(&t->ram, t->tracker, false, &s, &err), &err);
    must(gw_source_requests_new(s, &t->ram, &s, &t->requests, &err), &err);
    gw_around_init(&t->between.around, s);
    t->between.around.source.next = between_next;
    t->between.around.source.free = between_free;
    must(gw_source_record_new(&t->between.around.source, t->requests, &t->ram, t->set, &t->source, &err), &err);
    must(t->source->begin(t->source, (const bool[]){true}, &err), &err);
    gw_requests_open(t->requests);
    *state = t;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *t = *state;

    no_memory = false;
    if (t->source) {
        t->source->end(t->source);
        t->source->free(t->source);
    }
    gw_working_set_free(t->set);
    gw_tracker_free(t->tracker);
    gw_ram_close(&t->ram);
    free(t->mem);
    free(t);
    return 0;
}

static void ask(struct rig *t, uint64_t page, unsigned count)
{
    struct gw_error err = GW_ERROR_INIT;

    must(gw_requests_ask(t->requests, "r", page * PAGE, (uint64_t)count * PAGE, &err), &err);
}

/* Batches until this kind was given. */
static void until(struct rig *t, enum gw_requests_kind kind)
{
    struct gw_error err = GW_ERROR_INIT;

    do {
        must(t->source->next(t->source, &t->batch, 40, &err), &err);
        assert_true(t->batch.count > 0);
    } while (gw_requests_kind(t->requests) != kind);
}

static void is_run(const struct rig *t, size_t i, bool beside, uint64_t first, uint64_t count)
{
    const struct gw_working_run *run = &t->set->runs[i];

    assert_true(i < t->set->run_count);
    assert_string_equal(t->set->blocks[run->block].name, "r");
    assert_int_equal(run->beside, beside);
    assert_int_equal(run->first, first);
    assert_int_equal(run->count, count);
}

/* In the order in which they were given, a run for each piece without a gap; the block's length with it. */
static void test_runs(void **state)
{
    struct rig *t = *state;

    ask(t, 12, 1);
    ask(t, 10, 5); /* one of these has gone */
    until(t, GW_REQUESTS_BESIDE);
    assert_int_equal(t->set->run_count, 4);
    is_run(t, 0, false, 12, 1);
    is_run(t, 1, false, 10, 2);
    is_run(t, 2, false, 13, 2);
    is_run(t, 3, true, 15, 16);
    assert_int_equal(t->set->page_bytes, PAGE);
    assert_int_equal(t->set->blocks[0].pages, PAGES);
}

/* What comes in its turn is nothing that somebody wanted. */
static void test_in_turn(void **state)
{
    struct rig *t = *state;

    until(t, GW_REQUESTS_OTHER);
    assert_int_equal(t->set->run_count, 0);
    ask(t, 90, 1);
    until(t, GW_REQUESTS_BESIDE);
    until(t, GW_REQUESTS_OTHER);
    assert_int_equal(t->set->run_count, 2);
    is_run(t, 0, false, 90, 1);
    is_run(t, 1, true, 91, 9);
}

/* A batch that could not be filled leaves the record as it was, though the kind of the one before is still there. */
static void test_failed_batch(void **state)
{
    struct rig *t = *state;
    struct gw_error err = GW_ERROR_INIT;

    ask(t, 50, 1);
    until(t, GW_REQUESTS_ASKED);
    t->batch.page[0] = 99;
    t->between.fails = -EIO;
    assert_int_equal(t->source->next(t->source, &t->batch, 40, &err), -EIO);
    assert_string_equal(err.text, "a bad page");
    assert_int_equal(t->set->run_count, 1);
    is_run(t, 0, false, 50, 1);
}

/* A record that cannot be kept is not passed over in silence. */
static void test_cannot_be_kept(void **state)
{
    struct rig *t = *state;
    struct gw_error err = GW_ERROR_INIT;

    must(gw_working_set_add(t->set, 2 * PAGE, "r", PAGES / 2, false, 1, 1, &err), &err); /* pages of another size */
    ask(t, 50, 1);
    assert_int_equal(t->source->next(t->source, &t->batch, 40, &err), -EINVAL);
    assert_int_equal(t->set->run_count, 1);
}

/* It owns the source around which it is, also when it cannot be made. */
static void test_owns(void **state)
{
    struct rig *t = *state;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_source *none = NULL;

    t->source->end(t->source);
    t->source = t->source->free(t->source);
    assert_null(t->source);
    assert_int_equal(t->between.freed, 1);

    must(gw_source_dirty_new(&t->ram, t->tracker, false, &none, &err), &err);
    gw_around_init(&t->between.around, none);
    t->between.around.source.free = between_free;
    none = NULL;
    no_memory = true;
    assert_int_equal(gw_source_record_new(&t->between.around.source, t->requests, &t->ram, t->set, &none, &err), -ENOMEM);
    no_memory = false;
    assert_null(none);
    assert_int_equal(t->between.freed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runs, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_in_turn, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_failed_batch, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_cannot_be_kept, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_owns, open_rig, close_rig),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
