/* SPDX-License-Identifier: MIT
 *
 * The progress line on a clock of its own: what stands in it at each width, that its time is steady, when it is drawn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "progress.h"

#define MIB  1048576.0
#define S_NS 1000000000ull

static uint64_t clock_ns(void *opaque)
{
    return *(uint64_t *)opaque;
}

/* 1.5 GiB of 4 at 100 MiB/s, seen for ten seconds. */
static void known(struct gw_progress_line *line, struct gw_progress_at *at)
{
    *line = (struct gw_progress_line){0};
    *at = (struct gw_progress_at){.phase = "active", .total = 4096 * MIB, .round = 1};
    for (unsigned s = 0; s <= 10; s++) {
        at->sent = (536 + 100 * s) * MIB;
        at->left = at->total - at->sent;
        gw_progress_sample(line, at, s * S_NS + 1);
    }
    snprintf(at->extra[0], GW_PROGRESS_EXTRA, "dirty 12.0 MiB/s");
    snprintf(at->extra[1], GW_PROGRESS_EXTRA, "downtime ~30 ms");
    snprintf(at->extra[2], GW_PROGRESS_EXTRA, "round 1");
}

static void test_widths(void **state)
{
    struct gw_progress_line line;
    struct gw_progress_at at;
    char buf[GW_PROGRESS_TEXT];

    known(&line, &at);
    assert_string_equal(gw_progress_text(&line, &at, 200, buf),
                        "active  37%  1.50 GiB of 4.00 GiB  100 MiB/s  ETA 26 s  dirty 12.0 MiB/s  downtime ~30 ms  round 1");
    assert_string_equal(gw_progress_text(&line, &at, 80, buf),
                        "active  37%  1.50 GiB of 4.00 GiB  100 MiB/s  ETA 26 s  dirty 12.0 MiB/s");
    assert_string_equal(gw_progress_text(&line, &at, 40, buf), "active  37%  100 MiB/s  ETA 26 s");
    assert_string_equal(gw_progress_text(&line, &at, 20, buf), "37%  ETA 26 s");
    assert_string_equal(gw_progress_text(&line, &at, 10, buf), "37%");
    assert_string_equal(gw_progress_text(&line, &at, 3, buf), "37");
    for (unsigned columns = 0; columns < 300; columns++) {
        const char *text = gw_progress_text(&line, &at, columns, buf);

        assert_true(strlen(text) >= 1 && strlen(text) <= (columns > 2 ? columns - 1 : 1));
    }
    at.left = 12500 * MIB; /* the longest time that there is: both still fit */
    at.total = 2 * at.left;
    assert_string_equal(gw_progress_text(&line, &at, 20, buf), "50%  ETA 2 min 05 s");
}

/* The text never ends within a character. */
static void test_characters(void **state)
{
    struct gw_progress_line line = {0};
    struct gw_progress_at at = {.phase = "\xc3\xa4\xe2\x82\xac" "b", .left = -1};
    char buf[GW_PROGRESS_TEXT];

    assert_string_equal(gw_progress_text(&line, &at, 80, buf), at.phase);
    assert_string_equal(gw_progress_text(&line, &at, 6, buf), "\xc3\xa4\xe2\x82\xac");
    assert_string_equal(gw_progress_text(&line, &at, 5, buf), "\xc3\xa4");
    assert_string_equal(gw_progress_text(&line, &at, 2, buf), "");
}

static void test_unknown(void **state)
{
    struct gw_progress_line line = {0};
    struct gw_progress_at at = {.phase = "setup", .left = -1};
    char buf[GW_PROGRESS_TEXT];

    assert_string_equal(gw_progress_text(&line, &at, 80, buf), "setup");
    at.sent = 3 * MIB; /* the whole is not known */
    assert_string_equal(gw_progress_text(&line, &at, 80, buf), "setup  3.00 MiB  ETA -");
    assert_int_equal(gw_progress_percent(&at), -1);
    at.total = 30 * MIB; /* nor what is left */
    assert_string_equal(gw_progress_text(&line, &at, 80, buf), "setup  3.00 MiB  ETA -");
    at.left = 27 * MIB; /* the rate is not known */
    assert_string_equal(gw_progress_text(&line, &at, 80, buf), "setup  10%  3.00 MiB of 30.0 MiB  ETA -");
    at.told_per_s = 1 * MIB;
    assert_string_equal(gw_progress_text(&line, &at, 80, buf), "setup  10%  3.00 MiB of 30.0 MiB  1.00 MiB/s  ETA 27 s");
    at.left = 1; /* 100% is all of it */
    assert_int_equal(gw_progress_percent(&at), 99);
    at.left = 0;
    assert_string_equal(gw_progress_text(&line, &at, 80, buf), "setup  100%  30.0 MiB of 30.0 MiB  1.00 MiB/s  ETA < 1 s");
    at.left = 31 * MIB; /* more than the whole: memory that is dirty again while it is counted */
    assert_int_equal(gw_progress_percent(&at), 0);
}

/* What gets dirty meanwhile is sent, too. */
static void test_dirty(void **state)
{
    struct gw_progress_line line;
    struct gw_progress_at at;

    known(&line, &at);
    assert_true(gw_progress_eta_s(&line, &at) > 25.5 && gw_progress_eta_s(&line, &at) < 25.7);
    at.dirty_per_s = 50 * MIB;
    assert_true(gw_progress_eta_s(&line, &at) > 51 && gw_progress_eta_s(&line, &at) < 51.4);
    at.dirty_per_s = 100 * MIB;
    assert_true(gw_progress_eta_s(&line, &at) == GW_PROGRESS_NEVER);
    at.dirty_per_s = 0;
    at.never = true;
    assert_true(gw_progress_eta_s(&line, &at) == GW_PROGRESS_NEVER);
}

/* A rate that swings between 20 and 180 MiB/s each second: from a fourth of the way on the time that is told is within a quarter of
 * the truth, and never grows by more than a fifth from one second to the next. */
static void test_steady(void **state)
{
    struct gw_progress_line line = {0};
    struct gw_progress_at at = {.phase = "active", .total = 12000 * MIB, .left = 12000 * MIB};
    double before = 0;

    for (unsigned s = 0; s < 100; s++) {
        double eta_s = gw_progress_eta_s(&line, &at), truth_s = 120 - s;

        if (s == 0)
            assert_true(eta_s == GW_PROGRESS_UNKNOWN);
        if (s >= 30) {
            assert_true(eta_s > truth_s * 0.75 && eta_s < truth_s * 1.25);
            assert_true(s == 30 || eta_s < before * 1.2);
        }
        before = eta_s;
        gw_progress_sample(&line, &at, (s + 1) * S_NS);
        at.sent += (s % 2 ? 180 : 20) * MIB;
        at.left = at.total - at.sent;
    }
}

/* Within ten seconds a new rate counts for more than the old one; nothing that comes is no rate soon. */
static void test_follows(void **state)
{
    struct gw_progress_line line = {0};
    struct gw_progress_at at = {.phase = "active", .total = 100000 * MIB, .left = 50000 * MIB};
    unsigned s;

    for (s = 1; s <= 60; s++, at.sent += 100 * MIB)
        gw_progress_sample(&line, &at, s * S_NS);
    for (; s <= 70; s++, at.sent += 10 * MIB)
        gw_progress_sample(&line, &at, s * S_NS);
    assert_true(line.sent_speed.per_s < 35 * MIB && line.sent_speed.per_s > 10 * MIB);
    for (; s <= 300; s++)
        gw_progress_sample(&line, &at, s * S_NS);
    assert_true(gw_progress_eta_s(&line, &at) == GW_PROGRESS_UNKNOWN);
}

/* A minute in which nothing came does not count for the rate. */
static void test_waits_first(void **state)
{
    struct gw_progress_line line = {0};
    struct gw_progress_at at = {.phase = "setup", .total = 100 * MIB, .left = 100 * MIB};

    for (unsigned s = 1; s <= 60; s++)
        gw_progress_sample(&line, &at, s * S_NS);
    at.sent = 10 * MIB;
    gw_progress_sample(&line, &at, 61 * S_NS);
    assert_true(line.sent_speed.per_s > 9.9 * MIB && line.sent_speed.per_s < 10.1 * MIB);
}

/* Pages of zeros: what is left shrinks faster than bytes are sent. A new round says nothing about that; other work begins anew. */
static void test_rounds(void **state)
{
    struct gw_progress_line line = {0};
    struct gw_progress_at at = {.phase = "active", .total = 1000 * MIB, .left = 1000 * MIB, .round = 1};

    for (unsigned s = 0; s <= 4; s++) {
        at.sent = s * MIB;
        at.left = (1000 - 100 * s) * MIB;
        gw_progress_sample(&line, &at, (s + 1) * S_NS);
    }
    assert_true(gw_progress_eta_s(&line, &at) > 5.9 && gw_progress_eta_s(&line, &at) < 6.1);
    at.round = 2;
    at.left = 10 * MIB;
    at.sent = 5 * MIB;
    gw_progress_sample(&line, &at, 6 * S_NS);
    assert_true(gw_progress_eta_s(&line, &at) < 0.11);
    assert_true(line.left_speed.over_s < 4.1);
    at.sent = 0;
    at.left = 5 * MIB;
    gw_progress_sample(&line, &at, 7 * S_NS);
    assert_true(gw_progress_eta_s(&line, &at) == GW_PROGRESS_UNKNOWN);
}

/* Everything that was written to a file since. */
static const char *written(FILE *f, char *buf, size_t size)
{
    size_t n;

    rewind(f);
    n = fread(buf, 1, size - 1, f);
    buf[n] = 0;
    rewind(f);
    assert_int_equal(ftruncate(fileno(f), 0), 0);
    return buf;
}

static void test_draws(void **state)
{
    uint64_t now_ns = 1;
    struct gw_clock clock = {.bytes = sizeof clock, .now_ns = clock_ns, .opaque = &now_ns};
    struct gw_progress_line line = {.clock = &clock, .to = tmpfile(), .on = true};
    struct gw_progress_at at = {.phase = "verified", .total = 100 * MIB};
    unsigned drawn = 0;
    char buf[1000];

    assert_non_null(line.to);
    unsetenv("COLUMNS");
    /* Over within a fifth of a second: nothing. */
    gw_progress_show(&line, &at);
    now_ns += S_NS / 10;
    gw_progress_show(&line, &at);
    gw_progress_clear(&line);
    assert_string_equal(written(line.to, buf, sizeof buf), "");
    /* Five times a second at most, however often it is called. */
    for (unsigned i = 0; i < 1000; i++, now_ns += S_NS / 1000) {
        at.sent = at.total - (at.left = (1000 - i) * MIB / 10);
        gw_progress_show(&line, &at);
        drawn += *written(line.to, buf, sizeof buf) != 0;
    }
    assert_in_range(drawn, 4, 5);
    assert_true(line.drawn);
    /* Another phase at once. */
    now_ns += 1;
    at.phase = "written";
    at.left = at.total;
    at.sent = 0;
    gw_progress_show(&line, &at);
    assert_string_equal(written(line.to, buf, sizeof buf), "\rwritten  0%  0 B of 100 MiB  ETA -\033[K");
    gw_progress_clear(&line);
    assert_string_equal(written(line.to, buf, sizeof buf), "\r\033[K");
    gw_progress_clear(&line); /* there is nothing any more */
    assert_string_equal(written(line.to, buf, sizeof buf), "");
    line.on = false;
    now_ns += S_NS;
    gw_progress_show(&line, &at);
    assert_string_equal(written(line.to, buf, sizeof buf), "");
    fclose(line.to);
}

static void test_columns(void **state)
{
    FILE *none = tmpfile(); /* a file has no width */
    int fd;

    assert_non_null(none);
    fd = fileno(none);
    unsetenv("COLUMNS");
    assert_int_equal(gw_progress_columns(fd), 80);
    setenv("COLUMNS", "33", 1);
    assert_int_equal(gw_progress_columns(fd), 33);
    setenv("COLUMNS", "0", 1);
    assert_int_equal(gw_progress_columns(fd), 80);
    setenv("COLUMNS", "many", 1);
    assert_int_equal(gw_progress_columns(fd), 80);
    unsetenv("COLUMNS");
    fclose(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths), cmocka_unit_test(test_characters), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_dirty),  cmocka_unit_test(test_steady),     cmocka_unit_test(test_follows),
        cmocka_unit_test(test_waits_first), cmocka_unit_test(test_rounds), cmocka_unit_test(test_draws),      cmocka_unit_test(test_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
