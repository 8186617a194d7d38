/* SPDX-License-Identifier: MIT
 *
 * virtio: a block device as the virtio 1.x specification has it: MMIO transport (register version 2), split queues, no
 * interrupts (the guest polls the used ring, and its wait port returns when an entry was added). One queue for each
 * vCPU: queue n belongs to vCPU n.
 *
 * Guest memory is untrusted: an invalid chain sets DEVICE_NEEDS_RESET, and the device does nothing more until it is
 * reset.
 *
 * Threads: registers on any vCPU's thread; a thread of the device begins and ends requests.
 */
#ifndef GW_MACHINE_VIRTIO_H
#define GW_MACHINE_VIRTIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "godwit/state.h"
#include "machine/abi.h"
#include "machine/disk.h"

struct gw_machine;
struct gw_virtio_requests;

#define GW_VIRTIO_QUEUE_MAX   64u
#define GW_VIRTIO_NEEDS_RESET 64u /* bit of the status register */

struct gw_virtio_queue {
    uint32_t num;
    bool ready;
    uint64_t desc, avail, used;      /* guest-physical */
    uint16_t next_avail, next_used;  /* the device's positions in the rings */
};

/* The state that migrates with the machine. */
struct gw_virtio_state {
    uint32_t status, device_feature_sel, driver_feature_sel, queue_sel;
    uint64_t driver_features;
    uint64_t capacity_sectors; /* must be the same on the destination */
    struct gw_virtio_queue queue[GW_GUEST_MAX_CPUS];
};

struct gw_virtio_blk {
    struct gw_virtio_state state; /* under lock; first, so that `loaded` finds the device */
    struct gw_machine *machine;
    uint64_t gpa;
    struct gw_machine_disk disk;
    struct gw_disk *known; /* the library's disk, once the machine is attached, which is told of writes: */
    void (*wrote)(struct gw_disk *disk, uint64_t offset, uint64_t bytes);
    char id[64];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool thread_made, quit;
    bool busy;         /* requests are in progress */
    bool standing;     /* the machine is stopped: requests wait */
    uint32_t notified; /* bitmap of queues */
    bool sleeps;       /* the thread waits for requests, or for wake_fd */
    int wake_fd;
    struct gw_virtio_requests *requests; /* virtio_request.h; used by the thread only */
    /* Called for each failed call of the disk, on the thread. May be NULL. */
    void (*failed)(void *opaque, const struct gw_error *err);
    void *failed_opaque;
};

extern const struct gw_state gw_virtio_blk_description;

/* Always takes the disk. */
int gw_virtio_blk_new(struct gw_machine *m, unsigned index, const struct gw_machine_disk *take_disk,
                      struct gw_virtio_blk **ret_blk, struct gw_error *err);
struct gw_virtio_blk *gw_virtio_blk_free(struct gw_virtio_blk *b);
/* Under b->lock: the guest has added entries to these queues. */
void gw_virtio_blk_notify(struct gw_virtio_blk *b, uint32_t queues);
/* Called with stopped vCPUs: all announced requests are completed and on stable storage, and no more are begun. */
int gw_virtio_blk_drain(struct gw_virtio_blk *b, struct gw_error *err);
/* Called before the machine runs. */
void gw_virtio_blk_resume(struct gw_virtio_blk *b);
uint32_t gw_virtio_blk_read(struct gw_virtio_blk *b, uint64_t offset, unsigned bytes);
void gw_virtio_blk_write(struct gw_virtio_blk *b, uint64_t offset, unsigned bytes, uint32_t value);

#endif
