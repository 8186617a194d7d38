/* SPDX-License-Identifier: MIT */
#include "mirrors_match.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shown.h"

static const char *text(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));

    return value ? value : "";
}

static const json_t *medium(const json_t *disk)
{
    return json_object_get(disk, "inserted");
}

static int64_t length(const json_t *disk)
{
    return (int64_t)json_integer_value(json_object_get(json_object_get(medium(disk), "image"), "virtual-size"));
}

static const char *node(const json_t *disk)
{
    return text(medium(disk), "node-name");
}

static const char *name(const json_t *disk)
{
    return *text(disk, "device") ? text(disk, "device") : *text(disk, "qdev") ? text(disk, "qdev") : node(disk);
}

static bool same(const char *a, const char *b)
{
    return *a && !strcmp(a, b);
}

/* Drives have names of their own; a device without a drive's name has its own or its place in the machine. */
static const json_t *find(const json_t *disks, const json_t *wanted)
{
    const json_t *disk;
    size_t i;

    json_array_foreach(disks, i, disk) if (medium(disk) && same(text(wanted, "device"), text(disk, "device"))) return disk;
    json_array_foreach(disks, i, disk) if (medium(disk) && same(text(wanted, "qdev"), text(disk, "qdev"))) return disk;
    json_array_foreach(disks, i, disk) if (medium(disk) && same(node(wanted), node(disk))) return disk;
    return NULL;
}

static int pair(const json_t *here, const json_t *there, struct gw_disk_pair *ret, struct gw_error *err)
{
    const char *shown = gw_shown(name(here));

    if (!there)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "disk %s: the destination has no disk of this name", shown);
    if (json_is_true(json_object_get(medium(there), "ro")))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disk %s: it is read-only at the destination", shown);
    if (length(there) != length(here))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disk %s: it has %" PRIi64 " bytes here and %" PRIi64 " at the destination", shown,
                       length(here), length(there));
    if (!*node(here) || !*node(there) || strlen(node(here)) >= sizeof ret->here || strlen(node(there)) >= sizeof ret->there)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "disk %s: a monitor reports no usable node name for it", shown);
    snprintf(ret->name, sizeof ret->name, "%s", name(here));
    snprintf(ret->here, sizeof ret->here, "%s", node(here));
    snprintf(ret->there, sizeof ret->there, "%s", node(there));
    ret->bytes = (uint64_t)length(here);
    return 0;
}

int gw_disk_match(const json_t *source, const json_t *destination, struct gw_disk_pair **ret_pairs, size_t *ret_count, struct gw_error *err)
{
    struct gw_disk_pair *pairs = calloc(json_array_size(source) + 1, sizeof *pairs);
    size_t i, count = 0;
    const json_t *disk;
    int r = 0;

    if (!pairs)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (%zu disks)", json_array_size(source));
    json_array_foreach(source, i, disk)
    {
        if (r < 0 || !medium(disk) || json_is_true(json_object_get(medium(disk), "ro")) || length(disk) <= 0)
            continue;
        r = pair(disk, find(destination, disk), &pairs[count], err);
        for (size_t k = 0; k < count && r == 0; k++)
            if (!strcmp(pairs[k].there, pairs[count].there))
                r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disks %s and %s: both would be the same disk at the destination",
                            gw_shown(pairs[k].name), gw_shown(pairs[count].name));
        count += r == 0;
    }
    if (r < 0) {
        free(pairs);
        return r;
    }
    *ret_pairs = pairs;
    *ret_count = count;
    return 0;
}

int gw_disk_pairs(struct gw_qmp *source, struct gw_qmp *destination, struct gw_disk_pair **ret_pairs, size_t *ret_count,
                  struct gw_error *err)
{
    json_t *here = NULL, *there = NULL, *status = NULL;
    int r = gw_qmp_execute(destination, "query-status", NULL, &status, err);

    if (r == 0 && strcmp(text(status, "status"), "inmigrate"))
        r = gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "the destination is not waiting for a migration: its machine is %s",
                    gw_shown(text(status, "status")));
    if (r == 0)
        r = gw_qmp_execute(source, "query-block", NULL, &here, err);
    if (r == 0)
        r = gw_qmp_execute(destination, "query-block", NULL, &there, err);
    if (r == 0)
        r = gw_disk_match(here, there, ret_pairs, ret_count, err);
    json_decref(status);
    json_decref(here);
    json_decref(there);
    return r;
}
