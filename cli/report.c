/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"

void gw_report_init(struct gw_report *r)
{
    *r = (struct gw_report){.end = GW_REPORT_UNKNOWN, .rounds_apart = 1};
    r->total_ms = r->setup_ms = r->downtime_ms = r->downtime_limit_ms = NAN;
    r->sent = r->memory = r->rounds = r->page_bytes = r->throttle = r->stopped_s = NAN;
    r->forecast = (struct gw_report_forecast){false, NAN, NAN, NAN, NAN};
}

static void free_rows(struct gw_report_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        free(rows->row[i].name);
        free(rows->row[i].value);
        free(rows->row[i].note);
    }
    free(rows->row);
}

void gw_report_fini(struct gw_report *r)
{
    free(r->machine);
    free(r->server);
    free(r->to);
    free(r->when);
    free(r->why);
    free(r->left);
    free(r->sample);
    free(r->round);
    free_rows(&r->settings);
    free_rows(&r->figures);
    free_rows(&r->notes);
    gw_report_init(r);
}

void gw_report_add(struct gw_report_rows *rows, const char *name, const char *value, const char *note)
{
    struct gw_report_row *more = realloc(rows->row, (rows->count + 1) * sizeof *more), row;

    if (!more) {
        rows->failed = true;
        return;
    }
    rows->row = more;
    row = (struct gw_report_row){strdup(name), strdup(value ? value : ""), note ? strdup(note) : NULL};
    if (!row.name || !row.value || (note && !row.note)) {
        free(row.name);
        free(row.value);
        free(row.note);
        rows->failed = true;
        return;
    }
    rows->row[rows->count++] = row;
}

void gw_report_split_add(struct gw_report_split *s, const char *name, double value)
{
    if (!(value > 0))
        return;
    if (s->count == GW_REPORT_PARTS) {
        s->value[GW_REPORT_PARTS - 1] += value;
        s->name[GW_REPORT_PARTS - 1] = "other";
        return;
    }
    s->name[s->count] = name;
    s->value[s->count++] = value;
}

double gw_report_split_sum(const struct gw_report_split *s)
{
    double sum = 0;

    for (size_t i = 0; i < s->count; i++)
        sum += s->value[i];
    return sum;
}

static void join(struct gw_report_round *a, const struct gw_report_round *b)
{
    double a_dirty = isnan(a->dirty_per_s) ? 0 : a->dirty_per_s * a->duration_s;
    double b_dirty = isnan(b->dirty_per_s) ? 0 : b->dirty_per_s * b->duration_s;

    a->count += b->count;
    a->duration_s = fmax(b->began_s + b->duration_s - a->began_s, 0);
    if (!isnan(b->sent))
        a->sent = isnan(a->sent) ? b->sent : a->sent + b->sent;
    a->pages += b->pages;
    a->zero_pages += b->zero_pages;
    if (!isnan(a->dirty_per_s) || !isnan(b->dirty_per_s))
        a->dirty_per_s = a->duration_s > 0 ? (a_dirty + b_dirty) / a->duration_s : 0;
}

/* Limits a value to what fits on a page; NAN stays. */
static void bound(double *v, double least, double most)
{
    if (!isnan(*v))
        *v = fmin(fmax(*v, least), most);
}

static void bound_all(struct gw_report *r)
{
    const double bytes = 1e18, seconds = 1e9;
    double at = 0;

    for (size_t i = 0; i < r->samples; i++) {
        struct gw_report_sample *s = &r->sample[i];

        bound(&s->at_s, at, seconds);
        bound(&s->sent, i ? s[-1].sent : 0, bytes);
        bound(&s->dirty_per_s, 0, bytes);
        at = s->at_s;
    }
    for (size_t i = 0; i < r->round_count; i++) {
        struct gw_report_round *n = &r->round[i];

        bound(&n->began_s, i ? n[-1].began_s : 0, seconds);
        bound(&n->first, 1, 1e12);
        bound(&n->count, 1, 1e12);
        bound(&n->duration_s, 0, seconds);
        bound(&n->sent, 0, bytes);
        bound(&n->pages, 0, bytes);
        bound(&n->zero_pages, 0, bytes);
        bound(&n->remaining, 0, bytes);
        bound(&n->limit, 0, bytes);
        bound(&n->dirty_per_s, 0, bytes);
    }
    bound(&r->total_ms, 0, seconds * 1000);
    bound(&r->setup_ms, 0, seconds * 1000);
    bound(&r->downtime_ms, 0, seconds * 1000);
    bound(&r->downtime_limit_ms, 0, seconds * 1000);
    bound(&r->stopped_s, 0, seconds);
    bound(&r->sent, 0, bytes);
    bound(&r->memory, 0, bytes);
    bound(&r->rounds, 0, 1e12);
    for (size_t i = 0; i < GW_REPORT_PARTS; i++) {
        bound(&r->downtime_us.value[i], 0, seconds * 1e6);
        bound(&r->pages.value[i], 0, bytes);
        bound(&r->bytes.value[i], 0, bytes);
    }
}

void gw_report_thin(struct gw_report *r, size_t samples, size_t rounds)
{
    size_t step = samples ? (r->samples + samples - 1) / samples : 1, kept = 0;

    bound_all(r);
    for (size_t i = 0; step > 1 && i < r->samples; i++) {
        /* Values are cumulative, so samples can be dropped, except the last one. */
        if (i % step == 0 || i + 1 == r->samples) {
            if (kept == samples)
                kept--;
            r->sample[kept++] = r->sample[i];
        }
    }
    if (step > 1)
        r->samples = kept;
    step = rounds ? (r->round_count + rounds - 1) / rounds : 1;
    if (step > 1) {
        for (size_t i = 0; i < r->round_count; i++) {
            if (i % step == 0)
                r->round[i / step] = r->round[i];
            else
                join(&r->round[i / step], &r->round[i]);
        }
        r->round_count = (r->round_count + step - 1) / step;
    }
    for (size_t i = 0; i < r->round_count; i++)
        r->rounds_apart = fmax(r->rounds_apart, r->round[i].count);
}

void gw_report_headline(const struct gw_report *r, char *first, char *second, size_t size)
{
    char memory[GW_HUMAN], time[GW_HUMAN], down[GW_HUMAN];

    gw_human_bytes(memory, r->memory);
    gw_human_ms(time, r->total_ms);
    gw_human_ms(down, r->downtime_ms);
    *second = 0;
    switch (r->end) {
    case GW_REPORT_COMPLETED:
        if (isnan(r->memory))
            snprintf(first, size, "Migrated%s%s", isnan(r->total_ms) ? "" : " in ", isnan(r->total_ms) ? "" : time);
        else
            snprintf(first, size, "Migrated a machine of %s%s%s", memory, isnan(r->total_ms) ? "" : " in ",
                     isnan(r->total_ms) ? "" : time);
        if (!isnan(r->downtime_ms))
            snprintf(second, size, "it was stopped for %s", down);
        break;
    case GW_REPORT_UNKNOWN:
        snprintf(first, size, "How this migration ended is not known");
        break;
    default:
        snprintf(first, size, "Migration %s%s%s", r->end == GW_REPORT_CANCELLED ? "cancelled" : "failed",
                 isnan(r->total_ms) ? "" : " after ", isnan(r->total_ms) ? "" : time);
    }
}
