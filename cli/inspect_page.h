/* SPDX-License-Identifier: MIT
 *
 * inspect_page: what is in a machine at rest, as one page for people: a file that needs no other, with pictures of its RAM.
 */
#ifndef GODWIT_CLI_INSPECT_PAGE_H
#define GODWIT_CLI_INSPECT_PAGE_H

#include <stdbool.h>
#include <stdio.h>

#include <godwit/ram_map.h>
#include <jansson.h>

#include "examine.h"

struct gw_inspect_page {
    const char *title;      /* of the file */
    const json_t *told;     /* what `inspect --json` says, integers as reals */
    struct gw_image *image; /* NULL: it is no whole machine, */
    struct gw_ram_map *ram; /* with entropy; and has no map, */
    const char *why;        /* for this reason */
};

/* false: writing failed. */
bool gw_inspect_page(FILE *to, const struct gw_inspect_page *page);

/* inspect_html.c: writes the page of what was inspected to path, in place of what is there. The file is read again for the map. */
int gw_inspect_html(const struct gw_inspect *in, const char *name, const char *snapshot, const char *path, struct gw_cli_progress *progress,
                    struct gw_error *err);

/* inspect_charts.c: each draws at 0, 0, so wide. class: "wide", "narrow". */
extern const char gw_inspect_style[];
/* The RAM of a block, square by square; returns how many bytes a square is, 0: it cannot be drawn. */
double gw_inspect_squares(FILE *to, const struct gw_inspect_page *page, unsigned block, double width, const char *class);
void gw_inspect_histogram(FILE *to, const struct gw_ram_map *ram, double width, const char *class);

struct gw_inspect_bar {
    const char *name;
    double bytes;
};
void gw_inspect_bars(FILE *to, const struct gw_inspect_bar *bars, size_t count, const char *title, double width, const char *class);

#endif
