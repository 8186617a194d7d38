/* SPDX-License-Identifier: MIT
 *
 * spawn: starts a program with given standard descriptors.
 *
 * It works for any descriptor numbers and if any of 0, 1 and 2 are closed here (a process may be started without them; its
 * pipes and files then get these numbers). The program inherits no other descriptors, except those without close-on-exec. It
 * gets an empty signal mask and the default action of SIGPIPE; with a process group of its own, also of the other signals that
 * this process may ignore.
 */
#ifndef GW_CHANNEL_SPAWN_H
#define GW_CHANNEL_SPAWN_H

#include <sys/types.h>

#include "base/base.h"

struct gw_spawn {
    const char *program; /* a path: PATH is not used, since it depends on the environment */
    char *const *argv, *const *env; /* env NULL: that of this process */
    int in, out; /* borrowed */
    int err;     /* borrowed; -1: this process's own, or /dev/null if it has none that is inherited */
    bool group;  /* in a process group of its own */
};

/* 0, or a negative errno; -ENOENT: there is no such program. */
int gw_spawn(const struct gw_spawn *what, pid_t *ret_pid);

#endif
