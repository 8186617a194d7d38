/* SPDX-License-Identifier: MIT
 *
 * report: how a migration went, as one page for people: a file that needs no other, with charts. What is known is put into a
 * struct gw_report; what is not known is NAN, or absent, and left out on the page.
 *
 * Times are seconds since the start, sizes bytes, where the name says nothing else.
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

struct gw_report_round { /* or several */
    double first, count;
    double began_s, duration_s;
    double sent, pages, zero_pages;
    double remaining; /* when it began */
    double limit;     /* what might have remained for the downtime limit */
    double dirty_per_s;
};

#define GW_REPORT_PARTS 10
struct gw_report_split { /* a whole, by kinds */
    const char *name[GW_REPORT_PARTS]; /* our own words, 45 letters at most */
    double value[GW_REPORT_PARTS];
    size_t count;
};

struct gw_report_row {
    char *name, *value, *note; /* each malloc'ed; the note may be NULL */
};
struct gw_report_rows {
    struct gw_report_row *row;
    size_t count;
    bool failed; /* memory ran out: some are missing */
};

/* What was expected before the start. */
struct gw_report_forecast {
    bool known;
    double total_ms, downtime_ms, sent, rounds; /* NAN: nothing was said of it */
};

enum gw_report_end { GW_REPORT_COMPLETED, GW_REPORT_FAILED, GW_REPORT_CANCELLED, GW_REPORT_UNKNOWN };

struct gw_report {
    enum gw_report_end end;
    char *machine, *server, *to, *when; /* malloc'ed, may be NULL */
    char *why;                          /* it failed */
    char *left;                         /* how the machine here was left: "postmigrate" */
    const char *source;                 /* where samples and rounds come from; a sentence */

    double total_ms, setup_ms, downtime_ms, downtime_limit_ms;
    double sent, memory, rounds, page_bytes;
    double throttle; /* at most, percent of the vCPUs' time */
    double stopped_s; /* the machine was to stand still */

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
/* A part of 0 is left out; those that do not fit are added to the last. */
void gw_report_split_add(struct gw_report_split *s, const char *name, double value);
double gw_report_split_sum(const struct gw_report_split *s);
/* Joins rounds and samples until there are no more than so many. What cannot be is brought into bounds before: the figures are
 * another program's. */
void gw_report_thin(struct gw_report *r, size_t samples, size_t rounds);

/* "Migrated 2.00 GiB in 3.2 s" and "the machine stood still for 12 ms"; size bytes each. */
void gw_report_headline(const struct gw_report *r, char *first, char *second, size_t size);

/* report_charts.c: each draws at (x, y) and returns its height. The captions say in words what is to be seen. */
double gw_report_timeline(FILE *to, const struct gw_report *r, double x, double y, double width, const char *class);
double gw_report_remaining(FILE *to, const struct gw_report *r, double x, double y, double width, const char *class);
double gw_report_bar(FILE *to, const struct gw_report_split *s, const char *title,
                     const char *(*shown)(char *buf, double value), double x, double y, double width, const char *class);
void gw_report_timeline_caption(FILE *to, const struct gw_report *r);
void gw_report_remaining_caption(FILE *to, const struct gw_report *r);
void gw_report_bar_caption(FILE *to, const struct gw_report_split *s, const char *(*shown)(char *buf, double value));
/* How values of the three bars read. */
const char *gw_report_us(char *buf, double value);
const char *gw_report_pages(char *buf, double value);
const char *gw_report_bytes(char *buf, double value);
extern const char gw_report_style[]; /* CSS of the charts, light and dark */

/* report_page.c: what other pages of this look are made of. Charts come twice, of classes "wide" and "narrow", and are so wide: */
#define GW_PAGE_WIDE   1000
#define GW_PAGE_NARROW 360
/* text is escaped, the others are not. */
void gw_page_put(FILE *to, const char *before, const char *text, const char *after);
/* From the first byte to the headline, after which </main></body></html> has to come some time. */
void gw_page_begin(FILE *to, const char *more_style, const char *first, const char *second);
void gw_page_tile(FILE *to, const char *name, const char *value, const char *more);
void gw_page_bar(FILE *to, const struct gw_report_split *s, const char *title, const char *(*shown)(char *buf, double value), double wide);
void gw_page_rows(FILE *to, const struct gw_report_rows *rows);

/* The file, as HTML or as SVG. The first thins r. false: writing failed. */
bool gw_report_page(FILE *to, struct gw_report *r);
bool gw_report_sheet(FILE *to, struct gw_report *r);

#endif
