/* SPDX-License-Identifier: MIT
 *
 * transfer: what `receive`, `send` and `vm` have in common: options, the progress line; and the first two: signals.
 *
 * Threads: everything belongs to the main thread, save `interrupted`, `done_bytes` and `total_bytes`.
 */
#ifndef GODWIT_CLI_TRANSFER_H
#define GODWIT_CLI_TRANSFER_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <godwit/godwit.h>

#include "cmd.h"
#include "progress.h"
#include "table.h"

#define GW_TRANSFER_SETTINGS 64

struct gw_transfer {
    const char *command; /* "receive" */
    bool json, quiet, verbose;
    const char *trace; /* names of events; NULL: none */
    uint64_t timeout_ns; /* 0: the library's */
    struct {
        bool parameter;
        const char *text; /* NAME[=on|off], NAME=VALUE */
    } settings[GW_TRANSFER_SETTINGS];
    unsigned setting_count;

    int wake, signals;   /* eventfd: a status changed; signalfd */
    unsigned interrupts; /* that came so far */
    atomic_bool interrupted;
    _Atomic uint64_t done_bytes, total_bytes; /* of what follows the transfer itself (packing) */
    char refused[GW_ERROR_TEXT];              /* why the last source was sent away. The session's threads, one at a time */
    uint64_t began_ns;
    bool source; /* its statistics tell what is left; a destination sees only what comes */
    struct gw_progress_line line;
};

/* The options that they have in common, for t, which must stay where it is: as `also` in a table of theirs. */
#define GW_TRANSFER_OPTIONS 9 /* with the end */
void gw_transfer_options(struct gw_transfer *t, struct gw_cli_option ret_options[GW_TRANSFER_OPTIONS]);

/* "godwit COMMAND: what: why"; returns GW_EXIT_FAILED. what may be NULL. */
int gw_transfer_failed(struct gw_transfer *t, const char *what, const struct gw_error *err);
/* Sets the capabilities and parameters that were asked for. */
int gw_transfer_configure(struct gw_transfer *t, struct gw_vm *vm, struct gw_error *err);
/* The same; and blocks interrupts (interrupts.h) in this and all threads to come, and makes the descriptors. After the
 * options. */
int gw_transfer_begin(struct gw_transfer *t, struct gw_vm *vm, struct gw_error *err);
void gw_transfer_end(struct gw_transfer *t);
/* For the sessions' on_event; opaque is the transfer. */
void gw_transfer_event(void *opaque, const struct gw_event *event);
/* Lets gw_transfer_turn return. Any thread. */
void gw_transfer_wake(struct gw_transfer *t);
/* A line of JSON (--json), or of text on stderr (unless --quiet). */
void gw_transfer_tell(struct gw_transfer *t, const char *event, const char *key, const char *value);
/* The result with --json, a line; takes it. NULL: there was no memory for it. */
void gw_transfer_result(json_t *take_result);
/* Waits a moment: for a status, a signal, or a fifth of a second; true: a signal came. Shows progress. */
bool gw_transfer_turn(struct gw_transfer *t, const struct gw_stats *stats);
/* The same without waiting. */
bool gw_transfer_look(struct gw_transfer *t, const struct gw_stats *stats);
bool gw_transfer_ended(enum gw_status status);
/* The same of a source: its session ends when it pauses, and another one goes on. */
bool gw_transfer_source_ended(enum gw_status status);
/* Draws the progress line, as turn and look do. */
void gw_transfer_show(struct gw_transfer *t, const struct gw_stats *stats);
/* Takes the progress line away. Any thread. */
void gw_transfer_clear(struct gw_transfer *t);
/* The text of a domain for libvirt; *ret is the caller's to free. */
int gw_read_xml(const char *path, char **ret, struct gw_error *err);
double gw_transfer_seconds(const struct gw_transfer *t);

#endif
