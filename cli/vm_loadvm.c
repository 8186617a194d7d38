/* SPDX-License-Identifier: MIT
 *
 * godwit vm --loadvm NAME: the machine starts from a snapshot of its disks. All writable disks are reset, or none; one
 * of them has the machine.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <godwit/vm_snapshot.h>

#include "shown.h"
#include "vm.h"

struct search {
    struct gw_disk *disk[GW_GUEST_MAX_DISKS]; /* the writable disks */
    unsigned count;
};

static void take_disks(struct search *s, struct gw_vm *vm)
{
    struct gw_disk *disk;

    for (unsigned i = 0; s->count < GW_GUEST_MAX_DISKS && (disk = gw_vm_disk_at(vm, i)); i++) {
        struct gw_disk_info info;

        gw_disk_describe(disk, &info);
        if (!info.read_only)
            s->disk[s->count++] = disk;
    }
}

static bool has(struct gw_disk *disk, const char *name, bool with_machine)
{
    struct gw_disk_snapshot found;

    for (unsigned i = 0; gw_disk_snapshot_at(disk, i, &found) >= 0; i++)
        if (!strcmp(found.name, name) && (found.state_bytes || !with_machine))
            return true;
    return false;
}

/* The disk that has the machine; NULL: none. */
static struct gw_disk *state_of(const struct search *s, const char *name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (has(s->disk[i], name, true))
            return s->disk[i];
    return NULL;
}

static bool all_have(const struct search *s, const char *name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (!has(s->disk[i], name, false))
            return false;
    return true;
}

/* Names of snapshots that can be loaded; those that do not fit are left out. */
static void list_names(const struct search *s, char *text, size_t size)
{
    struct gw_disk_snapshot found;
    size_t n = 0;

    text[0] = 0;
    for (unsigned i = 0; i < s->count; i++)
        for (unsigned k = 0; gw_disk_snapshot_at(s->disk[i], k, &found) >= 0; k++)
            if (found.state_bytes && all_have(s, found.name) && n + strlen(found.name) + 8 < size)
                n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "", gw_shown(found.name));
}

int gw_vm_loadvm(struct gw_vm_program *v, struct gw_error *err)
{
    struct gw_vm *vm = gw_machine_vm(v->machine);
    struct search s = {.count = 0};
    struct gw_vm_snapshot snapshot = {.name = v->loadvm};
    char names[300];
    int r;

    take_disks(&s, vm);
    snapshot.disk = s.disk;
    snapshot.disk_count = s.count;
    snapshot.state = state_of(&s, v->loadvm);
    if (snapshot.state && all_have(&s, v->loadvm)) {
        r = gw_vm_snapshot_load(vm, &snapshot, err);
        if (r < 0)
            gw_context(err, "--loadvm %s", v->loadvm);
        return r;
    }
    list_names(&s, names, sizeof names);
    if (!s.count)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "--loadvm %s: the machine has no disk that can be written to (--disk)", v->loadvm);
    return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "--loadvm %s: %s. %s%s", v->loadvm,
                   snapshot.state ? "not all disks have this snapshot" : "no disk has a machine in a snapshot of this name",
                   names[0] ? "What all disks have: " : "There is no snapshot with a machine that all disks have", names);
}
