/* SPDX-License-Identifier: MIT
 *
 * snapshot-save, snapshot-load, snapshot-delete: jobs that call godwit/vm_snapshot.h. A missing disk is an error of the
 * job, as with QEMU.
 */
#include "control/internal.h"
#include "godwit/vm_snapshot.h"

struct ask {
    char *tag, *state; /* state NULL: delete */
    char **disk;       /* names of their disks */
    unsigned disks;
};

static void ask_free(void *opaque)
{
    struct ask *a = opaque;

    for (unsigned i = 0; i < a->disks; i++)
        free(a->disk[i]);
    free(a->disk);
    free(a->tag);
    free(a->state);
    free(a);
}

static void on_event(void *opaque, const struct gw_event *e)
{
    struct gw_control *c = opaque;

    gw_control_emit(c, e->type == GW_EVENT_STOP ? "STOP" : "RESUME", NULL);
    if (c->config.on_event)
        c->config.on_event(c->config.opaque, e);
}

typedef int (*call_fn)(struct gw_vm *vm, const struct gw_vm_snapshot *snapshot, size_t snapshot_bytes, struct gw_error *err);

static int run(struct gw_control *c, const struct ask *a, call_fn call, struct gw_error *err)
{
    GW_AUTOFREE struct gw_disk **disk = calloc(a->disks + 1, sizeof *disk);
    struct gw_vm_snapshot s = {.name = a->tag, .disk = disk, .disk_count = a->disks, .on_event = on_event, .opaque = c};
    int r = disk ? 0 : gw_nomem(err, "disks of a snapshot");

    for (unsigned i = 0; r == 0 && i < a->disks; i++) {
        r = gw_control_find_disk(c, a->disk[i], &disk[i], err);
        if (r == 0 && a->state && !strcmp(a->disk[i], a->state))
            s.state = disk[i];
    }
    if (r == 0 && a->state && !s.state)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the disk for the machine's state (vmstate), %.255s, is none of the devices", a->state);
    return r < 0 ? r : call(c->vm, &s, sizeof s, err);
}

static int save(struct gw_control *c, void *opaque, struct gw_error *err)
{
    return run(c, opaque, gw_vm_snapshot_save_sized, err);
}

static int load(struct gw_control *c, void *opaque, struct gw_error *err)
{
    return run(c, opaque, gw_vm_snapshot_load_sized, err);
}

static int delete(struct gw_control *c, void *opaque, struct gw_error *err)
{
    return run(c, opaque, gw_vm_snapshot_delete_sized, err);
}

bool gw_snapshot_put(struct gw_control *c, json_t *info)
{
    struct gw_stats s;
    uint64_t done;
    json_t *o;
    bool bad;

    if (gw_vm_snapshot_stats(c->vm, &s) < 0)
        return false;
    done = s.total_bytes - GW_MIN(s.remaining_bytes, s.total_bytes);
    o = json_object();
    bad = gw_json_put_text(o, "status", gw_status_name(s.status));
    bad |= gw_json_put_int(o, "transferred", s.transferred_bytes);
    bad |= gw_json_put_int(o, "remaining", s.remaining_bytes);
    bad |= gw_json_put_int(o, "total", s.total_bytes);
    bad |= gw_json_put_int(o, "percent", s.total_bytes ? (uint64_t)((double)done * 100 / (double)s.total_bytes) : 0);
    return bad | gw_json_put(info, "x-godwit-snapshot", o);
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

static int copy(const char *text, char **ret, struct gw_error *err)
{
    *ret = strdup(text);
    return *ret ? 0 : gw_nomem(err, "snapshot");
}

static int take_disks(struct ask *a, json_t *list, struct gw_error *err)
{
    json_t *item;
    size_t i;
    int r = 0;

    if (!json_array_size(list) || json_array_size(list) > GW_DISKS_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'devices' has 1 to %u names", GW_DISKS_MAX);
    a->disk = calloc(json_array_size(list), sizeof *a->disk);
    if (!a->disk)
        return gw_nomem(err, "snapshot");
    json_array_foreach(list, i, item)
    {
        if (r == 0 && !gw_json_is_string(item))
            r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'devices[%zu]' must be a string", i);
        if (r == 0)
            r = copy(json_string_value(item), &a->disk[a->disks], err);
        a->disks += r == 0;
    }
    return r;
}

static int start(struct gw_control *c, json_t *args, const struct gw_job_kind *kind, struct gw_error *err)
{
    const char *state = json_string_value(json_object_get(args, "vmstate"));
    struct ask *a = calloc(1, sizeof *a);
    int r = a ? copy(json_string_value(json_object_get(args, "tag")), &a->tag, err) : gw_nomem(err, "snapshot");

    if (r == 0 && state)
        r = copy(state, &a->state, err);
    if (r == 0)
        r = take_disks(a, json_object_get(args, "devices"), err);
    if (r == 0)
        return gw_jobs_start(c, json_string_value(json_object_get(args, "job-id")), kind, a, err);
    if (a)
        ask_free(a);
    return r;
}

int gw_cmd_snapshot_save(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    static const struct gw_job_kind kind = {"snapshot-save", "save-vm", save, ask_free, .saves = true};

    return start(c, args, &kind, err);
}

int gw_cmd_snapshot_load(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    static const struct gw_job_kind kind = {"snapshot-load", "restore-vm", load, ask_free};

    return start(c, args, &kind, err);
}

int gw_cmd_snapshot_delete(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    static const struct gw_job_kind kind = {"snapshot-delete", NULL, delete, ask_free};

    return start(c, args, &kind, err);
}
