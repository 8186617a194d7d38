/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "large.h"
#include "shown.h"
#include "table.h"

/* ---- words that all commands use --------------------------------------------------------------------------------- */

int gw_ctl_failed(const char *what, const struct gw_error *err)
{
    fprintf(stderr, "godwit ctl: %s: %s\n", gw_shown(what), err->text);
    return GW_EXIT_FAILED;
}

int gw_ctl_usage(const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "godwit ctl: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "; see `godwit ctl --help`\n");
    return GW_EXIT_USAGE;
}

int gw_ctl_run(struct gw_ctl *ctl, const char *command, json_t *take_args, json_t **ret_result)
{
    struct gw_error err = GW_ERROR_INIT;

    return gw_qmp_execute(ctl->qmp, command, take_args, ret_result, &err) ? gw_ctl_failed(command, &err) : GW_EXIT_DONE;
}

void gw_ctl_print_json(const struct gw_ctl *ctl, const json_t *value)
{
    char *text = gw_large_dump(value, JSON_ENCODE_ANY | (ctl->json ? JSON_COMPACT : JSON_INDENT(2)) | JSON_ENSURE_ASCII);

    puts(text ? text : "");
    free(text);
}

/* ---- small commands ---------------------------------------------------------------------------------------------- */

/* Runs a command whose answer is not printed. */
static int simple(struct gw_ctl *ctl, const char *command, json_t *take_args)
{
    json_t *result = NULL;
    int r = gw_ctl_run(ctl, command, take_args, &result);

    if (r == GW_EXIT_DONE && ctl->json)
        gw_ctl_print_json(ctl, result);
    json_decref(result);
    return r;
}

static int cmd_stop(struct gw_ctl *ctl, int argc, char **argv)
{
    return simple(ctl, "stop", NULL);
}

static int cmd_cont(struct gw_ctl *ctl, int argc, char **argv)
{
    return simple(ctl, "cont", NULL);
}

static int cmd_postcopy(struct gw_ctl *ctl, int argc, char **argv)
{
    return simple(ctl, "migrate-start-postcopy", NULL);
}

static int cmd_pause(struct gw_ctl *ctl, int argc, char **argv)
{
    return simple(ctl, "migrate-pause", NULL);
}

static int cmd_continue(struct gw_ctl *ctl, int argc, char **argv)
{
    return simple(ctl, "migrate-continue", json_pack("{ss}", "state", "pre-switchover"));
}

static int cmd_recover(struct gw_ctl *ctl, int argc, char **argv)
{
    return simple(ctl, "migrate-recover", json_pack("{ss}", "uri", argv[0]));
}

static const struct {
    const char *name;
    int (*run)(struct gw_ctl *ctl, int argc, char **argv);
} commands[] = {
    {"status", gw_ctl_status}, {"migrate", gw_ctl_migrate}, {"cancel", gw_ctl_cancel}, {"continue", cmd_continue},
    {"postcopy", cmd_postcopy}, {"pause", cmd_pause}, {"recover", cmd_recover}, {"stop", cmd_stop}, {"cont", cmd_cont},
    {"caps", gw_ctl_caps}, {"param", gw_ctl_param}, {"qmp", gw_ctl_qmp}, {"snapshot", gw_ctl_snapshot},
    {"dirty-rate", gw_ctl_dirty_rate}, {"plan", gw_ctl_plan}, {"start", gw_ctl_start}, {"destinations", gw_ctl_destinations},
    {"announce", gw_ctl_announce}, {"watch", gw_ctl_watch}, {"wait", gw_ctl_wait}, {"hmp", gw_ctl_hmp}, {"events", gw_ctl_events},
};

/* ---- the command line -------------------------------------------------------------------------------------------- */

/* Signals are blocked and read here, so that they take effect only between two messages. */
bool gw_ctl_interrupted(struct gw_ctl *ctl)
{
    struct timespec none = {0, 0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigtimedwait(&set, NULL, &none) < 0)
        return false;
    ctl->interrupts++;
    return true;
}

static bool interrupted(void *opaque)
{
    return gw_ctl_interrupted(opaque);
}

static void tell_event(void *opaque, const json_t *event)
{
    struct gw_ctl *ctl = opaque;
    const json_t *what = json_object_get(event, "data");
    char *data;

    if (ctl->on_event)
        ctl->on_event(ctl, event);
    if (ctl->on_event || !ctl->verbose)
        return;
    data = what ? gw_large_dump(what, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    fprintf(stderr, "godwit ctl: event %s%s%s\n", gw_ctl_text(event, "event", "?"), data ? " " : "", data ? data : "");
    free(data);
}

static void tell_held(void *opaque, const char *address)
{
    const struct gw_ctl *ctl = opaque;

    if (!ctl->quiet)
        fprintf(stderr, "godwit ctl: %s: no greeting: the monitor is in use by another client; waiting (--timeout S "
                        "limits that)\n",
                gw_shown(address));
}

int gw_ctl_open(struct gw_ctl *ctl, const char *address, struct gw_qmp **ret_qmp, struct gw_error *err)
{
    const struct gw_qmp_config config = {.address = address,
                                         .timeout_ns = ctl->timeout_ns,
                                         .held = tell_held,
                                         .interrupted = interrupted,
                                         .event = tell_event,
                                         .urgent = ctl->disks,
                                         .opaque = ctl};

    return gw_qmp_open(&config, ret_qmp, err);
}

static int run(struct gw_ctl *ctl, int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    size_t i = 0, count = sizeof commands / sizeof commands[0];
    sigset_t set;
    int r;

    while (i < count && strcmp(commands[i].name, argv[1]))
        i++;
    if (i == count) /* the table in ctl_options.c has a subcommand that is missing above */
        return gw_ctl_usage("%s: not in this build", argv[1]);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    ctl->socket = argv[0];
    ctl->began_ns = gw_now_ns(&gw_clock_real);
    if (gw_ctl_open(ctl, argv[0], &ctl->qmp, &err))
        return gw_ctl_failed("monitor", &err);
    r = commands[i].run(ctl, argc - 2, argv + 2);
    gw_qmp_free(ctl->qmp);
    if (r != GW_EXIT_FAILED && (fflush(stdout) || ferror(stdout))) {
        fprintf(stderr, "godwit ctl: standard output: %s\n", strerror(errno));
        r = GW_EXIT_FAILED;
    }
    return r;
}

int gw_cmd_ctl(int argc, char **argv)
{
    struct gw_ctl ctl = {.capabilities = calloc((size_t)argc + 1, sizeof(char *)),
                         .parameters = calloc((size_t)argc + 1, sizeof(char *))};
    int r = GW_EXIT_FAILED;

    if (ctl.capabilities && ctl.parameters)
        r = gw_ctl_parse(&ctl, argc, argv);
    if (r < 0)
        r = run(&ctl, argc - optind, argv + optind);
    free(ctl.capabilities);
    free(ctl.parameters);
    return r;
}
