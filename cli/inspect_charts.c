/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"
#include "inspect_page.h"
#include "report.h"
#include "svg.h"

#define ROWS_MAX 32u
#define LABEL    14 /* pixels between labels */
#define CHAR_W   6.6

/* From sparse to dense: e0 to e4; h: less than half of the square has contents. */
const char gw_inspect_style[] =
    ":root{--z:#e6eaf0;--e0:#8ed8b0;--e1:#2fb5a0;--e2:#1d83b8;--e3:#3450b4;--e4:#4b1c7d;--sh:#f08c00}\n"
    "@media (prefers-color-scheme:dark){:root{--z:#222b36;--e0:#1f6b57;--e1:#1f9c8b;--e2:#43b3e0;--e3:#95a8ff;--e4:#e6c4ff;--sh:#ffa83d}}\n"
    "svg .z{fill:var(--z)}svg .e0{fill:var(--e0)}svg .e1{fill:var(--e1)}svg .e2{fill:var(--e2)}svg .e3{fill:var(--e3)}"
    "svg .e4{fill:var(--e4)}svg .sh{fill:var(--sh)}svg .mi{fill:var(--bad)}svg .h{opacity:.5}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 4px;padding:0;list-style:none;font-size:13px;color:var(--soft)}"
    ".legend i{display:inline-block;width:12px;height:12px;border-radius:2px;margin-right:6px;vertical-align:-1px}"
    "i.z{background:var(--z)}i.e0{background:var(--e0)}i.e1{background:var(--e1)}i.e2{background:var(--e2)}i.e3{background:var(--e3)}"
    "i.e4{background:var(--e4)}i.sh{background:var(--sh)}i.mi{background:var(--bad)}\n"
    "h3{font-size:15px;margin:22px 0 6px;overflow-wrap:anywhere}h3 span{color:var(--soft);font-weight:400}\n";

/* ---- squares ----------------------------------------------------------------------------------------------------- */

enum look { ZERO, E0, E1, E2, E3, E4, SHARED, H0, H1, H2, H3, H4, HALF_SHARED, MISSING, LOOKS };
static const char *const looks[LOOKS] = {"z",    "e0",   "e1",   "e2",   "e3",   "e4",   "sh",
                                         "e0 h", "e1 h", "e2 h", "e3 h", "e4 h", "sh h", "mi"};

static unsigned step_of(double bits)
{
    return bits < 1 ? 0 : bits < 3 ? 1 : bits < 5 ? 2 : bits < 7 ? 3 : 4;
}

static enum look look_of(const struct gw_ram_cell *c)
{
    uint64_t shared = c->pages[GW_RAM_IS_SHARED], filled = c->pages[GW_RAM_IS_DATA] + shared;
    enum look look;

    if (c->pages[GW_RAM_IS_MISSING])
        return MISSING;
    if (!filled)
        return ZERO;
    look = shared > filled - shared ? SHARED : E0 + step_of(c->bits);
    return filled < c->pages[GW_RAM_IS_ZERO] ? H0 + (look - E0) : look;
}

struct grid {
    const struct gw_ram_cell *cells;
    size_t count, columns;
    double left, pitch;
};

/* Adjacent squares of one look are drawn as one strip; all of a look as one path. */
static void put_look(FILE *to, const struct grid *g, enum look look)
{
    bool any = false;

    for (size_t i = 0, n; i < g->count; i += n) {
        size_t row_end = (i / g->columns + 1) * g->columns;

        n = 1;
        if (look_of(&g->cells[i]) != look)
            continue;
        while (i + n < g->count && i + n < row_end && look_of(&g->cells[i + n]) == look)
            n++;
        if (!any)
            fprintf(to, "<path class=\"%s\" d=\"", looks[look]);
        any = true;
        fprintf(to, "M%g %gh%gv%gh-%gz", g->left + (double)(i % g->columns) * g->pitch, (double)(i / g->columns) * g->pitch,
                (double)n * g->pitch - 1, g->pitch - 1, (double)n * g->pitch - 1);
    }
    if (any)
        fputs("\"/>\n", to);
}

static void put_offsets(FILE *to, const struct grid *g, double square)
{
    double last = -LABEL;

    for (size_t row = 0; row * g->columns < g->count; row++) {
        double y = (double)row * g->pitch;

        if (y - last < LABEL)
            continue;
        gw_svg_text(to, g->left - 8, y + 10, 'e', "soft", "0x%llx", (unsigned long long)(square * (double)(row * g->columns)));
        last = y;
    }
}

double gw_inspect_squares(FILE *to, const struct gw_inspect_page *p, unsigned block, double width, const char *class)
{
    bool wide = width > 600;
    uint64_t page = gw_image_page_bytes(p->image), pages = gw_image_block_bytes(p->image, block) / page, each = 1;
    struct grid g = {.columns = wide ? 128 : 32, .left = wide ? 92 : 0, .pitch = wide ? 7 : 11};
    struct gw_ram_cell *cells;
    char size[GW_HUMAN], title[400];

    while (pages / each > ROWS_MAX * g.columns || (pages % each && pages / each == ROWS_MAX * g.columns))
        each *= 2;
    g.count = (size_t)((pages + each - 1) / each);
    cells = calloc(g.count ? g.count : 1, sizeof *cells);
    g.cells = cells;
    if (!cells || !pages || gw_ram_map_cells(p->ram, block, each, cells, g.count, NULL) < 0) {
        free(cells);
        return 0;
    }
    snprintf(title, sizeof title, "RAM of %s, a square for each %s", gw_image_block_name(p->image, block),
             gw_human_bytes(size, (double)(each * page)));
    gw_svg_begin(to, 0, 0, width, fmax(ceil((double)g.count / (double)g.columns) * g.pitch, 16), class, title);
    for (enum look look = 0; look < LOOKS; look++)
        put_look(to, &g, look);
    if (g.left > 0)
        put_offsets(to, &g, (double)(each * page));
    gw_svg_end(to);
    free(cells);
    return (double)(each * page);
}

/* ---- entropy ----------------------------------------------------------------------------------------------------- */

void gw_inspect_histogram(FILE *to, const struct gw_ram_map *ram, double width, const char *class)
{
    uint64_t pages[GW_RAM_ENTROPY_STEPS], most = 0;
    double left = 64, bottom = 190, each = (width - left - 12) / GW_RAM_ENTROPY_STEPS, ticks[GW_SVG_TICKS];
    struct gw_svg_axis y = {.a = bottom, .b = 12};
    char tip[120], look[8];
    size_t n;

    gw_ram_map_entropy(ram, pages);
    for (unsigned i = 0; i < GW_RAM_ENTROPY_STEPS; i++)
        most = pages[i] > most ? pages[i] : most;
    y.to = most ? (double)most : 1;
    gw_svg_begin(to, 0, 0, width, 236, class, "Pages by entropy");
    n = gw_svg_ticks(&y, 1, 5, ticks);
    for (size_t i = 0; i < n; i++) {
        gw_svg_line(to, left, gw_svg_at(&y, ticks[i]), width, gw_svg_at(&y, ticks[i]), "rule");
        if (ticks[i] == floor(ticks[i]))
            gw_svg_text(to, left - 8, gw_svg_at(&y, ticks[i]) + 4, 'e', "soft", "%.6g", ticks[i]);
    }
    for (unsigned i = 0; i < GW_RAM_ENTROPY_STEPS; i++) {
        double top = gw_svg_at(&y, (double)pages[i]);

        snprintf(look, sizeof look, "e%u", step_of((i + 0.5) / 4));
        snprintf(tip, sizeof tip, "%.2f to %.2f bits: %llu pages", i / 4.0, (i + 1) / 4.0, (unsigned long long)pages[i]);
        if (pages[i]) /* any contents remain visible */
            gw_svg_rect(to, left + i * each + 1, fmin(top, bottom - 1.5), each - 2, fmax(bottom - top, 1.5), look, tip);
    }
    gw_svg_line(to, left, bottom, width, bottom, "axis");
    for (unsigned bits = 0; bits <= 8; bits += width > 600 ? 1 : 2)
        gw_svg_text(to, left + bits * 4 * each, bottom + 18, bits == 8 ? 'e' : 'm', "soft", "%u", bits);
    gw_svg_text(to, left + 16 * each, bottom + 38, 'm', "soft", "bits of entropy for a byte");
    gw_svg_end(to);
}

/* ---- bars -------------------------------------------------------------------------------------------------------- */

/* Names come from the file. A long one is cut between characters and ends in dots. */
static void shorten(char *dst, size_t size, const char *text, double room)
{
    size_t n = 0, letters = 0, most = (size_t)(room / CHAR_W);

    for (; text[n] && n + 8 < size; n++) {
        letters += ((unsigned char)text[n] & 0xc0) != 0x80;
        if (letters > most)
            break;
    }
    snprintf(dst, size, "%.*s%s", (int)n, text, text[n] ? ".." : "");
}

void gw_inspect_bars(FILE *to, const struct gw_inspect_bar *bars, size_t count, const char *title, double width, const char *class)
{
    double left = width > 600 ? 240 : 128, right = 80, most = 0;
    char name[256], size[GW_HUMAN];

    for (size_t i = 0; i < count; i++)
        most = fmax(most, bars[i].bytes);
    gw_svg_begin(to, 0, 0, width, 22 * (double)count + 4, class, title);
    for (size_t i = 0; i < count; i++) {
        double y = 22 * (double)i + 2, w = most > 0 ? (width - left - right) * bars[i].bytes / most : 0;

        shorten(name, sizeof name, bars[i].name, left - 24);
        gw_svg_text(to, left - 10, y + 13, 'e', "", "%s", name);
        gw_svg_rect(to, left, y + 2, fmax(w, 1), 14, "k0", bars[i].name);
        gw_svg_text(to, left + fmax(w, 1) + 8, y + 13, 's', "soft", "%s", gw_human_bytes(size, bars[i].bytes));
    }
    gw_svg_end(to);
}
