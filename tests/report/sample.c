/* SPDX-License-Identifier: MIT
 *
 * report_sample CASE FILE: writes the report of a migration that is made up, as HTML or as SVG by the name of the file.
 *
 *   none       nothing is known
 *   one        one round
 *   some       seven rounds, everything known
 *   forecast   the same, with a prediction
 *   many       10000 rounds
 *   hostile    texts that try to break out
 *   failed     cancelled under way
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define MIB 1048576.0

static const char nasty[] = "</title></svg><script>alert(1)</script>\"'&amp;<!--\x1b[31m\xff\xe2\x80\xae%s%n";

static void add_rounds(struct gw_report *r, size_t count)
{
    double at = 0.01, sent = 0, left = 2048 * MIB;

    r->sample = calloc(4 * count + 2, sizeof *r->sample);
    r->round = calloc(count + 1, sizeof *r->round);
    if (!r->sample || !r->round)
        exit(1);
    r->sample[r->samples++] = (struct gw_report_sample){at, 0, NAN};
    for (size_t i = 0; i < count; i++) {
        double took = left / (500 * MIB);

        r->round[r->round_count++] = (struct gw_report_round){
            .first = (double)i + 1, .count = 1, .began_s = at, .duration_s = took, .sent = left, .pages = left / 4096,
            .zero_pages = i ? 0 : left / 8192, .remaining = left, .limit = i ? 150 * MIB * (1 + 0.2 * sin((double)i)) : NAN,
            .dirty_per_s = i + 1 < count ? 120 * MIB : NAN};
        for (int k = 1; k <= 4; k++)
            r->sample[r->samples++] = (struct gw_report_sample){at + took * k / 4, sent + left * k / 4, NAN};
        at += took;
        sent += left;
        left = count > 100 ? 300 * MIB : left * 0.24;
    }
    r->stopped_s = at - 0.02;
    r->total_ms = at * 1000;
    r->setup_ms = 10;
    r->sent = sent;
    r->rounds = (double)count;
    r->memory = 2048 * MIB;
    r->page_bytes = 4096;
    r->downtime_ms = 20;
    r->downtime_limit_ms = 300;
    r->end = GW_REPORT_COMPLETED;
}

static void add_all(struct gw_report *r)
{
    r->machine = strdup("db-prod-7");
    r->server = strdup("godwit 0.1.0");
    r->to = strdup("tcp:host-b.example:4444");
    r->when = strdup("2026-01-01 12:00:00 UTC");
    gw_report_split_add(&r->downtime_us, "stopping the machine", 1200);
    gw_report_split_add(&r->downtime_us, "last pages sent", 12800);
    gw_report_split_add(&r->downtime_us, "device states sent", 6000);
    gw_report_split_add(&r->pages, "as they are", 400000);
    gw_report_split_add(&r->pages, "zeros", 200000);
    gw_report_split_add(&r->bytes, "pages as they are", 1600 * MIB);
    gw_report_split_add(&r->bytes, "frames of the stream", 12);
    gw_report_add(&r->settings, "multifd", "on", "capability");
    gw_report_add(&r->figures, "ram.transferred", "123456789 bytes", "118 MiB");
    gw_report_add(&r->notes, "Nothing is missing.", NULL, NULL);
    r->source = "Made up.";
}

static void make(struct gw_report *r, const char *what)
{
    if (!strcmp(what, "one") || !strcmp(what, "some") || !strcmp(what, "forecast") || !strcmp(what, "many")) {
        add_rounds(r, !strcmp(what, "one") ? 1 : !strcmp(what, "many") ? 10000 : 7);
        add_all(r);
    }
    if (!strcmp(what, "forecast"))
        r->forecast = (struct gw_report_forecast){true, 5000, 25, NAN, 6};
    if (!strcmp(what, "failed")) {
        add_rounds(r, 3);
        r->end = GW_REPORT_CANCELLED;
        r->stopped_s = r->downtime_ms = NAN;
        r->why = strdup("the operator pressed Ctrl-C");
        r->left = strdup("running");
    }
    if (!strcmp(what, "hostile")) {
        add_rounds(r, 2);
        r->round[1].began_s = -1e300; /* figures from a hostile server */
        r->round[1].remaining = 1e300;
        r->round[0].limit = -5;
        r->rounds = r->total_ms = r->memory = r->downtime_ms = 1e300;
        r->sample[3].sent = -1e300;
        r->sample[4].at_s = 0;
        r->end = GW_REPORT_FAILED;
        r->machine = strdup(nasty);
        r->server = strdup(nasty);
        r->to = strdup(nasty);
        r->when = strdup(nasty);
        r->why = strdup(nasty);
        r->left = strdup(nasty);
        for (int i = 0; i < 40; i++)
            gw_report_split_add(&r->pages, "pages", 1e300);
        gw_report_add(&r->settings, nasty, nasty, nasty);
        gw_report_add(&r->figures, nasty, nasty, nasty);
        gw_report_add(&r->notes, nasty, nasty, nasty);
    }
}

int main(int argc, char **argv)
{
    struct gw_report r;
    bool good, svg;
    FILE *to;

    if (argc != 3 || !(to = fopen(argv[2], "w")))
        return 2;
    svg = strlen(argv[2]) > 4 && !strcmp(argv[2] + strlen(argv[2]) - 4, ".svg");
    gw_report_init(&r);
    make(&r, argv[1]);
    good = svg ? gw_report_sheet(to, &r) : gw_report_page(to, &r);
    gw_report_fini(&r);
    return fclose(to) == 0 && good ? 0 : 1;
}
