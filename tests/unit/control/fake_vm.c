/* SPDX-License-Identifier: MIT */
#include "fake_engine.h"

#include <sched.h>
#include <stdio.h>

#include "godwit/state.h"

struct gw_options *gw_vm_options(struct gw_vm *vm)
{
    return vm->options;
}

const char *gw_vm_tracker_name(const struct gw_vm *vm)
{
    return "pagemap";
}

struct gw_disk *gw_vm_disk_at(struct gw_vm *vm, unsigned i)
{
    return i ? NULL : vm->disk;
}

struct gw_disk *gw_vm_find_disk(struct gw_vm *vm, const char *name)
{
    struct gw_disk_info info = {0};

    if (vm->disk)
        gw_disk_describe(vm->disk, &info);
    return vm->disk && (!strcmp(info.device, name) || !strcmp(info.node, name)) ? vm->disk : NULL;
}

int gw_vm_map_bitmaps(struct gw_vm *vm, const struct gw_bitmap_alias *a, size_t count, struct gw_error *err)
{
    size_t n = 0;

    fake_now();
    snprintf(vm->mapped, sizeof vm->mapped, "%s", a ? "" : "none");
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(vm->mapped + n, sizeof vm->mapped - n, "%s=%s/%s=%s%s ", a[i].disk, a[i].disk_alias,
                              a[i].bitmap, a[i].alias, !a[i].set_persistent ? "" : a[i].persistent ? "+" : "-");
    fake_now();
    return 0;
}

bool gw_vm_for_each_bitmap_alias(struct gw_vm *vm, void (*f)(void *opaque, const struct gw_bitmap_alias *alias), void *opaque)
{
    bool any;

    fake_now();
    for (unsigned i = 0; i < vm->alias_count; i++)
        f(opaque, &vm->aliases[i]);
    any = vm->aliases != NULL;
    fake_now();
    return any;
}

enum gw_vm_place gw_vm_place(const struct gw_vm *vm)
{
    return (enum gw_vm_place)atomic_load(&fake.place);
}

bool gw_vm_runs_elsewhere(const struct gw_vm *vm)
{
    return atomic_load(&vm->elsewhere);
}

int gw_dirty_rate_start_sized(struct gw_vm *vm, const struct gw_dirty_rate_config *config, size_t config_bytes,
                              struct gw_error *err)
{
    fake_now();
    vm->measure = *config;
    fake_now();
    return config->duration_ns ? 0 : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no time");
}

void gw_dirty_rate_get_sized(struct gw_vm *vm, struct gw_dirty_rate *ret, size_t ret_bytes)
{
    fake_now();
    *ret = vm->rate;
    fake_now();
}

int gw_survey_start_sized(struct gw_vm *vm, const struct gw_survey_config *config, size_t config_bytes, struct gw_error *err)
{
    fake_now();
    vm->survey_config = *config;
    gw_strcopy(vm->probe, sizeof vm->probe, config->probe ? config->probe : "");
    fake_now();
    return 0;
}

void gw_survey_get_sized(struct gw_vm *vm, struct gw_survey *ret, size_t ret_bytes)
{
    fake_now();
    *ret = vm->survey;
    fake_now();
}

int gw_vm_announce_sized(struct gw_vm *vm, const struct gw_announce_config *config, size_t config_bytes, struct gw_error *err)
{
    size_t n;

    fake_now();
    vm->announce = *config;
    n = (size_t)snprintf(vm->announced, sizeof vm->announced, "%s:%s", config->id ? config->id : "-", config->interfaces ? "" : " all");
    for (size_t i = 0; i < config->interface_count; i++)
        n += (size_t)snprintf(vm->announced + n, sizeof vm->announced - n, " %s", config->interfaces[i]);
    fake_now();
    return config->rounds > 1000 ? gw_fail(err, -ERANGE, GW_BLAME_CALLER, "so many rounds") : 0;
}

int gw_dirty_rate_vcpu(struct gw_vm *vm, unsigned vcpu, uint64_t *ret_bytes_per_s)
{
    if (vcpu > 1)
        return -ENOENT;
    fake_now();
    *ret_bytes_per_s = vm->rates[vcpu];
    fake_now();
    return 0;
}

int gw_vcpu_dirty_limit_set(struct gw_vm *vm, int vcpu, uint64_t bytes_per_s, struct gw_error *err)
{
    fake_now();
    if (vm->unlimited)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "no limits here");
    if (vcpu > 1)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "no such vCPU");
    for (int i = 0; i < 2; i++)
        if (vcpu == GW_EVERY_VCPU || vcpu == i)
            vm->limits[i] = bytes_per_s;
    fake_now();
    return 0;
}

int gw_vcpu_dirty_limit_get(struct gw_vm *vm, unsigned vcpu, uint64_t *ret_limit, uint64_t *ret_current)
{
    if (vcpu > 1)
        return -ENOENT;
    fake_now();
    *ret_limit = vm->limits[vcpu];
    *ret_current = vm->rates[vcpu];
    fake_now();
    return 0;
}

/* ---- snapshots: what was asked for is noted down */

static int fake_snapshot(struct gw_vm *vm, const char *what, const struct gw_vm_snapshot *s, struct gw_error *err)
{
    const struct gw_event stop = {.type = GW_EVENT_STOP}, resume = {.type = GW_EVENT_RESUME};

    while (atomic_load(&vm->snapshot_held))
        sched_yield();
    snprintf(vm->snapshot, sizeof vm->snapshot, "%s %s %u%s", what, s->name, s->disk_count, s->state ? " state" : "");
    fake_now();
    if (strcmp(what, "delete")) {
        s->on_event(s->opaque, &stop);
        s->on_event(s->opaque, &resume);
    }
    return strcmp(s->name, "bad") ? 0 : gw_fail(err, -EIO, GW_BLAME_LOCAL, "no luck");
}

int gw_vm_snapshot_save_sized(struct gw_vm *vm, const struct gw_vm_snapshot *s, size_t bytes, struct gw_error *err)
{
    return fake_snapshot(vm, "save", s, err);
}

int gw_vm_snapshot_load_sized(struct gw_vm *vm, const struct gw_vm_snapshot *s, size_t bytes, struct gw_error *err)
{
    return fake_snapshot(vm, "load", s, err);
}

int gw_vm_snapshot_delete_sized(struct gw_vm *vm, const struct gw_vm_snapshot *s, size_t bytes, struct gw_error *err)
{
    return fake_snapshot(vm, "delete", s, err);
}

int gw_vm_snapshot_stats_sized(struct gw_vm *vm, struct gw_stats *ret_stats, size_t stats_bytes)
{
    uint64_t left = atomic_load(&vm->saving);

    if (!left)
        return -ENOENT;
    *ret_stats = (struct gw_stats){
        .status = GW_STATUS_ACTIVE, .total_bytes = 4000, .remaining_bytes = left, .transferred_bytes = 1234};
    return 0;
}

/* Whose device state is one byte. */
int gw_state_save(struct gw_vm *vm, void **ret_blob, size_t *ret_bytes, struct gw_error *err)
{
    char *blob = malloc(1);

    if (!blob)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory");
    *blob = 's';
    *ret_blob = blob;
    *ret_bytes = 1;
    return 0;
}

int gw_state_load(struct gw_vm *vm, const void *blob, size_t bytes, struct gw_error *err)
{
    return bytes == 1 && *(const char *)blob == 's' ? 0 : gw_fail(err, -EPROTO, GW_BLAME_PEER, "no state of the fake");
}

int gw_vm_came_back(struct gw_vm *vm, struct gw_error *err)
{
    atomic_fetch_add(&vm->came_back, 1);
    return 0;
}

bool gw_vm_memory_given(const struct gw_vm *vm)
{
    return atomic_load(&vm->memory_given);
}

void gw_vm_for_each_blocker(struct gw_vm *vm, void (*f)(void *opaque, const char *reason), void *opaque)
{
    const char *reason = atomic_load(&vm->blocker);

    if (reason)
        f(opaque, reason);
}
