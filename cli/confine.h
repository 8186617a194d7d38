/* SPDX-License-Identifier: MIT
 *
 * confine: what a command gives up once it has what it needs, since what it reads comes from anyone
 * (docs/decisions/sandbox.md).
 *
 *     gw_confine          no core dumps, no debugger of the same user: a guest's memory is in this process; and system calls
 *                         beyond those that it needs are refused, in all threads, now and later
 *
 * and for whoever started it as root, with --user:
 *
 *     gw_confine_borrow   acts as that user from now on, so that files are made by it
 *     gw_confine_root     acts as root again for a moment: to listen, to connect
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
    bool connects;       /* what it reads is on a server: a connection that is lost is made again */
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
    GW_CONFINE_ALL,      /* no programs, no sockets */
    GW_CONFINE_PROGRAMS, /* what must still start programs that compress, which are confined alike: all that is not
                          * dangerous is left */
    GW_CONFINE_EXEC,     /* as ALL, and a program that was started before may be ended */
};
/* 0 also when it cannot be done and is not a must. */
int gw_confine(const struct gw_confine *c, enum gw_confine_kind kind, struct gw_error *err);
/* What a command that writes such a file keeps: whether a program compresses it or not. */
enum gw_confine_kind gw_confine_kind_of(const struct gw_image_write_options *write);

int gw_confine_borrow(struct gw_confine *c, struct gw_error *err);
int gw_confine_root(const struct gw_confine *c, struct gw_error *err);
int gw_confine_drop(const struct gw_confine *c, struct gw_error *err);
/* Whether the user (as which we must act now) may give a file this name or take it away: what is there in its place
 * may be in a folder with the sticky bit. */
int gw_confine_check_name(const struct gw_confine *c, const char *path, struct gw_error *err);

#endif
