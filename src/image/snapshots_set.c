/* SPDX-License-Identifier: MIT
 *
 * Snapshots of all disks of a machine that is not running on any host: saved and loaded together
 * (disk/node/snapshot_set.h).
 */
#include <time.h>

#include "base/base.h"
#include "disk/node/snapshot_set.h"
#include "image/snapshots.h"

struct together {
    struct gw_node **node;
    const char **name;
    struct gw_snapshot_set set;
};

static int begin(struct together *t, struct gw_snapshots *const *snapshots, unsigned count, struct gw_error *err)
{
    t->node = calloc(count + 1ull, sizeof *t->node);
    t->name = calloc(count + 1ull, sizeof *t->name);
    if (!t->node || !t->name)
        return gw_nomem(err, "snapshots");
    for (unsigned i = 0; i < count; i++) {
        t->node[i] = snapshots[i]->disk;
        t->name[i] = snapshots[i]->disk->name;
    }
    t->set = (struct gw_snapshot_set){.node = t->node, .disk = t->name, .count = count, .state = count};
    return 0;
}

static void end(struct together *t)
{
    free(t->node);
    free(t->name);
}

int gw_snapshots_save(struct gw_snapshots *const *snapshots, unsigned count, const char *name, struct gw_error *err)
{
    struct gw_qcow2_snapshot s = {.name = (char *)name};
    struct together t = {0};
    struct timespec now;
    int r = begin(&t, snapshots, count, err);

    if (r >= 0)
        r = gw_snapshot_set_check_new(&t.set, name, err);
    for (unsigned i = 0; r >= 0 && i < count; i++)
        r = gw_snapshots_change(snapshots[i], err);
    for (unsigned i = 0; r >= 0 && i < count; i++)
        r = gw_qcow2_state_drop(t.node[i], err); /* drops the state of a snapshot that the disk was reset to */
    clock_gettime(CLOCK_REALTIME, &now);
    s.seconds = (uint32_t)now.tv_sec;
    s.nanoseconds = (uint32_t)now.tv_nsec;
    if (r >= 0)
        r = gw_snapshot_set_take(&t.set, &s, err);
    end(&t);
    return r;
}

int gw_snapshots_load(struct gw_snapshots *const *snapshots, unsigned count, const char *name, struct gw_error *err)
{
    struct together t = {0};
    unsigned index;
    int r = begin(&t, snapshots, count, err);

    if (r >= 0)
        r = gw_snapshot_set_check_old(&t.set, name, &index, err);
    if (r >= 0)
        r = gw_snapshot_set_apply(&t.set, name, err);
    end(&t);
    return r;
}
