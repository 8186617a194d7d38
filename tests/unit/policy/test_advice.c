/* SPDX-License-Identifier: MIT
 *
 * Which capabilities are advised: what is tried at all, what comes first, and what is said for it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "godwit/forecast.h"

/* 1 GiB over 119 MiB/s; nothing unknown. */
static struct gw_forecast_in usual(void)
{
    return (struct gw_forecast_in){.ram_bytes = 1024ull << 20, .page_bytes = 4096, .zero_known = true, .early_known = true, .page_ns = 1,
                                   .zero_ns = 1, .link_bytes_per_s = 119ull << 20, .link_error = 0.05,
                                   .downtime_limit_ns = 300 * GW_NS_PER_MS, .xbzrle_cache_bytes = 64ull << 20, .multifd_channels = 2,
                                   .compress_threads = 8, .cpus = 2, .throttle_trigger = 50, .throttle_initial = 20,
                                   .throttle_increment = 10, .throttle_max = 99, .vcpu_dirty_limit_bytes_per_s = 1 << 20};
}

static void writes(struct gw_forecast_in *in, double mib, double mib_per_s)
{
    static const double s[] = {0.1, 0.3, 1};

    in->points = 3;
    for (unsigned i = 0; i < 3; i++)
        in->dirty[i] = (struct gw_forecast_point){(uint64_t)(s[i] * 1e9), (uint64_t)(mib * 1048576 * (1 - exp(-mib_per_s * s[i] / mib))), 0.05};
}

static struct gw_forecast_advice advise(struct gw_forecast_in in, struct gw_forecast_can can)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_forecast_advice a;

    if (gw_forecast_advise(&in, &can, &a, &err) < 0)
        fail_msg("%s", err.text);
    return a;
}

#define CAN(...) ((struct gw_forecast_can){__VA_ARGS__})

static void test_what_is_tried(void **state)
{
    struct gw_forecast_advice a = advise(usual(), CAN(0));

    assert_int_equal(a.count, 1);
    assert_string_equal(a.choice[0].name, "plain");
    assert_string_equal(a.why, "it converges with no capability at all, and none saves a tenth of the time");
    a = advise(usual(), CAN(.xbzrle = true, .multifd = true, .zlib = true, .zstd = true, .compress = true, .auto_converge = true,
                            .dirty_limit = true));
    assert_int_equal(a.count, 9);
    a = advise(usual(), CAN(.zlib = true, .zstd = true)); /* without channels there is nothing for them to pack */
    assert_int_equal(a.count, 1);
}

/* One with a capability more has to be worth it. */
static void test_fewest(void **state)
{
    struct gw_forecast_in in = usual();
    struct gw_forecast_advice a = advise(in, CAN(.multifd = true, .xbzrle = true));

    assert_string_equal(a.choice[0].name, "plain");
    in.zstd = (struct gw_forecast_codec){.known = true, .ratio = 0.25, .error = 0.01, .ns = 2000};
    a = advise(in, CAN(.multifd = true, .zstd = true));
    assert_string_equal(a.choice[0].name, "multifd + zstd");
    assert_string_equal(a.why, "pages shrink to 25 %, at 2.0 us of CPU time each; it takes 25 % of the time without it");
}

/* What lets the guest be comes before what slows it down or lets it stand for longer. */
static void test_what_disturbs_comes_last(void **state)
{
    struct gw_forecast_in in = usual();
    struct gw_forecast_advice a;
    bool longer = false;

    writes(&in, 200, 500);
    in.xbzrle = (struct gw_forecast_codec){.known = true, .ratio = 0.05, .error = 0.01, .ns = 1000};
    in.xbzrle_cache_bytes = 1ull << 30;
    a = advise(in, CAN(.xbzrle = true, .auto_converge = true));
    assert_string_equal(a.choice[0].name, "xbzrle");
    assert_int_equal(strncmp(a.why, "what the guest changes of a page is 5 % of it; without it, ", 59), 0);
    for (unsigned i = 1; i < a.count; i++)
        longer |= a.choice[i].set.downtime_limit_ns != 0;
    assert_true(longer);
    a = advise(in, CAN(.auto_converge = true));
    assert_true(a.choice[0].set.auto_converge || a.choice[0].set.downtime_limit_ns);
    assert_non_null(strstr(a.why, "is enough; without it, "));
}

/* A longer limit is one that people write, with something to spare, and only where it would help. */
static void test_longer(void **state)
{
    struct gw_forecast_in in = usual();
    struct gw_forecast_advice a;
    const struct gw_forecast_choice *c = NULL, *plain = NULL;

    writes(&in, 200, 500);
    a = advise(in, CAN(0));
    for (unsigned i = 0; i < a.count; i++) {
        c = a.choice[i].set.downtime_limit_ns ? &a.choice[i] : c;
        plain = !strcmp(a.choice[i].name, "plain") ? &a.choice[i] : plain;
    }
    assert_non_null(c);
    assert_int_equal(c->set.downtime_limit_ns % (100 * GW_NS_PER_MS), 0);
    assert_true(c->set.downtime_limit_ns >= plain->forecast.needed_limit_ns + plain->forecast.needed_limit_ns / 4);
    assert_int_not_equal(c->forecast.converges, GW_FORECAST_NO);
    assert_non_null(strstr(c->name, "downtime-limit "));
    in.link_bytes_per_s = 10000; /* an hour of it is none that anybody would set */
    a = advise(in, CAN(0));
    assert_int_equal(a.count, 1);
    assert_int_equal(strncmp(a.why, "nothing here makes it converge: ", 32), 0);
}

static void test_refused(void **state)
{
    struct gw_forecast_in in = usual();
    struct gw_forecast_advice a = {.count = 77};
    struct gw_error err = GW_ERROR_INIT;

    in.ram_bytes = 0;
    assert_int_equal(gw_forecast_advise(&in, &CAN(0), &a, &err), -EINVAL);
    assert_int_equal(a.count, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_tried), cmocka_unit_test(test_fewest),
                                       cmocka_unit_test(test_what_disturbs_comes_last), cmocka_unit_test(test_longer),
                                       cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
