/* SPDX-License-Identifier: MIT */
#include "channel/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

extern char **environ;

/* The program would also ignore the signals that the embedder ignores. In the same process group it may, except for the
 * first. */
static const int usual[] = {SIGPIPE, SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP};

static int set_attributes(posix_spawnattr_t *attr, bool group)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t none, defaults;
    int r;

    sigemptyset(&none);
    sigemptyset(&defaults);
    for (size_t i = 0; i < (group ? GW_ARRAY_LEN(usual) : 1); i++)
        sigaddset(&defaults, usual[i]);
    r = posix_spawnattr_setflags(attr, group ? flags | POSIX_SPAWN_SETPGROUP : flags);
    if (!r && group)
        r = posix_spawnattr_setpgroup(attr, 0);
    if (!r)
        r = posix_spawnattr_setsigmask(attr, &none);
    return r ? r : posix_spawnattr_setsigdefault(attr, &defaults);
}

/* Moves it above 2, so that setting up 0, 1 and 2 does not overwrite it before it is used. */
static int lift(int fd, int *ret_lifted)
{
    if (fd < 0)
        return 0;
    *ret_lifted = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return *ret_lifted < 0 ? errno : 0;
}

static int set_files(posix_spawn_file_actions_t *actions, const int lifted[3])
{
    int flags = fcntl(2, F_GETFD), r = 0;

    for (int i = 0; i < 3 && !r; i++)
        if (lifted[i] >= 0)
            r = posix_spawn_file_actions_adddup2(actions, lifted[i], i);
    /* Otherwise the first file that the program opens would get its error messages. */
    if (!r && lifted[2] < 0 && (flags < 0 || flags & FD_CLOEXEC))
        r = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
    return r;
}

static int start(const struct gw_spawn *what, const int lifted[3], pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int r = posix_spawnattr_init(&attr);

    if (r)
        return r;
    r = posix_spawn_file_actions_init(&actions);
    if (r) {
        posix_spawnattr_destroy(&attr);
        return r;
    }
    r = set_attributes(&attr, what->group);
    if (!r)
        r = set_files(&actions, lifted);
    /* Never a plain fork: the process may contain a guest's memory, and copying its page tables would stop the
     * guest. */
    if (!r)
        r = posix_spawn(ret_pid, what->program, &actions, &attr, what->argv, what->env ? what->env : environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return r;
}

int gw_spawn(const struct gw_spawn *what, pid_t *ret_pid)
{
    int lifted[3] = {-1, -1, -1};
    int r = lift(what->in, &lifted[0]);

    if (!r)
        r = lift(what->out, &lifted[1]);
    if (!r)
        r = lift(what->err, &lifted[2]);
    if (!r)
        r = start(what, lifted, ret_pid);
    for (int i = 0; i < 3; i++)
        gw_close_fd(&lifted[i]);
    return -r;
}
