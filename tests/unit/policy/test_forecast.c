/* SPDX-License-Identifier: MIT
 *
 * Forecasts against the simulator of model.h, which decides by the same policy but sends page by page over a link with noise; and
 * against closed forms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "godwit/forecast.h"
#include "model.h"

#define MIB 1048576.0

/* A gigabit link, 1 GiB, nothing unknown. */
static const struct gw_forecast_in usual = {
    .ram_bytes = 1024ull << 20,
    .page_bytes = 4096,
    .zero_known = true,
    .early_known = true,
    .page_ns = 1,
    .zero_ns = 1,
    .link_bytes_per_s = 119ull << 20,
    .link_error = 0.05,
    .downtime_limit_ns = 300 * GW_NS_PER_MS,
    .xbzrle_cache_bytes = 64ull << 20,
    .multifd_channels = 2,
    .compress_threads = 8,
    .cpus = 2,
};

/* A guest that writes `bytes` uniformly at `rate`. */
static void writes(struct gw_forecast_in *in, double bytes, double rate)
{
    static const double s[] = {0.1, 0.3, 1};

    in->points = 3;
    for (unsigned i = 0; i < 3; i++)
        in->dirty[i] = (struct gw_forecast_point){(uint64_t)(s[i] * 1e9), (uint64_t)(bytes * (1 - exp(-rate * s[i] / bytes))), 0.05};
}

static struct gw_forecast run(const struct gw_forecast_in *in, struct gw_forecast_set set)
{
    struct gw_forecast f;
    struct gw_error err = GW_ERROR_INIT;

    if (gw_forecast(in, &set, &f, &err) < 0)
        print_error("%s\n", err.text);
    assert_false(err.code);
    return f;
}

static void assert_near(double a, double b, double share)
{
    if (fabs(a - b) > share * b)
        print_error("%g is not within %g %% of %g\n", a, share * 100, b);
    assert_true(fabs(a - b) <= share * b);
}

static void test_idle(void **state)
{
    struct gw_forecast f = run(&usual, (struct gw_forecast_set){0});

    assert_int_equal(f.converges, GW_FORECAST_YES);
    assert_true(f.certainty == 1);
    assert_near(f.total_ns.typical, 1024.0 / 119 * 1e9, 0.03);
    assert_near(f.bytes.typical, 1024 * MIB * 4104 / 4096, 0.01);
    assert_true(f.downtime_ns.high < 20e6);
    assert_true(f.total_ns.low < f.total_ns.typical && f.total_ns.typical < f.total_ns.high);
}

static void test_zero_pages_cost_nothing(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast f;

    in.zero_share = 0.9;
    f = run(&in, (struct gw_forecast_set){0});
    assert_near(f.bytes.typical, 102.4 * MIB, 0.05);
}

/* The rounds of a guest that writes half of what the link carries: each is half of the one before. */
static void test_rounds_shrink(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast f;

    writes(&in, 1000 * MIB, 30 * MIB);
    f = run(&in, (struct gw_forecast_set){0});
    assert_int_equal(f.converges, GW_FORECAST_YES);
    assert_true(f.rounds >= 3);
    for (unsigned i = 1; i < GW_MIN(f.rounds, GW_FORECAST_ROUNDS); i++)
        assert_true(f.round[i].bytes < f.round[i - 1].bytes / 2);
}

static void test_never(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast_advice a;
    struct gw_forecast f;

    writes(&in, 500 * MIB, 2000 * MIB);
    f = run(&in, (struct gw_forecast_set){0});
    assert_int_equal(f.converges, GW_FORECAST_NO);
    assert_true(f.certainty == 0);
    assert_true(f.needed_limit_ns > 2 * GW_NS_PER_S);
    assert_true(f.rest_bytes > 300 * MIB);
    /* With that limit, and a quarter, it does. */
    f = run(&in, (struct gw_forecast_set){.downtime_limit_ns = f.needed_limit_ns * 3 / 2});
    assert_int_equal(f.converges, GW_FORECAST_YES);
    f = run(&in, (struct gw_forecast_set){.auto_converge = true});
    assert_true(f.throttle > 50);
    assert_int_equal(gw_forecast_advise(&in, &(struct gw_forecast_can){.auto_converge = true}, &a, NULL), 0);
    assert_int_equal(a.count, 3);
    assert_int_equal(a.choice[0].forecast.converges, GW_FORECAST_YES);
    assert_true(*a.why);
}

/* The same with one byte a second: nothing helps but less to send, which there is not. */
static void test_no_link(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast f;

    in.max_bandwidth = 1;
    writes(&in, 50 * MIB, 20 * MIB);
    f = run(&in, (struct gw_forecast_set){0});
    assert_int_equal(f.converges, GW_FORECAST_NO);
}

/* A working set that is dirty all the time and fits is no reason not to converge. */
static void test_hot_set_that_fits(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast f;

    writes(&in, 8 * MIB, 4000 * MIB);
    f = run(&in, (struct gw_forecast_set){0});
    assert_int_equal(f.converges, GW_FORECAST_YES);
    assert_true(f.downtime_ns.typical > 40e6 && f.downtime_ns.typical < 120e6);
}

static void test_xbzrle(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast_advice a;

    writes(&in, 60 * MIB, 300 * MIB);
    in.early_share = 1;
    in.xbzrle = (struct gw_forecast_codec){true, 0.05, 0.01, 500};
    assert_int_equal(run(&in, (struct gw_forecast_set){0}).converges, GW_FORECAST_NO);
    assert_int_equal(run(&in, (struct gw_forecast_set){.xbzrle = true}).converges, GW_FORECAST_YES);
    assert_int_equal(gw_forecast_advise(&in, &(struct gw_forecast_can){.xbzrle = true, .multifd = true, .auto_converge = true}, &a, NULL), 0);
    assert_string_equal(a.choice[0].name, "xbzrle");
    assert_non_null(strstr(a.why, "5 %"));
}

static void test_compression(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast_can can = {.multifd = true, .zstd = true, .zlib = true, .compress = true};
    struct gw_forecast_advice a;

    in.zstd = (struct gw_forecast_codec){true, 0.25, 0.01, 8000};
    in.zlib = (struct gw_forecast_codec){true, 0.22, 0.01, 90000};
    in.deflate = (struct gw_forecast_codec){true, 0.3, 0.01, 60000};
    assert_int_equal(gw_forecast_advise(&in, &can, &a, NULL), 0);
    assert_string_equal(a.choice[0].name, "multifd + zstd");
    /* Pages that do not shrink are not worth it. */
    in.zstd.ratio = in.zlib.ratio = in.deflate.ratio = 1;
    assert_int_equal(gw_forecast_advise(&in, &can, &a, NULL), 0);
    assert_string_equal(a.choice[0].name, "plain");
}

/* What is not known widens the range. */
static void test_unknown_is_wide(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast known = run(&in, (struct gw_forecast_set){0}), f;

    in.zero_known = false;
    f = run(&in, (struct gw_forecast_set){0});
    assert_true(f.bytes.high / f.bytes.low > 2 * known.bytes.high / known.bytes.low);
    f = run(&usual, (struct gw_forecast_set){.multifd = true, .compression = GW_FORECAST_ZSTD});
    assert_true(f.bytes.high / f.bytes.low > 2);
}

/* A busy host makes it longer, and less certain. */
static void test_busy(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast idle = run(&in, (struct gw_forecast_set){0}), busy;

    in.slowdown = 10;
    busy = run(&in, (struct gw_forecast_set){0});
    assert_true(busy.total_ns.typical > idle.total_ns.typical && busy.downtime_ns.high > 2 * idle.downtime_ns.high);
    assert_true(busy.total_ns.high - busy.total_ns.low > 2 * (idle.total_ns.high - idle.total_ns.low));
}

static void test_qemu_uses_its_limit(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast f;

    writes(&in, 1000 * MIB, 30 * MIB);
    in.qemu = true;
    f = run(&in, (struct gw_forecast_set){0});
    assert_int_equal(f.converges, GW_FORECAST_YES);
    assert_true(f.downtime_ns.typical > 80e6);
}

static void test_refused(void **state)
{
    struct gw_forecast_in in = usual;
    struct gw_forecast_set none = {0};
    struct gw_forecast f;

    in.link_bytes_per_s = 0;
    assert_int_equal(gw_forecast(&in, &none, &f, NULL), -EINVAL);
    in.max_bandwidth = 1 << 20;
    assert_int_equal(gw_forecast(&in, &none, &f, NULL), 0);
    in.points = GW_FORECAST_POINTS + 1;
    assert_int_equal(gw_forecast(&in, &none, &f, NULL), -EINVAL);
    in = usual;
    in.ram_bytes = 0;
    assert_int_equal(gw_forecast(&in, &none, &f, NULL), -EINVAL);
}

/* Numbers from outside that make no sense come to an end, and to numbers. */
static void test_extremes(void **state)
{
    static const uint64_t v[] = {1, 1ull << 40, UINT64_MAX};

    for (unsigned i = 0; i < 81; i++) {
        struct gw_forecast_in in = {.ram_bytes = v[i % 3],
                                    .page_bytes = 4096,
                                    .link_bytes_per_s = v[i / 3 % 3],
                                    .max_bandwidth = v[i / 9 % 3],
                                    .downtime_limit_ns = i % 2 ? 0 : v[i / 27],
                                    .points = 2,
                                    .dirty = {{v[i / 27], v[i % 3], 0}, {v[i / 9 % 3], v[i / 27], 1e9}}};
        struct gw_forecast f = run(&in, (struct gw_forecast_set){.auto_converge = i % 2});

        assert_true(f.total_ns.low <= f.total_ns.high && f.bytes.typical >= 0);
    }
}

/* 300 machines and links out of the hat. */
static void test_against_the_simulator(void **state)
{
    unsigned runs = 300, agree = 0, sure = 0, sure_right = 0, done = 0, total_in = 0, downtime_in = 0;

    for (unsigned i = 0; i < runs; i++) {
        struct model m = {.seed = i + 1, .noise_now = 1};
        struct gw_forecast_in in = usual;
        struct gw_forecast f;
        double ram, rates, s[] = {0.1, 0.3, 1};

        for (int k = 0; k < 4; k++)
            model_random(&m);
        m.link = model_between(&m, 30 * MIB, 2000 * MIB);
        ram = m.link * model_between(&m, 1, 20);
        m.noise = model_between(&m, 0.02, 0.2);
        m.limit_ns = (uint64_t)model_between(&m, 5e7, 1e9);
        /* What a forecast takes for granted of a godwit. */
        m.stop_ns = 300000;
        m.sync_ns = 200000 + (uint64_t)(ram / MIB / 1024 * 1e6);
        m.answer_ns = 1300000;
        m.device_bytes = 20000;
        m.give_up_ns = 200 * GW_NS_PER_S;
        rates = m.link * model_between(&m, 0.02, 3);
        m.set[1].bytes = ram * model_between(&m, 0.01, 0.5);
        m.set[0].bytes = ram - m.set[1].bytes;
        m.set[0].rate = rates * 0.1 * model_unit(&m);
        m.set[1].rate = rates - m.set[0].rate;
        in.ram_bytes = (uint64_t)ram;
        in.link_bytes_per_s = (uint64_t)m.link;
        in.link_error = m.noise / 2;
        in.downtime_limit_ns = m.limit_ns;
        in.points = 3;
        for (unsigned k = 0; k < 3; k++) {
            double d = m.set[0].bytes * (1 - exp(-m.set[0].rate * s[k] / m.set[0].bytes)) +
                       m.set[1].bytes * (1 - exp(-m.set[1].rate * s[k] / m.set[1].bytes));

            in.dirty[k] = (struct gw_forecast_point){(uint64_t)(s[k] * 1e9), (uint64_t)d, 0.03};
        }
        f = run(&in, (struct gw_forecast_set){0});
        model_run(&m);
        agree += (f.certainty > 0.5) == m.done;
        sure += f.converges != GW_FORECAST_UNKNOWN;
        sure_right += f.converges == (m.done ? GW_FORECAST_YES : GW_FORECAST_NO);
        if (m.done && f.converges == GW_FORECAST_YES) {
            done++;
            total_in += (double)m.total_ns >= f.total_ns.low && (double)m.total_ns <= f.total_ns.high;
            downtime_in += (double)m.downtime_ns >= f.downtime_ns.low && (double)m.downtime_ns <= f.downtime_ns.high;
        }
    }
    print_message("%u of %u: the same answer; of %u certain ones %u right; of %u converging: total time in the range %u, downtime %u\n",
                  agree, runs, sure, sure_right, done, total_in, downtime_in);
    assert_true(agree * 100 >= runs * 92);
    assert_true(sure_right * 100 >= sure * 95);
    assert_true(total_in * 100 >= done * 80);
    assert_true(downtime_in * 100 >= done * 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_zero_pages_cost_nothing),
        cmocka_unit_test(test_rounds_shrink),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_no_link),
        cmocka_unit_test(test_hot_set_that_fits),
        cmocka_unit_test(test_xbzrle),
        cmocka_unit_test(test_compression),
        cmocka_unit_test(test_unknown_is_wide),
        cmocka_unit_test(test_qemu_uses_its_limit),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_against_the_simulator),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
