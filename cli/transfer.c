/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ctl.h"
#include "interrupts.h"
#include "options.h"
#include "shown.h"
#include "units.h"

#define TURN_MS       200
#define XML_BYTES_MAX (64u << 20)

int gw_transfer_failed(struct gw_transfer *t, const char *what, const struct gw_error *err)
{
    gw_transfer_clear(t);
    fprintf(stderr, "godwit %s: %s%s%s\n", t->command, what ? gw_shown(what) : "", what ? ": " : "", err->text);
    return GW_EXIT_FAILED;
}

static enum gw_cli_taken take_log(void *opaque, char *value)
{
    struct gw_transfer *t = opaque;

    return gw_option_log(value, &t->verbose) ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

static enum gw_cli_taken take_timeout(void *opaque, char *value)
{
    struct gw_transfer *t = opaque;

    return gw_option_seconds(value, &t->timeout_ns) ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

static enum gw_cli_taken take_setting(struct gw_transfer *t, bool parameter, const char *text)
{
    const char *rest;
    uint64_t number;
    char name[128];
    bool on;

    if (t->setting_count == GW_TRANSFER_SETTINGS || !(parameter ? gw_option_setting(text, name, sizeof name, &rest)
                                                                : gw_option_switch(text, name, sizeof name, &on)))
        return GW_CLI_WRONG;
    if (parameter && gw_unit_of(name) && !gw_unit_read(gw_unit_of(name), rest, &number)) {
        fprintf(stderr, "godwit %s: --parameter %s: %s is expected\n", t->command, gw_shown(text), gw_unit_expected(gw_unit_of(name)));
        return GW_CLI_TOLD;
    }
    t->settings[t->setting_count].parameter = parameter;
    t->settings[t->setting_count++].text = text;
    return GW_CLI_TAKEN;
}

static enum gw_cli_taken take_capability(void *opaque, char *value)
{
    return take_setting(opaque, false, value);
}

static enum gw_cli_taken take_parameter(void *opaque, char *value)
{
    return take_setting(opaque, true, value);
}

void gw_transfer_options(struct gw_transfer *t, struct gw_cli_option ret_options[GW_TRANSFER_OPTIONS])
{
    const struct gw_cli_option options[GW_TRANSFER_OPTIONS] = {
        {"json", .flag = &t->json, .help = "Print one JSON object per line: events, then the result."},
        {"quiet", 'q', .flag = &t->quiet, .help = "Show no progress and no notices."},
        {"log", .take = take_log, .opaque = t, .value = "LEVEL", .choices = "error warning info debug",
         .help = "With info or debug: also show refused connections."},
        {"trace", .text = &t->trace, .value = "EVENTS", .help = "Trace these events (docs/tracing.md); '*': all."},
        {"timeout", .take = take_timeout, .opaque = t, .value = "SECONDS",
         .help = "Fail when the other side is silent for this long."},
        {"capability", .take = take_capability, .opaque = t, .value = "NAME[=on|off]",
         .help = "Set a migration capability. May be repeated."},
        {"parameter", .take = take_parameter, .opaque = t, .value = "NAME=VALUE",
         .help = "Set a migration parameter. May be repeated."},
        {"tls-creds", .absent = "TLS"},
        {0},
    };

    memcpy(ret_options, options, sizeof options);
}

static int set_option(struct gw_options *options, bool parameter, const char *text, struct gw_error *err)
{
    const char *value;
    char name[128], plain[32];
    uint64_t number;
    bool on;

    if (parameter) {
        if (!gw_option_setting(text, name, sizeof name, &value))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "parameter %s: NAME=VALUE is needed", text);
        if (gw_unit_of(name) && gw_unit_read(gw_unit_of(name), value, &number)) {
            snprintf(plain, sizeof plain, "%" PRIu64, number);
            value = plain;
        }
        return gw_options_set_parameter(options, name, value, err);
    }
    return gw_option_switch(text, name, sizeof name, &on)
               ? gw_options_set_capability(options, name, on, err)
               : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "capability %s: NAME, NAME=on or NAME=off is needed", text);
}

static uint64_t now_ns(void)
{
    return gw_now_ns(&gw_clock_real);
}

/* Called by many threads: one write per line. */
static void show_trace(void *opaque, const struct gw_trace_record *r)
{
    char line[1200];
    int n = snprintf(line, sizeof line, "trace %.6f %s: %s\n", (double)r->at_ns / 1e9, r->name, r->text);

    (void)opaque;
    if (n > 0 && write(STDERR_FILENO, line, (size_t)(n < (int)sizeof line ? n : (int)sizeof line - 1)) < 0)
        return;
}

int gw_transfer_configure(struct gw_transfer *t, struct gw_vm *vm, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < t->setting_count; i++)
        r = set_option(gw_vm_options(vm), t->settings[i].parameter, t->settings[i].text, err);
    if (r >= 0 && t->trace)
        r = gw_vm_set_trace(vm, t->trace, show_trace, NULL, err);
    return r;
}

int gw_transfer_begin(struct gw_transfer *t, struct gw_vm *vm, struct gw_error *err)
{
    sigset_t set = gw_cli_interrupts();
    int r;

    t->wake = t->signals = -1;
    t->began_ns = now_ns();
    gw_progress_init(&t->line, !t->quiet && !t->json);
    r = gw_transfer_configure(t, vm, err);
    if (r < 0)
        return r;
    signal(SIGPIPE, SIG_IGN);
    gw_cli_interrupts_block();
    t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (t->wake < 0 || t->signals < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "%s", strerror(errno));
    return 0;
}

void gw_transfer_end(struct gw_transfer *t)
{
    gw_transfer_clear(t);
    if (t->wake >= 0)
        close(t->wake);
    if (t->signals >= 0)
        close(t->signals);
}

void gw_transfer_result(json_t *take_result)
{
    char *text = take_result ? json_dumps(take_result, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

    puts(text ? text : "{}");
    fflush(stdout);
    free(text);
    json_decref(take_result);
}

void gw_transfer_tell(struct gw_transfer *t, const char *event, const char *key, const char *value)
{
    if (t->json) {
        gw_transfer_result(json_pack("{s:s, s:s}", "event", event, key, value));
    } else if (!t->quiet) {
        gw_transfer_clear(t);
        fprintf(stderr, "%s: %s\n", event, gw_shown(value));
    }
}

/* Shown even with --quiet, since a source is waiting. A source that tries again and again is reported once. */
static void tell_refused(struct gw_transfer *t, const char *text)
{
    const char *why = strstr(text, ": dropped: ");

    if (!strcmp(why ? why : text, t->refused))
        return;
    snprintf(t->refused, sizeof t->refused, "%s", why ? why : text);
    if (t->json) {
        gw_transfer_tell(t, "refused", "text", text);
    } else {
        gw_transfer_clear(t);
        fprintf(stderr, "godwit %s: a source was refused: %s\n", t->command, text);
    }
}

void gw_transfer_event(void *opaque, const struct gw_event *event)
{
    struct gw_transfer *t = opaque;

    if (event->type == GW_EVENT_LOG && event->refused)
        tell_refused(t, event->text);
    else if (event->type == GW_EVENT_LOG && (t->verbose || t->json))
        gw_transfer_tell(t, "notice", "text", event->text);
    if (event->type == GW_EVENT_STATUS && t->json)
        gw_transfer_tell(t, "status", "status", gw_status_name(event->status));
    gw_transfer_wake(t);
}

void gw_transfer_wake(struct gw_transfer *t)
{
    uint64_t one = 1;

    if (write(t->wake, &one, sizeof one) < 0)
        return; /* the counter is full: the thread will wake up anyway */
}

void gw_transfer_clear(struct gw_transfer *t)
{
    gw_progress_clear(&t->line);
}

/* The rest of the first pass over memory, at a destination. Only the source knows how much later passes send. */
static double left_to_come(const struct gw_stats *stats)
{
    uint64_t come = (stats->duplicate_pages + stats->normal_pages) * stats->page_size;

    return come < stats->total_bytes ? (double)(stats->total_bytes - come) : -1;
}

void gw_transfer_show(struct gw_transfer *t, const struct gw_stats *stats)
{
    uint64_t total = atomic_load(&t->total_bytes), done = atomic_load(&t->done_bytes);
    struct gw_progress_at at = {.phase = gw_status_name(stats->status),
                                .sent = (double)stats->transferred_bytes,
                                .total = (double)(stats->total_bytes + stats->disk.total_bytes),
                                .left = (double)(stats->remaining_bytes + stats->disk.remaining_bytes),
                                .round = (double)stats->dirty_sync_count,
                                .dirty_per_s = (double)(stats->dirty_pages_rate * stats->page_size)};
    char a[GW_HUMAN];

    if (total) {
        at = (struct gw_progress_at){.phase = "writing", .sent = (double)done, .total = (double)total};
        at.left = done < total ? (double)(total - done) : 0;
    } else if (!stats->transferred_bytes) {
        at.total = 0; /* nothing was received yet */
    } else if (!t->source) {
        at.left = left_to_come(stats);
        if (at.left < 0)
            snprintf(at.extra[0], sizeof at.extra[0], "guest has %s", gw_human_bytes(a, (double)stats->total_bytes));
    }
    gw_progress_show(&t->line, &at);
}

static bool turn(struct gw_transfer *t, const struct gw_stats *stats, int wait_ms)
{
    struct pollfd p[2] = {{t->wake, POLLIN, 0}, {t->signals, POLLIN, 0}};
    struct signalfd_siginfo info;
    uint64_t n;
    bool came = false;

    gw_transfer_show(t, stats);
    if (poll(p, 2, wait_ms) <= 0)
        return false;
    if (p[0].revents && read(t->wake, &n, sizeof n) < 0)
        return false;
    while (read(t->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        t->interrupts++;
        came = true;
        atomic_store(&t->interrupted, true);
    }
    return came;
}

bool gw_transfer_turn(struct gw_transfer *t, const struct gw_stats *stats)
{
    return turn(t, stats, TURN_MS);
}

bool gw_transfer_look(struct gw_transfer *t, const struct gw_stats *stats)
{
    return turn(t, stats, 0);
}

bool gw_transfer_ended(enum gw_status status)
{
    return status == GW_STATUS_COMPLETED || status == GW_STATUS_FAILED || status == GW_STATUS_CANCELLED;
}

bool gw_transfer_source_ended(enum gw_status status)
{
    return gw_transfer_ended(status) || status == GW_STATUS_POSTCOPY_PAUSED;
}

double gw_transfer_seconds(const struct gw_transfer *t)
{
    return (double)(now_ns() - t->began_ns) / 1e9;
}

int gw_read_xml(const char *path, char **ret, struct gw_error *err)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    size_t n = 0;

    if (f) {
        text = calloc(1, XML_BYTES_MAX + 1);
        n = text ? fread(text, 1, XML_BYTES_MAX + 1, f) : 0;
    }
    if (!f || !text || ferror(f) || n > XML_BYTES_MAX) {
        int r =
            gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: %s", path, n > XML_BYTES_MAX ? "too large" : strerror(errno));

        free(text);
        if (f)
            fclose(f);
        return r;
    }
    fclose(f);
    *ret = text;
    return 0;
}
