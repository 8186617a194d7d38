/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/switchover.h"

#define MS GW_NS_PER_MS

/* 1000 MiB/s, limit 300 ms, everything else free. */
static struct gw_switch_in ask(uint64_t now_ms, bool exact, uint64_t pending, uint64_t dirty)
{
    return (struct gw_switch_in){
        .now_ns = now_ms * MS,
        .exact = exact,
        .allowed = true,
        .pending_bytes = pending,
        .dirty_bytes = dirty,
        .limit_ns = 300 * MS,
        .bandwidth = {.known = true, .low_bytes_per_s = 1000 * GW_MIB, .typical_bytes_per_s = 1000 * GW_MIB},
    };
}

static struct gw_switch_out decide(struct gw_switchover *s, struct gw_switch_in in)
{
    struct gw_switch_out out;

    gw_switchover_decide(s, &in, &out);
    return out;
}

static void expect(struct gw_switch_out out, enum gw_switch_verdict verdict, enum gw_switch_reason reason)
{
    if (out.verdict != verdict || out.reason != reason)
        fail_msg("%s %s, not %s %s", gw_switch_verdict_name(out.verdict), gw_switch_reason_name(out.reason),
                 gw_switch_verdict_name(verdict), gw_switch_reason_name(reason));
}

static void begin(struct gw_switchover *s)
{
    gw_switchover_init(s);
    expect(decide(s, ask(1000, false, 2000 * GW_MIB, 0)), GW_SWITCH_CONTINUE, GW_SWITCH_PASS_RUNS);
    expect(decide(s, ask(3000, false, 0, 0)), GW_SWITCH_SYNC, GW_SWITCH_PASS_OVER);
}

static void test_idle(void **state)
{
    struct gw_switchover s;
    struct gw_switch_out out;

    begin(&s);
    expect(decide(&s, ask(3000, true, 0, 0)), GW_SWITCH_NOW, GW_SWITCH_NOTHING_LEFT);
    begin(&s);
    out = decide(&s, ask(3000, true, 40960, 40960));
    expect(out, GW_SWITCH_NOW, GW_SWITCH_SMALL);
    assert_true(out.predicted_ns < 1 * MS);
    assert_int_equal(out.threshold_bytes / GW_MIB, 300);
}

/* Pages are pending as they are and go at ten bytes for one; device state goes as it is. */
static void test_coded(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in = ask(3000, true, 100 * GW_MIB, 100 * GW_MIB);
    struct gw_switch_out out;

    in.bandwidth.bytes = 10 * GW_MIB;
    in.bandwidth.wire_bytes = GW_MIB;
    in.costs.device_bytes = 10 * GW_MIB;
    begin(&s);
    out = decide(&s, in);
    assert_in_range(out.predicted_ns, 199 * MS, 201 * MS); /* 100 ms each */
    in.avail_bytes_per_s = 1000 * GW_MIB; /* given for the link: nothing is added for what coding saves */
    begin(&s);
    assert_in_range(decide(&s, in).predicted_ns, 109 * MS, 111 * MS);
}

static void test_fits_but_pass_pays(void **state)
{
    struct gw_switchover s;

    begin(&s);
    /* 200 MiB/s: 200 ms of rest now, 40 after a pass, 8, 1.6 */
    expect(decide(&s, ask(5000, true, 200 * GW_MIB, 400 * GW_MIB)), GW_SWITCH_CONTINUE, GW_SWITCH_PASS_PAYS);
    expect(decide(&s, ask(5200, true, 40 * GW_MIB, 40 * GW_MIB)), GW_SWITCH_CONTINUE, GW_SWITCH_PASS_PAYS);
    expect(decide(&s, ask(5240, true, 8 * GW_MIB, 8 * GW_MIB)), GW_SWITCH_CONTINUE, GW_SWITCH_PASS_PAYS);
    expect(decide(&s, ask(5248, true, GW_MIB / 5, GW_MIB / 5)), GW_SWITCH_NOW, GW_SWITCH_SMALL);
}

static void test_fits_and_does_not_shrink(void **state)
{
    struct gw_switchover s;

    begin(&s);
    expect(decide(&s, ask(3000, true, 400 * GW_MIB, 400 * GW_MIB)), GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
    expect(decide(&s, ask(3250, true, 200 * GW_MIB, 200 * GW_MIB)), GW_SWITCH_NOW, GW_SWITCH_NO_SHRINKING);

    /* a hot set: the forecast from a long pass promises much, one try shows */
    begin(&s);
    expect(decide(&s, ask(5000, true, 200 * GW_MIB, 200 * GW_MIB)), GW_SWITCH_CONTINUE, GW_SWITCH_PASS_PAYS);
    expect(decide(&s, ask(5900, true, 200 * GW_MIB, 200 * GW_MIB)), GW_SWITCH_NOW, GW_SWITCH_NO_SHRINKING);
}

static void test_too_much(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in;

    begin(&s);
    expect(decide(&s, ask(3500, true, 320 * GW_MIB, 320 * GW_MIB)), GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
    /* the fixed costs count */
    in = ask(4000, true, 290 * GW_MIB, 290 * GW_MIB);
    in.costs.answer_ns = 20 * MS;
    expect(decide(&s, in), GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
    in.now_ns += 300 * MS;
    in.costs.answer_ns = 5 * MS;
    expect(decide(&s, in), GW_SWITCH_NOW, GW_SWITCH_NO_SHRINKING);
    /* and what is on its way */
    begin(&s);
    in = ask(3290, true, 290 * GW_MIB, 290 * GW_MIB);
    in.in_flight_bytes = 20 * GW_MIB;
    expect(decide(&s, in), GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
}

static void test_late_writes_count(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in;
    struct gw_switch_out out;

    begin(&s);
    in = ask(4000, true, 100 * GW_MIB, 1500 * GW_MIB); /* in 3 s */
    in.costs.stop_ns = 100 * MS;                       /* 500 MiB/s for 0.1 s: 50 MiB more */
    out = decide(&s, in);
    assert_int_equal(out.predicted_ns / MS, 250);
}

static void test_no_window(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in = ask(1000, false, 0, 0);

    gw_switchover_init(&s);
    in.bandwidth = (struct gw_bandwidth){0};
    expect(decide(&s, in), GW_SWITCH_SYNC, GW_SWITCH_PASS_OVER);
    in.exact = true;
    expect(decide(&s, in), GW_SWITCH_NOW, GW_SWITCH_NOTHING_LEFT);
    in.pending_bytes = 4096;
    in.now_ns += 50 * MS;
    expect(decide(&s, in), GW_SWITCH_CONTINUE, GW_SWITCH_NO_WINDOW);
    in.avail_bytes_per_s = 1000 * GW_MIB; /* also with the bandwidth given */
    expect(decide(&s, in), GW_SWITCH_CONTINUE, GW_SWITCH_NO_WINDOW);
    in.avail_bytes_per_s = 0;
    in.pending_bytes = 100;
    in.now_ns += 51 * MS;
    expect(decide(&s, in), GW_SWITCH_NOW, GW_SWITCH_SMALL);
}

static void test_avail_bandwidth(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in = ask(3100, true, 100 * GW_MIB, 100 * GW_MIB);

    begin(&s);
    in.avail_bytes_per_s = 100 * GW_MIB;
    expect(decide(&s, in), GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
    in.now_ns += 100 * MS;
    in.bandwidth.low_bytes_per_s = 100 * GW_MIB;
    in.avail_bytes_per_s = 10000 * GW_MIB;
    assert_int_equal(decide(&s, in).verdict, GW_SWITCH_NOW);
}

static void test_not_allowed(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in = ask(3100, true, 0, 0);
    struct gw_switch_out out;

    begin(&s);
    in.allowed = false;
    out = decide(&s, in);
    expect(out, GW_SWITCH_CONTINUE, GW_SWITCH_NOT_ALLOWED);
    assert_true(out.wait_ns > 0);
}

/* What no pass can send does not fit: looking again and again would only warm the processor. */
static void test_stuck_waits(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in = ask(3100, false, 500 * GW_MIB, 0);
    struct gw_switch_out out;

    begin(&s);
    in.dry = true;
    expect(decide(&s, in), GW_SWITCH_SYNC, GW_SWITCH_PASS_OVER);
    in.exact = true;
    in.dry = false;
    out = decide(&s, in);
    expect(out, GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
    assert_true(out.wait_ns > 0);
    in.pending_bytes += 4096; /* of these a pass can */
    out = decide(&s, in);
    expect(out, GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
    assert_int_equal(out.wait_ns, 0);
}

static void test_fixed_beyond_limit(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in = ask(3100, true, 4096, 4096);
    struct gw_switch_out out;

    begin(&s);
    in.costs.answer_ns = 400 * MS;
    out = decide(&s, in);
    assert_int_equal(out.verdict, GW_SWITCH_NOW);
    assert_true(out.predicted_ns >= 400 * MS);
    begin(&s);
    in.pending_bytes = in.dirty_bytes = 50 * GW_MIB; /* more than an eighth of the limit */
    expect(decide(&s, in), GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
}

static void test_limit_zero(void **state)
{
    struct gw_switchover s;
    struct gw_switch_in in = ask(3100, true, 4096, 4096);

    begin(&s);
    in.limit_ns = 0;
    expect(decide(&s, in), GW_SWITCH_CONTINUE, GW_SWITCH_TOO_MUCH);
    in.pending_bytes = 0;
    assert_int_equal(decide(&s, in).verdict, GW_SWITCH_NOW);
}

static void test_relaxed(void **state)
{
    struct gw_switchover s;
    uint64_t now = 3100, n = 0;

    begin(&s);
    for (; n < 1000; n++, now += 300) {
        struct gw_switch_in in = ask(now, true, 260 * GW_MIB, 260 * GW_MIB);

        in.bandwidth.low_bytes_per_s = 700 * GW_MIB;
        if (decide(&s, in).verdict == GW_SWITCH_NOW)
            break;
    }
    assert_true(now >= 13100 && now < 13500);
}

static void test_extremes(void **state)
{
    static const uint64_t v[] = {0, 1, 4096, 1ull << 40, UINT64_MAX / 2, UINT64_MAX};
    struct gw_switchover s;

    for (unsigned i = 0; i < GW_ARRAY_LEN(v) * GW_ARRAY_LEN(v) * GW_ARRAY_LEN(v) * GW_ARRAY_LEN(v); i++) {
        uint64_t a = v[i % 6], b = v[i / 6 % 6], c = v[i / 36 % 6], d = v[i / 216];
        struct gw_switch_in in = {.now_ns = 1 + a / 2,
                                  .pending_bytes = a,
                                  .exact = i & 1,
                                  .allowed = true,
                                  .dirty_bytes = b,
                                  .in_flight_bytes = c,
                                  .limit_ns = d,
                                  .bandwidth = {i & 2, b, c, d, a},
                                  .costs = {a, b, c, d, a}};

        gw_switchover_init(&s);
        decide(&s, in);
        in.exact = true;
        in.now_ns += c / 4;
        decide(&s, in);
        in.pending_bytes = d;
        decide(&s, in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_coded),
        cmocka_unit_test(test_fits_but_pass_pays),
        cmocka_unit_test(test_fits_and_does_not_shrink),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_late_writes_count),
        cmocka_unit_test(test_no_window),
        cmocka_unit_test(test_avail_bandwidth),
        cmocka_unit_test(test_not_allowed),
        cmocka_unit_test(test_stuck_waits),
        cmocka_unit_test(test_fixed_beyond_limit),
        cmocka_unit_test(test_limit_zero),
        cmocka_unit_test(test_relaxed),
        cmocka_unit_test(test_extremes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
