/* SPDX-License-Identifier: MIT
 *
 * transfer: common parts of `receive`, `send` and `vm`: options and the progress line; for the first two also signals.
 *
 * Threads: everything belongs to the main thread, except `interrupted`, `done_bytes` and `total_bytes`.
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
    uint64_t timeout_ns; /* 0: the library's default */
    struct {
        bool parameter;
        const char *text; /* NAME[=on|off], NAME=VALUE */
    } settings[GW_TRANSFER_SETTINGS];
    unsigned setting_count;

    int wake, signals;   /* eventfd: a status changed; signalfd */
    unsigned interrupts; /* number of signals so far */
    atomic_bool interrupted;
    _Atomic uint64_t done_bytes, total_bytes; /* progress of the step after the transfer itself (packing) */
    char refused[GW_ERROR_TEXT];              /* why the last source was refused. Written by the session's threads, one at a time */
    uint64_t began_ns;
    bool source; /* statistics show what is left; a destination sees only what arrives */
    struct gw_progress_line line;
};

/* The common options, for t, which must not move: for `also` in a command's table. */
#define GW_TRANSFER_OPTIONS 9 /* with the end */
void gw_transfer_options(struct gw_transfer *t, struct gw_cli_option ret_options[GW_TRANSFER_OPTIONS]);

/* Prints "godwit COMMAND: what: why"; returns GW_EXIT_FAILED. what may be NULL. */
int gw_transfer_failed(struct gw_transfer *t, const char *what, const struct gw_error *err);
/* Sets the requested capabilities and parameters. */
int gw_transfer_configure(struct gw_transfer *t, struct gw_vm *vm, struct gw_error *err);
/* The same; also blocks interrupts (interrupts.h) in this and all future threads, and creates the descriptors. Called
 * after parsing the options. */
int gw_transfer_begin(struct gw_transfer *t, struct gw_vm *vm, struct gw_error *err);
void gw_transfer_end(struct gw_transfer *t);
/* For the sessions' on_event; opaque is the transfer. */
void gw_transfer_event(void *opaque, const struct gw_event *event);
/* Lets gw_transfer_turn return. Any thread. */
void gw_transfer_wake(struct gw_transfer *t);
/* Prints a line of JSON (--json), or text on stderr (unless --quiet). */
void gw_transfer_tell(struct gw_transfer *t, const char *event, const char *key, const char *value);
/* Prints the result as a line of JSON; takes it. NULL: no memory for it. */
void gw_transfer_result(json_t *take_result);
/* Waits for a status, a signal, or a fifth of a second; true: a signal arrived. Shows progress. */
bool gw_transfer_turn(struct gw_transfer *t, const struct gw_stats *stats);
/* The same without waiting. */
bool gw_transfer_look(struct gw_transfer *t, const struct gw_stats *stats);
bool gw_transfer_ended(enum gw_status status);
/* The same for a source, whose session ends when it pauses; a new session resumes it. */
bool gw_transfer_source_ended(enum gw_status status);
/* Draws the progress line, as turn and look do. */
void gw_transfer_show(struct gw_transfer *t, const struct gw_stats *stats);
/* Erases the progress line. Any thread. */
void gw_transfer_clear(struct gw_transfer *t);
/* Reads the XML of a libvirt domain; the caller frees *ret. */
int gw_read_xml(const char *path, char **ret, struct gw_error *err);
double gw_transfer_seconds(const struct gw_transfer *t);

#endif
