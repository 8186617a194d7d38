/* SPDX-License-Identifier: MIT
 *
 * Lists the internal snapshots of a disk (godwit/vm_snapshot.h).
 */
#include "base/sized.h"
#include "disk/disk.h"
#include "disk/node/qcow2.h"
#include "godwit/vm_snapshot.h"

static void copy(void *opaque, const struct gw_qcow2_snapshot *s)
{
    struct gw_disk_snapshot *to = opaque;

    *to = (struct gw_disk_snapshot){
        .seconds = s->seconds, .nanoseconds = s->nanoseconds, .ran_ns = s->ran_ns, .state_bytes = s->state_bytes};
    gw_strcopy(to->id, sizeof to->id, s->id);
    gw_strcopy(to->name, sizeof to->name, s->name);
}

int gw_disk_snapshot_at_sized(struct gw_disk *disk, unsigned i, struct gw_disk_snapshot *ret_snapshot, size_t snapshot_bytes)
{
    struct gw_disk_snapshot own;
    int r = -ENOENT;

    /* An image that was given up has no list in memory. */
    pthread_mutex_lock(&disk->owning);
    if (disk->image && !strcmp(gw_node_format(disk->image), "qcow2") && gw_disk_active(disk))
        r = gw_qcow2_snapshot_look(disk->image, i, copy, &own);
    pthread_mutex_unlock(&disk->owning);
    if (r >= 0)
        gw_sized_out(ret_snapshot, snapshot_bytes, &own, sizeof own);
    return r;
}
