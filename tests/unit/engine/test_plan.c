/* SPDX-License-Identifier: MIT
 *
 * What options become: which plugs there are, and which options do not go together with what the machine or the address is.
 */
#include "plan_rig.h"

static void test_pages_by(void **state)
{
    struct gw_options *o = gw_vm_options(rig.vm);

    assert_int_equal(gw_plan_pages_by(o), GW_PAGES_BY_STREAM);
    rig_cap("multifd");
    assert_int_equal(gw_plan_pages_by(o), GW_PAGES_BY_CHANNELS);
    rig_cap("mapped-ram");
    assert_int_equal(gw_plan_pages_by(o), GW_PAGES_BY_FILE);
}

static void test_plain(void **state)
{
    struct gw_progress p;

    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0);
    assert_int_equal(plan.lives, 1);
    assert_null(plan.xbzrle);
    assert_null(plan.requests);
    assert_null(plan.snapshot);
    assert_false(ram()->config.postcopy || ram()->config.ignore_shared);
    assert_int_equal(ram()->live.section_id, rig.vm->ram_section_id);
    p = gw_plan_progress(&plan);
    assert_int_equal(p.remaining_bytes, 0); /* nothing has begun */
    gw_plan_close(&plan);
    gw_plan_close(&plan); /* of zeros: nothing */
}

static void test_postcopy(void **state)
{
    rig_cap("postcopy-ram");
    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0);
    assert_non_null(plan.requests);
    assert_true(ram()->config.postcopy);
}

/* On lanes pages that nobody waits for are in front of none that somebody waits for: many go in one step. */
static void test_follow(void **state)
{
    struct gw_plan_follow few = gw_plan_follow_limited();

    rig_cap("postcopy-ram");
    gw_plan_decide(&plan, rig.vm->options);
    assert_memory_equal(&plan.ways.follow, &few, sizeof few);
    rig_cap("multifd");
    gw_plan_decide(&plan, rig.vm->options);
    assert_true(plan.ways.lanes_follow);
    assert_true(plan.ways.follow.step_bytes > few.step_bytes && plan.ways.follow.batch_bytes > few.batch_bytes);
    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0); /* without channels */
    assert_false(plan.ways.lanes_follow);
    assert_memory_equal(&plan.ways.follow, &few, sizeof few);
}

static void test_ignore_shared(void **state)
{
    rig_cap("x-ignore-shared");
    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0);
    assert_true(ram()->config.ignore_shared);
}

static int take(void *opaque, const struct gw_transport_page *page, struct gw_error *err)
{
    return GW_TAKE_DECLINED;
}

static int record(void *opaque, struct gw_transport_in *in, struct gw_error *err)
{
    return 0;
}

static void test_transport(void **state)
{
    struct gw_page_transport_ops ops = {GW_SIZED(struct gw_page_transport_ops), .take = take, .record = record};
    static const char *const not_with[] = {"xbzrle", "compress", "multifd", "mapped-ram", "postcopy-ram"};
    struct gw_options *o = gw_vm_options(rig.vm);

    assert_int_equal(gw_vm_set_page_transport(rig.vm, &ops, NULL, NULL), 0);
    for (unsigned i = 0; i < GW_ARRAY_LEN(not_with); i++) {
        char text[120];

        snprintf(text, sizeof text, "a page transport cannot be used together with capability %s: turn it off", not_with[i]);
        rig_cap(not_with[i]);
        send_fails(-EINVAL, text);
        assert_int_equal(gw_plan_recv(&plan, rig.vm, &pages, NULL), -EINVAL);
        assert_int_equal(gw_options_set_capability(o, not_with[i], false, NULL), 0);
    }
    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0);
    assert_ptr_equal(ram()->config.transport, rig.vm->transport);
    gw_plan_close(&plan);
    assert_int_equal(gw_plan_recv(&plan, rig.vm, &pages, NULL), 0);
    assert_non_null(ram()->in->hook);
}

/* Sections of their own, in the order that they have. */
static struct gw_live *other_free(struct gw_live *l)
{
    free(l);
    return NULL;
}

static void other_progress(struct gw_live *l, struct gw_progress *sum)
{
    sum->remaining_bytes += 5;
}

static const struct gw_live_ops before_ops = {.id = "before", .order = GW_RAM_ORDER - 1, .free = other_free,
    .progress = other_progress},
                                behind_ops = {.id = "behind", .order = GW_RAM_ORDER + 1, .free = other_free,
                                    .progress = other_progress};
static int make_fails;

static int make(void *opaque, struct gw_live **ret, struct gw_error *err)
{
    if (make_fails)
        return gw_fail(err, make_fails, GW_BLAME_LOCAL, "no section");
    *ret = calloc(1, sizeof **ret);
    (*ret)->ops = opaque;
    return 0;
}

static void add_live(const struct gw_live_ops *ops)
{
    rig.vm->live[rig.vm->lives].make = make;
    rig.vm->live[rig.vm->lives++].opaque = (void *)ops;
}

static void test_order(void **state)
{
    add_live(&behind_ops);
    add_live(&before_ops);
    for (int recv = 0; recv < 2; recv++) {
        assert_int_equal((recv ? gw_plan_recv : gw_plan_send)(&plan, rig.vm, &pages, NULL), 0);
        assert_int_equal(plan.lives, 3 + recv); /* a source of dirty bitmaps needs the capability */
        assert_string_equal(plan.live[0]->ops->id, "before");
        assert_string_equal(plan.live[1]->ops->id, "ram");
        assert_string_equal(plan.live[2]->ops->id, "behind");
        if (recv)
            assert_string_equal(plan.live[3]->ops->id, "dirty-bitmap");
        assert_int_equal(gw_plan_progress(&plan).remaining_bytes, 10);
        gw_plan_close(&plan);
    }
    make_fails = -ENOSPC;
    send_fails(-ENOSPC, "no section");
    make_fails = 0;
}

/* What a section sends while the machine runs on is not of the moment. */
static void test_snapshot(void **state)
{
    add_live(&behind_ops);
    /* The host may not be able to; that is not what this is about. */
    gw_options_guard(gw_vm_options(rig.vm), GW_CAP_BACKGROUND_SNAPSHOT, NULL, NULL);
    rig_cap("background-snapshot");
    send_fails(-ENOTSUP, "capability background-snapshot: this machine has live sections besides its RAM, which a background snapshot cannot save");
    rig.vm->lives = 0;
    assert_int_equal(gw_plan_send(&plan, rig.vm, &pages, NULL), 0);
    assert_ptr_equal(plan.snapshot, plan.live[0]);
    assert_true(ram()->source->once);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_pages_by), T(test_plain), T(test_postcopy), T(test_follow), T(test_ignore_shared), T(test_transport),
        T(test_order), T(test_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
