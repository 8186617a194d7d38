/* SPDX-License-Identifier: MIT
 *
 * vm: the library's view of a virtual machine.
 *
 * A struct gw_vm describes one machine to the library: its machine type, its RAM blocks, its devices (through the registry of
 * state.h) and the callbacks that stop and start it. The embedder owns the machine and all of its memory; the vm must live
 * as long as any migration of it. A process can have any number of vms; they share nothing.
 *
 * Threads: set-up (adding RAM, devices, the tracker) belongs to one thread and ends before the first migration, except for
 * functions that say otherwise. Callbacks are called on threads of the library, one at a time for one vm, except
 * `running`, which may be called at any time.
 */
#ifndef GODWIT_VM_H
#define GODWIT_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/clock.h"
#include "godwit/error.h"
#include "godwit/version.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gw_vm;
struct gw_registry;
struct gw_options;

/* Changes of ownership of the machine (the right to run it). */
enum gw_hand_over {
    GW_HAND_OVER_ARRIVED, /* destination: the machine belongs here now. Just before start */
    GW_HAND_OVER_LEFT,    /* source: the migration is complete, the machine belongs to the destination */
    GW_HAND_OVER_REVOKED, /* destination: start failed after ARRIVED, and the source may resume its machine. ARRIVED can
                           * follow again, after gw_recv_claim */
};

/* Errors of callbacks: negative errno with *err filled; the library adds GW_BLAME_EMBEDDER where blame is none. */
struct gw_vm_ops {
    size_t bytes; /* GW_SIZED(struct gw_vm_ops) */

    /* Stops all vCPUs and quiesces devices: after it returns nothing writes to guest memory. Not called when the
     * machine is not running. If it fails, the migration fails; if the machine then no longer runs, start is called. */
    int (*stop)(void *opaque, struct gw_error *err);

    /* Runs the machine. On the destination after everything was loaded; on the source when a migration failed or was
     * cancelled after stop. A failure on the destination is reported to the source, which then resumes its machine. In postcopy it is
     * called before all memory has arrived, on a separate thread: if the connection is lost while it waits for a page, it continues
     * when the migration does. A background snapshot also calls it on a separate thread, while memory is write-protected: a thread
     * that writes to guest memory then (also in start) waits until the session has saved the page. Such a thread must not hold a
     * lock that `running` or an event callback needs. */
    int (*start)(void *opaque, struct gw_error *err);

    /* Whether vCPUs may execute now. */
    bool (*running)(void *opaque);

    /* Optional; without it auto-converge is refused. Slow all vCPUs: of each 10 ms / (1 - percent/100) a vCPU may run
     * 10 ms. 0 ends it. R11 auto-converge. */
    void (*throttle)(void *opaque, unsigned percent);

    /* Optional; without it dirty-limit is refused. Limit what each vCPU may dirty, bytes per second; 0 ends it. R11 dirty-limit. */
    void (*dirty_limit)(void *opaque, uint64_t bytes_per_s);

    /* Optional. Total time that dirty_limit has delayed the vCPU that it delayed most. Any thread. */
    uint64_t (*limited_ns)(void *opaque);

    /* Optional. For resources outside the library, such as disks: acquire them at ARRIVED, release them at LEFT and at REVOKED.
     * On the session's thread, or that of gw_recv_claim. */
    void (*handed_over)(void *opaque, enum gw_hand_over what);

    /* The next three are for dirty_rate.h; all optional, on any thread, several at a time. */
    unsigned (*vcpus)(void *opaque); /* the number of vCPUs; needed by the next two */
    /* Bytes that this vCPU has dirtied, counted from any fixed moment. Whether a page written again counts again is up to the
     * embedder. */
    uint64_t (*vcpu_dirtied)(void *opaque, unsigned vcpu);
    /* As dirty_limit, for one vCPU; the lower of the two limits holds. 0 ends it. */
    void (*vcpu_dirty_limit)(void *opaque, unsigned vcpu, uint64_t bytes_per_s);
    /* Optional. How long the guest has run, as stored in snapshots. Called while the machine is stopped. */
    uint64_t (*ran_ns)(void *opaque);
};

/* Optional parts of a stream. QEMU's machine types up to 2.3 have neither configuration nor footers, and its properties
 * migration.send-configuration and send-section-footer leave them out; both sides must agree. */
enum gw_stream_parts {
    GW_STREAM_CONFIGURATION = 1, /* machine type, UUID, capabilities; without it they are not compared */
    GW_STREAM_FOOTERS = 2,       /* the mark after each section */
    GW_STREAM_DESCRIPTION = 4,   /* the vmdesc after EOF, with the names of all fields; a destination may ignore it */
};

struct gw_vm_config {
    const char *machine;  /* canonical machine type name, 1..255 bytes: compared on load */
    uint8_t uuid[16];     /* zeros: none */
    uint32_t page_bytes;  /* target page size */
    const struct gw_vm_ops *ops; /* copied; opaque is borrowed */
    void *opaque;
    const struct gw_clock *clock; /* NULL: gw_clock_real. Copied */
    unsigned without; /* enum gw_stream_parts: the parts that its streams, in both directions, do not have */
    /* The smallest target page size of this kind of machine; 0: 4096. A stream states its page size only if it differs from
     * this. QEMU's ARM machines have 1024, so a stream of one with pages of 4096 bytes must state that. */
    uint32_t least_page_bytes;
};

/* -EINVAL, -E2BIG, -ENOMEM. */
GW_API int gw_vm_new_sized(const struct gw_vm_config *config, size_t config_bytes, struct gw_vm **ret_vm,
                           struct gw_error *err);
static inline int gw_vm_new(const struct gw_vm_config *config, struct gw_vm **ret_vm, struct gw_error *err)
{
    return gw_vm_new_sized(config, sizeof *config, ret_vm, err);
}
/* All sessions must have been freed. The embedder's memory is not freed. Takes NULL, returns NULL. */
GW_API struct gw_vm *gw_vm_free(struct gw_vm *vm);

GW_API struct gw_registry *gw_vm_registry(struct gw_vm *vm);
/* Capabilities and parameters of this vm, for its running migration and later ones. */
GW_API struct gw_options *gw_vm_options(struct gw_vm *vm);

/* Tells which thread (gettid) runs a vCPU (from 0), so that with postcopy-blocktime a destination can measure how long each vCPU
 * waited for pages. thread 0: none. Any thread; must be set before an incoming session starts to count for it. -EINVAL: vcpu is
 * GW_VCPUS_MAX or more; -ENOMEM. */
#define GW_VCPUS_MAX 4096u
GW_API int gw_vm_set_vcpu_thread(struct gw_vm *vm, unsigned vcpu, int32_t thread, struct gw_error *err);

/* ---- ownership -----------------------------------------------------------------------------------------------------
 *
 * The vm remembers the outcome of its last session. While its machine has, or may have, moved to another host, an outgoing
 * migration is refused (-EALREADY): it would send an outdated copy. The mark is cleared when a machine is received into the
 * vm (or claimed), and by gw_vm_came_back. */

enum gw_vm_place {
    GW_VM_HERE,      /* the default: the machine belongs here */
    GW_VM_LEFT,      /* it belongs to another host: it was sent there, or was received from there only in part */
    GW_VM_UNDECIDED, /* the last migration ended without this side knowing the owner (GW_OWNER_UNDECIDED) */
    GW_VM_SPOILED,   /* a snapshot was loaded only in part: it must not run until a snapshot or migration was loaded completely */
};

/* Any thread. During the hand-over of an outgoing migration: the place if the migration ended at this moment. */
GW_API enum gw_vm_place gw_vm_place(const struct gw_vm *vm);
/* The machine left, and the destination has confirmed that it has it: starting it here, too, would make two running copies. Any
 * thread. */
GW_API bool gw_vm_runs_elsewhere(const struct gw_vm *vm);
/* Takes the machine back: call it only when it is certain that the machine runs nowhere else. It can then be started and
 * migrated again. The control socket's `cont` calls it (for one that runs elsewhere only with force). Does not start the
 * machine. Any thread. -EBUSY: during a migration; -ENODATA: see gw_vm_memory_given; or the error of a disk that cannot be
 * activated (godwit/disk.h). */
GW_API int gw_vm_came_back(struct gw_vm *vm, struct gw_error *err);
/* Memory of the machine was released to the host after it was sent (capability release-ram), and reads as zeros: the guest must
 * not run here until a machine was received. Any thread. */
GW_API bool gw_vm_memory_given(const struct gw_vm *vm);

/* ---- RAM (R1) ---------------------------------------------------------------------------------------------------- */

enum gw_ram_flags {
    GW_RAM_SHARED = 1 << 0,       /* a mapping shared with other processes */
    GW_RAM_NAMED_FILE = 1 << 1,   /* backed by a named file, which the other side may open, too. With SHARED: after a load its
                                   * contents are written to the disk (msync) before the session ends */
    GW_RAM_READONLY = 1 << 2,     /* the guest cannot write; loaded like all others, but not dirty-tracked */
    GW_RAM_NO_MIGRATE = 1 << 3,   /* not part of the machine's state */
    GW_RAM_FRESH = 1 << 4,        /* known to read as zeros (an untouched mapping): zero pages need no write on load. A
                                   * migration in either direction clears the flag; gw_vm_set_fresh sets it again */
    GW_RAM_RESIZEABLE = 1 << 5,   /* a load may set used_bytes to anything up to max_bytes */
    GW_RAM_PERSISTENT = 1 << 6,   /* on persistent memory (an NVDIMM, a file on DAX). Postcopy is refused, because its pages
                                   * cannot be placed while the guest runs; precopy works */
};

struct gw_ram_desc {
    const char *name;      /* 1..255 bytes, the same on both sides */
    void *host;            /* where it is mapped, max_bytes long, aligned to 64 bytes; borrowed until the vm is freed */
    uint64_t used_bytes;   /* a multiple of the target page */
    uint64_t max_bytes;    /* 0: used_bytes */
    uint64_t page_bytes;   /* host page that backs it: 4096, 2 MiB ...; 0: the system's */
    uint64_t gpa;          /* guest-physical address of its first byte */
    unsigned flags;        /* enum gw_ram_flags */
    /* Optional: a load has changed the used size of the block; called before any contents are loaded. */
    int (*resized)(void *opaque, uint64_t used_bytes, struct gw_error *err);
};

/* Not during a migration (-EBUSY). */
GW_API int gw_vm_add_ram_sized(struct gw_vm *vm, const struct gw_ram_desc *desc, size_t desc_bytes, struct gw_error *err);
static inline int gw_vm_add_ram(struct gw_vm *vm, const struct gw_ram_desc *desc, struct gw_error *err)
{
    return gw_vm_add_ram_sized(vm, desc, sizeof *desc, err);
}
/* Removes the block from the machine; its memory may be unmapped afterwards. Only between migrations (-EBUSY), and while
 * no other thread calls a memory function of this vm: marks and hints read the list of blocks without a lock. With a
 * KVM tracker, call gw_vm_set_tracker with the remaining slots. -ENOENT; -EINVAL: the machine of an image. */
GW_API int gw_vm_remove_ram(struct gw_vm *vm, const char *name, struct gw_error *err);
/* Sets GW_RAM_FRESH: whether the block reads as zeros now. false once a guest has run in it, true after its memory was released.
 * Not during a migration (-EBUSY). */
GW_API int gw_vm_set_fresh(struct gw_vm *vm, const char *name, bool fresh, struct gw_error *err);
/* During an outgoing migration the functions below take effect until its last sync begins: the machine is stopped then, and
 * BEFORE_SYNC was notified for the last time. From there until the session has ended, or the machine resumes here, they
 * change nothing and return -EALREADY, because the destination would not learn of it. The same holds for the functions that
 * mark pages as dirty. */

/* Reports that the embedder changed the used size. Any thread. A running precopy is cancelled with that reason (R20), unless
 * the block's contents are not migrated; the new size then takes effect when the migration has ended. */
GW_API int gw_vm_resize_ram(struct gw_vm *vm, const char *name, uint64_t used_bytes, struct gw_error *err);
/* R12: free page hint: the guest does not need the contents of [offset, offset + bytes) of the block. Any thread.
 * Ignored (returns 0) when no migration runs. A write after this has returned makes the pages dirty again. Returns the number
 * of pages that need not be sent any more. */
GW_API int64_t gw_vm_hint_free(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes);
/* R12: logically unplugged ranges. Any thread. While set, they are not sent: at the destination they read as zeros, or have
 * contents that were sent before; the guest must not depend on them. Ranges that are plugged again (discarded false) during a
 * migration are sent with their contents at that time, but not in a background snapshot. Memory that a background snapshot has
 * not saved yet must not be released to the host (madvise) before it ends. */
GW_API int gw_vm_set_discarded(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes, bool discarded,
                               struct gw_error *err);

/* ---- dirty tracking (R2) ----------------------------------------------------------------------------------------- */

enum gw_tracker_kind {
    GW_TRACKER_AUTO,     /* pagemap where it works */
    GW_TRACKER_PAGEMAP,  /* userfaultfd asynchronous write-protect and PAGEMAP_SCAN: any process memory, Linux 6.7 */
    GW_TRACKER_KVM_LOG,  /* KVM dirty log, with manual protect where available; cleared lazily */
    GW_TRACKER_KVM_RING, /* KVM dirty ring */
    GW_TRACKER_EXPLICIT, /* the embedder calls gw_vm_mark_dirty for every write */
};

struct gw_kvm_slot {
    uint32_t slot;      /* KVM memory slot number */
    uint64_t gpa, bytes;
    void *host;
    uint32_t flags;     /* as given to KVM_SET_USER_MEMORY_REGION, without KVM_MEM_LOG_DIRTY_PAGES */
};

struct gw_tracker_config {
    enum gw_tracker_kind kind;
    /* KVM back ends: all borrowed until the vm is freed. A slot may cover part of a block, or parts of several. Guest writes are
     * found only in slots; writes outside of them must be marked. The tracker turns the slots' dirty logging on
     * and off (KVM_SET_USER_MEMORY_REGION with `flags`), and KVM_LOG enables KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: no other
     * code may use KVM_GET_DIRTY_LOG on these slots meanwhile. */
    int kvm_vm_fd;
    const struct gw_kvm_slot *slots;
    unsigned slot_count;
    /* ring only: the vCPU descriptors, and the ring size in bytes as given to KVM_CAP_DIRTY_LOG_RING before the vCPUs
     * were created. */
    const int *vcpu_fds;
    unsigned vcpu_count;
    uint32_t ring_bytes;
    /* ring only; NULL: not needed. Makes all vCPUs leave KVM_RUN once and returns when they have, so that entries buffered
     * by the hardware are in the rings. The library holds no lock then that a vCPU could wait for. While a dirty rate is
     * measured it may run concurrently with other callbacks. `opaque` is the vm's. */
    void (*kick_vcpus)(void *opaque);
};

/* Not during a migration (-EBUSY). */
GW_API int gw_vm_set_tracker_sized(struct gw_vm *vm, const struct gw_tracker_config *config, size_t config_bytes,
                                   struct gw_error *err);
static inline int gw_vm_set_tracker(struct gw_vm *vm, const struct gw_tracker_config *config, struct gw_error *err)
{
    return gw_vm_set_tracker_sized(vm, config, sizeof *config, err);
}
/* The name of the back end in use: "pagemap", "kvm-log", "kvm-ring", "explicit". */
GW_API const char *gw_vm_tracker_name(const struct gw_vm *vm);
/* Reports a write to guest memory that the tracker cannot see (explicit: every write; KVM: writes of the process itself,
 * e.g. by an emulated device). Any thread, cheap, lock-free; does nothing when nothing is tracked. -EALREADY: after the last
 * sync (see gw_vm_resize_ram): something wrote to the memory of a stopped machine. */
GW_API int gw_vm_mark_dirty(struct gw_vm *vm, uint64_t gpa, uint64_t bytes);
/* The same by block, when the guest-physical address is not known. -ENOENT; -EINVAL: the range is not inside the block. */
GW_API int gw_vm_mark_dirty_block(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes,
                                  struct gw_error *err);
/* KVM dirty ring only: call it when KVM_RUN returns with KVM_EXIT_DIRTY_RING_FULL. Collects the entries of all vCPUs and
 * resets the rings; when it returns 0, the vCPU may run again. Any thread, also the vCPUs'; does nothing without rings. */
GW_API int gw_vm_dirty_ring_full(struct gw_vm *vm, struct gw_error *err);

/* ---- blockers (S9) and notifiers (R21) --------------------------------------------------------------------------- */

/* Outgoing migrations are refused while there is a blocker. Any thread. The text is copied. */
GW_API int gw_vm_add_blocker(struct gw_vm *vm, const char *reason, unsigned *ret_id, struct gw_error *err);
GW_API void gw_vm_remove_blocker(struct gw_vm *vm, unsigned id);
/* Calls f for each blocker's reason, and for each device that cannot be migrated. f must not call the vm or its registry. */
GW_API void gw_vm_for_each_blocker(struct gw_vm *vm, void (*f)(void *opaque, const char *reason), void *opaque);

enum gw_notify {
    GW_NOTIFY_SETUP,        /* before the first byte */
    GW_NOTIFY_BEFORE_SYNC,  /* before each dirty sync; the first one is during set-up and finds all pages dirty */
    GW_NOTIFY_AFTER_SYNC,
    GW_NOTIFY_COMPLETE,     /* the machine is stopped and the last sync is done */
    GW_NOTIFY_CLEANUP,      /* always last, whether or not the migration succeeded */
};
typedef int (*gw_notify_fn)(void *opaque, enum gw_notify what, struct gw_error *err);
/* Notifiers are called on the session's thread. An error at SETUP refuses the migration, at COMPLETE it fails it. Around a sync
 * it is reported (GW_EVENT_LOG) and the migration continues; at CLEANUP it is ignored. After an error the notifiers added later
 * are not called. */
GW_API int gw_vm_add_notifier(struct gw_vm *vm, gw_notify_fn fn, void *opaque, struct gw_error *err);
GW_API void gw_vm_remove_notifier(struct gw_vm *vm, gw_notify_fn fn, void *opaque);

#ifdef __cplusplus
}
#endif
#endif
