/* SPDX-License-Identifier: MIT
 *
 * How tended convergence meets the options: the limit that holds, what throttling goes by, what is told.
 * (What it decides: policy/test_tend.c.)
 */
#include "rig.h"

#include "engine/send.h"

static struct gw_send *s;

static int up_on(const struct gw_vm_ops *ops)
{
    if (rig_up_as("m", ops))
        return -1;
    s = calloc(1, sizeof *s);
    gw_tend_init(&s->tend);
    return gw_session_init(&s->session, rig.vm, rig_event, NULL, NULL);
}

static void on(const char *name)
{
    rig_cap(name);
    gw_plan_decide(&s->plan, gw_vm_options(rig.vm));
}

static int up(void **state)
{
    return up_on(NULL);
}

static int down(void **state)
{
    gw_session_close(&s->session);
    free(s);
    return rig_down(state);
}

/* 100 MiB/s and a rest of 60 MiB: 600 ms, where 300 are allowed. */
static void ask(uint64_t at_ms, uint64_t mib)
{
    const struct gw_switch_in in = {.now_ns = at_ms * GW_NS_PER_MS, .pending_bytes = mib << 20};
    const struct gw_switch_out out = {.predicted_ns = mib * 10 * GW_NS_PER_MS};

    s->bandwidth.typical_bytes_per_s = 100 << 20;
    gw_send_tend(s, &in, &out);
}

static void test_off(void **state)
{
    for (unsigned i = 0; i < 100; i++)
        ask(1000 + i * 1000, 60);
    assert_int_equal(gw_send_limit(s), 300 * GW_NS_PER_MS);
    assert_int_equal(s->session.stats.downtime_limit_ns, 0);
    rig_said("");
}

/* It is raised step by step as far as it takes, and people are told. */
static void test_raised(void **state)
{
    on("x-godwit-tended-convergence");
    assert_int_equal(gw_send_limit(s), 300 * GW_NS_PER_MS);
    for (unsigned i = 0; i < 100; i++)
        ask(1000 + i * 1000, 60);
    assert_true(gw_send_limit(s) >= 600 * GW_NS_PER_MS && gw_send_limit(s) <= 3000 * GW_NS_PER_MS);
    assert_int_equal(s->session.stats.downtime_limit_ns, gw_send_limit(s));
    assert_true(s->session.stats.tended[0]);
    assert_non_null(strstr(rig.log, s->session.stats.tended));
}

/* The ceiling: ten times the limit, or what was set; never below the limit. */
static void ceiling(const char *value, uint64_t limit_ms)
{
    rig_param("x-godwit-downtime-ceiling", value);
    gw_tend_init(&s->tend);
    for (unsigned i = 0; i < 1000; i++)
        ask(1000 + i * 1000, 10000);
    assert_int_equal(gw_send_limit(s), limit_ms * GW_NS_PER_MS);
}

static void test_ceiling(void **state)
{
    on("x-godwit-tended-convergence");
    ceiling("0", 3000);
    ceiling("700", 700);
    ceiling("100", 300);
}

static void test_throttle(void **state)
{
    rig_param("cpu-throttle-initial", "21");
    rig_param("cpu-throttle-increment", "11");
    rig_param("max-cpu-throttle", "91");
    rig_param("throttle-trigger-threshold", "51");
    rig_param("vcpu-dirty-limit", "3");
    assert_false(gw_send_throttle(s).auto_converge || gw_send_throttle(s).dirty_limit);
    on("auto-converge");
    assert_true(gw_send_throttle(s).auto_converge);
    assert_int_equal(gw_send_throttle(s).initial, 21);
    assert_int_equal(gw_send_throttle(s).increment, 11);
    assert_int_equal(gw_send_throttle(s).max, 91);
    assert_int_equal(gw_send_throttle(s).trigger_percent, 51);
    assert_int_equal(gw_send_throttle(s).vcpu_bytes_per_s, 3000000);
}

/* Tended, it comes last: not before that is said, and then also where nothing was turned on. */
static void test_throttle_last(void **state)
{
    on("x-godwit-tended-convergence");
    on("auto-converge");
    assert_false(gw_send_throttle(s).auto_converge);
    s->tended_throttle = true;
    assert_true(gw_send_throttle(s).auto_converge);
    gw_options_set_capability(gw_vm_options(rig.vm), "auto-converge", false, NULL);
    assert_true(gw_send_throttle(s).auto_converge);
}

static void test_cannot_throttle(void **state)
{
    rig_down(NULL);
    gw_session_close(&s->session);
    free(s);
    assert_int_equal(up_on(&rig_bare_ops), 0);
    on("x-godwit-tended-convergence");
    s->tended_throttle = true;
    assert_false(gw_send_throttle(s).auto_converge);
    for (unsigned i = 0; i < 1000; i++)
        ask(1000 + i * 1000, 10000);
    assert_false(s->tended_throttle);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_off),      T(test_raised),        T(test_ceiling),
                                       T(test_throttle), T(test_throttle_last), T(test_cannot_throttle)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
