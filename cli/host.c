/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool gw_host_line(const char *path, char *line, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, size - 1);

    if (fd >= 0)
        close(fd);
    if (n < 0)
        return false;
    line[n] = 0;
    line[strcspn(line, "\n")] = 0;
    return true;
}

void gw_host_failed(struct gw_host_answer *a, const char *what, const char *advice)
{
    int error = errno;

    a->there = false;
    GW_HOST_SAY(a->detail, "%s: %s", what, strerror(error));
    GW_HOST_SAY(a->advice, "%s", advice);
}
