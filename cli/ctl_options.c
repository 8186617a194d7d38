/* SPDX-License-Identifier: MIT
 *
 * The command line of ctl: subcommands and options.
 */
#include "ctl.h"

#include <string.h>

#include "options.h"
#include "shown.h"
#include "table.h"
#include "units.h"

#define SENDS "migrate plan snapshot"

static const struct gw_cli_sub subs[] = {
    {"status", "", "Shows the state of the machine and its migration."},
    {"migrate", "URI",
     "Migrates the machine, and shows the progress and the result. The exit status is 6 when it is postcopy-paused and "
     "--wait-recovery was not given."},
    {"plan", "URI",
     "Forecasts a migration: whether it converges, time, downtime, bytes, and the best capabilities. --capability and "
     "--parameter: as if these were set. The exit status is 3 when it is not expected to converge, 5 when that is not "
     "known."},
    {"watch", "",
     "Shows the progress of a running migration, whoever started it, until its end. The exit status is as for migrate."},
    {"wait", "", "Waits for the end of a running migration. The exit status is as for migrate."},
    {"cancel", "", "Cancels the migration; the machine resumes here."},
    {"continue", "", "Continues from pre-switchover."},
    {"postcopy", "", "Switches to postcopy: the machine runs there now, and the rest of its memory follows "
                     "(capability postcopy-ram)."},
    {"pause", "", "Pauses a postcopy migration, to be resumed later."},
    {"recover", "URI", "Makes the destination of a paused migration listen again."},
    {"stop", "", "Stops the machine."},
    {"cont", "", "Resumes the machine."},
    {"caps", "[NAME[=on|off]]...", "Shows or sets capabilities."},
    {"param", "[NAME[=VALUE]]...",
     "Shows or sets parameters. Bytes take K, M, G and T (max-bandwidth=100M), times ms, s and min (downtime-limit=300ms); "
     "without a unit they are bytes and milliseconds."},
    {"dirty-rate", "[time=SECONDS] [mode=MODE] [samples=PAGES]",
     "Measures how fast the guest dirties memory. Default: for 1 s, with 512 pages sampled per GiB. MODE: page-sampling, "
     "dirty-bitmap, dirty-ring."},
    {"announce", "[KEY=VALUE]...",
     "Announces the machine's network cards to the switches. Defaults are as after an arrival.",
     "[rounds=N] [initial=TIME] [step=TIME] [max=TIME] [interface=ID]... [id=NAME] [OPTION]..."},
    {"snapshot", NULL,
     "Saves the current state of the machine while it keeps running, into a parked file or to an address. save, load "
     "and delete are "
     "of snapshots inside of its disks, by block node names.",
     "FILE|URI [OPTION]...\nsave TAG VMSTATE DEVICE...\nload TAG VMSTATE DEVICE...\ndelete TAG DEVICE..."},
    {"start", "URI", "With `godwit serve`: starts the machine at URI, too, and shows the result."},
    {"destinations", "", "With `godwit serve`: shows where it was started, and the results."},
    {"qmp", "COMMAND [ARGUMENT]...",
     "Runs any QMP command. ARGUMENT is KEY=VALUE or KEY:=JSON (a.b: member b of object a), or one JSON object with "
     "all arguments."},
    {"hmp", "WORD...", "Runs a line of QEMU's human monitor, as in hmp info migrate."},
    {"events", "[NAME]...", "Prints events (all, or these) as they occur."},
    {0},
};

static enum gw_cli_taken take_timeout(void *opaque, char *value)
{
    struct gw_ctl *ctl = opaque;

    return gw_option_seconds(value, &ctl->timeout_ns) ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

static enum gw_cli_taken take_measure(void *opaque, char *value)
{
    struct gw_ctl *ctl = opaque;

    return gw_option_seconds(value, &ctl->measure_ns) ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

static enum gw_cli_taken take_count(void *opaque, char *value)
{
    struct gw_ctl *ctl = opaque;

    return gw_option_number(value, 1, UINT64_MAX, &ctl->count) ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

static enum gw_cli_taken take_log(void *opaque, char *value)
{
    struct gw_ctl *ctl = opaque;

    return gw_option_log(value, &ctl->verbose) ? GW_CLI_TAKEN : GW_CLI_WRONG;
}

static enum gw_cli_taken take_bandwidth(void *opaque, char *value)
{
    struct gw_ctl *ctl = opaque;
    int64_t bytes;

    if (!gw_option_size(value, &bytes) || bytes <= 0)
        return GW_CLI_WRONG;
    ctl->bandwidth = (uint64_t)bytes;
    return GW_CLI_TAKEN;
}

static enum gw_cli_taken take_capability(void *opaque, char *value)
{
    struct gw_ctl *ctl = opaque;
    char name[128];
    bool on;

    if (!gw_option_switch(value, name, sizeof name, &on))
        return GW_CLI_WRONG;
    ctl->capabilities[ctl->capability_count++] = value;
    return GW_CLI_TAKEN;
}

/* A value with a wrong unit; the machine checks values without a unit. true: an error was printed. */
static bool is_wrong_setting(const char *text)
{
    const char *value;
    char name[128];
    uint64_t number;

    if (!gw_option_setting(text, name, sizeof name, &value) || !gw_unit_of(name) ||
        gw_unit_read(gw_unit_of(name), value, &number))
        return false;
    gw_ctl_usage("%s: %s is expected", gw_shown(text), gw_unit_expected(gw_unit_of(name)));
    return true;
}

static enum gw_cli_taken take_parameter(void *opaque, char *value)
{
    struct gw_ctl *ctl = opaque;
    const char *rest;
    char name[128];

    if (!gw_option_setting(value, name, sizeof name, &rest))
        return GW_CLI_WRONG;
    if (is_wrong_setting(value))
        return GW_CLI_TOLD;
    ctl->parameters[ctl->parameter_count++] = value;
    return GW_CLI_TAKEN;
}

/* Checks the arguments of `snapshot`, which has two forms. */
static int snapshot_arguments(int argc, char **argv)
{
    int first = optind, r;
    char what[32];

    optind += 3;
    snprintf(what, sizeof what, "snapshot %s: ", argc > first + 2 ? argv[first + 2] : "");
    if (argc > first + 2 && (!strcmp(argv[first + 2], "save") || !strcmp(argv[first + 2], "load")))
        r = gw_cli_arguments(argc, argv, what, "TAG VMSTATE DEVICE...");
    else if (argc > first + 2 && !strcmp(argv[first + 2], "delete"))
        r = gw_cli_arguments(argc, argv, what, "TAG DEVICE...");
    else {
        optind--;
        r = gw_cli_arguments(argc, argv, "snapshot: ", "FILE|URI");
    }
    optind = first;
    return r;
}

int gw_ctl_parse(struct gw_ctl *ctl, int argc, char **argv)
{
    bool wait = false; /* ignored: waiting is the default */
    const struct gw_cli_option options[] = {
        {"json", .flag = &ctl->json, .help = "Print one JSON document."},
        {"quiet", 'q', .flag = &ctl->quiet, .help = "Show no progress."},
        {"timeout", .take = take_timeout, .opaque = ctl, .value = "SECONDS",
         .help = "How long an answer may take (30); for godwit's machines also how long the other side of `migrate` "
                 "may be silent (30); how long `wait` and `events` wait, and all commands for a monitor in use by "
                 "another client (no limit)."},
        {"log", .take = take_log, .opaque = ctl, .value = "LEVEL", .choices = "error warning info debug",
         .help = "With info or debug: show events instead of the progress."},
        {"tls-creds", .absent = "TLS"},
        {"detach", .flag = &ctl->detach, .of = "migrate start", .help = "Only start it."},
        {"wait", .flag = &wait, .of = "migrate start", .help = "Wait for the end (the default)."},
        {"resume", .flag = &ctl->resume, .of = "migrate start",
         .help = "Resume a migration that is postcopy-paused; with start: the machine runs there, and lost its connection."},
        {"wait-recovery", .flag = &ctl->wait_recovery, .of = "migrate watch wait",
         .help = "If it becomes postcopy-paused, wait until it was resumed and has ended."},
        {"capability", .take = take_capability, .opaque = ctl, .of = SENDS, .value = "NAME[=on|off]",
         .help = "Set a capability before the start. May be repeated."},
        {"parameter", .take = take_parameter, .opaque = ctl, .of = SENDS, .value = "NAME=VALUE",
         .help = "Set a parameter before the start, as `param` does. May be repeated."},
        {"peer", .text = &ctl->peer, .of = SENDS, .value = "VERSION", .choices = "7.2 8.1 9.0 10.0 godwit",
         .help = "The destination's version, for godwit's machines. plan: with godwit the link to it is measured."},
        {"report", .text = &ctl->report, .of = "migrate", .value = "FILE",
         .help = "Write a report with charts: FILE.html or FILE.svg."},
        {"disks", .flag = &ctl->disks, .of = "migrate",
         .help = "Migrate its disks, too. Those of a QEMU are mirrored over NBD, which needs --destination."},
        {"disks-top", .flag = &ctl->top, .of = "migrate",
         .help = "The same, but only their top images: the destination has the others."},
        {"nbd", .text = &ctl->nbd, .of = "migrate", .value = "URI",
         .help = "Where a QEMU at the destination serves its disks: tcp:HOST:PORT or unix:PATH (port 10809 of the host, or "
                 "PATH.nbd)."},
        {"plan", .flag = &ctl->plan, .of = "migrate", .help = "Make a forecast first, and show it beside the result."},
        {"bandwidth", .take = take_bandwidth, .opaque = ctl, .of = "migrate plan", .value = "SIZE",
         .help = "For the forecast: the throughput of the link per second, as in 119M."},
        {"destination", .text = &ctl->destination, .of = "migrate plan", .value = "SOCKET",
         .help = "The destination's QMP socket. For the forecast: to ask it for its version and capabilities. "
                 "--disks: to make it serve its disks."},
        {"measure", .take = take_measure, .opaque = ctl, .of = "migrate plan", .value = "SECONDS",
         .help = "For the forecast: how long to measure godwit's machines (2)."},
        {"count", .take = take_count, .opaque = ctl, .of = "events", .value = "N",
         .help = "End after this many events (default: when interrupted)."},
        {"force", 'f', .flag = &ctl->force, .of = "snapshot", .help = "Replace the file if it exists."},
        {0}};
    const struct gw_cli_command command = {.about = "Queries and controls a machine through its QMP socket, godwit's or QEMU's. "
                                                    "SOCKET is a path, unix:PATH or tcp:HOST:PORT.",
                                           .options = options,
                                           .subs = subs,
                                           .before_sub = "SOCKET"};
    int r = gw_cli_parse(argc, argv, &command);

    if (r >= 0)
        return r;
    ctl->disks |= ctl->top;
    if (!strcmp(argv[optind + 1], "param"))
        for (int i = optind + 2; i < argc; i++)
            if (is_wrong_setting(argv[i]))
                return GW_EXIT_USAGE;
    return strcmp(argv[optind + 1], "snapshot") ? -1 : snapshot_arguments(argc, argv);
}
