/* SPDX-License-Identifier: MIT
 *
 * ctl qmp, ctl hmp, ctl events: access to everything in a monitor that the other commands do not cover.
 */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "large.h"
#include "qmp_words.h"
#include "shown.h"

#define LINE_MAX_BYTES 4000u /* text of the human monitor that is printed in one write */
#define NS_PER_S       1000000000ull

/* ---- qmp --------------------------------------------------------------------------------------------------------- */

int gw_ctl_qmp(struct gw_ctl *ctl, int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *args = NULL, *result = NULL;
    char why[GW_QMP_WORDS_WHY];
    int r;

    if (gw_qmp_words(argc - 1, argv + 1, &args, why) < 0)
        return gw_ctl_usage("qmp: %s", gw_shown(why));
    r = gw_qmp_execute(ctl->qmp, argv[0], args, &result, &err);
    if (r == -ECONNRESET && !strcmp(argv[0], "quit")) { /* QEMU may exit before its answer is sent */
        result = json_object();
        r = 0;
    }
    if (r && gw_qmp_refusal(ctl->qmp))
        gw_context(&err, "%s", gw_qmp_refusal(ctl->qmp));
    r = r ? gw_ctl_failed(argv[0], &err) : GW_EXIT_DONE;
    if (r == GW_EXIT_DONE)
        gw_ctl_print_json(ctl, result);
    json_decref(result);
    return r;
}

/* ---- hmp --------------------------------------------------------------------------------------------------------- */

/* Prints untrusted text line by line, without control characters. */
static void print_lines(const char *text)
{
    char line[LINE_MAX_BYTES + 1], shown[4 * LINE_MAX_BYTES + 1];

    while (*text) {
        size_t all = strcspn(text, "\n"), n = all < LINE_MAX_BYTES ? all : LINE_MAX_BYTES;
        bool ends = n == all;
        size_t bytes = 0;

        for (size_t i = 0; i < n; i++)
            if (text[i] != '\r')
                line[bytes++] = text[i] == '\t' ? ' ' : text[i];
        line[bytes] = 0;
        fputs(gw_printable(line, shown, sizeof shown), stdout);
        if (ends)
            putchar('\n');
        text += n + (ends && text[n] == '\n');
    }
}

/* Joins the words to one line. NULL: no memory. */
static char *join(int argc, char **argv)
{
    size_t bytes = 1, at = 0;
    char *line;

    for (int i = 0; i < argc; i++)
        bytes += strlen(argv[i]) + 1;
    line = malloc(bytes);
    for (int i = 0; line && i < argc; i++)
        at += (size_t)snprintf(line + at, bytes - at, "%s%s", i ? " " : "", argv[i]);
    return line;
}

int gw_ctl_hmp(struct gw_ctl *ctl, int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *result = NULL;
    char *line = join(argc, argv);
    int r = GW_EXIT_FAILED;

    if (!line)
        gw_fail(&err, -ENOMEM, GW_BLAME_LOCAL, "out of memory");
    else if (gw_qmp_is_godwit(ctl->qmp))
        gw_fail(&err, -ENOSYS, GW_BLAME_CALLER,
                "this machine is godwit's and has no human monitor; use `status`, `caps`, `param` and `qmp COMMAND`");
    else if (!gw_qmp_execute(ctl->qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line), &result, &err))
        r = GW_EXIT_DONE;
    if (r != GW_EXIT_DONE)
        gw_ctl_failed("hmp", &err);
    else if (ctl->json || !json_is_string(result))
        gw_ctl_print_json(ctl, result);
    else
        print_lines(json_string_value(result));
    free(line);
    json_decref(result);
    return r;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

struct wanted {
    int argc;
    char **argv;
    uint64_t seen;
    bool broken; /* standard output fails */
};

static bool is_wanted(const struct wanted *w, const char *name)
{
    for (int i = 0; i < w->argc; i++)
        if (!strcmp(w->argv[i], name))
            return true;
    return w->argc == 0;
}

/* "2026-05-01 12:30:00.123456", in local time. */
static void print_time(const json_t *event)
{
    time_t seconds = (time_t)gw_ctl_number(event, "timestamp.seconds");
    char text[64];
    struct tm tm;

    if (localtime_r(&seconds, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm))
        printf("%s.%06.0f ", text, gw_ctl_number(event, "timestamp.microseconds"));
}

static void print_event(struct gw_ctl *ctl, const json_t *event)
{
    struct wanted *w = ctl->event_opaque;
    const json_t *data = json_object_get(event, "data");
    const char *name = json_string_value(json_object_get(event, "event"));
    char *text;

    if (!name || !is_wanted(w, name) || w->broken || (ctl->count && w->seen == ctl->count))
        return;
    w->seen++;
    text = gw_large_dump(ctl->json ? event : data, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (!ctl->json) {
        print_time(event);
        printf("%s%s", gw_shown(name), text ? " " : "");
    }
    puts(text ? text : "");
    free(text);
    w->broken = fflush(stdout) || ferror(stdout);
}

int gw_ctl_events(struct gw_ctl *ctl, int argc, char **argv)
{
    struct wanted w = {.argc = argc, .argv = argv};
    uint64_t deadline_ns = ctl->timeout_ns ? ctl->began_ns + ctl->timeout_ns : UINT64_MAX, now;
    struct gw_error err = GW_ERROR_INIT;
    int r = 0;

    ctl->event_opaque = &w;
    ctl->on_event = print_event;
    while (!w.broken && !(ctl->count && w.seen == ctl->count) && r == 0 && !ctl->interrupts) {
        now = gw_now_ns(&gw_clock_real);
        if (now >= deadline_ns)
            break;
        r = gw_qmp_wait(ctl->qmp, deadline_ns - now < NS_PER_S ? deadline_ns - now : NS_PER_S, &err);
    }
    ctl->on_event = NULL;
    if (ctl->count && w.seen < ctl->count && !w.broken && (r == 0 || r == -EINTR))
        r = gw_fail(&err, -ETIMEDOUT, GW_BLAME_CALLER, "only %" PRIu64 " of %" PRIu64 " came before the end", w.seen, ctl->count);
    return r == 0 || r == -EINTR ? GW_EXIT_DONE : gw_ctl_failed("events", &err);
}
