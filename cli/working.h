/* SPDX-License-Identifier: MIT
 *
 * working: --record and --working-set of `send` and `serve`.
 *
 * Threads: the main thread; `recorded` belongs to the session while there is one.
 */
#ifndef GODWIT_CLI_WORKING_H
#define GODWIT_CLI_WORKING_H

#include <stdbool.h>

#include <godwit/godwit.h>

#include "table.h"

struct gw_working {
    const char *record; /* NULL: nothing is recorded */
    struct gw_working_set *recorded, *preferred; /* NULL: none */
    struct gw_working_tally *tally; /* the sum of what many sessions recorded, each in its own set; NULL: there is one session */
    const char *command; /* "send" */
};

#define GW_WORKING_HELP                                                                                                   \
    "  --working-set RECORD     with --postcopy: pages of this record come first, behind those that are waited for;\n" \
    "                           may be repeated\n"
/* For the table of options; opaque is the struct. Reads the file, and adds it to `preferred`. */
enum gw_cli_taken gw_working_take(void *opaque, char *value);
#define GW_WORKING_OPTION(working)                                                                                         \
    {"working-set", .take = gw_working_take, .opaque = (working), .value = "RECORD",                                       \
     .help = "Send the pages of this record first, after those that are waited for. May be repeated."}

/* Before a machine goes: -EEXIST: the record's file exists, -EINVAL: the machine's settings prevent recording. */
int gw_working_check(const struct gw_working *w, struct gw_vm *vm, bool replace, struct gw_error *err);
/* Gives both to the machine. *recorded: the set that its session fills, created here if NULL. *ret_dropped: pages of
 * the working set that it does not have. */
int gw_working_set_up(const struct gw_working *w, struct gw_vm *vm, struct gw_working_set **recorded, uint64_t *ret_dropped,
                      struct gw_error *err);
/* Adds the record of one of many sessions, which has ended. NULL: nothing. */
int gw_working_add(struct gw_working *w, const struct gw_working_set *recorded, struct gw_error *err);
/* Writes the record, if requested. Called after all sessions have ended. */
int gw_working_finish(struct gw_working *w, bool replace, struct gw_error *err);
void gw_working_free(struct gw_working *w);

#endif
