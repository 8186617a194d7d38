/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine/internal.h"

void gw_machine_config_init(struct gw_machine_config *config)
{
    memset(config, 0, sizeof(*config));
    config->memory_count = 1;
    config->memory[0].bytes = 128ull << 20;
    config->cpus = 1;
    config->workload.kind = GW_GUEST_IDLE;
}

static int vcpus_make(struct gw_machine *m, unsigned cpus, struct gw_error *err)
{
    pthread_condattr_t monotonic;

    if (cpus == 0 || cpus > GW_GUEST_MAX_CPUS)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%u vCPUs: 1 to %u are possible", cpus, GW_GUEST_MAX_CPUS);
    m->vcpu = calloc(cpus, sizeof(*m->vcpu));
    if (!m->vcpu)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (vCPUs)");
    m->cpus = cpus;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (unsigned i = 0; i < cpus; i++) {
        struct gw_vcpu *v = &m->vcpu[i];
        v->machine = m;
        v->index = i;
        v->parked = true; /* so that a stop does not wait for a thread that was not created */
        pthread_mutex_init(&v->sleep_lock, NULL);
        pthread_cond_init(&v->wake, &monotonic);
        gw_cpu_reset(&v->cpu, i);
    }
    pthread_condattr_destroy(&monotonic);
    return 0;
}

static int disks_make(struct gw_machine *m, const struct gw_machine_config *config, struct gw_error *err)
{
    int r = 0;

    if (config->disk_count > GW_GUEST_MAX_DISKS)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%u disks: at most %u are possible", config->disk_count, GW_GUEST_MAX_DISKS);
    for (unsigned i = 0; i < config->disk_count && !r; i++) {
        const struct gw_machine_disk_config *d = &config->disk[i];
        struct gw_node_options options = d->options;
        struct gw_machine_disk disk = d->take;

        options.inactive = config->incoming;
        if (!disk.ops)
            r = gw_machine_disk_open(d->path, &options, &disk, err);
        if (!r)
            r = gw_virtio_blk_new(m, i, &disk, &m->disk[i], err);
        if (!r) {
            m->disks++;
            m->disk[i]->failed = config->disk_failed;
            m->disk[i]->failed_opaque = config->disk_failed_opaque;
            if (d->id)
                snprintf(m->disk[i]->id, sizeof(m->disk[i]->id), "%s", d->id);
            else
                snprintf(m->disk[i]->id, sizeof(m->disk[i]->id), "disk%u", i);
        }
    }
    return r;
}

/* Closes disks that were not made into devices, which the machine owns too. */
static void disks_close(const struct gw_machine_config *config, unsigned from)
{
    for (unsigned i = from; i < config->disk_count && i < GW_GUEST_MAX_DISKS; i++) {
        const struct gw_machine_disk *disk = &config->disk[i].take;
        if (disk->ops && disk->close)
            disk->close(disk->opaque);
    }
}

int gw_machine_new(const struct gw_machine_config *config, struct gw_machine **ret_machine, struct gw_error *err)
{
    struct gw_machine *m = calloc(1, sizeof(*m));
    pthread_condattr_t monotonic;
    unsigned taken = 0;
    int r;

    if (!m) {
        disks_close(config, 0);
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (machine)");
    }
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&m->control, NULL);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    snprintf(m->name, sizeof(m->name), "%s", config->name ? config->name : "");
    memcpy(m->uuid, config->uuid, sizeof(m->uuid));
    m->incoming = config->incoming;
    m->tracker = config->tracker;
    m->ring_bytes = config->ring_bytes ? config->ring_bytes : 65536;
    m->accel_wanted = config->accel;

    r = gw_memory_map(m, config, err);
    if (!r)
        r = vcpus_make(m, config->cpus, err);
    if (!r) {
        r = disks_make(m, config, err);
        taken = m->disks + (r ? 1 : 0);
    }
    if (!r && !config->incoming)
        r = gw_loader_load(m, config, err);
    if (!r)
        r = gw_serial_open(config, &m->serial, err);
    if (!r)
        r = gw_accel_choose(m, err);
    if (!r)
        r = gw_run_open(m, err);
    if (r) {
        disks_close(config, taken);
        gw_machine_free(m);
        return r;
    }
    *ret_machine = m;
    return 0;
}

struct gw_machine *gw_machine_free(struct gw_machine *m)
{
    if (!m)
        return NULL;
    if (m->accel) {
        pthread_mutex_lock(&m->lock);
        m->dying = true;
        pthread_mutex_unlock(&m->lock);
        gw_machine_stop(m, NULL);
        gw_run_close(m);
    }
    if (m->vm)
        m->free_vm(m->vm); /* its tracker uses the accelerator */
    if (m->accel)
        m->accel->close(m);
    for (unsigned i = 0; i < m->disks; i++)
        gw_virtio_blk_free(m->disk[i]);
    for (unsigned i = 0; i < m->cpus; i++) {
        pthread_cond_destroy(&m->vcpu[i].wake);
        pthread_mutex_destroy(&m->vcpu[i].sleep_lock);
    }
    free(m->vcpu);
    gw_serial_close(m->serial);
    gw_memory_unmap(m);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->control);
    free(m);
    return NULL;
}

const char *gw_machine_accel_name(const struct gw_machine *m)
{
    return m->accel->name;
}

int gw_machine_mailbox(struct gw_machine *m, unsigned cpu, struct gw_guest_mailbox *ret_box, struct gw_error *err)
{
    const struct gw_guest_mailbox *box;
    struct gw_guest_mailbox copy;

    if (cpu >= m->cpus)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "vCPU %u of %u", cpu, m->cpus);
    box = gw_machine_memory_at(m, GW_GUEST_MAILBOX_GPA + cpu * GW_GUEST_MAILBOX_BYTES, GW_GUEST_MAILBOX_BYTES);
    for (unsigned tries = 0; tries < 200; tries++) {
        uint64_t before = __atomic_load_n(&box->sequence, __ATOMIC_ACQUIRE);
        memcpy(&copy, box, sizeof(copy));
        if (copy.magic != GW_GUEST_MAGIC)
            break;
        bool whole = !(before & 1) && __atomic_load_n(&box->sequence, __ATOMIC_ACQUIRE) == before;
        /* A vCPU that was stopped during its update will not complete it; each number is consistent nevertheless. */
        if (whole || !gw_machine_running(m)) {
            *ret_box = copy;
            return 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    return gw_fail(err, -EAGAIN, GW_BLAME_CALLER, "vCPU %u has not written its mailbox yet", cpu);
}

size_t gw_machine_serial_tail(struct gw_machine *m, char *buf, size_t size)
{
    return gw_serial_tail(m->serial, buf, size);
}

struct gw_vm *gw_machine_vm(struct gw_machine *m)
{
    return m->vm;
}
