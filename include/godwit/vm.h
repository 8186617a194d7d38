/* SPDX-License-Identifier: MIT
 *
 * vm: what the library has to know of a virtual machine.
 *
 * A struct gw_vm describes one machine to the library: its name, its RAM blocks, its devices (through the registry of
 * state.h) and the calls that stop and start it. The embedder owns the machine and all of its memory; the vm must live
 * as long as any migration of it. There is no limit to the number of vms in a process and nothing is shared by two.
 *
 * Threads: set-up (adding RAM, devices, the tracker) belongs to one thread and ends before the first migration, save
 * for the functions that say otherwise. Callbacks come on threads of the library, one at a time for one vm, save
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

/* What happened to the right to run the machine here. */
enum gw_hand_over {
    GW_HAND_OVER_ARRIVED, /* destination: the machine belongs here now. Just before start */
    GW_HAND_OVER_LEFT,    /* source: the migration is complete, the machine belongs to the destination */
    GW_HAND_OVER_REVOKED, /* destination: start failed after ARRIVED, the source may let its machine run on. It can arrive
                           * here again, when it is claimed */
};

/* Errors of callbacks: negative errno with *err filled; the library adds GW_BLAME_EMBEDDER where blame is none. */
struct gw_vm_ops {
    size_t bytes; /* GW_SIZED(struct gw_vm_ops) */

    /* Stops all vCPUs and quiesces devices: after the return nothing writes to guest memory. Not called when the
     * machine is not running. When it fails the migration does; if the machine then no longer runs, start is called. */
    int (*stop)(void *opaque, struct gw_error *err);

    /* Runs the machine. On the destination after everything was loaded; on the source when a migration failed or was
     * cancelled after stop. A failure on the destination is reported to the source, which then runs on. In postcopy it is
     * called before all memory is here, on a thread of its own: a start that waits for a page when the connection is lost
     * goes on when the migration does. A background snapshot calls it on a thread of its own, too, while memory is
     * write-protected: a thread that writes to memory then (start too) waits until the session has sent the page, so no
     * thread that does may hold what `running` or an event callback waits for. */
    int (*start)(void *opaque, struct gw_error *err);

    /* Whether vCPUs may execute now. */
    bool (*running)(void *opaque);

    /* Optional; without it auto-converge is refused. Slow all vCPUs: of each 10 ms / (1 - percent/100) a vCPU may run
     * 10 ms. 0 ends it. R11 auto-converge. */
    void (*throttle)(void *opaque, unsigned percent);

    /* Optional; without it dirty-limit is refused. Limit what each vCPU may dirty, bytes per second; 0 ends it. R11 dirty-limit. */
    void (*dirty_limit)(void *opaque, uint64_t bytes_per_s);

    /* Optional. For how long, in all, dirty_limit has held the vCPU that it held longest. Any thread. */
    uint64_t (*limited_ns)(void *opaque);

    /* Optional. Disks change hands here: take them at ARRIVED, give them up at LEFT and at REVOKED. On the session's
     * thread, or that of gw_recv_claim. */
    void (*handed_over)(void *opaque, enum gw_hand_over what);

    /* What follows is for dirty_rate.h; all optional, on any thread, also several at a time. */
    unsigned (*vcpus)(void *opaque); /* how many there are; needed by the two below */
    /* What this vCPU has dirtied until now, bytes, counted from any moment on. A page that is written again counts when the
     * embedder counts it. */
    uint64_t (*vcpu_dirtied)(void *opaque, unsigned vcpu);
    /* The same as dirty_limit for one vCPU; of the two the smaller holds. 0 ends it. */
    void (*vcpu_dirty_limit)(void *opaque, unsigned vcpu, uint64_t bytes_per_s);
    /* Optional. How long the guest has run, for those who list snapshots. While it stands. */
    uint64_t (*ran_ns)(void *opaque);
};

/* Parts of a stream that a machine may do without. QEMU's machine types up to 2.3 have neither configuration nor footers, and
 * its properties migration.send-configuration and send-section-footer leave them out; both sides must agree. */
enum gw_stream_parts {
    GW_STREAM_CONFIGURATION = 1, /* machine type, UUID, capabilities: nothing of it is compared then */
    GW_STREAM_FOOTERS = 2,       /* the mark after each section */
    GW_STREAM_DESCRIPTION = 4,   /* the names of all fields, after the end; a destination may ignore it */
};

struct gw_vm_config {
    const char *machine;  /* canonical machine type name, 1..255 bytes: compared on load */
    uint8_t uuid[16];     /* zeros: none */
    uint32_t page_bytes;  /* target page, 4096 unless the guest's differs */
    const struct gw_vm_ops *ops; /* copied; opaque is borrowed */
    void *opaque;
    const struct gw_clock *clock; /* NULL: gw_clock_real. Copied */
    unsigned without; /* enum gw_stream_parts: what its streams, on either side, do not have */
    /* The smallest target page of its kind of machine; 0: 4096. Streams say the size of pages where it is another one, and where
     * they do not, it is this. QEMU's ARM machines: 1024, so the head of one with pages of 4096 bytes says so, and must. */
    uint32_t least_page_bytes;
};

/* -EINVAL, -E2BIG, -ENOMEM. */
GW_API int gw_vm_new_sized(const struct gw_vm_config *config, size_t config_bytes, struct gw_vm **ret_vm,
                           struct gw_error *err);
static inline int gw_vm_new(const struct gw_vm_config *config, struct gw_vm **ret_vm, struct gw_error *err)
{
    return gw_vm_new_sized(config, sizeof *config, ret_vm, err);
}
/* No migration of it may be left. Frees nothing of the embedder's. Takes NULL, returns NULL. */
GW_API struct gw_vm *gw_vm_free(struct gw_vm *vm);

GW_API struct gw_registry *gw_vm_registry(struct gw_vm *vm);
/* Capabilities and parameters of this vm, for its next and its running migration. */
GW_API struct gw_options *gw_vm_options(struct gw_vm *vm);

/* Which thread (gettid) runs this vCPU, from 0 on: with postcopy-blocktime a destination tells for each vCPU how long it waited
 * for pages. 0: none does. Any thread; what is known when a machine begins to arrive counts for that session. -EINVAL: a number
 * of GW_VCPUS_MAX or more; -ENOMEM. */
#define GW_VCPUS_MAX 4096u
GW_API int gw_vm_set_vcpu_thread(struct gw_vm *vm, unsigned vcpu, int32_t thread, struct gw_error *err);

/* ---- whose machine it is -------------------------------------------------------------------------------------------
 *
 * Sessions end; what they did to the machine stays. A machine that was given away, or may have been, is refused to the
 * next outgoing migration (-EALREADY): it would make a second copy, and an old one. What it was marked as goes away
 * when a machine is received into it, or claimed there, and when the embedder says that it has taken it back. */

enum gw_vm_place {
    GW_VM_HERE,      /* from the start, and whenever no migration says otherwise */
    GW_VM_LEFT,      /* it was given to another host, or belongs to the source that began to send it */
    GW_VM_UNDECIDED, /* the last migration ended without this side knowing whose it is (GW_OWNER_UNDECIDED) */
    GW_VM_SPOILED,   /* a snapshot was loaded only in part: it must not run until a machine was loaded whole */
};

/* Any thread. While an outgoing migration hands the machine over it says what would hold if that ended now. */
GW_API enum gw_vm_place gw_vm_place(const struct gw_vm *vm);
/* It left, and the other side has said that it has it: a guest that is started here then is a second one. Any thread. */
GW_API bool gw_vm_runs_elsewhere(const struct gw_vm *vm);
/* The embedder, knowing that the machine runs nowhere else, starts it here again: it can be migrated again. The
 * control socket's `cont` calls it (with force, of one that runs elsewhere). Starts nothing by itself. Any thread.
 * -EBUSY during a migration; -ENODATA where gw_vm_memory_given; and the error of a disk that cannot be taken over
 * again (godwit/disk.h). */
GW_API int gw_vm_came_back(struct gw_vm *vm, struct gw_error *err);
/* Memory of it was given back to the host when the destination had it (capability release-ram), and reads as zeros: a guest must
 * not run here until a machine was received. Any thread. */
GW_API bool gw_vm_memory_given(const struct gw_vm *vm);

/* ---- RAM (R1) ---------------------------------------------------------------------------------------------------- */

enum gw_ram_flags {
    GW_RAM_SHARED = 1 << 0,       /* a mapping that other processes share */
    GW_RAM_NAMED_FILE = 1 << 1,   /* backed by a file with a name: the other side can have the same one. With SHARED: what a
                                   * load put there is written to the disk (msync) before the session ends */
    GW_RAM_READONLY = 1 << 2,     /* the guest cannot write; loaded like all others, never logged */
    GW_RAM_NO_MIGRATE = 1 << 3,   /* not part of the machine's state */
    GW_RAM_FRESH = 1 << 4,        /* known to read as zeros (an untouched mapping): zero pages need no write on load. A
                                   * migration of either kind takes the flag away; gw_vm_set_fresh sets it again */
    GW_RAM_RESIZEABLE = 1 << 5,   /* a load may set used_bytes to anything up to max_bytes */
    GW_RAM_PERSISTENT = 1 << 6,   /* on persistent memory (an NVDIMM, a file on DAX): its pages cannot come when the guest runs
                                   * already, so the machine does not go by postcopy; it does otherwise */
};

struct gw_ram_desc {
    const char *name;      /* 1..255 bytes, the same on both sides */
    void *host;            /* where it is mapped, max_bytes long, aligned to 64 bytes; borrowed until the vm is freed */
    uint64_t used_bytes;   /* a multiple of the target page */
    uint64_t max_bytes;    /* 0: used_bytes */
    uint64_t page_bytes;   /* host page that backs it: 4096, 2 MiB ...; 0: the system's */
    uint64_t gpa;          /* guest-physical address of its first byte */
    unsigned flags;        /* enum gw_ram_flags */
    /* Optional: the block was given another used size (load), before any content. */
    int (*resized)(void *opaque, uint64_t used_bytes, struct gw_error *err);
};

/* Not during a migration (-EBUSY). */
GW_API int gw_vm_add_ram_sized(struct gw_vm *vm, const struct gw_ram_desc *desc, size_t desc_bytes, struct gw_error *err);
static inline int gw_vm_add_ram(struct gw_vm *vm, const struct gw_ram_desc *desc, struct gw_error *err)
{
    return gw_vm_add_ram_sized(vm, desc, sizeof *desc, err);
}
/* The block is no longer part of the machine: its memory may be unmapped afterwards. Between migrations only (-EBUSY), while
 * no other thread calls a function about memory of this vm: marks and hints look at the list of blocks without a lock. A
 * KVM tracker is given the slots that are left with gw_vm_set_tracker. -ENOENT; -EINVAL: the machine of an image. */
GW_API int gw_vm_remove_ram(struct gw_vm *vm, const char *name, struct gw_error *err);
/* Says whether the block reads as zeros now: false once a guest has run in it, true after its memory was given back. Not
 * during a migration (-EBUSY). */
GW_API int gw_vm_set_fresh(struct gw_vm *vm, const char *name, bool fresh, struct gw_error *err);
/* What the functions below say during an outgoing migration counts until its last sync begins: the machine stands then, and
 * BEFORE_SYNC has been told for the last time. From there until the session has ended, or the machine runs on here, they
 * change nothing and return -EALREADY: it would not reach the other side. So do those that mark pages as dirty. */

/* The embedder changed the used size. Any thread. During a migration the new size holds from its end on. A precopy under way
 * is cancelled with that reason (R20), unless the block's contents do not go. */
GW_API int gw_vm_resize_ram(struct gw_vm *vm, const char *name, uint64_t used_bytes, struct gw_error *err);
/* R12: the guest does not care for what is in [offset, offset + bytes) of the block (free page hint). Any thread.
 * Ignored (returns 0 pages) when no migration runs. A write after this has returned makes the pages dirty again. Returns
 * pages dropped. */
GW_API int64_t gw_vm_hint_free(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes);
/* R12: logically unplugged ranges. Any thread. While set they are not sent: on the other side they read as zeros, or as
 * what was sent before they were set in a migration under way; the guest must not care. What comes back (discarded
 * false) during a migration is sent as it is then, but not in a background snapshot. Memory that such a snapshot has yet to
 * save is not to be given back to the host (madvise) before it ends. */
GW_API int gw_vm_set_discarded(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes, bool discarded,
                               struct gw_error *err);

/* ---- dirty tracking (R2) ----------------------------------------------------------------------------------------- */

enum gw_tracker_kind {
    GW_TRACKER_AUTO,     /* pagemap where it works */
    GW_TRACKER_PAGEMAP,  /* userfaultfd asynchronous write-protect and PAGEMAP_SCAN: any process memory, Linux 6.7 */
    GW_TRACKER_KVM_LOG,  /* KVM dirty log, manual protect where there is, lazy clear */
    GW_TRACKER_KVM_RING, /* KVM dirty ring */
    GW_TRACKER_EXPLICIT, /* the embedder says gw_vm_mark_dirty for every write */
};

struct gw_kvm_slot {
    uint32_t slot;      /* KVM memory slot number */
    uint64_t gpa, bytes;
    void *host;
    uint32_t flags;     /* as given to KVM_SET_USER_MEMORY_REGION, without KVM_MEM_LOG_DIRTY_PAGES */
};

struct gw_tracker_config {
    enum gw_tracker_kind kind;
    /* KVM back ends: all borrowed until the vm is freed. Slots may hold parts of blocks, or of several. What the guest
     * writes is found through slots only; what lies in none must be marked. The tracker turns the slots' dirty logging on
     * and off (KVM_SET_USER_MEMORY_REGION with `flags`), and for the log chooses KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 of the
     * machine: no other code can use KVM_GET_DIRTY_LOG on these slots meanwhile. */
    int kvm_vm_fd;
    const struct gw_kvm_slot *slots;
    unsigned slot_count;
    /* ring only: the vCPU descriptors, and the ring size in bytes as given to KVM_CAP_DIRTY_LOG_RING before the vCPUs
     * were made. */
    const int *vcpu_fds;
    unsigned vcpu_count;
    uint32_t ring_bytes;
    /* ring only; NULL: not needed. Makes all vCPUs leave KVM_RUN once and returns when they have, so that entries that
     * hardware buffers are in the rings. No lock of the library is held that a vCPU can wait for. Beside other callbacks when
     * a dirty rate is measured. `opaque` is the vm's. */
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
/* Guest memory was written by something that the tracker cannot see (explicit: by anything; KVM: by the process itself,
 * e.g. a device). Any thread, cheap, lock-free; does nothing when nothing is tracked. -EALREADY: after the last sync (see
 * gw_vm_resize_ram): something wrote to a machine that was said to stand. */
GW_API int gw_vm_mark_dirty(struct gw_vm *vm, uint64_t gpa, uint64_t bytes);
/* The same by block, for memory whose guest address is not at hand. -ENOENT; -EINVAL: the range is not inside the block. */
GW_API int gw_vm_mark_dirty_block(struct gw_vm *vm, const char *name, uint64_t offset, uint64_t bytes,
                                  struct gw_error *err);
/* KVM dirty ring only: KVM_RUN returned with KVM_EXIT_DIRTY_RING_FULL. Takes the entries of all vCPUs and gives the
 * rings back to KVM; on 0 the vCPU may run again. Any thread, from the vCPU loops too; does nothing without rings. */
GW_API int gw_vm_dirty_ring_full(struct gw_vm *vm, struct gw_error *err);

/* ---- blockers (S9) and notifiers (R21) --------------------------------------------------------------------------- */

/* A migration is refused while a reason stands. Any thread. The text is copied. */
GW_API int gw_vm_add_blocker(struct gw_vm *vm, const char *reason, unsigned *ret_id, struct gw_error *err);
GW_API void gw_vm_remove_blocker(struct gw_vm *vm, unsigned id);
/* Calls f for each reason, and for each device that cannot be migrated. f must not call the vm or its registry. */
GW_API void gw_vm_for_each_blocker(struct gw_vm *vm, void (*f)(void *opaque, const char *reason), void *opaque);

enum gw_notify {
    GW_NOTIFY_SETUP,        /* before the first byte */
    GW_NOTIFY_BEFORE_SYNC,  /* before each dirty sync; the first one is in set-up, and finds all pages dirty */
    GW_NOTIFY_AFTER_SYNC,
    GW_NOTIFY_COMPLETE,     /* the source stopped, the last sync is done */
    GW_NOTIFY_CLEANUP,      /* always last, however it ended */
};
typedef int (*gw_notify_fn)(void *opaque, enum gw_notify what, struct gw_error *err);
/* On the session's thread. An error at SETUP refuses the migration, at COMPLETE it fails it. Around a sync it is reported
 * (GW_EVENT_LOG) and the migration goes on; at CLEANUP it is ignored. The callbacks after one that fails are not called. */
GW_API int gw_vm_add_notifier(struct gw_vm *vm, gw_notify_fn fn, void *opaque, struct gw_error *err);
GW_API void gw_vm_remove_notifier(struct gw_vm *vm, gw_notify_fn fn, void *opaque);

#ifdef __cplusplus
}
#endif
#endif
