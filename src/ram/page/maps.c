/* SPDX-License-Identifier: MIT */
#include "ram/page/maps.h"

#include <stdio.h>

int gw_maps_kind(uintptr_t start, uintptr_t end, enum gw_maps_kind *ret, struct gw_error *err)
{
    FILE *f = fopen("/proc/self/maps", "re");
    uintptr_t at = start;
    bool anonymous = true, shared = true;
    char *line = NULL;
    size_t size = 0;
    int r = 0;

    if (!f)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "/proc/self/maps: %s", strerror(errno));
    while (at < end && getline(&line, &size, f) > 0) {
        unsigned long lo, hi, inode, offset;
        unsigned major, minor;
        char perms[8];

        if (sscanf(line, "%lx-%lx %7s %lx %x:%x %lu", &lo, &hi, perms, &offset, &major, &minor, &inode) != 7) {
            r = gw_fail(err, -EIO, GW_BLAME_LOCAL, "/proc/self/maps: a line that is not understood");
            break;
        }
        if (hi <= at)
            continue;
        if (lo > at)
            break;
        /* Anonymous huge TLB pages and shared anonymous memory have an inode. */
        anonymous = anonymous && perms[3] == 'p' && !inode;
        shared = shared && perms[3] == 's';
        at = hi;
    }
    if (r == 0 && at < end && ferror(f))
        r = gw_fail(err, errno == ENOMEM ? -ENOMEM : -EIO, GW_BLAME_LOCAL, "/proc/self/maps: cannot be read");
    free(line);
    fclose(f);
    if (r == 0)
        *ret = at < end    ? GW_MAPS_HOLES
               : anonymous ? GW_MAPS_ANONYMOUS
               : shared    ? GW_MAPS_SHARED
                           : GW_MAPS_OTHER;
    return r;
}
