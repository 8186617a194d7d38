/* SPDX-License-Identifier: MIT
 *
 * svg: the parts that charts are made of, written to a FILE as XML. Looks are the style sheet's: each part has a class.
 * All texts are escaped here; none can end an element or an attribute, or reorder what stands beside it.
 */
#ifndef GODWIT_CLI_SVG_H
#define GODWIT_CLI_SVG_H

#include <godwit/godwit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Text of an element or an attribute. What is not UTF-8, what XML has no character for, and what changes the direction of
 * text becomes U+FFFD. NULL is nothing. */
void gw_svg_escape(FILE *to, const char *text);

/* A picture of its own, or inside another one at (x, y). title is what it is, for those who cannot see it. */
void gw_svg_begin(FILE *to, double x, double y, double width, double height, const char *class, const char *title);
void gw_svg_end(FILE *to);

/* tip: what is shown where the pointer rests; NULL: nothing. Widths below 0 are 0. */
void gw_svg_rect(FILE *to, double x, double y, double width, double height, const char *class, const char *tip);
void gw_svg_dot(FILE *to, double x, double y, double radius, const char *class, const char *tip);
void gw_svg_line(FILE *to, double x1, double y1, double x2, double y2, const char *class);
/* anchor: 's', 'm' or 'e': where x is in the text. */
void gw_svg_text(FILE *to, double x, double y, char anchor, const char *class, const char *fmt, ...) GW_PRINTF(6, 7);

struct gw_svg_point {
    double x, y; /* y NAN: the line has a gap here */
};
/* steps: each point's y holds until the next one's x. */
void gw_svg_polyline(FILE *to, const struct gw_svg_point *points, size_t count, bool steps, const char *class);
/* The same, filled down to `floor`. Gaps are on the floor. */
void gw_svg_area(FILE *to, const struct gw_svg_point *points, size_t count, bool steps, double floor, const char *class);

/* Values from `from` to `to` are drawn between pixels a and b. */
struct gw_svg_axis {
    double from, to, a, b;
    bool log;
};
/* Never outside of the axis. */
double gw_svg_at(const struct gw_svg_axis *axis, double value);

#define GW_SVG_TICKS 12
/* At most `most` (up to GW_SVG_TICKS) round values within the axis, in steps of 1, 2 or 5 times 10^n `unit`s; of a logarithmic
 * one powers of 2. Returns how many. */
size_t gw_svg_ticks(const struct gw_svg_axis *axis, double unit, size_t most, double ret[GW_SVG_TICKS]);

#endif
