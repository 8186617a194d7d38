/* SPDX-License-Identifier: MIT */
#include "base/sized.h"

#include "godwit/version.h"

#define TEXT_(major, minor, patch) #major "." #minor "." #patch
#define TEXT(major, minor, patch)  TEXT_(major, minor, patch)
_Static_assert(!__builtin_strcmp(TEXT(GW_VERSION_MAJOR, GW_VERSION_MINOR, GW_VERSION_PATCH), GW_VERSION_TEXT),
               "godwit/version.h and meson.build give different versions");

unsigned gw_version(void)
{
    return GW_VERSION;
}

const char *gw_version_text(void)
{
    return GW_VERSION_TEXT;
}

int gw_sized_in(void *dst, size_t ours, const void *src, size_t theirs, size_t least, const char *name,
                struct gw_error *err)
{
    const uint8_t *from = src;

    memset(dst, 0, ours);
    if (!src)
        return 0;
    if (theirs > GW_SIZED_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: a size of %zu bytes cannot be right", name, theirs);
    memcpy(dst, src, GW_MIN(ours, theirs));
    if (theirs < least)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: its size is given as %zu bytes, at least %zu are needed",
                       name, theirs, least);
    for (size_t i = ours; i < theirs; i++)
        if (from[i])
            return gw_fail(err, -E2BIG, GW_BLAME_CALLER,
                           "%s: byte %zu is set, but this library (%s) knows %zu bytes: the program was compiled for a "
                           "newer one",
                           name, i, GW_VERSION_TEXT, ours);
    return 0;
}

int gw_sized_table_in(void *dst, size_t ours, const void *src, size_t least, const char *name, struct gw_error *err)
{
    size_t theirs = src ? *(const size_t *)src : 0;
    int r = 0;

    if (src && !theirs) {
        memset(dst, 0, ours);
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: its member bytes is 0: begin its initialiser with GW_SIZED(%s)",
                    name, name);
    } else {
        r = gw_sized_in(dst, ours, src, theirs, least, name, err);
    }
    *(size_t *)dst = ours;
    return r;
}

void gw_sized_out(void *dst, size_t theirs, const void *src, size_t ours)
{
    memcpy(dst, src, GW_MIN(ours, theirs));
    if (theirs > ours)
        memset((uint8_t *)dst + ours, 0, theirs - ours);
}
