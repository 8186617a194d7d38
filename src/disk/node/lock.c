/* SPDX-License-Identifier: MIT */
#include "disk/node/lock.h"

#include <fcntl.h>

#define USED_AT 100
#define KEPT_AT 200
#define USES    4

static int call(int fd, int command, short type, off_t at, short *ret_type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int r;

    do
        r = fcntl(fd, command, &lock);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    if (ret_type)
        *ret_type = lock.l_type;
    return 0;
}

void gw_node_unlock(int fd)
{
    for (int i = 0; i < USES; i++) {
        call(fd, F_OFD_SETLK, F_UNLCK, USED_AT + i, NULL);
        call(fd, F_OFD_SETLK, F_UNLCK, KEPT_AT + i, NULL);
    }
}

static int set(int fd, unsigned uses, off_t at)
{
    int r = 0;

    for (int i = 0; i < USES && r >= 0; i++)
        if (uses & 1u << i)
            r = call(fd, F_OFD_SETLK, F_RDLCK, at + i, NULL);
    return r;
}

/* Whether another open file holds one of these bytes: *ret is the use. Returns a negative errno, 0 or 1. */
static int held(int fd, unsigned uses, off_t at, unsigned *ret)
{
    for (int i = 0; i < USES; i++) {
        short type = F_UNLCK;
        int r = uses & 1u << i ? call(fd, F_OFD_GETLK, F_WRLCK, at + i, &type) : 0;

        *ret = 1u << i;
        if (r < 0 || type != F_UNLCK)
            return r < 0 ? r : 1;
    }
    return 0;
}

static int busy(const char *name, const char *who, struct gw_error *err)
{
    return gw_fail(err, -EBUSY, GW_BLAME_LOCAL,
                   "%.200s: %s (a QEMU or a godwit). Two machines on one disk destroy it: end the other one first",
                   name, who);
}

int gw_node_lock(int fd, unsigned used, unsigned kept, const char *name, struct gw_error *err)
{
    unsigned use = 0;
    short type;
    int r = call(fd, F_OFD_GETLK, F_WRLCK, USED_AT, &type);

    if (r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP || r == -ENOTTY)
        return 0;
    r = r < 0 ? r : set(fd, used, USED_AT);
    r = r < 0 ? r : set(fd, kept, KEPT_AT);
    if (r >= 0 && (r = held(fd, used, KEPT_AT, &use)) > 0)
        r = busy(name, "another program that has it open does not share it", err);
    else if (r >= 0 && (r = held(fd, kept, USED_AT, &use)) > 0)
        r = busy(name, use == GW_LOCK_READ ? "another program reads it" : "another program writes to it", err);
    else if (r < 0)
        gw_fail(err, r, GW_BLAME_LOCAL, "%.200s: locking it: %s", name, strerror(-r));
    if (r < 0)
        gw_node_unlock(fd);
    return r;
}
