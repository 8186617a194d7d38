/* SPDX-License-Identifier: MIT
 *
 * inspect_page: shows the contents of a machine at rest as one self-contained page, with pictures of its RAM.
 */
#ifndef GODWIT_CLI_INSPECT_PAGE_H
#define GODWIT_CLI_INSPECT_PAGE_H

#include <stdbool.h>
#include <stdio.h>

#include <godwit/ram_map.h>
#include <jansson.h>

#include "examine.h"

struct gw_inspect_page {
    const char *title;      /* name of the file */
    const json_t *told;     /* the result of `inspect --json`, integers as reals */
    struct gw_image *image; /* NULL: not a complete machine, */
    struct gw_ram_map *ram; /* with entropy; NULL: no map, */
    const char *why;        /* for this reason */
};

/* false: writing failed. */
bool gw_inspect_page(FILE *to, const struct gw_inspect_page *page);

/* inspect_html.c: writes the page of the inspected file to path, replacing an existing file. Reads the file again for
 * the map. */
int gw_inspect_html(const struct gw_inspect *in, const char *name, const char *snapshot, const char *path, struct gw_cli_progress *progress,
                    struct gw_error *err);

/* inspect_charts.c: each draws at 0, 0, with this width. class: "wide", "narrow". */
extern const char gw_inspect_style[];
/* Draws the RAM of a block, square by square; returns the bytes per square, 0: it cannot be drawn. */
double gw_inspect_squares(FILE *to, const struct gw_inspect_page *page, unsigned block, double width, const char *class);
void gw_inspect_histogram(FILE *to, const struct gw_ram_map *ram, double width, const char *class);

struct gw_inspect_bar {
    const char *name;
    double bytes;
};
void gw_inspect_bars(FILE *to, const struct gw_inspect_bar *bars, size_t count, const char *title, double width, const char *class);

#endif
