/* SPDX-License-Identifier: MIT
 *
 * machine: a small x86-64 virtual machine whose guest checks itself, for the engine to move. docs/machine.md describes the
 * machine itself; abi.h is what it shares with its guest.
 *
 *     struct gw_machine_config c;
 *     gw_machine_config_init(&c);
 *     c.memory[0].bytes = 64 << 20;
 *     c.workload.kind = GW_GUEST_UNIFORM;
 *     gw_machine_new(&c, &m, &err);
 *     gw_machine_attach(m, &err);             now gw_machine_vm(m) can be migrated
 *     gw_machine_start(m, &err);
 *     gw_machine_wait(m, UINT64_MAX, &status, &err);
 *     gw_machine_free(m);
 *
 * Threads: one for each vCPU, one for each disk and one for the serial port, all the machine's own. All functions may be
 * called from any thread, save that new, attach and free belong to one. Machines share nothing: any number in a process.
 */
#ifndef GW_MACHINE_H
#define GW_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "godwit/error.h"
#include "godwit/vm.h"
#include "machine/abi.h"
#include "machine/disk.h"

struct gw_machine;

enum gw_machine_accel {
    GW_MACHINE_ACCEL_AUTO,    /* KVM where it runs our guest well, else Unicorn */
    GW_MACHINE_ACCEL_UNICORN,
    GW_MACHINE_ACCEL_KVM,
};

enum gw_machine_backing {
    GW_MACHINE_MEMFD,     /* a shared mapping of a memfd */
    GW_MACHINE_ANONYMOUS, /* a private mapping */
    GW_MACHINE_FILE,      /* a shared mapping of `file`, as persistent memory is: no postcopy */
};

struct gw_machine_memory {
    char name[64];                   /* "": "ram0", "ram1", ... */
    uint64_t bytes;                  /* a multiple of 4096, and of page_bytes; the first block at least 8 MiB */
    uint64_t page_bytes;             /* 0 or 4096; 2 MiB: from the host's pool of huge pages */
    bool transparent_huge;           /* ask for transparent huge pages; page_bytes stays 4096 */
    enum gw_machine_backing backing;
    const char *file;                /* borrowed until the machine was made. Made, or as long as the block */
};

struct gw_machine_workload {
    enum gw_guest_workload kind;
    uint64_t rate_bytes_per_s;   /* dirtied by the machine; 0: as fast as it can */
    uint64_t set_bytes;          /* working set (disk: of all disks); 0: idle 16 MiB, else all that there is */
    uint64_t seed;
    uint64_t verify_bytes_per_s; /* background verification; 0: idle 8 MiB/s, else half of what is written and at
                                    least 32 MiB/s */
    enum gw_guest_stores stores;
    uint64_t poll_ns;            /* longest sleep between two looks at the clock; 0: 1 ms, idle 10 ms */
    bool filled;                 /* the set is full of data from the start, written at creation (not: disk) */
};

struct gw_machine_disk_config {
    const char *path;            /* file, block device or URI (gw_node_open); or */
    struct gw_machine_disk take; /* ops not NULL: any other kind. The machine's from the call of new on, whatever happens */
    struct gw_node_options options; /* of path; `inactive` is set by the machine */
    const char *id;              /* at most 20 bytes reach the guest; NULL: "disk0", ... */
};

struct gw_machine_config {
    const char *name;  /* machine type is always "godwit-1"; this is what people call it. May be NULL */
    uint8_t uuid[16];
    struct gw_machine_memory memory[GW_GUEST_MAX_RANGES];
    unsigned memory_count;
    unsigned cpus; /* 1..GW_GUEST_MAX_CPUS */
    enum gw_machine_accel accel;
    struct gw_machine_workload workload; /* unused when incoming: it comes with the memory */
    struct gw_machine_disk_config disk[GW_GUEST_MAX_DISKS];
    unsigned disk_count;
    /* Told of each request that a disk could not do, which the guest sees as an I/O error; err names the disk and the offset.
     * On the disk's thread; it must not call the machine. NULL: nobody. */
    void (*disk_failed)(void *opaque, const struct gw_error *err);
    void *disk_failed_opaque;
    const char *serial;                  /* "stdio", "null", "file:PATH", "unix:PATH" (listens); NULL: null */
    bool incoming;                       /* memory stays untouched and devices at reset: for a load */
    enum gw_tracker_kind tracker;        /* kvm-log, kvm-ring: needs KVM; explicit: needs Unicorn */
    uint32_t ring_bytes;                 /* kvm-ring: of each vCPU, a power of two; 0: 64 KiB */
    /* Before each text that goes from the serial port to standard output, on the port's thread. NULL: nothing */
    void (*before_print)(void *opaque);
    void *opaque;
};

/* One block of 128 MiB, one vCPU, accelerator auto, workload idle. */
void gw_machine_config_init(struct gw_machine_config *config);

/* "KIND[,rate=SIZE][,set=SIZE][,seed=N][,verify=SIZE][,stores=auto|cpu|engine][,fill=on|off]". -EINVAL tells which part. */
int gw_machine_workload_parse(const char *text, struct gw_machine_workload *ret_workload, struct gw_error *err);
const char *gw_machine_workload_name(enum gw_guest_workload kind);
/* "64M": bytes, powers of two, K M G T. */
int gw_machine_size_parse(const char *text, uint64_t *ret_bytes, struct gw_error *err);

/* The machine is stopped. Errors: -EINVAL (what of the config), -ENOMEM, -ENOTSUP (no such accelerator here). */
int gw_machine_new(const struct gw_machine_config *config, struct gw_machine **ret_machine, struct gw_error *err);
/* Stops it. No migration of it may be left. Takes NULL, returns NULL. */
struct gw_machine *gw_machine_free(struct gw_machine *m);
/* "kvm" or "unicorn". */
const char *gw_machine_accel_name(const struct gw_machine *m);

/* Runs, or runs on. 0 when it runs already; -ESHUTDOWN when its guest has ended. */
int gw_machine_start(struct gw_machine *m, struct gw_error *err);
/* All vCPUs stand between two instructions, devices are quiet, virtual time stands. Within a few milliseconds, unless a
 * vCPU waits for a page that is still on its way. */
int gw_machine_stop(struct gw_machine *m, struct gw_error *err);
bool gw_machine_running(struct gw_machine *m);

/* Waits until the guest ended the machine. 0: *ret_status is its exit code (enum gw_guest_exit); -ETIMEDOUT;
 * -EFAULT: it crashed, *err tells how. */
int gw_machine_wait(struct gw_machine *m, uint64_t timeout_ns, int *ret_status, struct gw_error *err);

/* The mailbox of a vCPU as it was after one of its polls. -EAGAIN when the guest has not come that far. */
int gw_machine_mailbox(struct gw_machine *m, unsigned cpu, struct gw_guest_mailbox *ret_box, struct gw_error *err);
/* Host memory behind guest memory; NULL when [gpa, gpa + bytes) is not within one block. */
void *gw_machine_memory_at(struct gw_machine *m, uint64_t gpa, uint64_t bytes);
/* A copy of the newest text of the serial port, at most size - 1 bytes and a NUL. Returns its length. */
size_t gw_machine_serial_tail(struct gw_machine *m, char *buf, size_t size);

/* Slow down all vCPUs by this share of time, or limit what each may dirty: gw_vm_ops of the same names. 0 ends it. */
void gw_machine_throttle(struct gw_machine *m, unsigned percent);
void gw_machine_dirty_limit(struct gw_machine *m, uint64_t bytes_per_s);
/* The same for one vCPU; of the two the smaller holds. */
void gw_machine_vcpu_dirty_limit(struct gw_machine *m, unsigned cpu, uint64_t bytes_per_s);
/* For how long, in all, the limit has held the vCPU that it held longest. Any thread. */
uint64_t gw_machine_limited_ns(const struct gw_machine *m);

/* Makes the machine a gw_vm: its RAM, devices, tracker and ops. Once. */
int gw_machine_attach(struct gw_machine *m, struct gw_error *err);
struct gw_vm *gw_machine_vm(struct gw_machine *m); /* NULL before attach */

#endif
