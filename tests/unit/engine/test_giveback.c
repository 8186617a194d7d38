/* SPDX-License-Identifier: MIT
 *
 * When the source gives memory back: not before the machine runs there, and behind marks that were answered.
 */
#include "source.h"

#include "ram/source/dirty.h"

static struct gw_error err;
static struct gw_source *source;

static int up(void **state)
{
    if (source_up(state) || gw_source_dirty_new(&rig.vm->ram, rig.vm->tracker, false, &source, &err) ||
        gw_source_giveback_new(source, &rig.vm->ram, &source, &s->plan.giveback, &err) ||
        source->begin(source, (const bool[]){true}, &err))
        return -1;
    s->grammar = GW_GRAMMAR_POSTCOPY;
    return 0;
}

static int down(void **state)
{
    source->end(source);
    source->free(source);
    return source_down(state);
}

/* As if `times` as many pages as make a mark worth it had been sent. */
static void sends(unsigned times)
{
    static struct gw_batch batch;

    assert_int_equal(source->take(source, &batch, rig.vm->ram.blocks[0], 0, RIG_PAGES, &err), 0);
    batch.from = source;
    batch.count = RIG_PAGES;
    for (unsigned i = 0; i < times * GW_GIVEBACK_MARK_PAGES; i += RIG_PAGES)
        source->sent(source, &batch);
}

static void runs(void)
{
    assert_int_equal(gw_send_giveback_begin(s, &err), 0);
    source_phase(GW_PHASE_OFFERED_POSTCOPY);
    gw_session_enter(&s->session, GW_PHASE_POSTCOPY);
}

static void test_not_yet(void **state)
{
    assert_int_equal(gw_send_giveback_begin(s, &err), 0);
    source_phase(GW_PHASE_OFFERED_POSTCOPY);
    sends(2);
    assert_int_equal(gw_send_giveback(s, &err), 0);
    assert_string_equal(flushed(), "");
    assert_false(s->gave);
    assert_false(gw_vm_memory_given(rig.vm));
}

/* One mark at a time, each with a number of its own; only its answer counts. */
static void test_marks(void **state)
{
    runs();
    assert_int_equal(gw_send_giveback(s, &err), 0);
    assert_true(s->gave);
    assert_string_equal(sent(), "");
    sends(1);
    assert_int_equal(gw_send_giveback(s, &err), 0);
    assert_string_equal(sent(), "0800020004" "00010000");
    sends(1);
    s->rp.marked = 0x10001;
    assert_int_equal(gw_send_giveback(s, &err), 0);
    assert_string_equal(sent(), "");
    assert_false(gw_vm_memory_given(rig.vm));
    s->rp.marked = 0x10000;
    assert_int_equal(gw_send_giveback(s, &err), 0);
    assert_string_equal(sent(), "0800020004" "00010001");
    assert_true(gw_vm_memory_given(rig.vm));
    assert_int_equal(rig.ram[0], 0);
}

static void test_all(void **state)
{
    runs();
    gw_send_giveback_end(s);
    assert_true(gw_vm_memory_given(rig.vm));
    assert_int_equal(rig.ram[(RIG_PAGES - 1) * RIG_PAGE], 0);
    assert_int_equal(rig.ram[RIG_PAGES * RIG_PAGE], 1); /* behind what the block uses */
}

static void test_off(void **state)
{
    struct gw_giveback *g = s->plan.giveback;

    s->plan.giveback = NULL;
    runs();
    sends(1);
    assert_int_equal(gw_send_giveback(s, &err), 0);
    gw_send_giveback_end(s);
    assert_string_equal(flushed(), "");
    assert_false(gw_vm_memory_given(rig.vm));
    s->plan.giveback = g;
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_not_yet), T(test_marks), T(test_all), T(test_off)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
