/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "svg.h"

static char *text;
static size_t bytes;

static FILE *begin(void)
{
    FILE *to = open_memstream(&text, &bytes);

    assert_non_null(to);
    return to;
}

static void check_end(FILE *to, const char *expected)
{
    char wrong[2000] = "";

    assert_int_equal(fclose(to), 0);
    if (strcmp(text, expected))
        snprintf(wrong, sizeof wrong, "%s\ninstead of\n%s", text, expected);
    free(text);
    if (*wrong)
        fail_msg("%s", wrong);
}

static void escaped(const char *given, const char *expected)
{
    FILE *to = begin();

    gw_svg_escape(to, given);
    check_end(to, expected);
}

#define LOST "\xef\xbf\xbd"

static void test_escape(void **state)
{
    escaped(NULL, "");
    escaped("a b", "a b");
    escaped("</title><script>&\"'", "&#60;/title&#62;&#60;script&#62;&#38;&#34;&#39;");
    escaped("\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa6", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa6");
    escaped("a\tb\nc", "a\tb\nc");
    escaped("\x01\x1b[31m\r\x7f", LOST LOST "[31m" LOST LOST);
    escaped("\xc0\xaf", LOST LOST);             /* an overlong '/' */
    escaped("\xe0\x80\xaf", LOST LOST LOST);    /* another */
    escaped("\xed\xa0\x80", LOST);              /* half of a pair */
    escaped("\xef\xbf\xbf", LOST);              /* no character */
    escaped("\xf4\x90\x80\x80", LOST LOST LOST LOST); /* beyond the last one */
    escaped("\xe2\x82", LOST LOST);             /* cut off */
    escaped("a\xe2\x80\xae" "b\xe2\x81\xa6", "a" LOST "b" LOST); /* changes the direction */
    escaped("\xc2\x85", LOST);
}

static void test_elements(void **state)
{
    FILE *to = begin();

    gw_svg_rect(to, 1.23, -2, -5, 4, "c", "a<b");
    gw_svg_text(to, 0, 1, 'e', "c", "%s", "<&>");
    gw_svg_line(to, 0, NAN, 1e99, INFINITY, "c");
    check_end(to, "<rect class=\"c\" x=\"1.2\" y=\"-2\" width=\"0\" height=\"4\"><title>a&#60;b</title></rect>\n"
                  "<text class=\"c\" x=\"0\" y=\"1\" text-anchor=\"end\">&#60;&#38;&#62;</text>\n"
                  "<line class=\"c\" x1=\"0\" y1=\"0\" x2=\"1e+06\" y2=\"0\"/>\n");
}

static void test_lines(void **state)
{
    const struct gw_svg_point p[] = {{0, 1}, {2, 3}, {4, NAN}, {6, 7}, {8, 9}};
    FILE *to = begin();

    gw_svg_polyline(to, p, 5, false, "c");
    gw_svg_polyline(to, p, 5, true, "c");
    gw_svg_area(to, p, 2, true, 10, "c");
    gw_svg_polyline(to, p, 0, true, "c");
    gw_svg_polyline(to, p + 2, 1, true, "c");
    gw_svg_area(to, p, 0, true, 10, "c");
    check_end(to, "<path class=\"c\" d=\"M0 1L2 3M6 7L8 9\"/>\n"
                  "<path class=\"c\" d=\"M0 1H2V3H4M6 7H8V9\"/>\n"
                  "<path class=\"c\" d=\"M0 10L0 1H2L2 3V10Z\"/>\n");
}

static void ticks(struct gw_svg_axis axis, double unit, size_t most, const char *expected)
{
    double t[GW_SVG_TICKS];
    size_t n = gw_svg_ticks(&axis, unit, most, t);
    char got[300] = "";

    for (size_t i = 0; i < n; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%g", i ? " " : "", t[i]);
    assert_string_equal(got, expected);
}

static void test_axes(void **state)
{
    const struct gw_svg_axis even = {0, 10, 100, 200, false}, down = {1, 1024, 200, 0, true};

    assert_true(gw_svg_at(&even, 5) == 150);
    assert_true(gw_svg_at(&even, -1) == 100 && gw_svg_at(&even, 1e300) == 200);
    assert_true(isnan(gw_svg_at(&even, NAN)));
    assert_true(gw_svg_at(&down, 32) == 100 && gw_svg_at(&down, 0) == 200);
    assert_true(gw_svg_at(&(struct gw_svg_axis){3, 3, 7, 9, false}, 3) == 7); /* of no length */
    ticks(even, 1, 6, "0 2 4 6 8 10");
    ticks(even, 1, 3, "0 5 10");
    ticks(even, 1, 5, "0 5 10");
    ticks((struct gw_svg_axis){0, 0.013, 0, 1, false}, 1, 5, "0 0.005 0.01");
    ticks((struct gw_svg_axis){0, 5e6, 0, 1, false}, 1 << 20, 5, "0 1.04858e+06 2.09715e+06 3.14573e+06 4.1943e+06");
    ticks((struct gw_svg_axis){3000, 300000, 0, 1, true}, 1, 5, "4096 16384 65536 262144");
    ticks((struct gw_svg_axis){0, 0, 0, 1, false}, 1, 5, "");
    ticks((struct gw_svg_axis){0, NAN, 0, 1, false}, 1, 5, "");
    ticks((struct gw_svg_axis){0, INFINITY, 0, 1, false}, 1, 5, "");
    ticks((struct gw_svg_axis){0, 9, 0, 1, true}, 1, 5, "");
    ticks(even, 1, 0, "");
}

/* Never more than asked for, always within, in order. */
static void test_many_axes(void **state)
{
    for (int i = -40; i < 60; i++)
        for (size_t most = 1; most <= 15; most++)
            for (int log = 0; log < 2; log++) {
                struct gw_svg_axis axis = {log ? 1 : 0, exp2(i * 0.7) + 1, 0, 100, log};
                double t[GW_SVG_TICKS];
                size_t n = gw_svg_ticks(&axis, 1, most, t);

                assert_true(n <= most && n <= GW_SVG_TICKS);
                for (size_t k = 0; k < n; k++)
                    assert_true(t[k] >= axis.from - 1e-6 && t[k] <= axis.to * (1 + 1e-6) && (!k || t[k] > t[k - 1]));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape), cmocka_unit_test(test_elements), cmocka_unit_test(test_lines),
        cmocka_unit_test(test_axes),   cmocka_unit_test(test_many_axes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
