/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "human.h"
#include "report.h"
#include "svg.h"

#define CHAR_W  6.6 /* average width of a letter */
#define BUCKETS 400 /* of the bandwidth chart, at most */

const char gw_report_style[] =
    ":root{color-scheme:light dark;--bg:#fff;--ink:#16202c;--soft:#5b6878;--rule:#dde3ea;--band:#f1f4f8;--card:#f7f9fb;"
    "--c0:#2563eb;--c1:#e8590c;--c2:#0d9270;--c3:#9c4fc4;--c4:#c99700;--c5:#d6336c;--c6:#7b8794;--c7:#0891b2;--bad:#c92a2a;"
    "--good:#0b7a5b}\n"
    "@media (prefers-color-scheme:dark){:root{--bg:#12171e;--ink:#e8edf3;--soft:#9aa7b6;--rule:#2c3642;--band:#1a212a;"
    "--card:#181f27;--c0:#6ea8fe;--c1:#ff9447;--c2:#38d0a4;--c3:#c795ea;--c4:#f0c33c;--c5:#f783ac;--c6:#8f9baa;--c7:#4cc4dd;"
    "--bad:#ff8787;--good:#4fd1a5}}\n"
    "svg text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--ink)}\n"
    "svg .soft{fill:var(--soft)}svg .strong{font-weight:600}svg .stop{fill:var(--c5);font-weight:600}\n"
    "svg .rule{stroke:var(--rule)}svg .axis{stroke:var(--soft)}svg .band{fill:var(--band)}svg .none{fill:none}\n"
    "svg .sent{fill:none;stroke:var(--c0);stroke-width:1.6;stroke-linejoin:round}svg .sentarea{fill:var(--c0);opacity:.16}\n"
    "svg .dirty{fill:none;stroke:var(--c1);stroke-width:1.8}svg .limit{fill:none;stroke:var(--c2);stroke-width:1.6;"
    "stroke-dasharray:5 4}\n"
    "svg .left{fill:none;stroke:var(--c0);stroke-width:1.8}svg .dot{fill:var(--c0)}svg .still{fill:var(--c5);opacity:.3}"
    "svg .stopline{stroke:var(--c5);stroke-width:1.6}\n"
    "svg .k0{fill:var(--c0)}svg .k1{fill:var(--c1)}svg .k2{fill:var(--c2)}svg .k3{fill:var(--c3)}svg .k4{fill:var(--c4)}"
    "svg .k5{fill:var(--c5)}svg .k6{fill:var(--c6)}svg .k7{fill:var(--c7)}\n";

/* ---- shared ------------------------------------------------------------------------------------------------------ */

/* The unit that gives round numbers at the ticks of an axis of bytes. */
static double unit_of(double most)
{
    double unit = 1;

    while (most / unit >= 1000 && unit < exp2(50))
        unit *= 1024;
    return unit;
}

static const char *tick_bytes(char buf[GW_HUMAN], double v)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double unit = 1;
    size_t i = 0;

    for (; i < 5 && v / unit >= 1000; i++)
        unit *= 1024;
    snprintf(buf, GW_HUMAN, "%.3g %s", v / unit, names[i]);
    return buf;
}

static const char *tick_seconds(char buf[GW_HUMAN], double s, double step)
{
    if (step < 0.01)
        snprintf(buf, GW_HUMAN, "%.3g ms", s * 1000);
    else if (step >= 60)
        snprintf(buf, GW_HUMAN, step >= 3600 ? "%.4g h" : "%.4g min", s / (step >= 3600 ? 3600 : 60));
    else
        snprintf(buf, GW_HUMAN, "%.4g s", s);
    return buf;
}

/* A colour swatch with its label; returns where the next one may begin. */
static double key(FILE *to, double x, double y, const char *class, const char *word)
{
    gw_svg_line(to, x, y - 4, x + 16, y - 4, class);
    gw_svg_text(to, x + 22, y, 's', "soft", "%s", word);
    return x + 22 + CHAR_W * (double)strlen(word) + 18;
}

static double nothing(FILE *to, double x, double y, double width, const char *class, const char *title, const char *why)
{
    gw_svg_begin(to, x, y, width, 40, class, title);
    gw_svg_text(to, 0, 24, 's', "soft", "%s", why);
    gw_svg_end(to);
    return 40;
}

/* ---- over time --------------------------------------------------------------------------------------------------- */

static double end_s(const struct gw_report *r)
{
    double end = isnan(r->total_ms) ? 0 : r->total_ms / 1000;

    if (r->samples)
        end = fmax(end, r->sample[r->samples - 1].at_s);
    for (size_t i = 0; i < r->round_count; i++)
        end = fmax(end, r->round[i].began_s + r->round[i].duration_s);
    return end;
}

static double sent_at(const struct gw_report *r, double s, size_t *from)
{
    const struct gw_report_sample *a = r->sample;
    size_t i = *from;

    while (i + 1 < r->samples && a[i + 1].at_s < s)
        i++;
    *from = i;
    if (s <= a[i].at_s || i + 1 == r->samples)
        return a[i].sent;
    return a[i].sent + (a[i + 1].sent - a[i].sent) * (s - a[i].at_s) / (a[i + 1].at_s - a[i].at_s);
}

/* Bytes per second in buckets of equal length, so that close samples make no spikes. */
static size_t bandwidth(const struct gw_report *r, double end, double width, struct gw_svg_point out[BUCKETS + 1])
{
    size_t n = (size_t)fmax(8, fmin(width / 3, BUCKETS)), from = 0;
    double before = 0;

    if (r->samples < 2 || end <= 0)
        return 0;
    n = n > 2 * r->samples ? 2 * r->samples : n;
    n = (double)n > fmax(40, end * 10) ? (size_t)fmax(40, end * 10) : n; /* a source sends in steps of at least 50 ms */
    for (size_t i = 0; i <= n; i++) {
        double at = end * (double)i / (double)n, sent = sent_at(r, at, &from);

        if (i)
            out[i - 1] = (struct gw_svg_point){end * (double)(i - 1) / (double)n, fmax(sent - before, 0) / (end / (double)n)};
        before = sent;
    }
    out[n] = (struct gw_svg_point){end, out[n - 1].y};
    return n + 1;
}

/* From rounds if they have it, else from samples. *ret is malloc'ed. */
static size_t dirty_rate(const struct gw_report *r, double end, struct gw_svg_point **ret)
{
    size_t count = 0;
    bool rounds = false;

    *ret = calloc(r->round_count + r->samples + 2, sizeof **ret);
    if (!*ret)
        return 0;
    for (size_t i = 0; i < r->round_count; i++)
        if (!isnan(r->round[i].dirty_per_s)) {
            const struct gw_report_round *round = &r->round[i];

            rounds = true;
            (*ret)[count++] = (struct gw_svg_point){round->began_s, round->dirty_per_s};
            if (i + 1 == r->round_count || isnan(round[1].dirty_per_s))
                (*ret)[count++] = (struct gw_svg_point){round->began_s + round->duration_s, NAN};
        }
    for (size_t i = 0; !rounds && i < r->samples; i++)
        (*ret)[count++] = (struct gw_svg_point){r->sample[i].at_s, r->sample[i].dirty_per_s};
    if (count && !rounds)
        (*ret)[count++] = (struct gw_svg_point){end, NAN};
    return count;
}

static double highest(const struct gw_svg_point *p, size_t count)
{
    double most = 0;

    for (size_t i = 0; i < count; i++)
        if (isfinite(p[i].y))
            most = fmax(most, p[i].y);
    return most;
}

static void to_pixels(struct gw_svg_point *p, size_t count, const struct gw_svg_axis *ax, const struct gw_svg_axis *ay)
{
    for (size_t i = 0; i < count; i++)
        p[i] = (struct gw_svg_point){gw_svg_at(ax, p[i].x), gw_svg_at(ay, p[i].y)};
}

static void draw_bands(FILE *to, const struct gw_report *r, const struct gw_svg_axis *x, const struct gw_svg_axis *y)
{
    double labelled = -1e9;

    for (size_t i = 0; i < r->round_count; i++) {
        const struct gw_report_round *n = &r->round[i];
        double a = gw_svg_at(x, n->began_s), b = gw_svg_at(x, n->began_s + n->duration_s), w;
        char tip[160], sent[GW_HUMAN], time[GW_HUMAN], name[32];

        snprintf(name, sizeof name, n->count > 1 ? "%.0f-%.0f" : "%.0f", n->first, n->first + n->count - 1);
        snprintf(tip, sizeof tip, "round %s: %s%s%s", name, isnan(n->sent) ? "" : gw_human_bytes(sent, n->sent),
                 isnan(n->sent) ? "" : " in ", gw_human_ms(time, n->duration_s * 1000));
        gw_svg_rect(to, a, y->b, b - a, y->a - y->b, i % 2 ? "none" : "band", b - a >= 2 ? tip : NULL);
        w = CHAR_W * (double)strlen(name) + 6;
        if (b - a >= w && a >= labelled) {
            gw_svg_text(to, (a + b) / 2, y->b + 14, 'm', "soft", "%s", name);
            labelled = b;
        }
    }
}

static void draw_frame(FILE *to, const struct gw_svg_axis *x, const struct gw_svg_axis *y, double unit, const char *per)
{
    double ticks[GW_SVG_TICKS];
    size_t n = gw_svg_ticks(y, unit, 5, ticks);
    char buf[GW_HUMAN];

    for (size_t i = 0; i < n; i++) {
        double at = gw_svg_at(y, ticks[i]);

        gw_svg_line(to, x->a, at, x->b, at, "rule");
        gw_svg_text(to, x->a - 8, at + 4, 'e', "soft", "%s%s", tick_bytes(buf, ticks[i]), ticks[i] > 0 ? per : "");
    }
    gw_svg_line(to, x->a, y->a, x->b, y->a, "axis");
}

static void draw_stop(FILE *to, const struct gw_report *r, const struct gw_svg_axis *x, const struct gw_svg_axis *y)
{
    double at = gw_svg_at(x, r->stopped_s), until = gw_svg_at(x, r->stopped_s + (isnan(r->downtime_ms) ? 0 : r->downtime_ms / 1000));
    char down[GW_HUMAN];

    if (isnan(r->stopped_s))
        return;
    gw_svg_rect(to, at, y->b, fmax(until - at, 1), y->a - y->b, "still", NULL);
    gw_svg_line(to, at, y->b - 6, at, y->a, "stopline");
    gw_svg_text(to, at, y->b - 11, at > (x->a + x->b) / 2 ? 'e' : 's', "stop", "switch-over%s%s",
                isnan(r->downtime_ms) ? "" : ", ", isnan(r->downtime_ms) ? "" : gw_human_ms(down, r->downtime_ms));
}

double gw_report_timeline(FILE *to, const struct gw_report *r, double x, double y, double width, const char *class)
{
    double end = end_s(r), height = width < 600 ? 250 : 300, most, unit, ticks[GW_SVG_TICKS], after;
    struct gw_svg_axis ax = {0, end, 78, width - 14, false}, ay = {0, 1, height - 30, 50, false};
    struct gw_svg_point sent[BUCKETS + 1], *dirty = NULL;
    size_t sents = bandwidth(r, end, ax.b - ax.a, sent), dirties = dirty_rate(r, end, &dirty), n;
    static const char title[] = "Bandwidth and dirty rate over time";
    char buf[GW_HUMAN];

    if (end <= 0 || (sents == 0 && r->round_count == 0)) {
        free(dirty);
        return nothing(to, x, y, width, class, title, "Nothing was sent.");
    }
    most = fmax(highest(sent, sents), highest(dirty, dirties));
    ay.to = most > 0 ? most * 1.12 : 1;
    unit = unit_of(ay.to);
    gw_svg_begin(to, x, y, width, height, class, title);
    draw_bands(to, r, &ax, &ay);
    draw_frame(to, &ax, &ay, unit, "/s");
    n = gw_svg_ticks(&ax, end < 300 ? 1 : end < 18000 ? 60 : 3600, width < 600 ? 4 : 9, ticks);
    for (size_t i = 0; i < n; i++)
        gw_svg_text(to, gw_svg_at(&ax, ticks[i]), height - 12, i && gw_svg_at(&ax, ticks[i]) > ax.b - 24 ? 'e' : 'm', "soft", "%s",
                    tick_seconds(buf, ticks[i], n > 1 ? ticks[1] - ticks[0] : end));
    to_pixels(sent, sents, &ax, &ay);
    to_pixels(dirty, dirties, &ax, &ay);
    gw_svg_area(to, sent, sents, true, ay.a, "sentarea");
    gw_svg_polyline(to, sent, sents, true, "sent");
    gw_svg_polyline(to, dirty, dirties, true, "dirty");
    draw_stop(to, r, &ax, &ay);
    after = key(to, ax.a, 14, "sent", "sent");
    if (dirties)
        after = key(to, after, 14, "dirty", "dirtied by the guest");
    if (r->round_count && width - 14 - after > 140)
        gw_svg_text(to, width - 14, 14, 'e', "soft", "shaded bands: rounds");
    gw_svg_end(to);
    free(dirty);
    return height;
}

void gw_report_timeline_caption(FILE *to, const struct gw_report *r)
{
    struct gw_svg_point sent[BUCKETS + 1], *dirty = NULL;
    double end = end_s(r);
    size_t sents = bandwidth(r, end, 900, sent), dirties = dirty_rate(r, end, &dirty);
    char a[GW_HUMAN], b[GW_HUMAN];

    if (sents)
        fprintf(to, "On average %s/s were sent, at most %s/s.", gw_human_bytes(a, r->sample[r->samples - 1].sent / end),
                gw_human_bytes(b, highest(sent, sents)));
    if (dirties)
        fprintf(to, " The guest dirtied at most %s/s.", gw_human_bytes(a, highest(dirty, dirties)));
    if (!isnan(r->stopped_s))
        fprintf(to, " The machine was stopped after %s.", gw_human_ms(a, r->stopped_s * 1000));
    if (r->throttle > 0)
        fprintf(to, " The vCPUs were throttled by up to %.0f %%.", r->throttle);
    if (r->rounds_apart > 1)
        fprintf(to, " Up to %.0f rounds are drawn as one.", r->rounds_apart);
    free(dirty);
}

/* ---- round by round ---------------------------------------------------------------------------------------------- */

double gw_report_remaining(FILE *to, const struct gw_report *r, double x, double y, double width, const char *class)
{
    static const char title[] = "Memory that remained at the start of each round";
    double height = width < 600 ? 220 : 240, low = INFINITY, high = 0, ticks[GW_SVG_TICKS], last, after;
    struct gw_svg_axis ax = {0, 1, 78, width - 24, false}, ay = {1, 2, height - 44, 34, true};
    struct gw_svg_point *p = calloc(2 * r->round_count + 2, sizeof *p), *limit = p ? p + r->round_count + 1 : NULL;
    bool limits = false;
    size_t n;

    for (size_t i = 0; p && i < r->round_count; i++) {
        const struct gw_report_round *n_ = &r->round[i];

        high = fmax(high, fmax(n_->remaining, n_->limit)); /* fmax ignores NAN */
        if (n_->remaining > 0)
            low = fmin(low, n_->remaining);
        if (n_->limit > 0) {
            low = fmin(low, n_->limit);
            limits = true;
        }
    }
    if (high <= 0 || !p) {
        free(p);
        return nothing(to, x, y, width, class, title, "No round began.");
    }
    ay.from = exp2(floor(log2(fmax(low, 1)) - 0.5));
    ay.to = exp2(ceil(log2(high) + 0.3));
    last = r->round[r->round_count - 1].first;
    ax.from = last > 1 ? 1 - (last - 1) * 0.03 : 0.5;
    ax.to = last > 1 ? last + (last - 1) * 0.03 : 1.5;
    gw_svg_begin(to, x, y, width, height, class, title);
    draw_frame(to, &ax, &ay, 1, "");
    n = gw_svg_ticks(&ax, 1, width < 600 ? 6 : 12, ticks);
    for (size_t i = 0; i < n; i++)
        if (ticks[i] > 0.5 && fabs(ticks[i] - round(ticks[i])) < 1e-6)
            gw_svg_text(to, gw_svg_at(&ax, ticks[i]), ay.a + 18, 'm', "soft", "%.0f", ticks[i]);
    gw_svg_text(to, (ax.a + ax.b) / 2, height - 8, 'm', "soft", "round");
    for (size_t i = 0; i < r->round_count; i++) {
        p[i] = (struct gw_svg_point){gw_svg_at(&ax, r->round[i].first), isnan(r->round[i].remaining) ? NAN : gw_svg_at(&ay, fmax(r->round[i].remaining, 1))};
        limit[i] = (struct gw_svg_point){p[i].x, r->round[i].limit > 0 ? gw_svg_at(&ay, r->round[i].limit) : NAN};
    }
    gw_svg_polyline(to, limit, r->round_count, false, "limit");
    gw_svg_polyline(to, p, r->round_count, false, "left");
    for (size_t i = 0; i < r->round_count; i++) {
        char tip[120], a[GW_HUMAN], b[GW_HUMAN];
        bool known = r->round[i].limit > 0;

        snprintf(tip, sizeof tip, "round %.0f: %s remained%s%s", r->round[i].first, gw_human_bytes(a, r->round[i].remaining),
                 known ? ", limit " : "", known ? gw_human_bytes(b, r->round[i].limit) : "");
        if (isfinite(p[i].y))
            gw_svg_dot(to, p[i].x, p[i].y, r->round_count > 80 ? 1.8 : 3.6, "dot", tip);
    }
    after = key(to, ax.a, 14, "left", "remaining");
    if (limits)
        after = key(to, after, 14, "limit", "fits the downtime limit");
    if (width - 24 - after > 120)
        gw_svg_text(to, width - 24, 14, 'e', "soft", "logarithmic scale");
    gw_svg_end(to);
    free(p);
    return height;
}

void gw_report_remaining_caption(FILE *to, const struct gw_report *r)
{
    const struct gw_report_round *last = NULL;
    char a[GW_HUMAN], b[GW_HUMAN];

    for (size_t i = 0; i < r->round_count; i++)
        if (!isnan(r->round[i].remaining))
            last = &r->round[i];
    if (!last || isnan(r->round[0].remaining))
        return;
    fprintf(to, "%s at the start, %s when round %.0f began.", gw_human_bytes(a, r->round[0].remaining),
            gw_human_bytes(b, last->remaining), last->first);
    for (size_t i = r->round_count; i-- > 0;)
        if (r->round[i].limit > 0) {
            fprintf(to, " Up to %s could have been sent within the downtime limit (round %.0f).", gw_human_bytes(a, r->round[i].limit),
                    r->round[i].first);
            break;
        }
}

/* ---- a whole and its parts --------------------------------------------------------------------------------------- */

const char *gw_report_us(char *buf, double value)
{
    return gw_human_ms(buf, value / 1000);
}

const char *gw_report_pages(char *buf, double value)
{
    snprintf(buf, GW_HUMAN, "%.0f", value);
    return buf;
}

const char *gw_report_bytes(char *buf, double value)
{
    return gw_human_bytes(buf, value);
}

static const char *percent(char buf[GW_HUMAN], double part)
{
    snprintf(buf, GW_HUMAN, part > 0.0995 ? "%.0f %%" : part >= 0.001 ? "%.1f %%" : "< 0.1 %%", part * 100);
    return buf;
}

double gw_report_bar(FILE *to, const struct gw_report_split *s, const char *title,
                     const char *(*shown)(char *buf, double value), double x, double y, double width, const char *class)
{
    double sum = gw_report_split_sum(s), at = 0, height = 40 + 20 * (double)s->count, right = fmin(width, 460);
    char value[GW_HUMAN], share[GW_HUMAN], tip[160], look[16];

    if (!(sum > 0))
        return nothing(to, x, y, width, class, title, "Not known.");
    gw_svg_begin(to, x, y, width, height, class, title);
    for (size_t i = 0; i < s->count; i++) {
        double w = width * s->value[i] / sum;

        snprintf(look, sizeof look, "k%zu", i % 8);
        snprintf(tip, sizeof tip, "%s: %s, %s", s->name[i], shown(value, s->value[i]), percent(share, s->value[i] / sum));
        /* A gap between neighbours, but not at the cost of small ones. */
        gw_svg_rect(to, at, 2, fmax(w - (i + 1 < s->count && w > 3 ? 1 : 0), 0.8), 26, look, tip);
        at += w;
    }
    for (size_t i = 0; i < s->count; i++) {
        double row = 52 + 20 * (double)i;

        snprintf(look, sizeof look, "k%zu", i % 8);
        gw_svg_rect(to, 0, row - 10, 11, 11, look, NULL);
        gw_svg_text(to, 18, row, 's', "", "%s", s->name[i]);
        gw_svg_text(to, right - 62, row, 'e', "strong", "%s", shown(value, s->value[i]));
        gw_svg_text(to, right, row, 'e', "soft", "%s", percent(share, s->value[i] / sum));
    }
    gw_svg_end(to);
    return height;
}

void gw_report_bar_caption(FILE *to, const struct gw_report_split *s, const char *(*shown)(char *buf, double value))
{
    char value[GW_HUMAN];

    if (s->count)
        fprintf(to, "%s in all.", shown(value, gw_report_split_sum(s)));
}
