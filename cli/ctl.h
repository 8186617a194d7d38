/* SPDX-License-Identifier: MIT
 *
 * ctl: the parts of `godwit ctl`. All return the exit status and have printed the reason on stderr.
 */
#ifndef GODWIT_CLI_CTL_H
#define GODWIT_CLI_CTL_H

#include "cmd.h"
#include "human.h"
#include "qmp_client.h"

struct gw_ctl_take; /* ctl_report.h */
struct gw_ctl_disks; /* ctl_disks.h */

struct gw_ctl {
    const char *socket;
    bool json, quiet, verbose, detach, resume, wait_recovery, force, plan;
    const char *peer; /* --peer */
    const char *report; /* --report; NULL: none */
    struct gw_ctl_take *take;
    bool disks, top; /* --disks, --disks-top */
    const char *nbd; /* --nbd; NULL: the machine's own host */
    struct gw_ctl_disks *mirrored;
    uint64_t timeout_ns; /* --timeout; 0: not given */
    const char *destination; /* --destination: its monitor. For `plan`, `migrate --plan`, `migrate --disks` */
    /* For `plan` and `migrate --plan` */
    uint64_t bandwidth;      /* --bandwidth, bytes per second; 0: not given */
    uint64_t measure_ns;     /* --measure; 0: not given */
    /* --capability and --parameter of `migrate`: NAME[=on|off] and NAME=VALUE. */
    const char **capabilities, **parameters;
    size_t capability_count, parameter_count;

    uint64_t count; /* --count of `events`; 0: not given */

    struct gw_qmp *qmp;
    uint64_t began_ns; /* when the command started */
    bool watches;      /* another client started the migration: an interrupt does not cancel it */
    void (*on_event)(struct gw_ctl *ctl, const json_t *event); /* called instead of --log; NULL: none */
    void *event_opaque;
    unsigned interrupts; /* SIGINT and SIGTERM so far */
};

/* Prints "godwit ctl: what: why"; returns GW_EXIT_FAILED or GW_EXIT_USAGE. */
int gw_ctl_failed(const char *what, const struct gw_error *err);
int gw_ctl_usage(const char *fmt, ...) GW_PRINTF(1, 2);
/* Runs a command and prints a failure. Takes args. ret_result may be NULL. */
int gw_ctl_run(struct gw_ctl *ctl, const char *command, json_t *take_args, json_t **ret_result);
/* Prints JSON: one line with --json, else for people. */
void gw_ctl_print_json(const struct gw_ctl *ctl, const json_t *value);

int gw_ctl_status(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_caps(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_param(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_migrate(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_watch(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_wait(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_qmp(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_hmp(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_events(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_cancel(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_destinations(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_dirty_rate(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_announce(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_plan(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_start(struct gw_ctl *ctl, int argc, char **argv);
int gw_ctl_snapshot(struct gw_ctl *ctl, int argc, char **argv);

/* Parses options and checks the subcommand's arguments: argv[optind] is the socket, and the subcommand follows. Returns
 * -1 to go on, or an exit status. */
int gw_ctl_parse(struct gw_ctl *ctl, int argc, char **argv);

/* Sets capabilities or parameters from command-line texts; an empty list does nothing. */
int gw_ctl_set_capabilities(struct gw_ctl *ctl, const char *const *texts, size_t count);
int gw_ctl_set_parameters(struct gw_ctl *ctl, const char *const *texts, size_t count);

/* Opens a monitor. If it sends no greeting within a second, prints that (unless --quiet) and continues to wait until
 * --timeout. */
int gw_ctl_open(struct gw_ctl *ctl, const char *address, struct gw_qmp **ret_qmp, struct gw_error *err);
/* Whether a capability is on; off if the server does not have it. Returns an exit status. */
int gw_ctl_capability(struct gw_ctl *ctl, const char *name, bool *ret_on);
/* Waits if a migration has just ended: the server may still refuse to change capabilities for a moment. */
int gw_ctl_turn(struct gw_ctl *ctl, const char *name, bool on);

/* Whether a signal has asked to end the operation. Main thread. */
bool gw_ctl_interrupted(struct gw_ctl *ctl);
/* Runs `migrate` and, without --detach, waits for its end; *ret_info: the last answer of query-migrate. */
int gw_ctl_transfer(struct gw_ctl *ctl, const char *uri, json_t **ret_info);
/* query-status once a migration has ended. QEMU reports the end shortly before the machine reaches its final state. */
int gw_ctl_final_status(struct gw_ctl *ctl, json_t **ret_status);

/* Prints the result of a migration, from query-migrate and query-status, as text on stdout. */
void gw_ctl_report(const json_t *info, const json_t *status);
/* Reads a number from nested objects: "ram.total". 0 if absent. */
double gw_ctl_number(const json_t *info, const char *path);
const char *gw_ctl_text(const json_t *info, const char *path, const char *otherwise);

#endif
