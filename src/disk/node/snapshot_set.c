/* SPDX-License-Identifier: MIT */
#include "disk/node/snapshot_set.h"

#include "base/base.h"

/* Searches by name only: a name that equals another snapshot's ID is not a duplicate. */
static bool find(struct gw_node *n, const char *name, unsigned *ret)
{
    const struct gw_qcow2_snapshot *list;
    unsigned count = gw_qcow2_snapshots(n, &list);

    for (unsigned i = 0; i < count; i++)
        if (!strcmp(list[i].name, name)) {
            *ret = i;
            return true;
        }
    return false;
}

static int check_disk(const struct gw_snapshot_set *set, unsigned i, struct gw_error *err)
{
    struct gw_node *n = set->node[i];

    if (!n || strcmp(n->ops->format, "qcow2"))
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "disk %s can have no snapshots: it is %s, and only qcow2 images have them",
                       set->disk[i], n ? n->ops->format : "no image that godwit opened");
    if (n->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_CALLER, "disk %s is read-only: its snapshots cannot be changed", set->disk[i]);
    if (n->inactive)
        return gw_fail(err, -EPERM, GW_BLAME_CALLER, "disk %s belongs to another host now", set->disk[i]);
    for (unsigned k = 0; k < i; k++)
        if (set->node[k] == n)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disk %s is named twice", set->disk[i]);
    return 0;
}

int gw_snapshot_set_check_new(const struct gw_snapshot_set *set, const char *name, struct gw_error *err)
{
    size_t bytes = strlen(name);
    unsigned index;

    if (!bytes || bytes > GW_SNAPSHOT_NAME_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the name of a snapshot has 1 to %u bytes, not %zu", GW_SNAPSHOT_NAME_MAX,
                       bytes);
    for (unsigned i = 0; i < set->count; i++) {
        int r = check_disk(set, i, err);

        if (r < 0)
            return r;
        if (find(set->node[i], name, &index))
            return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "disk %s has a snapshot '%s' already: delete it first, or take another name",
                           set->disk[i], name);
    }
    return 0;
}

/* Undoes the first `count` disks, after a failure that err describes. */
static void take_back(const struct gw_snapshot_set *set, unsigned count, const char *name, struct gw_error *err)
{
    for (unsigned i = 0; i < count; i++) {
        struct gw_error why = GW_ERROR_INIT;
        unsigned index;
        int r = find(set->node[i], name, &index) ? gw_qcow2_snapshot_delete(set->node[i], index, &why) : 0;

        if (r >= 0)
            r = gw_node_flush(set->node[i], &why);
        if (r < 0)
            gw_context(err, "the snapshot '%s' may be left on disk %s (%s): delete it there", name, set->disk[i], why.text);
    }
}

int gw_snapshot_set_take(const struct gw_snapshot_set *set, const struct gw_qcow2_snapshot *what, struct gw_error *err)
{
    for (unsigned i = 0; i < set->count; i++) {
        struct gw_qcow2_snapshot s = *what;
        int r;

        s.id = NULL;
        s.state_bytes = i == set->state ? what->state_bytes : 0;
        r = gw_qcow2_snapshot_create(set->node[i], &s, err);
        if (r >= 0)
            r = gw_node_flush(set->node[i], err);
        if (r < 0) {
            gw_context(err, "a snapshot of disk %s", set->disk[i]);
            take_back(set, i + 1, what->name, err);
            return r;
        }
    }
    return 0;
}

static int check_length(const struct gw_snapshot_set *set, unsigned i, unsigned index, struct gw_error *err)
{
    const struct gw_qcow2_snapshot *list;

    gw_qcow2_snapshots(set->node[i], &list);
    if (list[index].disk_bytes == set->node[i]->bytes)
        return 0;
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disk %s had %" PRIu64 " bytes in snapshot '%s', and has %" PRIu64 " now",
                   set->disk[i], list[index].disk_bytes, list[index].name, set->node[i]->bytes);
}

int gw_snapshot_set_check_old(const struct gw_snapshot_set *set, const char *name, unsigned *ret_index, struct gw_error *err)
{
    const struct gw_qcow2_snapshot *list;
    unsigned index = 0;

    for (unsigned i = 0; i < set->count; i++) {
        int r = check_disk(set, i, err);

        if (r >= 0 && !find(set->node[i], name, &index))
            r = gw_fail(err, -ENOENT, GW_BLAME_CALLER, "disk %s has no snapshot '%s'", set->disk[i], name);
        if (r >= 0)
            r = check_length(set, i, index, err);
        if (r >= 0 && gw_qcow2_has_bitmaps(set->node[i]))
            r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "disk %s has dirty bitmaps in its image, which would not match the disk as "
                        "it was: remove them first",
                        set->disk[i]);
        if (r < 0)
            return r;
        if (i != set->state)
            continue;
        gw_qcow2_snapshots(set->node[i], &list);
        if (!list[index].state_bytes)
            return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "snapshot '%s' of disk %s has the contents of the disk only, not the "
                           "state of a machine", name,
                           set->disk[i]);
        *ret_index = index;
    }
    return 0;
}

int gw_snapshot_set_apply(const struct gw_snapshot_set *set, const char *name, struct gw_error *err)
{
    for (unsigned i = 0; i < set->count; i++) {
        unsigned index;
        int r = find(set->node[i], name, &index) ? gw_qcow2_snapshot_apply(set->node[i], index, err)
                                                 : gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no snapshot '%s'", name);

        if (r >= 0)
            r = gw_qcow2_state_drop(set->node[i], err); /* the snapshot has its own copy of the state */
        if (r >= 0)
            r = gw_node_flush(set->node[i], err);
        if (r < 0) {
            gw_context(err, "disk %s could not be reset to its snapshot, after %u of %u disks were", set->disk[i], i, set->count);
            return r;
        }
    }
    return 0;
}

int gw_snapshot_set_delete(const struct gw_snapshot_set *set, const char *name, struct gw_error *err)
{
    int first = 0;

    for (unsigned i = 0; i < set->count; i++) {
        int r = check_disk(set, i, err);

        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < set->count; i++) {
        struct gw_error why = GW_ERROR_INIT;
        unsigned index;
        int r = find(set->node[i], name, &index) ? gw_qcow2_snapshot_delete(set->node[i], index, &why) : 0;

        if (r >= 0)
            r = gw_node_flush(set->node[i], &why);
        if (r < 0)
            gw_context(&why, "deleting snapshot '%s' of disk %s", name, set->disk[i]);
        if (r < 0 && !first && err)
            *err = why;
        first = first ? first : r;
    }
    return first;
}
