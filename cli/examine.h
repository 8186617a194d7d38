/* SPDX-License-Identifier: MIT
 *
 * examine: what the commands that look at machines at rest have in common.
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

/* "godwit COMMAND: what: why" on stderr. Returns GW_EXIT_FAILED. what NULL: it stands in why already. */
int gw_cli_failed(const char *command, const char *what, const char *why);
/* The last thing of a command that printed: what could not be written is told, and changes the status. */
int gw_cli_end(const char *command, int status);
/* Prints `all` with the list `found` in it, and takes `all`. */
void gw_cli_print_found(json_t *take_all, json_t *found);

/* ---- the machine of a file, or of a snapshot in a disk image ------------------------------------------------------- */

/* The row of a command's table; where: a const char *, NULL until the option comes; file: what help calls the argument. */
#define GW_CLI_SNAPSHOT_OPTION(where, file)                                                                            \
    {"snapshot", .text = (where), .value = "NAME", .help = file " is a disk image (qcow2): the machine in this snapshot of it."}

/* snapshot: of a disk image, by ID or name; NULL: the file is the machine's. */
int gw_cli_open(const char *file, const char *snapshot, struct gw_image **ret_image, struct gw_error *err);
/* Also a parked file that is not whole (gw_image_open_half). */
int gw_cli_open_half(const char *file, const char *snapshot, struct gw_image **ret_image, struct gw_error *err);
int gw_cli_inspect(struct gw_inspect *inspect, const char *file, const char *snapshot, struct gw_error *err);

/* The progress line (progress.h) of work that tells bytes done of bytes in all, and its end by an interrupt. */
struct gw_cli_progress {
    const char *what; /* "verified" */
    struct gw_progress_line line;
    bool watched, interrupted;
};
/* quiet: no line. */
void gw_cli_progress_init(struct gw_cli_progress *p, const char *what, bool quiet);
/* From here on interrupts (interrupts.h) end the work at its next step, so that nothing half is left. */
void gw_cli_progress_watch(struct gw_cli_progress *p);
/* A gw_examine_progress_fn. */
bool gw_cli_progress_step(void *progress, uint64_t done_bytes, uint64_t total_bytes);
void gw_cli_progress_done(struct gw_cli_progress *p);

#endif
