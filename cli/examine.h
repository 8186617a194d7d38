/* SPDX-License-Identifier: MIT
 *
 * examine: common parts of the commands that examine machines at rest.
 */
#ifndef GODWIT_CLI_EXAMINE_H
#define GODWIT_CLI_EXAMINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <godwit/examine.h>
#include <godwit/image.h>
#include <jansson.h>

#include "progress.h"

/* "godwit COMMAND: what: why" on stderr. Returns GW_EXIT_FAILED. what NULL: why contains it already. */
int gw_cli_failed(const char *command, const char *what, const char *why);
/* Called last by a command that printed: reports a failed write, and changes the status then. */
int gw_cli_end(const char *command, int status);
/* Prints `all` with the list `found` in it; takes `all`. */
void gw_cli_print_found(json_t *take_all, json_t *found);

/* ---- the machine of a file, or of a snapshot in a disk image ------------------------------------------------------- */

/* An option's row for a command's table; where: a const char *, NULL until the option is given; file: the argument's
 * name in help. */
#define GW_CLI_SNAPSHOT_OPTION(where, file)                                                                            \
    {"snapshot", .text = (where), .value = "NAME", .help = file " is a disk image (qcow2): the machine in this snapshot of it."}

/* snapshot: of a disk image, by ID or name; NULL: the file is the machine's. */
int gw_cli_open(const char *file, const char *snapshot, struct gw_image **ret_image, struct gw_error *err);
/* Also accepts an incomplete parked file (gw_image_open_half). */
int gw_cli_open_half(const char *file, const char *snapshot, struct gw_image **ret_image, struct gw_error *err);
int gw_cli_inspect(struct gw_inspect *inspect, const char *file, const char *snapshot, struct gw_error *err);

/* The progress line (progress.h) of work that counts bytes, and its end by an interrupt. */
struct gw_cli_progress {
    const char *what; /* "verified" */
    struct gw_progress_line line;
    bool watched, interrupted;
};
/* quiet: no line. */
void gw_cli_progress_init(struct gw_cli_progress *p, const char *what, bool quiet);
/* From here on an interrupt (interrupts.h) ends the work at its next step, so that no partial output remains. */
void gw_cli_progress_watch(struct gw_cli_progress *p);
/* A gw_examine_progress_fn. */
bool gw_cli_progress_step(void *progress, uint64_t done_bytes, uint64_t total_bytes);
void gw_cli_progress_done(struct gw_cli_progress *p);

#endif
