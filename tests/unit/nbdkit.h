/* SPDX-License-Identifier: MIT
 *
 * nbdkit: a real NBD server for a test. The socket is the test's own and listens before a server is there: who connects meanwhile waits
 * for one. It is handed over as systemd does it. Include cmocka.h before.
 */
#ifndef TESTS_NBDKIT_H
#define TESTS_NBDKIT_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NBDKIT "/usr/bin/nbdkit"

struct nbdkit {
    char folder[40], socket[60], uri[100];
    int listens;
    pid_t child;
};

static inline int nbdkit_up(struct nbdkit *k)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memset(k, 0, sizeof *k);
    strcpy(k->folder, "/var/tmp/godwit-nbd-XXXXXX");
    if (!mkdtemp(k->folder))
        return -1;
    snprintf(k->socket, sizeof k->socket, "%s/s", k->folder);
    snprintf(k->uri, sizeof k->uri, "nbd+unix:///?socket=%s", k->socket);
    memcpy(address.sun_path, k->socket, sizeof k->socket);
    k->listens = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return k->listens < 0 || bind(k->listens, (struct sockaddr *)&address, sizeof address) || listen(k->listens, 5) ? -1 : 0;
}

/* argv: what follows `nbdkit -f --exit-with-parent`, up to NULL. */
static inline void nbdkit_start(struct nbdkit *k, const char *const argv[])
{
    const char *all[16] = {"nbdkit", "-f", "--exit-with-parent"};
    char pid[20];

    for (unsigned i = 0; i < 12 && argv[i]; i++)
        all[3 + i] = argv[i];
    fflush(NULL);
    k->child = fork();
    assert_true(k->child >= 0);
    if (k->child)
        return;
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    if (k->listens == 3 ? fcntl(3, F_SETFD, 0) == 0 : dup2(k->listens, 3) == 3)
        execv(NBDKIT, (char **)all);
    _exit(127);
}

static inline void nbdkit_end(struct nbdkit *k)
{
    if (k->child <= 0)
        return;
    kill(k->child, SIGKILL);
    waitpid(k->child, NULL, 0);
    k->child = 0;
}

static inline int nbdkit_down(struct nbdkit *k)
{
    nbdkit_end(k);
    if (k->listens >= 0)
        close(k->listens);
    unlink(k->socket);
    return rmdir(k->folder);
}

#endif
