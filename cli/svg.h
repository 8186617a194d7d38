/* SPDX-License-Identifier: MIT
 *
 * svg: writes the parts of charts to a FILE as XML. The style sheet defines their look: each part has a class. All
 * texts are escaped here, so that none can end an element or an attribute, or reorder the text next to it.
 */
#ifndef GODWIT_CLI_SVG_H
#define GODWIT_CLI_SVG_H

#include <godwit/godwit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Text of an element or an attribute. Invalid UTF-8, characters not allowed in XML, and those that change text
 * direction become U+FFFD. NULL: nothing. */
void gw_svg_escape(FILE *to, const char *text);

/* A picture of its own, or inside another one at (x, y). title: a description for screen readers. */
void gw_svg_begin(FILE *to, double x, double y, double width, double height, const char *class, const char *title);
void gw_svg_end(FILE *to);

/* tip: the tooltip; NULL: none. Negative widths count as 0. */
void gw_svg_rect(FILE *to, double x, double y, double width, double height, const char *class, const char *tip);
void gw_svg_dot(FILE *to, double x, double y, double radius, const char *class, const char *tip);
void gw_svg_line(FILE *to, double x1, double y1, double x2, double y2, const char *class);
/* anchor: 's', 'm' or 'e': the position of x in the text. */
void gw_svg_text(FILE *to, double x, double y, char anchor, const char *class, const char *fmt, ...) GW_PRINTF(6, 7);

struct gw_svg_point {
    double x, y; /* y NAN: the line has a gap here */
};
/* steps: each point's y holds until the next one's x. */
void gw_svg_polyline(FILE *to, const struct gw_svg_point *points, size_t count, bool steps, const char *class);
/* The same, filled down to `floor`. In gaps the area has no height. */
void gw_svg_area(FILE *to, const struct gw_svg_point *points, size_t count, bool steps, double floor, const char *class);

/* Values from `from` to `to` are mapped to pixels a to b. */
struct gw_svg_axis {
    double from, to, a, b;
    bool log;
};
/* Clamped to the axis. */
double gw_svg_at(const struct gw_svg_axis *axis, double value);

#define GW_SVG_TICKS 12
/* At most `most` (up to GW_SVG_TICKS) round values within the axis, in steps of 1, 2 or 5 times 10^n `unit`s; of a logarithmic
 * one powers of 2. Returns how many. */
size_t gw_svg_ticks(const struct gw_svg_axis *axis, double unit, size_t most, double ret[GW_SVG_TICKS]);

#endif
