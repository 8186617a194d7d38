/* SPDX-License-Identifier: MIT
 *
 * Dirty rates through the public API.
 */
#include "written.h"

static void measure(enum gw_dirty_rate_mode mode, uint64_t ns, struct gw_dirty_rate *ret)
{
    struct gw_dirty_rate_config c = {.mode = mode, .duration_ns = ns};
    struct gw_error err = GW_ERROR_INIT;

    if (mode == GW_DIRTY_RATE_SAMPLING)
        c.sample_pages = 16384;
    if (gw_dirty_rate_start(m.vm, &c, &err) < 0)
        fail_msg("%s", err.text);
    do {
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS);
        gw_dirty_rate_get(m.vm, ret);
    } while (ret->status == GW_DIRTY_RATE_MEASURING);
    assert_int_equal(ret->status, GW_DIRTY_RATE_MEASURED);
}

static void test_rates(void **state)
{
    static const uint64_t rates[] = {0, 1000, 5000, 20000};
    struct gw_dirty_rate r;
    uint64_t vcpu;

    gw_dirty_rate_get(m.vm, &r);
    assert_int_equal(r.status, GW_DIRTY_RATE_UNSTARTED);
    for (unsigned i = 0; i < GW_ARRAY_LEN(rates); i++)
        for (enum gw_dirty_rate_mode mode = 0; mode <= GW_DIRTY_RATE_VCPUS; mode++) {
            uint64_t true_rate = rates[i] * PAGE, off;

            m.pages_per_s = rates[i];
            measure(mode, GW_NS_PER_S, &r);
            off = r.bytes_per_s > true_rate ? r.bytes_per_s - true_rate : true_rate - r.bytes_per_s;
            print_message("mode %u: true %" PRIu64 " KiB/s, measured %" PRIu64 "\n", mode, true_rate / 1024, r.bytes_per_s / 1024);
            /* Samples: 2048, so five standard deviations of the smallest rate's share; else all is counted. */
            assert_true(off * 100 <= true_rate * (mode ? 1 : rates[i] < 5000 ? 60 : 25));
            assert_int_equal(r.duration_ns, GW_NS_PER_S);
            assert_int_equal(r.mode, mode);
            assert_int_equal(r.sample_pages, mode ? 0 : 16384);
            assert_true(r.start_s > 1000000000);
            assert_int_equal(gw_dirty_rate_vcpu(m.vm, 0, &vcpu), mode == GW_DIRTY_RATE_VCPUS ? 0 : -ENOENT);
            if (mode == GW_DIRTY_RATE_VCPUS) {
                assert_true(vcpu * 100 >= true_rate * 74 && vcpu * 100 <= true_rate * 76);
                assert_int_equal(gw_dirty_rate_vcpu(m.vm, 2, &vcpu), -ENOENT);
            }
            m.written = 0; /* pages are written in an order of which each measurement sees a new stretch */
            m.now_ns = 1;
        }
}

static void test_refusals(void **state)
{
    static const struct {
        struct gw_dirty_rate_config c;
        const char *why;
    } bad[] = {
        {{0, 49 * GW_NS_PER_MS, 0}, "the time of a dirty rate is out of range: 50 to 60000 ms are possible"},
        {{0, 60 * GW_NS_PER_S + 1, 0}, "the time of a dirty rate is out of range: 50 to 60000 ms are possible"},
        {{0, GW_NS_PER_S, 127}, "sample-pages is out of range: 128 to 16384 of each GiB are possible"},
        {{0, GW_NS_PER_S, 16385}, "sample-pages is out of range: 128 to 16384 of each GiB are possible"},
        {{GW_DIRTY_RATE_BITMAP, GW_NS_PER_S, 512}, "sample-pages is possible with mode page-sampling only: leave it out, or take that mode"},
        {{7, GW_NS_PER_S, 0}, "there is no way 7 to measure a dirty rate"},
    };
    static const struct gw_vm_ops plain = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};
    struct gw_dirty_rate_config rings = {.mode = GW_DIRTY_RATE_VCPUS, .duration_ns = GW_NS_PER_S};
    struct gw_error err = GW_ERROR_INIT;
    uint64_t a, b;

    for (unsigned i = 0; i < GW_ARRAY_LEN(bad); i++) {
        assert_int_equal(gw_dirty_rate_start(m.vm, &bad[i].c, &err), -EINVAL);
        assert_string_equal(err.text, bad[i].why);
    }
    down(state);
    assert_int_equal(up_with(&plain), 0);
    assert_int_equal(gw_dirty_rate_start(m.vm, &rings, &err), -ENOTSUP);
    assert_string_equal(err.text, "mode dirty-ring needs a machine that counts the dirty pages of each vCPU, and this one does not: take another mode");
    assert_int_equal(gw_vcpu_dirty_limit_set(m.vm, 0, 1, &err), -ENOTSUP);
    assert_int_equal(gw_vcpu_dirty_limit_get(m.vm, 0, &a, &b), -ENOENT);
}

static void begin_held(enum gw_dirty_rate_mode mode)
{
    struct gw_dirty_rate_config c = {.mode = mode, .duration_ns = 60 * GW_NS_PER_S};

    atomic_store(&m.held, false);
    atomic_store(&m.hold, true);
    assert_int_equal(gw_dirty_rate_start(m.vm, &c, NULL), 0);
    while (!atomic_load(&m.held))
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS);
    atomic_store(&m.hold, false);
}

/* The clock's time goes on only when it is slept on; a day would not be long enough for 60 s to pass without an end. */
static void check_ended(void)
{
    struct gw_dirty_rate r;

    gw_dirty_rate_get(m.vm, &r);
    assert_true(r.status == GW_DIRTY_RATE_FAILED || r.status == GW_DIRTY_RATE_MEASURED);
    if (r.status == GW_DIRTY_RATE_FAILED)
        assert_int_equal(r.error.code, -ECANCELED);
}

/* Changes of memory, and the end of the vm, end it first. */
static void test_ends(void **state)
{
    struct gw_tracker_config tracker = {.kind = GW_TRACKER_EXPLICIT};
    struct gw_dirty_rate_config c = {.duration_ns = GW_NS_PER_S};
    struct gw_error err = GW_ERROR_INIT;

    m.pages_per_s = 1000;
    for (enum gw_dirty_rate_mode mode = 0; mode <= GW_DIRTY_RATE_VCPUS; mode++) {
        begin_held(mode);
        gw_dirty_rate_cancel(m.vm);
        check_ended();
        begin_held(mode);
        assert_int_equal(gw_vm_resize_ram(m.vm, "ram", PAGES / 2 * PAGE, NULL), 0);
        check_ended();
        assert_int_equal(gw_vm_resize_ram(m.vm, "ram", PAGES * PAGE, NULL), 0);
        begin_held(mode);
        assert_int_equal(gw_vm_set_tracker(m.vm, &tracker, NULL), 0);
        check_ended();
        begin_held(mode);
        assert_int_equal(gw_vm_remove_ram(m.vm, "none", NULL), -ENOENT);
        check_ended();
    }
    atomic_store(&m.held, false);
    atomic_store(&m.hold, true);
    assert_int_equal(gw_dirty_rate_start(m.vm, &c, NULL), 0);
    assert_int_equal(gw_dirty_rate_start(m.vm, &c, &err), -EBUSY);
    assert_string_equal(err.text, "a dirty rate is being measured: wait for its end");
    atomic_store(&m.hold, false);
    gw_dirty_rate_cancel(m.vm);
    begin_held(GW_DIRTY_RATE_BITMAP); /* for down */
}

static void test_limits(void **state)
{
    uint64_t most, current;
    struct gw_error err = GW_ERROR_INIT;

    m.pages_per_s = 4000;
    assert_int_equal(gw_vcpu_dirty_limit_set(m.vm, 2, 1, &err), -EINVAL);
    assert_string_equal(err.text, "vCPU 2: this machine has 2");
    assert_int_equal(gw_vcpu_dirty_limit_set(m.vm, -2, 1, &err), -EINVAL);
    assert_int_equal(gw_vcpu_dirty_limit_get(m.vm, 1, &most, &current), 0);
    assert_true(!most && !current);
    m.now_ns = 5 * GW_NS_PER_S;
    sleep_ns(NULL, 20 * GW_NS_PER_MS);
    assert_int_equal(gw_vcpu_dirty_limit_set(m.vm, 1, 77, &err), 0);
    assert_true(!m.limits[0] && m.limits[1] == 77);
    for (unsigned i = 0; i < 100; i++)
        sleep_ns(NULL, 20 * GW_NS_PER_MS);
    assert_int_equal(gw_vcpu_dirty_limit_get(m.vm, 1, &most, &current), 0);
    assert_int_equal(most, 77);
    assert_int_equal(current, 1000 * PAGE);
    assert_int_equal(gw_vcpu_dirty_limit_set(m.vm, GW_EVERY_VCPU, 0, &err), 0);
    assert_true(!m.limits[0] && !m.limits[1]);
    assert_int_equal(gw_vcpu_dirty_limit_get(m.vm, 2, &most, &current), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rates, up, down),
        cmocka_unit_test_setup_teardown(test_refusals, up, down),
        cmocka_unit_test_setup_teardown(test_ends, up, down),
        cmocka_unit_test_setup_teardown(test_limits, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
