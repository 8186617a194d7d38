/* SPDX-License-Identifier: MIT
 *
 * Internal snapshots of a machine that belongs to this process (godwit/vm_snapshot.h): a session that saves or loads it
 * through a channel into a qcow2 disk (disk/node/state_channel.h), and the snapshots of all disks
 * (disk/node/snapshot_set.h).
 */
#include "godwit/vm_snapshot.h"

#include <time.h>

#include "base/sized.h"
#include "disk/bitmap.h"
#include "disk/bitmap_stored.h"
#include "disk/node/snapshot_set.h"
#include "disk/node/state_channel.h"
#include "engine/recv.h"
#include "engine/send.h"

struct job {
    struct gw_vm *vm;
    struct gw_vm_snapshot what;
    struct gw_snapshot_set set;
    struct gw_node *node[GW_DISKS_MAX];
    const char *name[GW_DISKS_MAX];
    bool stopped; /* this job has stopped the machine */
    bool quiet;   /* no events are delivered */
};

/* ---- stopping and starting the machine --------------------------------------------------------------------------- */

static void tell(const struct job *j, enum gw_event_type type)
{
    const struct gw_event e = {.type = type, .at_ns = gw_now_ns(&j->vm->clock)};

    if (j->what.on_event && !j->quiet)
        j->what.on_event(j->what.opaque, &e);
}

static int stop(struct job *j, struct gw_error *err)
{
    int r;

    if (!gw_vm_running(j->vm))
        return 0;
    r = gw_vm_stop(j->vm, err);
    j->stopped = r >= 0 || !gw_vm_running(j->vm); /* it may have stopped although the call failed */
    if (j->stopped)
        tell(j, GW_EVENT_STOP);
    return r;
}

/* Restores the run state from before. r is the result so far, which is returned if it is a failure. */
static int go_on(struct job *j, int r, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    int e = j->stopped ? gw_vm_start(j->vm, &why) : 0;

    if (e >= 0 && j->stopped)
        tell(j, GW_EVENT_RESUME);
    if (e >= 0 || r < 0) {
        if (e < 0)
            gw_context(err, "and the machine could not be started again: %s", why.text);
        return r;
    }
    if (err)
        *err = why;
    gw_context(err, "the snapshot was completed, but the machine could not be started again");
    return e;
}

/* ---- beginning ---------------------------------------------------------------------------------------------------- */

static int take_disks(struct job *j, bool with_state, struct gw_error *err)
{
    unsigned n = j->what.disk_count;

    if (!n || n > GW_DISKS_MAX || !j->what.name)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a snapshot needs a name and 1 to %u disks", GW_DISKS_MAX);
    j->set = (struct gw_snapshot_set){.node = j->node, .disk = j->name, .count = n, .state = n};
    for (unsigned i = 0; i < n; i++) {
        j->node[i] = j->what.disk[i]->image;
        j->name[i] = gw_disk_name(j->what.disk[i]);
        if (with_state && j->what.disk[i] == j->what.state)
            j->set.state = i;
    }
    if (with_state && j->set.state == n)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the disk for the machine's state is none of those that get the snapshot");
    return 0;
}

static int begin(struct job *j, struct gw_vm *vm, const struct gw_vm_snapshot *what, size_t bytes, bool with_state, struct gw_error *err)
{
    int r = gw_sized_in(&j->what, sizeof j->what, what, bytes, GW_SIZED_UNTIL(struct gw_vm_snapshot, on_event),
                        "struct gw_vm_snapshot", err);

    j->vm = vm;
    if (r >= 0)
        r = take_disks(j, with_state, err);
    return r < 0 ? r : gw_vm_hold(vm, err);
}

static struct gw_node *state_node(const struct job *j)
{
    return j->node[j->set.state];
}

/* ---- saving ------------------------------------------------------------------------------------------------------- */

/* Sets the session whose figures are shown from now on. */
static void show(struct gw_vm *vm, struct gw_send *send)
{
    pthread_mutex_lock(&vm->figures);
    vm->saving = send;
    pthread_mutex_unlock(&vm->figures);
}

int gw_vm_snapshot_stats_sized(struct gw_vm *vm, struct gw_stats *ret_stats, size_t stats_bytes)
{
    int r = -ENOENT;

    pthread_mutex_lock(&vm->figures);
    if (vm->saving) {
        gw_send_stats_sized(vm->saving, ret_stats, stats_bytes);
        r = 0;
    }
    pthread_mutex_unlock(&vm->figures);
    return r;
}

/* The session uses default options, not those of migrations. *ret_bytes: size of the state. */
static int put_machine(struct job *j, bool ran, uint64_t *ret_bytes, struct gw_error *err)
{
    struct gw_options *options = NULL;
    struct gw_send_stay how = {.ran = ran};
    struct gw_send *send = NULL;
    struct gw_stats stats;
    int r = gw_options_new(&options, err);

    if (r >= 0)
        r = gw_state_channel_out(state_node(j), &how.take_channel, err);
    how.options = options;
    if (r >= 0)
        r = gw_send_stay(j->vm, &how, &send, err);
    if (r >= 0) {
        show(j->vm, send);
        r = gw_send_wait(send, err);
        show(j->vm, NULL);
        gw_session_put_options_back(&send->session);
        gw_send_stats(send, &stats);
        *ret_bytes = stats.transferred_bytes;
        gw_send_free(send);
    }
    gw_options_free(options);
    return r;
}

static int save(struct job *j, struct gw_error *err)
{
    struct gw_qcow2_snapshot s = {.name = (char *)j->what.name};
    bool ran = gw_vm_running(j->vm);
    struct timespec now;
    int r = stop(j, err);

    if (r < 0)
        return r;
    clock_gettime(CLOCK_REALTIME, &now);
    s.seconds = (uint32_t)now.tv_sec;
    s.nanoseconds = (uint32_t)now.tv_nsec;
    s.ran_ns = j->vm->ops->ran_ns ? j->vm->ops->ran_ns(j->vm->opaque) : 0;
    r = gw_qcow2_state_drop(state_node(j), err); /* left by a snapshot to which the disk was reverted */
    if (r >= 0)
        r = put_machine(j, ran, &s.state_bytes, err);
    if (r >= 0)
        r = gw_snapshot_set_take(&j->set, &s, err);
    if (r < 0)
        gw_qcow2_state_drop(state_node(j), NULL); /* the earlier error is the one to report */
    return r;
}

int gw_vm_snapshot_save_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes, struct gw_error *err)
{
    struct job j = {0};
    int r = begin(&j, vm, snapshot, snapshot_bytes, true, err);

    if (r < 0)
        return r;
    r = gw_vm_must_be_here(vm, err);
    if (r >= 0)
        r = gw_snapshot_set_check_new(&j.set, j.what.name, err);
    if (r >= 0)
        r = save(&j, err);
    r = go_on(&j, r, err);
    gw_vm_release(vm);
    return r;
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */

static int check_bitmaps(const struct job *j, struct gw_error *err)
{
    struct gw_bitmap_info info;

    for (unsigned i = 0; i < j->set.count; i++)
        if (gw_disk_bitmap_at(j->what.disk[i], 0, &info) >= 0)
            return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "disk %s has the dirty bitmap %s, which would not match the disk as it "
                           "was: remove the bitmap first",
                           j->name[i], info.name);
    return 0;
}

/* Bitmaps that were removed since they were loaded from an image are now deleted from it. */
static int check_disks(struct job *j, unsigned *ret_index, struct gw_error *err)
{
    int r = gw_snapshot_set_check_old(&j->set, j->what.name, ret_index, err);

    if (r != -EBUSY)
        return r;
    if (err)
        *err = (struct gw_error)GW_ERROR_INIT;
    r = stop(j, err);
    for (unsigned i = 0; r >= 0 && i < j->set.count; i++)
        r = gw_disk_bitmaps_store(j->what.disk[i], err);
    return r < 0 ? r : gw_snapshot_set_check_old(&j->set, j->what.name, ret_index, err);
}

/* *ret_touched: the state of the machine was changed. */
static int get_machine(struct job *j, unsigned index, bool *ret_touched, struct gw_error *err)
{
    struct gw_options *options = NULL;
    struct gw_recv_config config = {.start_paused = true};
    struct gw_recv *recv = NULL;
    int r = gw_options_new(&options, err);

    if (r >= 0)
        r = gw_state_channel_in(state_node(j), index, &config.take_channel, err);
    config.options = options;
    if (r >= 0)
        r = gw_recv_start(j->vm, &config, &recv, err);
    if (r >= 0) {
        r = gw_recv_wait(recv, err);
        gw_session_put_options_back(&recv->session);
        *ret_touched = gw_recv_touched(recv);
        gw_recv_free(recv);
    }
    gw_options_free(options);
    return r;
}

static int load(struct job *j, unsigned index, bool *ret_touched, struct gw_error *err)
{
    int r = stop(j, err);

    if (r >= 0)
        r = get_machine(j, index, ret_touched, err);
    if (r >= 0) {
        *ret_touched = true;
        r = gw_snapshot_set_apply(&j->set, j->what.name, err);
    }
    /* a bitmap that was added meanwhile records that everything has changed */
    for (unsigned i = 0; *ret_touched && i < j->set.count; i++)
        gw_disk_wrote(j->what.disk[i], 0, UINT64_MAX);
    return r;
}

int gw_vm_snapshot_load_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes, struct gw_error *err)
{
    bool touched = false;
    unsigned index = 0;
    struct job j = {0};
    int r = begin(&j, vm, snapshot, snapshot_bytes, true, err);

    if (r < 0)
        return r;
    r = check_bitmaps(&j, err);
    if (r >= 0)
        r = check_disks(&j, &index, err);
    if (r >= 0)
        r = load(&j, index, &touched, err);
    if (r < 0 && touched) {
        atomic_store(&vm->place, GW_VM_SPOILED);
        gw_context(err, "the machine was changed and cannot run: load a snapshot that is whole");
    } else {
        r = go_on(&j, r, err);
    }
    gw_vm_release(vm);
    return r;
}

/* ---- deleting ----------------------------------------------------------------------------------------------------- */

int gw_vm_snapshot_delete_sized(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes, struct gw_error *err)
{
    struct job j = {.quiet = true};
    int r = begin(&j, vm, snapshot, snapshot_bytes, false, err);

    if (r < 0)
        return r;
    r = stop(&j, err);
    if (r >= 0)
        r = gw_snapshot_set_delete(&j.set, j.what.name, err);
    r = go_on(&j, r, err);
    gw_vm_release(vm);
    return r;
}
