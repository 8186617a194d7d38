/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

static void probe_ring(const char *directory, struct gw_host_answer *a)
{
    struct io_uring_params params = {0};
    char off[16] = "0";
    int fd = (int)syscall(__NR_io_uring_setup, 1, &params);

    if (fd >= 0) {
        a->there = true;
        GW_HOST_SAY(a->detail, "this process can create rings");
        close(fd);
        return;
    }
    gw_host_failed(a, "io_uring", "use Linux 5.6 or later, and allow it in the container's seccomp profile; disks go by threads");
    if (gw_host_line("/proc/sys/kernel/io_uring_disabled", off, sizeof off) && strcmp(off, "0"))
        GW_HOST_SAY(a->advice, "set kernel.io_uring_disabled=0; without it disks go by threads");
}

static void probe_zerocopy(const char *directory, struct gw_host_answer *a)
{
    char room[32] = "?";
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (s < 0) {
        gw_host_failed(a, "a TCP socket", "");
        return;
    }
    a->there = setsockopt(s, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on) == 0;
    if (!a->there)
        gw_host_failed(a, "SO_ZEROCOPY", "use Linux 4.14 or later");
    else if (gw_host_line("/proc/sys/net/core/optmem_max", room, sizeof room))
        GW_HOST_SAY(a->detail, "on TCP; net.core.optmem_max=%s", room);
    close(s);
}

/* An unnamed file: it is gone when it is closed. */
static void probe_direct(const char *directory, struct gw_host_answer *a)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), error;
    void *page = NULL;

    if (fd < 0) {
        error = errno;
        GW_HOST_SAY(a->detail, "%.100s: %s", directory, strerror(error));
        GW_HOST_SAY(a->advice, error == EOPNOTSUPP || error == EISDIR ? "not known: unlinked files (O_TMPFILE) are not supported there" :
                                                                     "name a directory that can be written to: --directory");
        return;
    }
    if (!posix_memalign(&page, 4096, 4096) && fcntl(fd, F_SETFL, O_DIRECT) == 0) {
        memset(page, 0, 4096);
        a->there = pwrite(fd, page, 4096, 0) == 4096;
    }
    if (a->there)
        GW_HOST_SAY(a->detail, "in %.150s", directory);
    else {
        gw_host_failed(a, directory, "choose a file system that has it (ext4, xfs); without it data goes through the page cache");
    }
    free(page);
    close(fd);
}

const struct gw_host_fact gw_host_io[] = {
    {"io-uring", "disks: many requests at once", probe_ring},
    {"zero-copy", "multifd without copies (zero-copy-send)", probe_zerocopy},
    {"direct-io", "files past the page cache (direct-io)", probe_direct},
    {0},
};
