/* SPDX-License-Identifier: MIT
 *
 * The disks of a vm (godwit/disk.h).
 */
#include "engine/vm.h"

#include "base/sized.h"
#include "disk/bitmap_map.h"

struct gw_disk *gw_vm_find_disk(struct gw_vm *vm, const char *name)
{
    for (unsigned i = 0; i < vm->disk_count; i++) {
        struct gw_disk *d = vm->disk[i];

        if (name[0] && (!strcmp(d->device, name) || !strcmp(d->node, name)))
            return d;
    }
    return NULL;
}

struct gw_disk *gw_vm_disk_at(struct gw_vm *vm, unsigned i)
{
    return i < vm->disk_count ? vm->disk[i] : NULL;
}

static int check_names(struct gw_vm *vm, const struct gw_disk *d, struct gw_error *err)
{
    const char *name = gw_vm_find_disk(vm, d->device) ? d->device : gw_vm_find_disk(vm, d->node) ? d->node : NULL;

    return name ? gw_fail(err, -EEXIST, GW_BLAME_CALLER, "a disk called %s is there already", name) : 0;
}

/* Under vm->lock. */
static int add(struct gw_vm *vm, struct gw_disk *d, struct gw_error *err)
{
    struct gw_disk **list;
    int r;

    if (vm->busy || vm->held)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "disk %s cannot be added during a migration", gw_disk_name(d));
    if (vm->disk_count == GW_DISKS_MAX)
        return gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "more than %u disks", GW_DISKS_MAX);
    r = check_names(vm, d, err);
    if (r < 0)
        return r;
    list = realloc(vm->disk, (vm->disk_count + 1) * sizeof(struct gw_disk *));
    if (!list)
        return gw_nomem(err, "list of disks");
    vm->disk = list;
    vm->disk[vm->disk_count++] = d;
    return 0;
}

int gw_vm_add_disk_sized(struct gw_vm *vm, const struct gw_disk_desc *desc, size_t desc_bytes,
                         struct gw_disk **ret_disk, struct gw_error *err)
{
    struct gw_disk_desc own;
    struct gw_disk *d = NULL;
    int r = gw_sized_in(&own, sizeof own, desc, desc_bytes, GW_SIZED_UNTIL(struct gw_disk_desc, opaque),
                        "struct gw_disk_desc", err);

    if (r >= 0)
        r = gw_disk_new(&own, &d, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&vm->lock);
    r = add(vm, d, err);
    pthread_mutex_unlock(&vm->lock);
    if (r < 0)
        gw_disk_free(d);
    else
        *ret_disk = d;
    return r;
}

int gw_vm_remove_disk(struct gw_vm *vm, struct gw_disk *disk, struct gw_error *err)
{
    unsigned i = 0;
    int r;

    pthread_mutex_lock(&vm->lock);
    while (i < vm->disk_count && vm->disk[i] != disk)
        i++;
    r = vm->busy || vm->held  ? gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a disk cannot be removed during a migration")
        : i == vm->disk_count ? gw_fail(err, -ENOENT, GW_BLAME_CALLER, "the machine has no such disk")
                              : gw_disk_check_unblocked(disk, "cannot be removed", err);
    if (r >= 0) {
        memmove(&vm->disk[i], &vm->disk[i + 1], (vm->disk_count - i - 1) * sizeof vm->disk[0]);
        vm->disk_count--;
    }
    pthread_mutex_unlock(&vm->lock);
    if (r >= 0)
        gw_disk_free(disk);
    return r;
}

int gw_vm_take_disks(struct gw_vm *vm, struct gw_error *err)
{
    bool taken[GW_DISKS_MAX];

    for (unsigned i = 0; i < vm->disk_count; i++) {
        int r;

        taken[i] = !gw_disk_active(vm->disk[i]);
        r = gw_disk_activate(vm->disk[i], err);
        if (r >= 0)
            continue;
        while (i-- > 0)
            if (taken[i])
                gw_disk_inactivate(vm->disk[i], NULL);
        return r;
    }
    return 0;
}

int gw_vm_give_disks(struct gw_vm *vm, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < vm->disk_count; i++)
        r = gw_disk_inactivate(vm->disk[i], err);
    return r;
}

void gw_vm_free_disks(struct gw_vm *vm)
{
    for (unsigned i = 0; i < vm->disk_count; i++)
        gw_disk_free(vm->disk[i]);
    free(vm->disk);
    gw_bitmap_map_free(vm->bitmap_map);
}
