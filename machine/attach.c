/* SPDX-License-Identifier: MIT
 *
 * Connects the machine to the library. Nothing else in this folder calls the library, so a machine that is never
 * attached runs without it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "godwit/state.h"
#include "machine/internal.h"
#include "machine/kvm.h"

static int op_stop(void *opaque, struct gw_error *err)
{
    return gw_machine_stop(opaque, err);
}

static int op_start(void *opaque, struct gw_error *err)
{
    return gw_machine_start(opaque, err);
}

static bool op_running(void *opaque)
{
    return gw_machine_running(opaque);
}

static void op_throttle(void *opaque, unsigned percent)
{
    gw_machine_throttle(opaque, percent);
}

static uint64_t op_limited_ns(void *opaque)
{
    return gw_machine_limited_ns(opaque);
}

static void op_dirty_limit(void *opaque, uint64_t bytes_per_s)
{
    gw_machine_dirty_limit(opaque, bytes_per_s);
}

static unsigned op_vcpus(void *opaque)
{
    return ((struct gw_machine *)opaque)->cpus;
}

static uint64_t op_vcpu_dirtied(void *opaque, unsigned vcpu)
{
    return atomic_load(&((struct gw_machine *)opaque)->vcpu[vcpu].dirtied_bytes);
}

static void op_vcpu_dirty_limit(void *opaque, unsigned vcpu, uint64_t bytes_per_s)
{
    gw_machine_vcpu_dirty_limit(opaque, vcpu, bytes_per_s);
}

static uint64_t op_ran_ns(void *opaque)
{
    return gw_clock_virtual_ns(&((struct gw_machine *)opaque)->clock);
}

static const struct gw_vm_ops vm_ops = {
    GW_SIZED(struct gw_vm_ops), .stop = op_stop,
    .start = op_start,
    .running = op_running,
    .throttle = op_throttle,
    .dirty_limit = op_dirty_limit,
    .limited_ns = op_limited_ns,
    .vcpus = op_vcpus,
    .vcpu_dirtied = op_vcpu_dirtied,
    .vcpu_dirty_limit = op_vcpu_dirty_limit,
    .ran_ns = op_ran_ns,
};

static int add_ram(struct gw_machine *m, struct gw_vm *vm, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < m->blocks && r >= 0; i++) {
        const struct gw_machine_block *b = &m->block[i];
        struct gw_ram_desc desc = {
            .name = b->name,
            .host = b->host,
            .used_bytes = b->bytes,
            .page_bytes = b->page_bytes,
            .gpa = b->gpa,
            .flags = (b->shared ? GW_RAM_SHARED : 0u) | (b->file ? GW_RAM_NAMED_FILE | GW_RAM_PERSISTENT : 0u) |
                     (m->incoming && !b->file ? GW_RAM_FRESH : 0u),
        };
        r = gw_vm_add_ram(vm, &desc, err);
    }
    return r;
}

static int add_devices(struct gw_machine *m, struct gw_vm *vm, struct gw_error *err)
{
    struct gw_registry *reg = gw_vm_registry(vm);
    int r = gw_registry_add(reg, &gw_machine_clock_description, "clock", 0, &m->clock, err);

    for (unsigned i = 0; i < m->cpus && r >= 0; i++) {
        r = gw_registry_add(reg, &gw_cpu_description, "cpu", (int)i, &m->vcpu[i].cpu, err);
        if (r >= 0) /* one that keeps its reset state would begin to run as another machine */
            r = gw_registry_require(reg, &m->vcpu[i].cpu, err);
        if (r >= 0)
            r = gw_registry_add(reg, &gw_port_description, "ports", (int)i, &m->vcpu[i].port, err);
    }
    for (unsigned i = 0; i < m->disks && r >= 0; i++)
        r = gw_registry_add(reg, &gw_virtio_blk_description, "virtio-blk", (int)i, &m->disk[i]->state, err);
    return r;
}

static int add_disks(struct gw_machine *m, struct gw_vm *vm, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < m->disks && r >= 0; i++) {
        struct gw_virtio_blk *b = m->disk[i];
        const struct gw_disk_desc desc = {
            .device = b->id, .bytes = b->disk.bytes, .ops = b->disk.ops, .opaque = b->disk.opaque, .read_only = b->disk.readonly,
            .inactive = m->incoming, .image = b->disk.image};

        r = gw_vm_add_disk(vm, &desc, &b->known, err);
        b->wrote = gw_disk_wrote;
    }
    return r;
}

static int set_tracker(struct gw_machine *m, struct gw_vm *vm, struct gw_error *err)
{
    struct gw_tracker_config config = {.kind = m->tracker};
    struct gw_kvm *k = m->accel_machine;

    if (m->tracker == GW_TRACKER_KVM_LOG || m->tracker == GW_TRACKER_KVM_RING) {
        config.kvm_vm_fd = k->vm_fd;
        config.slots = k->slot;
        config.slot_count = m->blocks;
        config.vcpu_fds = k->vcpu_fd;
        config.vcpu_count = m->cpus;
        config.ring_bytes = m->ring_bytes;
        config.kick_vcpus = gw_kvm_kick_all;
    }
    return gw_vm_set_tracker(vm, &config, err);
}

int gw_machine_attach(struct gw_machine *m, struct gw_error *err)
{
    struct gw_vm_config config = {.machine = GW_MACHINE_TYPE, .page_bytes = GW_GUEST_PAGE, .ops = &vm_ops, .opaque = m};
    struct gw_vm *vm;
    int r;

    if (m->vm)
        return gw_fail(err, -EALREADY, GW_BLAME_CALLER, "the machine is attached already");
    memcpy(config.uuid, m->uuid, sizeof(config.uuid));
    r = gw_vm_new(&config, &vm, err);
    if (r < 0)
        return r;
    r = add_ram(m, vm, err);
    if (r >= 0)
        r = add_devices(m, vm, err);
    if (r >= 0)
        r = add_disks(m, vm, err);
    if (r >= 0)
        r = set_tracker(m, vm, err);
    for (unsigned i = 0; r >= 0 && i < m->cpus; i++)
        r = gw_vm_set_vcpu_thread(vm, i, m->vcpu[i].thread_id, err);
    if (r < 0) {
        for (unsigned i = 0; i < m->disks; i++)
            m->disk[i]->known = NULL; /* freed with the vm */
        gw_vm_free(vm);
        return r;
    }
    m->dirty_ring_full = gw_vm_dirty_ring_full;
    m->free_vm = gw_vm_free;
    m->vm = vm;
    m->mark_dirty = gw_vm_mark_dirty;
    return 0;
}
