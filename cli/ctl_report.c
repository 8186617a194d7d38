/* SPDX-License-Identifier: MIT
 *
 * ctl migrate --report: collects the data of a report on a migration, from godwit's or QEMU's answers, and writes the
 * file.
 *
 * A godwit source records its own history (x-godwit-query-history). Other sources are polled during the migration, so
 * values between two polls are unknown.
 */
#include "ctl_report.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "large.h"
#include "report.h"
#include "report_rows.h"
#include "shown.h"

struct gw_ctl_take {
    struct gw_report report;
    const char *path; /* the file, and its temporary name until it is complete */
    char *part;
    bool svg;
    FILE *to;
    json_t *last;    /* the last answer with figures of memory */
    uint64_t began_ns;
    double dirty_limit_ms;
    size_t sample_room, round_room;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);

    return n > k && !strcmp(text + n - k, end);
}

int gw_ctl_take_open(struct gw_ctl *ctl, const char *uri)
{
    struct gw_ctl_take *t;
    struct gw_error err = GW_ERROR_INIT;
    int fd;

    if (!ctl->report)
        return GW_EXIT_DONE;
    if (ctl->detach)
        return gw_ctl_usage("--report cannot be used with --detach: the report needs the end of the migration");
    if (!ends_with(ctl->report, ".html") && !ends_with(ctl->report, ".svg"))
        return gw_ctl_usage("--report: '%s' is not a file name with .html or .svg at the end", gw_shown(ctl->report));
    t = calloc(1, sizeof *t);
    if (t && asprintf(&t->part, "%s.part%ld", ctl->report, (long)getpid()) < 0)
        t->part = NULL;
    if (!t || !t->part) {
        free(t);
        gw_fail(&err, -ENOMEM, GW_BLAME_LOCAL, "out of memory");
        return gw_ctl_failed(ctl->report, &err);
    }
    gw_report_init(&t->report);
    t->path = ctl->report;
    t->svg = ends_with(ctl->report, ".svg");
    fd = open(t->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    t->to = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!t->to) {
        gw_fail(&err, -errno, GW_BLAME_LOCAL, "the report cannot be written there: %s; nothing was started", strerror(errno));
        if (fd >= 0) {
            close(fd);
            unlink(t->part);
        }
        free(t->part);
        free(t);
        return gw_ctl_failed(ctl->report, &err);
    }
    t->report.to = strdup(uri);
    ctl->take = t;
    return GW_EXIT_DONE;
}

void gw_ctl_take_drop(struct gw_ctl *ctl)
{
    struct gw_ctl_take *t = ctl->take;

    ctl->take = NULL;
    if (!t)
        return;
    if (t->to) { /* remove the incomplete file */
        fclose(t->to);
        unlink(t->part);
    }
    json_decref(t->last);
    gw_report_fini(&t->report);
    free(t->part);
    free(t);
}

/* The answer of a command, or NULL if the server does not have it. */
static json_t *ask(struct gw_ctl *ctl, const char *command)
{
    json_t *answer = NULL;

    return gw_qmp_execute(ctl->qmp, command, NULL, &answer, NULL) ? NULL : answer;
}

void gw_ctl_take_forecast(struct gw_ctl *ctl, const struct gw_forecast *f)
{
    if (ctl->take && f->total_ns.typical > 0)
        ctl->take->report.forecast = (struct gw_report_forecast){.known = true,
                                                                 .total_ms = f->total_ns.typical / 1e6,
                                                                 .downtime_ms = f->downtime_ns.typical / 1e6,
                                                                 .sent = f->bytes.typical,
                                                                 .rounds = f->rounds};
}

void gw_ctl_take_begin(struct gw_ctl *ctl)
{
    struct gw_ctl_take *t = ctl->take;
    json_t *capabilities, *parameters, *name;
    char when[64] = "";
    time_t clock = time(NULL);
    struct tm tm;

    if (!t)
        return;
    capabilities = ask(ctl, "query-migrate-capabilities");
    parameters = ask(ctl, "query-migrate-parameters");
    name = ask(ctl, "query-name");
    gw_report_settings(&t->report, capabilities, parameters);
    if (json_object_get(parameters, "downtime-limit"))
        t->report.downtime_limit_ms = gw_ctl_number(parameters, "downtime-limit");
    if (json_string_value(json_object_get(name, "name")))
        t->report.machine = strdup(json_string_value(json_object_get(name, "name")));
    t->report.server = strdup(gw_qmp_server(ctl->qmp));
    if (localtime_r(&clock, &tm) && strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %Z", &tm))
        t->report.when = strdup(when);
    json_decref(capabilities);
    json_decref(parameters);
    json_decref(name);
    t->began_ns = now_ns();
}

/* ---- while it goes on -------------------------------------------------------------------------------------------- */

/* Makes room for one more; false: no memory, and the record has a gap. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
    size_t more = *room ? 2 * *room : 256;
    void *moved;

    if (count < *room)
        return true;
    moved = realloc(*array, more * size);
    if (!moved)
        return false;
    *array = moved;
    *room = more;
    return true;
}

static void polled_round(struct gw_ctl_take *t, const json_t *info, double at_s, double dirty)
{
    struct gw_report *r = &t->report;
    struct gw_report_round *last = r->round_count ? &r->round[r->round_count - 1] : NULL;
    double number = gw_ctl_number(info, "ram.dirty-sync-count"), sent = gw_ctl_number(info, "ram.transferred");
    double known = last ? last->first + last->count - 1 : 0, mbps = gw_ctl_number(info, "ram.mbps");
    bool over = !strcmp(gw_ctl_text(info, "status", ""), "completed");

    if (last) {
        last->duration_s = at_s - last->began_s;
        last->sent = sent - r->sent;
    }
    if (number <= known) {
        if (last && !over) {
            last->dirty_per_s = dirty;
            if (isnan(last->limit) && mbps > 0)
                last->limit = r->downtime_limit_ms * mbps * 1e6 / 8 / 1000;
        }
        return;
    }
    if (!grow((void **)&r->round, r->round_count, &t->round_room, sizeof *r->round))
        return;
    r->round[r->round_count++] = (struct gw_report_round){
        .first = known + 1,
        .count = number - known,
        .began_s = at_s,
        .sent = over ? NAN : 0,
        .pages = NAN,
        .zero_pages = NAN,
        .remaining = over ? NAN : gw_ctl_number(info, "ram.remaining"),
        .limit = mbps > 0 && !over ? r->downtime_limit_ms * mbps * 1e6 / 8 / 1000 : NAN,
        .dirty_per_s = over ? NAN : dirty,
    };
    r->sent = sent; /* bytes sent when this round began */
}

void gw_ctl_take_sample(struct gw_ctl *ctl, json_t *info)
{
    struct gw_ctl_take *t = ctl->take;
    double dirty = gw_ctl_number(info, "ram.dirty-pages-rate") * gw_ctl_number(info, "ram.page-size"), at_s;
    struct gw_report *r = t ? &t->report : NULL;

    if (!t || !json_object_get(info, "ram"))
        return;
    json_decref(t->last);
    t->last = json_incref(info);
    at_s = json_object_get(info, "total-time") ? gw_ctl_number(info, "total-time") / 1000 : (double)(now_ns() - t->began_ns) / 1e9;
    if (isnan(r->sent))
        r->sent = 0;
    r->throttle = fmax(r->throttle, gw_ctl_number(info, "cpu-throttle-percentage"));
    if (r->samples && at_s <= r->sample[r->samples - 1].at_s)
        at_s = r->sample[r->samples - 1].at_s;
    else if (grow((void **)&r->sample, r->samples, &t->sample_room, sizeof *r->sample))
        r->sample[r->samples++] = (struct gw_report_sample){at_s, gw_ctl_number(info, "ram.transferred"), dirty};
    polled_round(t, info, at_s, dirty);
}

/* ---- at the end -------------------------------------------------------------------------------------------------- */

/* A QEMU sends in bursts, ten times a second; between two close polls there may be one burst or none. */
static void space_out(struct gw_report *r)
{
    double apart = r->samples ? fmin(0.2, r->sample[r->samples - 1].at_s / 10) : 0;
    size_t kept = 0;

    for (size_t i = 0; i < r->samples; i++) {
        if (kept && i + 1 < r->samples && r->sample[i].at_s - r->sample[kept - 1].at_s < apart)
            continue;
        /* The last sample is kept; one too close before it is dropped. */
        if (kept > 1 && i + 1 == r->samples && r->sample[i].at_s - r->sample[kept - 1].at_s < apart)
            kept--;
        r->sample[kept++] = r->sample[i];
    }
    r->samples = kept;
}

/* Uses the source's own history; false: it has none. */
static bool from_history(struct gw_report *r, const json_t *history)
{
    const json_t *samples = json_object_get(history, "samples"), *rounds = json_object_get(history, "rounds"), *one;
    size_t i, n = json_array_size(samples), k = json_array_size(rounds);
    struct gw_report_sample *sample = calloc(n + 2, sizeof *sample);
    struct gw_report_round *round = calloc(k + 1, sizeof *round);

    if (!json_is_array(samples) || !json_is_array(rounds) || !sample || !round) {
        free(sample);
        free(round);
        return false;
    }
    free(r->sample);
    free(r->round);
    r->sample = sample;
    r->round = round;
    r->samples = n + 1;
    r->round_count = k;
    /* The first sample was taken after some bytes had been sent. */
    sample[0] = (struct gw_report_sample){isnan(r->setup_ms) ? 0 : r->setup_ms / 1000, 0, NAN};
    json_array_foreach(samples, i, one) {
        r->throttle = fmax(r->throttle, gw_ctl_number(one, "throttle"));
        sample[i + 1] = (struct gw_report_sample){fmax(gw_ctl_number(one, "at-us") / 1e6, sample[i].at_s), gw_ctl_number(one, "transferred"), NAN};
    }
    json_array_foreach(rounds, i, one) {
        double s = gw_ctl_number(one, "duration-us") / 1e6, dirty = gw_ctl_number(one, "dirty-bytes");
        bool ran = s > 0 && (i + 1 < k || !json_object_get(history, "stopped-us"));

        round[i] = (struct gw_report_round){
            .first = gw_ctl_number(one, "first"),
            .count = gw_ctl_number(one, "count"),
            .began_s = gw_ctl_number(one, "began-us") / 1e6,
            .duration_s = s,
            .sent = gw_ctl_number(one, "bytes"),
            .pages = gw_ctl_number(one, "pages"),
            .zero_pages = gw_ctl_number(one, "zero-pages"),
            .remaining = gw_ctl_number(one, "remaining"),
            .limit = json_object_get(one, "limit") ? gw_ctl_number(one, "limit") : NAN,
            .dirty_per_s = ran ? dirty / s : NAN,
        };
    }
    if (json_object_get(history, "stopped-us"))
        r->stopped_s = gw_ctl_number(history, "stopped-us") / 1e6;
    r->source = "Samples and rounds are the source's own records.";
    return true;
}

static void fill(struct gw_ctl *ctl, struct gw_ctl_take *t, json_t *info)
{
    json_t *status = ask(ctl, "query-status"), *history = NULL;
    struct gw_report *r = &t->report;
    const char *state = gw_ctl_text(info, "status", "none"), *why = json_string_value(json_object_get(info, "error-desc"));
    double took_ms = (double)(now_ns() - t->began_ns) / 1e6;

    gw_ctl_take_sample(ctl, info);
    r->end = !strcmp(state, "completed")   ? GW_REPORT_COMPLETED
             : !strcmp(state, "failed")    ? GW_REPORT_FAILED
             : !strcmp(state, "cancelled") ? GW_REPORT_CANCELLED
                                           : GW_REPORT_UNKNOWN;
    if (r->end != GW_REPORT_COMPLETED && r->end != GW_REPORT_CANCELLED)
        r->why = strdup(why ? why : r->end == GW_REPORT_FAILED ? "the source does not give the reason" : "the monitor "
            "was lost, or was not waited for");
    if (json_string_value(json_object_get(status, "status")))
        r->left = strdup(json_string_value(json_object_get(status, "status")));
    gw_report_totals(r, t->last, info, took_ms);
    if (gw_qmp_is_godwit(ctl->qmp))
        history = ask(ctl, "x-godwit-query-history");
    if (!history || !from_history(r, history)) {
        r->source = "The source was polled every 20 to 200 ms; changes in between are not known. The limit is the "
                    "downtime limit at the bandwidth that it reported.";
        space_out(r);
        if (r->round_count && isnan(r->round[r->round_count - 1].remaining) && !isnan(r->stopped_s))
            r->round[r->round_count - 1].began_s = fmin(r->stopped_s, r->round[r->round_count - 1].began_s);
        if (r->round_count && !isnan(r->total_ms)) {
            struct gw_report_round *last = &r->round[r->round_count - 1];

            last->duration_s = fmax(r->total_ms / 1000 - last->began_s, last->duration_s);
        }
    }
    json_decref(history);
    json_decref(status);
}

void gw_ctl_take_write(struct gw_ctl *ctl, json_t *info)
{
    struct gw_ctl_take *t = ctl->take;
    bool good;

    if (!t)
        return;
    fill(ctl, t, info);
    errno = 0;
    good = t->svg ? gw_report_sheet(t->to, &t->report) : gw_report_page(t->to, &t->report);
    good = fclose(t->to) == 0 && good;
    t->to = NULL;
    if (!good || rename(t->part, t->path)) {
        fprintf(stderr, "godwit ctl: %s: the report could not be written: %s; the migration is not affected\n", gw_shown(t->path),
                strerror(errno ? errno : ENOMEM));
        unlink(t->part);
    }
    gw_ctl_take_drop(ctl);
}
