/* SPDX-License-Identifier: MIT */
#include "svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* Length of the UTF-8 character at s, 0: invalid; *ret_code is its code point. */
static size_t character(const unsigned char *s, uint32_t *ret_code)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    uint32_t code = n < 2 ? s[0] : s[0] & (0x7fu >> n);

    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    if ((n == 3 && code < 0x800) || (n == 4 && (code < 0x10000 || code > 0x10ffff)))
        return 0;
    *ret_code = code;
    return n;
}

static bool is_plain(uint32_t code)
{
    if (code < 0x20)
        return code == '\t' || code == '\n';
    if ((code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000) || (code & 0xfffe) == 0xfffe)
        return false;
    /* marks, embeddings and isolates of text direction */
    return !(code >= 0x200e && code <= 0x200f) && !(code >= 0x202a && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069);
}

void gw_svg_escape(FILE *to, const char *text)
{
    const unsigned char *s = (const unsigned char *)(text ? text : "");

    while (*s) {
        uint32_t code = 0;
        size_t n = character(s, &code);

        if (n == 0 || !is_plain(code))
            fputs("\xef\xbf\xbd", to);
        else if (strchr("&<>\"'", (int)code) && code < 0x80)
            fprintf(to, "&#%u;", code);
        else
            fwrite(s, 1, n, to);
        s += n ? n : 1;
    }
}

static void tipped(FILE *to, const char *element, const char *tip)
{
    if (!tip) {
        fputs("/>", to);
        return;
    }
    fputs("><title>", to);
    gw_svg_escape(to, tip);
    fprintf(to, "</title></%s>", element);
}

/* ---- elements ---------------------------------------------------------------------------------------------------- */

/* Tenths of a pixel suffice; a NAN or infinity must not be printed as a word. */
static double px(double v)
{
    return isfinite(v) ? round(fmax(-1e6, fmin(v, 1e6)) * 10) / 10 + 0.0 : 0;
}

void gw_svg_begin(FILE *to, double x, double y, double width, double height, const char *class, const char *title)
{
    fprintf(to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"%s\" role=\"img\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" "
            "viewBox=\"0 0 %g %g\" aria-label=\"",
            class, px(x), px(y), px(width), px(height), px(width), px(height));
    gw_svg_escape(to, title);
    fputs("\">\n", to);
}

void gw_svg_end(FILE *to)
{
    fputs("</svg>\n", to);
}

void gw_svg_rect(FILE *to, double x, double y, double width, double height, const char *class, const char *tip)
{
    fprintf(to, "<rect class=\"%s\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"", class, px(x), px(y), px(fmax(width, 0)),
            px(fmax(height, 0)));
    tipped(to, "rect", tip);
    fputc('\n', to);
}

void gw_svg_dot(FILE *to, double x, double y, double radius, const char *class, const char *tip)
{
    fprintf(to, "<circle class=\"%s\" cx=\"%g\" cy=\"%g\" r=\"%g\"", class, px(x), px(y), px(fmax(radius, 0)));
    tipped(to, "circle", tip);
    fputc('\n', to);
}

void gw_svg_line(FILE *to, double x1, double y1, double x2, double y2, const char *class)
{
    fprintf(to, "<line class=\"%s\" x1=\"%g\" y1=\"%g\" x2=\"%g\" y2=\"%g\"/>\n", class, px(x1), px(y1), px(x2), px(y2));
}

void gw_svg_text(FILE *to, double x, double y, char anchor, const char *class, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(to, "<text class=\"%s\" x=\"%g\" y=\"%g\" text-anchor=\"%s\">", class, px(x), px(y),
            anchor == 'm' ? "middle" : anchor == 'e' ? "end" : "start");
    gw_svg_escape(to, text);
    fputs("</text>\n", to);
}

void gw_svg_polyline(FILE *to, const struct gw_svg_point *points, size_t count, bool steps, const char *class)
{
    bool down = false, drawn = false;

    for (size_t i = 0; i < count; i++) {
        if (!isfinite(points[i].y)) {
            if (down && steps)
                fprintf(to, "H%g", px(points[i].x));
            down = false;
            continue;
        }
        if (!drawn)
            fprintf(to, "<path class=\"%s\" d=\"", class);
        drawn = true;
        if (down && steps)
            fprintf(to, "H%gV%g", px(points[i].x), px(points[i].y));
        else
            fprintf(to, "%c%g %g", down ? 'L' : 'M', px(points[i].x), px(points[i].y));
        down = true;
    }
    if (drawn)
        fputs("\"/>\n", to);
}

void gw_svg_area(FILE *to, const struct gw_svg_point *points, size_t count, bool steps, double floor, const char *class)
{
    if (count == 0)
        return;
    fprintf(to, "<path class=\"%s\" d=\"M%g %g", class, px(points[0].x), px(floor));
    for (size_t i = 0; i < count; i++) {
        double y = px(isfinite(points[i].y) ? points[i].y : floor);

        if (steps && i)
            fprintf(to, "H%g", px(points[i].x));
        fprintf(to, "L%g %g", px(points[i].x), y);
    }
    fprintf(to, "V%gZ\"/>\n", px(floor));
}

/* ---- axes -------------------------------------------------------------------------------------------------------- */

double gw_svg_at(const struct gw_svg_axis *axis, double value)
{
    double span = axis->log ? log2(axis->to / axis->from) : axis->to - axis->from, part;

    if (isnan(value))
        return NAN;
    part = !(span > 0) ? 0 : axis->log ? (value > 0 ? log2(value / axis->from) / span : 0) : (value - axis->from) / span;
    return axis->a + (axis->b - axis->a) * fmax(0, fmin(part, 1));
}

static size_t powers(const struct gw_svg_axis *axis, size_t most, double ret[GW_SVG_TICKS])
{
    double first = ceil(log2(axis->from) - 1e-9), last = floor(log2(axis->to) + 1e-9), step = 1;
    size_t count = 0;

    while ((last - first) / step >= (double)most)
        step *= 2;
    for (double e = ceil(first / step) * step; e <= last && count < most; e += step)
        ret[count++] = exp2(e);
    return count;
}

size_t gw_svg_ticks(const struct gw_svg_axis *axis, double unit, size_t most, double ret[GW_SVG_TICKS])
{
    double span = (axis->to - axis->from) / unit, step;
    size_t count = 0;

    if (most > GW_SVG_TICKS)
        most = GW_SVG_TICKS;
    if (most == 0 || !isfinite(span) || span <= 0)
        return 0;
    if (axis->log)
        return axis->from > 0 ? powers(axis, most, ret) : 0;
    step = pow(10, floor(log10(span / (double)most)));
    for (int i = 0; span / step >= (double)most; i++)
        step *= i % 3 == 1 ? 2.5 : 2;
    for (double v = ceil(axis->from / unit / step - 1e-9) * step; v <= axis->to / unit + step * 1e-9 && count < most; v += step)
        ret[count++] = v * unit + 0.0; /* no -0 */
    return count;
}
