/* SPDX-License-Identifier: MIT
 *
 * Dirty rates and limits as QMP has them: answers are those that QEMU 10.0 gives, messages are our own.
 */
#include "rig.h"

#define CALC(args) "{\"execute\":\"calc-dirty-rate\",\"arguments\":{" args "}}"

/* What the control's thread does is behind what was written before, and ahead of what is read after. */
static void asked(struct client *cl, const char *text, const char *want)
{
    fake_now();
    ask(cl, text, want);
    fake_now();
}

static void test_calc(void **state)
{
    static const struct {
        const char *args;
        struct gw_dirty_rate_config want;
    } good[] = {
        {CALC("\"calc-time\":1"), {GW_DIRTY_RATE_SAMPLING, GW_NS_PER_S, 0}},
        {CALC("\"calc-time\":2,\"calc-time-unit\":\"second\""), {GW_DIRTY_RATE_SAMPLING, 2 * GW_NS_PER_S, 0}},
        {CALC("\"calc-time\":250,\"calc-time-unit\":\"millisecond\",\"sample-pages\":777"),
         {GW_DIRTY_RATE_SAMPLING, 250 * GW_NS_PER_MS, 777}},
        {CALC("\"calc-time\":60,\"mode\":\"dirty-bitmap\""), {GW_DIRTY_RATE_BITMAP, 60 * GW_NS_PER_S, 0}},
        {CALC("\"calc-time\":1,\"mode\":\"dirty-ring\""), {GW_DIRTY_RATE_VCPUS, GW_NS_PER_S, 0}},
        /* To be refused by the library, whose 0 is another word for 512. */
        {CALC("\"calc-time\":1,\"sample-pages\":0"), {GW_DIRTY_RATE_SAMPLING, GW_NS_PER_S, 1}},
        {CALC("\"calc-time\":1,\"sample-pages\":-5"), {GW_DIRTY_RATE_SAMPLING, GW_NS_PER_S, 1}},
        {CALC("\"calc-time\":1,\"sample-pages\":4294967809"), {GW_DIRTY_RATE_SAMPLING, GW_NS_PER_S, 1000000}},
    };
    static const char *const bad[][2] = {
        {CALC(""), E("argument 'calc-time' is missing")},
        {CALC("\"calc-time\":0"), E("no time")},
        {CALC("\"calc-time\":-1"), E("no time")},
        {CALC("\"calc-time\":9223372036854775807"), E("no time")},
        {CALC("\"calc-time\":18446744073709551615"), E("argument 'calc-time' must have type integer")},
        {CALC("\"calc-time\":1,\"mode\":\"nonsense\""), E("argument 'mode' cannot be 'nonsense'")},
        {CALC("\"calc-time\":1,\"calc-time-unit\":\"hour\""), E("argument 'calc-time-unit' cannot be 'hour'")},
        {CALC("\"calc-time\":\"1\""), E("argument 'calc-time' must have type integer")},
        {CALC("\"calc-time\":1,\"more\":1"), E("there is no argument 'more'")},
    };
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    for (size_t i = 0; i < GW_ARRAY_LEN(good); i++) {
        asked(cl, good[i].args, OK);
        assert_int_equal(rig->vm.measure.mode, good[i].want.mode);
        assert_int_equal(rig->vm.measure.duration_ns, good[i].want.duration_ns);
        assert_int_equal(rig->vm.measure.sample_pages, good[i].want.sample_pages);
    }
    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
        asked(cl, bad[i][0], bad[i][1]);
    bye(cl);
}

static void test_query(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    struct gw_dirty_rate *r = &rig->vm.rate;

    asked(cl, "{\"execute\":\"query-dirty-rate\"}",
        "{\"return\":{\"calc-time\":0,\"calc-time-unit\":\"second\",\"mode\":\"page-sampling\",\"sample-pages\":0,"
        "\"start-time\":0,\"status\":\"unstarted\"}}");
    *r = (struct gw_dirty_rate){.status = GW_DIRTY_RATE_MEASURING, .start_s = 77, .duration_ns = GW_NS_PER_S,
                                .sample_pages = 512, .bytes_per_s = 3 * GW_MIB};
    asked(cl, "{\"execute\":\"query-dirty-rate\"}",
        "{\"return\":{\"calc-time\":1,\"calc-time-unit\":\"second\",\"mode\":\"page-sampling\",\"sample-pages\":512,"
        "\"start-time\":77,\"status\":\"measuring\"}}");
    r->status = GW_DIRTY_RATE_MEASURED;
    r->duration_ns += 3 * GW_NS_PER_MS;
    asked(cl, "{\"execute\":\"query-dirty-rate\",\"arguments\":{\"calc-time-unit\":\"millisecond\"}}",
        "{\"return\":{\"calc-time\":1003,\"calc-time-unit\":\"millisecond\",\"dirty-rate\":3,\"mode\":\"page-sampling\","
        "\"sample-pages\":512,\"start-time\":77,\"status\":\"measured\"}}");
    *r = (struct gw_dirty_rate){.status = GW_DIRTY_RATE_MEASURED, .mode = GW_DIRTY_RATE_VCPUS, .start_s = 77, .vcpus = 2,
                                .duration_ns = GW_NS_PER_S, .bytes_per_s = 44 * GW_MIB};
    rig->vm.rates[0] = 39 * GW_MIB;
    rig->vm.rates[1] = 5 * GW_MIB + 1;
    asked(cl, "{\"execute\":\"query-dirty-rate\"}",
        "{\"return\":{\"calc-time\":1,\"calc-time-unit\":\"second\",\"dirty-rate\":44,\"mode\":\"dirty-ring\","
        "\"sample-pages\":0,\"start-time\":77,\"status\":\"measured\",\"vcpu-dirty-rate\":[{\"dirty-rate\":39,\"id\":0},"
        "{\"dirty-rate\":5,\"id\":1}]}}");
    r->status = GW_DIRTY_RATE_FAILED;
    r->mode = GW_DIRTY_RATE_BITMAP;
    gw_fail(&r->error, -EIO, GW_BLAME_LOCAL, "why");
    asked(cl, "{\"execute\":\"query-dirty-rate\"}",
        "{\"return\":{\"calc-time\":1,\"calc-time-unit\":\"second\",\"mode\":\"dirty-bitmap\",\"sample-pages\":0,"
        "\"start-time\":77,\"status\":\"unstarted\",\"x-godwit\":{\"error-desc\":\"why\"}}}");
    asked(cl, "{\"execute\":\"query-dirty-rate\",\"arguments\":{\"calc-time-unit\":\"day\"}}",
        E("argument 'calc-time-unit' cannot be 'day'"));
    bye(cl);
}

#define LIMIT(args)  "{\"execute\":\"set-vcpu-dirty-limit\",\"arguments\":{" args "}}"
#define CANCEL(args) "{\"execute\":\"cancel-vcpu-dirty-limit\",\"arguments\":{" args "}}"

static void test_limits(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    asked(cl, "{\"execute\":\"query-vcpu-dirty-limit\"}", "{\"return\":[]}");
    asked(cl, LIMIT("\"cpu-index\":1,\"dirty-rate\":10"), OK);
    assert_int_equal(rig->vm.limits[0], 0);
    assert_int_equal(rig->vm.limits[1], 10 * GW_MIB);
    rig->vm.rates[1] = 7 * GW_MIB;
    asked(cl, "{\"execute\":\"query-vcpu-dirty-limit\"}",
        "{\"return\":[{\"cpu-index\":1,\"current-rate\":7,\"limit-rate\":10}]}");
    asked(cl, LIMIT("\"dirty-rate\":9223372036854775807"), OK);
    assert_true(rig->vm.limits[0] == UINT64_MAX / GW_MIB * GW_MIB && rig->vm.limits[1] == rig->vm.limits[0]);
    asked(cl, LIMIT("\"dirty-rate\":-1"), E("argument 'dirty-rate' is in MiB per second, or 0 for no limit"));
    asked(cl, LIMIT("\"cpu-index\":-1,\"dirty-rate\":1"), E("cpu-index -1 is not the number of a vCPU"));
    asked(cl, LIMIT("\"cpu-index\":4294967296,\"dirty-rate\":1"), E("cpu-index 4294967296 is not the number of a vCPU"));
    asked(cl, LIMIT("\"cpu-index\":2,\"dirty-rate\":1"), E("no such vCPU"));
    asked(cl, LIMIT("\"cpu-index\":1"), E("argument 'dirty-rate' is missing"));
    asked(cl, LIMIT("\"cpu-index\":0,\"dirty-rate\":0"), OK);
    assert_true(!rig->vm.limits[0] && rig->vm.limits[1]);
    asked(cl, CANCEL("\"cpu-index\":2"), E("no such vCPU"));
    asked(cl, CANCEL(""), OK);
    assert_int_equal(rig->vm.limits[1], 0);
    rig->vm.unlimited = true;
    asked(cl, LIMIT("\"dirty-rate\":1"), E("no limits here"));
    asked(cl, CANCEL(""), OK);
    bye(cl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calc, rig_up, rig_down),
        cmocka_unit_test_setup_teardown(test_query, rig_up, rig_down),
        cmocka_unit_test_setup_teardown(test_limits, rig_up, rig_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
