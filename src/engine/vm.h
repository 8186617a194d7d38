/* SPDX-License-Identifier: MIT
 *
 * vm: the engine's side of a machine: its parts, and calls of the embedder's functions, whose errors get blame
 * EMBEDDER.
 */
#ifndef GW_ENGINE_VM_H
#define GW_ENGINE_VM_H

#include <pthread.h>

#include "channel/links.h"
#include "disk/disk.h"
#include "engine/announce.h"
#include "engine/devices.h"
#include "engine/guest.h"
#include "engine/measure.h"
#include "engine/options.h"
#include "godwit/vm.h"
#include "ram/page/transport.h"
#include "ram/tracker/tracker.h"
#include "state/registry.h"
#include "trace/trace.h"

#define GW_VM_NOTIFIERS 16
#define GW_VM_BLOCKERS  32
#define GW_VM_LIVES     3

struct gw_bitmap_map;
struct gw_earlier;
struct gw_image;
struct gw_live;
struct gw_working_set;

struct gw_vm {
    char machine[256];
    uint8_t uuid[16];
    bool has_uuid;
    const struct gw_vm_ops *ops; /* points to own_ops */
    struct gw_vm_ops own_ops;
    void *opaque;
    struct gw_clock clock;
    struct gw_trace trace;
    struct gw_ram ram;
    struct gw_tracker *_Atomic tracker; /* atomic: another thread may mark pages while the tracker is created */
    struct gw_registry *registry;
    struct gw_options *options;
    struct gw_globalstate *globalstate;
    uint32_t ram_section_id, block_section_id;
    bool has_block_section_id;
    unsigned least_page_bits; /* pages of this size, in bits, are the default: the head does not name it */
    unsigned without; /* enum gw_stream_parts. A machine of an image: parts that its stream does not have */
    const struct gw_guest_ops *guest;
    const struct gw_devices_ops *devices;
    struct gw_transport *transport; /* embedder's page transport; NULL: none */
    const struct gw_working_set *prefer; /* pages that are sent first; NULL: none */
    struct gw_working_set *record;       /* requested pages are added to it; NULL: off */
    struct gw_image *image; /* the image of this machine (image_vm.h); else NULL */
    /* How a session of either side gets its page channels; NULL: from its address. */
    struct {
        gw_dial_fn dial;
        void *opaque;
    } dial_pages;
    /* Live sections besides RAM: each entry makes its section for one session, on either side. */
    struct {
        int (*make)(void *opaque, struct gw_live **ret, struct gw_error *err);
        void *opaque;
    } live[GW_VM_LIVES];
    unsigned lives;
    struct gw_disk **disk; /* godwit/disk.h, in the order in which they were added; disk_count entries */
    unsigned disk_count;
    struct gw_bitmap_map *bitmap_map; /* names of dirty bitmaps on the wire; NULL: unchanged. Under lock */
    uint32_t bitmap_section_id;       /* 0: no number was taken yet */

    struct gw_earlier *earlier; /* statistics of source sessions that another one may resume (earlier.h); NULL: none */
    atomic_bool taken; /* the destination of the last outgoing session has said that it has the machine */
    _Atomic int place; /* enum gw_vm_place. Written by the session (session.c), and by other code when there is none */

    struct gw_measure measure;
    struct gw_announcer announcer;
    pthread_mutex_t figures;     /* guards `saving`; taken with no other lock held */
    struct gw_send *saving;      /* the session that saves a snapshot (vm_snapshot.c); NULL: none */
    pthread_mutex_t lock;        /* guards all fields below */
    int32_t *vcpu_thread;        /* ids of gw_vm_set_vcpu_thread; 0: not set */
    unsigned vcpu_threads;
    bool outgoing;               /* the session that makes the vm busy is a source */
    bool busy;                   /* a session of either kind exists and has not ended */
    bool held;                   /* a snapshot is being saved, loaded or deleted: only the holder may start sessions */
    pthread_t holder;
    struct gw_blocker {
        unsigned id;
        char *reason;
    } blockers[GW_VM_BLOCKERS];
    unsigned blocker_count, next_blocker;
    struct gw_notifier {
        gw_notify_fn fn;
        void *opaque;
    } notifiers[GW_VM_NOTIFIERS];
    unsigned notifier_count;
};

/* A copy of the vCPUs' thread ids, which the caller frees; NULL: there are none. -ENOMEM. */
int gw_vm_vcpu_threads(struct gw_vm *vm, int32_t **ret, unsigned *ret_count, struct gw_error *err);
bool gw_vm_running(const struct gw_vm *vm);
int gw_vm_stop(struct gw_vm *vm, struct gw_error *err);
int gw_vm_start(struct gw_vm *vm, struct gw_error *err);
int gw_vm_notify(struct gw_vm *vm, enum gw_notify what, struct gw_error *err);
/* -EBUSY: a session runs, a device cannot be migrated, or, for an outgoing session, there are blockers; the error names
 * all of them. On success the vm is busy and the options are locked. */
int gw_vm_begin(struct gw_vm *vm, bool outgoing, struct gw_error *err);
void gw_vm_end(struct gw_vm *vm);
/* For work that needs several sessions, or none, with no other session in between: only the calling thread can begin
 * sessions. -EBUSY. */
int gw_vm_hold(struct gw_vm *vm, struct gw_error *err);
void gw_vm_release(struct gw_vm *vm);
/* Fails with an explanation of GW_VM_SPOILED. */
int gw_vm_spoiled(struct gw_error *err);
/* -EALREADY: the machine has left, or may have left, so it is not sent. (Its state can still be examined.) Call after
 * gw_vm_begin. */
int gw_vm_must_be_here(const struct gw_vm *vm, struct gw_error *err);
/* The tracker; created now if none was chosen. */
int gw_vm_tracker(struct gw_vm *vm, struct gw_tracker **ret, struct gw_error *err);
int gw_vm_tracker_locked(struct gw_vm *vm, struct gw_tracker **ret, struct gw_error *err); /* the same under vm->lock */

/* The machine is about to run here: activates all of its disks, or, on failure, none that was not active before. Fails
 * if another process uses one. */
int gw_vm_take_disks(struct gw_vm *vm, struct gw_error *err);
/* The machine is stopped, all disk data was sent, and it may run elsewhere with the same disks: inactivates them. After
 * a failure some of them are inactive. */
int gw_vm_give_disks(struct gw_vm *vm, struct gw_error *err);
/* The vm is being freed, and nothing uses its disks. */
void gw_vm_free_disks(struct gw_vm *vm);

/* The run state travels as the device `globalstate` (docs/wire-format.md 13.1). */
struct gw_globalstate;
int gw_globalstate_new(struct gw_registry *reg, struct gw_globalstate **ret, struct gw_error *err);
struct gw_globalstate *gw_globalstate_free(struct gw_globalstate *g);
/* Source: the run state to write. Destination: call before a load; a stream without the device means running. */
void gw_globalstate_set(struct gw_globalstate *g, bool running);
/* Destination, after a load: whether the source's machine ran. */
bool gw_globalstate_running(const struct gw_globalstate *g);

#endif
