/* SPDX-License-Identifier: MIT
 *
 * Surveys through the public API.
 */
#include "written.h"

static void await(struct gw_survey *ret)
{
    do {
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS);
        gw_survey_get(m.vm, ret);
    } while (ret->status == GW_DIRTY_RATE_MEASURING);
}

static void survey(const struct gw_survey_config *c, struct gw_survey *ret)
{
    struct gw_error err = GW_ERROR_INIT;

    if (gw_survey_start(m.vm, c, &err) < 0)
        fail_msg("%s", err.text);
    await(ret);
    if (ret->status == GW_DIRTY_RATE_FAILED)
        fail_msg("%s", ret->error.text);
}

/* What is written is found, in stretches of different length. */
static void test_what_is_written(void **state)
{
    struct gw_survey_config c = {.duration_ns = GW_NS_PER_S};
    struct gw_survey s;

    gw_survey_get(m.vm, &s);
    assert_int_equal(s.status, GW_DIRTY_RATE_UNSTARTED);
    m.pages_per_s = 5000;
    survey(&c, &s);
    assert_int_equal(s.in.ram_bytes, (uint64_t)PAGES * PAGE);
    assert_int_equal(s.in.page_bytes, PAGE);
    assert_int_equal(s.in.points, 5);
    assert_int_equal(s.sampled_pages, 2048);
    for (unsigned i = 0; i < s.in.points; i++) {
        double rate = (double)s.in.dirty[i].bytes / PAGE / ((double)s.in.dirty[i].ns / 1e9);

        print_message("%u ms: %.0f pages a second\n", (unsigned)(s.in.dirty[i].ns / GW_NS_PER_MS), rate);
        assert_true(rate > 4900 && rate < 5100);
    }
    assert_true(s.in.dirty[4].ns > 10 * s.in.dirty[0].ns);
    assert_true(s.in.zero_known && s.in.zero_share == 0);
    assert_int_equal(s.in.max_bandwidth, 128 << 20);
    assert_int_equal(s.in.vcpus, 2);
    assert_false(s.probed);
    assert_false(s.probe_error.code);
}

/* A few bytes of each page change: little is sent of it. */
static void test_differences(void **state)
{
    struct gw_survey_config c = {.duration_ns = 10 * GW_NS_PER_S, .sample_pages = 4096};
    struct gw_survey s;

    m.pages_per_s = 2000;
    survey(&c, &s);
    /* Of 2600 pages written over that stretch, of 32768: an eighth of the sample, about 325; five deviations are 90. */
    assert_true(s.changed_pages > 200 && s.changed_pages < 450);
    assert_true(s.in.xbzrle.known);
    assert_true(s.in.xbzrle.ratio < 0.01);
    if (s.in.zstd.known)
        assert_true(s.in.zstd.ratio < 0.05);
}

static void test_a_link_that_is_not_there(void **state)
{
    struct gw_survey_config c = {.duration_ns = GW_NS_PER_S, .probe = "unix:nobody.here"};
    struct gw_survey s;

    survey(&c, &s);
    assert_false(s.probed);
    assert_int_equal(s.probe_error.code, -ENOENT);
    c.probe = "exec:cat";
    survey(&c, &s);
    assert_int_equal(s.probe_error.code, -EINVAL);
}

/* A destination that waits measures it, and waits on. */
static void test_a_link(void **state)
{
    const struct gw_vm_config config = {.machine = "m", .page_bytes = PAGE, .ops = &ops, .clock = &gw_clock_real};
    struct gw_recv_config rc = {.uri = "unix:survey.sock"};
    struct gw_survey_config c = {.duration_ns = GW_NS_PER_S, .probe = rc.uri};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_survey s;
    struct gw_recv *recv;
    struct gw_vm *to;

    assert_int_equal(gw_vm_new(&config, &to, NULL), 0);
    if (gw_recv_start(to, &rc, &recv, &err) < 0)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < 3; i++) {
        survey(&c, &s);
        if (!s.probed)
            print_error("%s\n", s.probe_error.text);
        assert_true(s.probed);
        assert_true(s.in.link_bytes_per_s > 0 && s.in.link_error > 0 && s.in.round_trip_ns > 0);
    }
    assert_int_equal(gw_recv_status(recv), GW_STATUS_SETUP);
    gw_recv_free(recv);
    gw_vm_free(to);
}

static void test_refusals(void **state)
{
    static const struct {
        struct gw_survey_config c;
        const char *why;
    } bad[] = {
        {{199 * GW_NS_PER_MS, 0, NULL}, "the time of a survey is out of range: 200 to 60000 ms are possible"},
        {{60 * GW_NS_PER_S + 1, 0, NULL}, "the time of a survey is out of range: 200 to 60000 ms are possible"},
        {{0, 63, NULL}, "the number of pages that a survey samples is out of range: 64 to 16384 are possible"},
        {{0, 16385, NULL}, "the number of pages that a survey samples is out of range: 64 to 16384 are possible"},
    };
    struct gw_survey_config odd = {.probe = "nonsense"};
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned i = 0; i < GW_ARRAY_LEN(bad); i++) {
        assert_int_equal(gw_survey_start(m.vm, &bad[i].c, &err), -EINVAL);
        assert_string_equal(err.text, bad[i].why);
    }
    assert_int_equal(gw_survey_start(m.vm, &odd, &err), -EINVAL);
}

static void begin_held(void)
{
    struct gw_survey_config c = {.duration_ns = 60 * GW_NS_PER_S};

    atomic_store(&m.held, false);
    atomic_store(&m.hold, true);
    assert_int_equal(gw_survey_start(m.vm, &c, NULL), 0);
    while (!atomic_load(&m.held))
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS);
}

/* There is one measurement of either kind at a time, and what changes memory ends it. */
static void test_ends(void **state)
{
    struct gw_dirty_rate_config rate = {.duration_ns = GW_NS_PER_S};
    struct gw_survey s;

    begin_held();
    assert_int_equal(gw_dirty_rate_start(m.vm, &rate, NULL), -EBUSY);
    atomic_store(&m.hold, false);
    gw_dirty_rate_cancel(m.vm);
    await(&s);
    assert_int_equal(s.status, GW_DIRTY_RATE_FAILED);
    assert_int_equal(s.error.code, -ECANCELED);
    begin_held();
    atomic_store(&m.hold, false);
    assert_int_equal(gw_vm_resize_ram(m.vm, "ram", PAGES / 2 * PAGE, NULL), 0);
    await(&s);
    assert_true(s.status == GW_DIRTY_RATE_FAILED || s.status == GW_DIRTY_RATE_MEASURED);
    begin_held(); /* for down */
    atomic_store(&m.hold, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_written, up, down),
        cmocka_unit_test_setup_teardown(test_differences, up, down),
        cmocka_unit_test_setup_teardown(test_a_link_that_is_not_there, up, down),
        cmocka_unit_test_setup_teardown(test_a_link, up, down),
        cmocka_unit_test_setup_teardown(test_refusals, up, down),
        cmocka_unit_test_setup_teardown(test_ends, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
