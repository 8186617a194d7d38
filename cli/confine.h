/* SPDX-License-Identifier: MIT
 *
 * confine: the rights that a command gives up once it has opened its files, since its input is untrusted
 * (docs/decisions/sandbox.md).
 *
 *     gw_confine          no core dumps, no debugger of the same user: a guest's memory is in this process; and system calls
 *                         beyond those that it needs are refused, in all threads, now and later
 *
 * and if root started it, with --user:
 *
 *     gw_confine_borrow   acts as that user from now on, so that it owns new files gw_confine_root     acts as root
 *     again for a moment: to listen, to connect
 *     gw_confine_drop     is that user for good, in all threads
 *
 * gw_confine does nothing with --sandbox off, the other three nothing without --user.
 *
 * Threads: the main thread. borrow and root change all threads.
 */
#ifndef GODWIT_CLI_CONFINE_H
#define GODWIT_CLI_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include <godwit/image.h>

#include "table.h"

struct gw_confine {
    const char *command; /* "receive" */
    bool off, must;      /* --sandbox off, on */
    bool connects;       /* it reads from a server and reconnects after a lost connection */
    const char *user;    /* NULL: unchanged */
    uid_t uid;
    gid_t gid;
};

#define GW_CONFINE_OPTION(confine)                                                                                     \
    {"sandbox", .take = gw_confine_take, .opaque = (confine), .value = "WHEN", .choices = "auto on off",               \
     .help = "Give up the system calls that are not needed: auto (default): as far as this system allows it; on: or fail."}
#define GW_CONFINE_USER_OPTION(confine)                                                                                \
    {"user", .text = &(confine)->user, .value = "USER", .help = "For root: continue as this user once everything is open."}

/* For the table of options; opaque is the struct. */
enum gw_cli_taken gw_confine_take(void *opaque, char *value);

enum gw_confine_kind {
    GW_CONFINE_ALL,      /* no new programs, no new sockets */
    GW_CONFINE_PROGRAMS, /* it must still start compression programs, which inherit the filter: only dangerous calls are refused */
    GW_CONFINE_EXEC,     /* as ALL, and it may end a program that was started before */
};
/* Returns 0 also if confinement is not possible and not required. */
int gw_confine(const struct gw_confine *c, enum gw_confine_kind kind, struct gw_error *err);
/* The kind for a command that writes such a file, depending on whether a program compresses it. */
enum gw_confine_kind gw_confine_kind_of(const struct gw_image_write_options *write);

int gw_confine_borrow(struct gw_confine *c, struct gw_error *err);
int gw_confine_root(const struct gw_confine *c, struct gw_error *err);
int gw_confine_drop(const struct gw_confine *c, struct gw_error *err);
/* Whether the user, whose identity is in use now, may create or remove a file of this name. An existing file may be in
 * a folder with the sticky bit. */
int gw_confine_check_name(const struct gw_confine *c, const char *path, struct gw_error *err);

#endif
