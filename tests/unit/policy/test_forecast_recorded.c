/* SPDX-License-Identifier: MIT
 *
 * Forecasts of recorded measurements beside what happened: forecasts.txt. What the record has not is at its default. The bounds
 * below are what the model reaches, and a little; who makes it better raises them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "godwit/forecast.h"

#define RUNS_MAX 200

struct row {
    struct gw_forecast_in in;
    struct gw_forecast_set set;
    char kind[32], capability[32];
    double total_ms, downtime_us, bytes; /* 0: it did not converge */
};

static bool read_row(FILE *f, struct row *ret)
{
    struct row r = {.in = {.page_bytes = 4096, .zero_known = true, .zero_error = 0.02, .xbzrle_cache_bytes = 64u << 20,
                           .multifd_channels = 2, .compress_threads = 8, .cpus = 2}};
    double limit, downtime_ms, link;
    unsigned ram, points;
    char line[4096];

    do {
        if (!fgets(line, sizeof line, f))
            return false;
    } while (line[0] == '#');
    assert_non_null(strchr(line, '\n'));
    {
        int used = 0;
        char *at = line;

        assert_int_equal(sscanf(at, "%31s %31s %u %lf %lf %lf %lf %lf %lf %lf %lf %u%n", r.kind, r.capability, &ram, &limit, &downtime_ms,
                                &link, &r.in.slowdown, &r.in.zero_share, &r.total_ms, &r.downtime_us, &r.bytes, &points, &used), 12);
        assert_true(points <= GW_FORECAST_POINTS);
        for (unsigned i = 0; i < points; i++) {
            double us, bytes, error;

            at += used;
            assert_int_equal(sscanf(at, " %lf,%lf,%lf%n", &us, &bytes, &error, &used), 3);
            r.in.dirty[r.in.points++] = (struct gw_forecast_point){(uint64_t)(us * 1e3), (uint64_t)bytes, error};
        }
    }
    r.in.ram_bytes = (uint64_t)ram << 20;
    r.in.max_bandwidth = (uint64_t)limit;
    r.in.downtime_limit_ns = (uint64_t)(downtime_ms * 1e6);
    r.in.link_bytes_per_s = (uint64_t)link;
    r.in.link_error = 0.1;
    r.set.xbzrle = !strcmp(r.capability, "xbzrle");
    r.set.multifd = !strcmp(r.capability, "multifd");
    r.set.compress = !strcmp(r.capability, "compress");
    r.set.auto_converge = !strcmp(r.capability, "auto-converge");
    *ret = r;
    return true;
}

struct figure {
    const char *name;
    double off[RUNS_MAX]; /* ln(happened / typical) */
    unsigned in, below, above, n;
};

static void note(struct figure *f, double happened, struct gw_forecast_range range, double unit)
{
    happened *= unit;
    f->off[f->n++] = log(GW_MAX(happened, 1.0) / GW_MAX(range.typical, 1.0));
    f->below += happened < range.low;
    f->above += happened > range.high;
    f->in += happened >= range.low && happened <= range.high;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* At least so many of a hundred are within the range, and the middle one is off by no more than this, as a logarithm. */
static void judge(struct figure *f, unsigned within, double off)
{
    assert_true(f->n > 50);
    qsort(f->off, f->n, sizeof *f->off, compare);
    print_message("%-10s of %u: %u within, %u below, %u above; off by %+.2f, from %+.2f to %+.2f (logarithms)\n", f->name, f->n, f->in,
                  f->below, f->above, f->off[f->n / 2], f->off[f->n / 20], f->off[f->n - 1 - f->n / 20]);
    assert_true(f->in * 100 >= f->n * within);
    assert_true(fabs(f->off[f->n / 2]) <= off);
}

static void test_recorded(void **state)
{
    struct figure total = {.name = "total time"}, downtime = {.name = "downtime"}, bytes = {.name = "bytes"};
    unsigned runs = 0, right = 0;
    FILE *f = fopen(TRACES "/../forecasts.txt", "r");
    struct row r;

    assert_non_null(f);
    while (runs < RUNS_MAX && read_row(f, &r)) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_forecast x;

        assert_int_equal(gw_forecast(&r.in, &r.set, &x, &err), 0);
        runs++;
        right += (x.certainty > 0.5) == (r.total_ms > 0);
        if (r.total_ms <= 0 || x.certainty <= 0.5)
            continue;
        note(&total, r.total_ms, x.total_ns, 1e6);
        note(&downtime, r.downtime_us, x.downtime_ns, 1e3);
        if (!r.set.compress) /* what it makes of pages was not recorded */
            note(&bytes, r.bytes, x.bytes, 1);
    }
    fclose(f);
    print_message("%u runs, %u right by the greater chance\n", runs, right);
    assert_true(right * 100 >= runs * 92);
    judge(&total, 88, 0.2);
    judge(&downtime, 87, 0.35);
    judge(&bytes, 87, 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
