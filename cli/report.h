/* SPDX-License-Identifier: MIT
 *
 * report: shows the course of a migration on one self-contained page with charts. Unknown values in struct gw_report
 * are NAN or absent, and omitted on the page.
 *
 * Times are seconds since the start, sizes are bytes, unless the name says otherwise.
 */
#ifndef GODWIT_CLI_REPORT_H
#define GODWIT_CLI_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct gw_report_sample {
    double at_s, sent;
    double dirty_per_s; /* bytes */
};

struct gw_report_round { /* one round, or several joined */
    double first, count;
    double began_s, duration_s;
    double sent, pages, zero_pages;
    double remaining; /* when it began */
    double limit;     /* the remainder that would have fitted the downtime limit */
    double dirty_per_s;
};

#define GW_REPORT_PARTS 10
struct gw_report_split { /* a total divided into kinds */
    const char *name[GW_REPORT_PARTS]; /* constant names, 45 characters at most */
    double value[GW_REPORT_PARTS];
    size_t count;
};

struct gw_report_row {
    char *name, *value, *note; /* malloc'ed; the note may be NULL */
};
struct gw_report_rows {
    struct gw_report_row *row;
    size_t count;
    bool failed; /* out of memory: some rows are missing */
};

/* The forecast made before the start. */
struct gw_report_forecast {
    bool known;
    double total_ms, downtime_ms, sent, rounds; /* NAN: not forecast */
};

enum gw_report_end { GW_REPORT_COMPLETED, GW_REPORT_FAILED, GW_REPORT_CANCELLED, GW_REPORT_UNKNOWN };

struct gw_report {
    enum gw_report_end end;
    char *machine, *server, *to, *when; /* malloc'ed, may be NULL */
    char *why;                          /* why it failed */
    char *left;                         /* final state of the source machine: "postmigrate" */
    const char *source;                 /* the source of samples and rounds; a sentence */

    double total_ms, setup_ms, downtime_ms, downtime_limit_ms;
    double sent, memory, rounds, page_bytes;
    double throttle; /* the maximum, percent of the vCPUs' time */
    double stopped_s; /* when the machine was to be stopped */

    struct gw_report_sample *sample;
    size_t samples;
    struct gw_report_round *round;
    size_t round_count;
    double rounds_apart; /* rounds in one record, after gw_report_thin */

    struct gw_report_split downtime_us, pages, bytes;
    struct gw_report_rows settings, figures, notes; /* notes have no value */
    struct gw_report_forecast forecast;
};

void gw_report_init(struct gw_report *r);
void gw_report_fini(struct gw_report *r);
/* Copies its texts. value NULL is "". */
void gw_report_add(struct gw_report_rows *rows, const char *name, const char *value, const char *note);
/* A part of 0 is omitted; parts that do not fit are added to the last. */
void gw_report_split_add(struct gw_report_split *s, const char *name, double value);
double gw_report_split_sum(const struct gw_report_split *s);
/* Joins rounds and samples until at most this many remain. Impossible values are first limited, since the figures come
 * from another program. */
void gw_report_thin(struct gw_report *r, size_t samples, size_t rounds);

/* "Migrated 2.00 GiB in 3.2 s" and "the machine stood still for 12 ms"; size bytes each. */
void gw_report_headline(const struct gw_report *r, char *first, char *second, size_t size);

/* report_charts.c: each draws at (x, y) and returns its height. The captions describe the charts in words. */
double gw_report_timeline(FILE *to, const struct gw_report *r, double x, double y, double width, const char *class);
double gw_report_remaining(FILE *to, const struct gw_report *r, double x, double y, double width, const char *class);
double gw_report_bar(FILE *to, const struct gw_report_split *s, const char *title,
                     const char *(*shown)(char *buf, double value), double x, double y, double width, const char *class);
void gw_report_timeline_caption(FILE *to, const struct gw_report *r);
void gw_report_remaining_caption(FILE *to, const struct gw_report *r);
void gw_report_bar_caption(FILE *to, const struct gw_report_split *s, const char *(*shown)(char *buf, double value));
/* Format the values of the three bars. */
const char *gw_report_us(char *buf, double value);
const char *gw_report_pages(char *buf, double value);
const char *gw_report_bytes(char *buf, double value);
extern const char gw_report_style[]; /* CSS of the charts, light and dark */

/* report_page.c: parts of other pages with this style. Charts are drawn twice, with the classes "wide" and "narrow" and
 * these widths: */
#define GW_PAGE_WIDE   1000
#define GW_PAGE_NARROW 360
/* text is escaped, the others are not. */
void gw_page_put(FILE *to, const char *before, const char *text, const char *after);
/* Everything from the first byte to the headline; the caller later closes </main></body></html>. */
void gw_page_begin(FILE *to, const char *more_style, const char *first, const char *second);
void gw_page_tile(FILE *to, const char *name, const char *value, const char *more);
void gw_page_bar(FILE *to, const struct gw_report_split *s, const char *title, const char *(*shown)(char *buf, double value), double wide);
void gw_page_rows(FILE *to, const struct gw_report_rows *rows);

/* The file, as HTML or as SVG. The first thins r. false: writing failed. */
bool gw_report_page(FILE *to, struct gw_report *r);
bool gw_report_sheet(FILE *to, struct gw_report *r);

#endif
