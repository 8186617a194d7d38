/* SPDX-License-Identifier: MIT */
#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "large.h"
#include "options.h"
#include "shown.h"

static const char usage[] =
    "usage: godwit ctl SOCKET COMMAND [ARGUMENT]...\n"
    "\n"
    "SOCKET is the QMP socket of a machine, ours or QEMU's: a path, unix:PATH or tcp:HOST:PORT.\n"
    "\n"
    "  status                       what the machine and its migration do\n"
    "  migrate URI                  migrate it, show the progress, tell what it came to\n"
    "      --detach                 only start it\n"
    "      --resume                 go on with a migration that is postcopy-paused\n"
    "      --wait-recovery          wait on where it is paused, until it was resumed and has ended (else: status 6)\n"
    "      --capability NAME[=off]  set before the start; repeatable\n"
    "      --parameter NAME=VALUE   the same\n"
    "      --peer VERSION           what the destination is (7.2, 8.1, 9.0, 10.0, godwit); our machines only\n"
    "      --report FILE            write how it went as a page with charts: FILE.html or FILE.svg\n"
    "      --disks[=top]            its disks go along (top: what their top images have). A QEMU needs --destination SOCKET; its disks\n"
    "                               are mirrored over NBD, at --nbd tcp:HOST:PORT or unix:PATH (port 10809, or URI.nbd)\n"
    "      --plan                   forecast it first, as `plan` does, and show that beside what happened\n"
    "  plan URI                     what a migration would be like: whether it converges, time, downtime, bytes; and with\n"
    "                               which capabilities it would be best. --capability and --parameter: as if these were set\n"
    "      --bandwidth SIZE         what the link carries each second, as in 119M\n"
    "      --peer godwit            a godwit waits there: measure the link to it\n"
    "      --destination SOCKET     its QMP socket: ask what it is and what it can have\n"
    "      --measure S              how long to measure our machines (2)\n"
    "  cancel                       cancel the migration; the machine goes on here\n"
    "  continue                     go on from pre-switchover\n"
    "  postcopy                     the machine goes on there now, and the rest of its memory follows (postcopy-ram)\n"
    "  pause                        break a postcopy migration off, to be resumed\n"
    "  recover URI                  let the destination of a paused migration listen again\n"
    "  stop, cont                   stop the machine, let it run\n"
    "  caps [NAME[=on|off]]...      show or set capabilities\n"
    "  param [NAME[=VALUE]]...      show or set parameters\n"
    "  dirty-rate [time=SECONDS] [mode=page-sampling|dirty-bitmap|dirty-ring] [samples=PAGES]\n"
    "                               measure how fast the guest dirties memory (1 s, 512 pages sampled per GiB)\n"
    "  announce [rounds=N] [initial=MS] [step=MS] [max=MS] [interface=ID]... [id=NAME]\n"
    "                               tell the switches where its network cards are; as after an arrival where nothing is said\n"
    "  snapshot FILE|URI            save it as it is now, while it runs on: in a parked file, or to an address\n"
    "      --force                  the file may be there, and is replaced\n"
    "  snapshot save|load TAG VMSTATE DEVICE..., snapshot delete TAG DEVICE...\n"
    "                               internal snapshots, by block node names\n"
    "  start URI                    of `godwit serve`: let the machine go on at URI too, and tell what it came to; --detach: only\n"
    "                               start it; --resume: it runs there, and lost its connection\n"
    "  destinations                 of `godwit serve`: where it was started, and what it came to\n"
    "  qmp COMMAND [JSON]           any QMP command with its arguments\n"
    "\n"
    "  --json       one JSON document on stdout\n"
    "  --quiet      no progress\n"
    "  --timeout S  how long an answer may take (30); for our machines also how long the other side of `migrate` may\n"
    "               move nothing before it fails (30)\n"
    "  --log LEVEL  info, debug: also tell events, instead of progress; error, warning: do not (usual)\n";

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

/* A command without an answer worth showing. */
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

static int cmd_qmp(struct gw_ctl *ctl, int argc, char **argv)
{
    json_error_t wrong;
    json_t *args = NULL, *result = NULL;
    struct gw_error err = GW_ERROR_INIT;
    int r;

    if (argc > 1) {
        args = gw_large_load(argv[1], strlen(argv[1]), JSON_REJECT_DUPLICATES, &wrong);
        if (!json_is_object(args)) {
            r = gw_ctl_usage("qmp: the arguments are not a JSON object: %s", args ? argv[1] : wrong.text);
            json_decref(args);
            return r;
        }
    }
    r = gw_qmp_execute(ctl->qmp, argv[0], args, &result, &err);
    if (r == -ECONNRESET && !strcmp(argv[0], "quit")) { /* QEMU may be gone before its answer is */
        result = json_object();
        r = 0;
    }
    r = r ? gw_ctl_failed(argv[0], &err) : GW_EXIT_DONE;
    if (r == GW_EXIT_DONE)
        gw_ctl_print_json(ctl, result);
    json_decref(result);
    return r;
}

static const struct {
    const char *name;
    int (*run)(struct gw_ctl *ctl, int argc, char **argv);
    int at_least, at_most;
} commands[] = {
    {"status", gw_ctl_status, 0, 0}, {"migrate", gw_ctl_migrate, 1, 1},
    {"cancel", gw_ctl_cancel, 0, 0}, {"continue", cmd_continue, 0, 0},
    {"postcopy", cmd_postcopy, 0, 0},
    {"pause", cmd_pause, 0, 0},      {"recover", cmd_recover, 1, 1},
    {"stop", cmd_stop, 0, 0},        {"cont", cmd_cont, 0, 0},
    {"caps", gw_ctl_caps, 0, 1000},  {"param", gw_ctl_param, 0, 1000},
    {"qmp", cmd_qmp, 1, 2},          {"snapshot", gw_ctl_snapshot, 1, 1000},
    {"dirty-rate", gw_ctl_dirty_rate, 0, 3}, {"plan", gw_ctl_plan, 1, 1},
    {"start", gw_ctl_start, 1, 1},   {"destinations", gw_ctl_destinations, 0, 0},
    {"announce", gw_ctl_announce, 0, 1000},
};

/* ---- the command line -------------------------------------------------------------------------------------------- */

enum {
    OPT_JSON = 256,
    OPT_QUIET,
    OPT_DETACH,
    OPT_WAIT,
    OPT_RESUME,
    OPT_WAIT_RECOVERY,
    OPT_CAPABILITY,
    OPT_PARAMETER,
    OPT_PEER,
    OPT_REPORT,
    OPT_TIMEOUT,
    OPT_LOG,
    OPT_FORCE,
    OPT_TLS,
    OPT_PLAN,
    OPT_BANDWIDTH,
    OPT_DESTINATION,
    OPT_MEASURE,
    OPT_DISKS,
    OPT_NBD
};

static const struct option options[] = {
    {"help", no_argument, NULL, 'h'},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"detach", no_argument, NULL, OPT_DETACH},
    {"wait", no_argument, NULL, OPT_WAIT},
    {"resume", no_argument, NULL, OPT_RESUME},
    {"wait-recovery", no_argument, NULL, OPT_WAIT_RECOVERY},
    {"capability", required_argument, NULL, OPT_CAPABILITY},
    {"parameter", required_argument, NULL, OPT_PARAMETER},
    {"peer", required_argument, NULL, OPT_PEER},
    {"report", required_argument, NULL, OPT_REPORT},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"log", required_argument, NULL, OPT_LOG},
    {"force", no_argument, NULL, OPT_FORCE},
    {"tls-creds", required_argument, NULL, OPT_TLS},
    {"plan", no_argument, NULL, OPT_PLAN},
    {"bandwidth", required_argument, NULL, OPT_BANDWIDTH},
    {"destination", required_argument, NULL, OPT_DESTINATION},
    {"measure", required_argument, NULL, OPT_MEASURE},
    {"disks", optional_argument, NULL, OPT_DISKS},
    {"nbd", required_argument, NULL, OPT_NBD},
    {NULL, 0, NULL, 0},
};

static bool take_bandwidth(struct gw_ctl *ctl, const char *text)
{
    int64_t bytes;

    if (!gw_option_size(text, &bytes) || bytes <= 0)
        return false;
    ctl->bandwidth = (uint64_t)bytes;
    return true;
}

/* Returns an exit status, or -1 to go on. */
static int parse(struct gw_ctl *ctl, int argc, char **argv)
{
    int c, r = -1;

    while (r < 0 && (c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            fputs(usage, stdout);
            return GW_EXIT_DONE;
        case OPT_JSON:
            ctl->json = true;
            break;
        case OPT_QUIET:
            ctl->quiet = true;
            break;
        case OPT_DETACH:
        case OPT_WAIT:
            ctl->detach = c == OPT_DETACH;
            break;
        case OPT_RESUME:
            ctl->resume = true;
            break;
        case OPT_WAIT_RECOVERY:
            ctl->wait_recovery = true;
            break;
        case OPT_CAPABILITY:
            ctl->capabilities[ctl->capability_count++] = optarg;
            break;
        case OPT_PARAMETER:
            ctl->parameters[ctl->parameter_count++] = optarg;
            break;
        case OPT_PEER:
            ctl->peer = optarg;
            break;
        case OPT_REPORT:
            ctl->report = optarg;
            break;
        case OPT_TIMEOUT:
            if (!gw_option_seconds(optarg, &ctl->timeout_ns))
                r = gw_ctl_usage("--timeout: '%s' is not a number of seconds", optarg);
            break;
        case OPT_LOG:
            if (!gw_option_log(optarg, &ctl->verbose))
                r = gw_ctl_usage("--log: '%s' is not error, warning, info or debug", optarg);
            break;
        case OPT_FORCE:
            ctl->force = true;
            break;
        case OPT_PLAN:
            ctl->plan = true;
            break;
        case OPT_BANDWIDTH:
            if (!take_bandwidth(ctl, optarg))
                r = gw_ctl_usage("--bandwidth: '%s' is not a number of bytes for each second", optarg);
            break;
        case OPT_DESTINATION:
            ctl->destination = optarg;
            break;
        case OPT_MEASURE:
            if (!gw_option_seconds(optarg, &ctl->measure_ns))
                r = gw_ctl_usage("--measure: '%s' is not a number of seconds", optarg);
            break;
        case OPT_DISKS:
            ctl->disks = true;
            ctl->top = optarg && !strcmp(optarg, "top");
            if (optarg && !ctl->top && strcmp(optarg, "all"))
                r = gw_ctl_usage("--disks: '%s' is not all or top", optarg);
            break;
        case OPT_NBD:
            ctl->nbd = optarg;
            break;
        case OPT_TLS:
            return gw_option_absent("ctl", "--tls-creds", "TLS");
        default:
            return GW_EXIT_USAGE;
        }
    }
    return r;
}

/* Signals are blocked and taken here, so that they are acted on between two messages and nowhere else. */
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
    const json_t *what = json_object_get(event, "data");
    char *data = what ? gw_large_dump(what, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

    fprintf(stderr, "godwit ctl: event %s%s%s\n", gw_ctl_text(event, "event", "?"), data ? " " : "", data ? data : "");
    free(data);
}

static int run(struct gw_ctl *ctl, int argc, char **argv)
{
    struct gw_qmp_config config = {.timeout_ns = ctl->timeout_ns,
                                   .interrupted = interrupted,
                                   .event = ctl->verbose ? tell_event : NULL,
                                   .urgent = ctl->disks,
                                   .opaque = ctl};
    struct gw_error err = GW_ERROR_INIT;
    size_t i = 0, count = sizeof commands / sizeof commands[0];
    int least;
    sigset_t set;
    int r;

    if (argc < 2)
        return gw_ctl_usage("a socket and a command are needed");
    while (i < count && strcmp(commands[i].name, argv[1]))
        i++;
    if (i == count)
        return gw_ctl_usage("there is no command '%s'", argv[1]);
    least = commands[i].run == gw_ctl_snapshot && argc > 2 ? gw_ctl_snapshot_least(argv[2]) : commands[i].at_least;
    if (argc - 2 < least || argc - 2 > commands[i].at_most)
        return gw_ctl_usage("%s: too %s arguments", argv[1], argc - 2 < least ? "few" : "many");
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    config.address = ctl->socket = argv[0];
    if (gw_qmp_open(&config, &ctl->qmp, &err))
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
        r = parse(&ctl, argc, argv);
    if (r < 0)
        r = run(&ctl, argc - optind, argv + optind);
    free(ctl.capabilities);
    free(ctl.parameters);
    return r;
}
