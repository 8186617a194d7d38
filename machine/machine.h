/* SPDX-License-Identifier: MIT
 *
 * machine: a small x86-64 virtual machine whose guest checks itself, for migrations by the engine. docs/machine.md
 * describes the machine itself; abi.h is its interface with the guest.
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
 * Threads: one for each vCPU, one for each disk and one for the serial port, all created by the machine. All functions
 * may be called on any thread, but new, attach and free on one only. Machines share nothing: a process may have any
 * number.
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
    GW_MACHINE_ACCEL_AUTO,    /* KVM if it runs our guest well, else Unicorn */
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
    const char *file;                /* borrowed until the machine was made. Created if missing; an existing file must have the
                                      * block's length */
};

struct gw_machine_workload {
    enum gw_guest_workload kind;
    uint64_t rate_bytes_per_s;   /* dirty rate; 0: as fast as possible */
    uint64_t set_bytes;          /* working set (disk: of all disks); 0: idle 16 MiB, else all memory available */
    uint64_t seed;
    uint64_t verify_bytes_per_s; /* background verification; 0: idle 8 MiB/s, else half of the write rate and at least 32 MiB/s */
    enum gw_guest_stores stores;
    uint64_t poll_ns;            /* longest sleep between two reads of the clock; 0: 1 ms, idle 10 ms */
    bool filled;                 /* the set is full of data from the start, written at creation (not for disk) */
};

struct gw_machine_disk_config {
    const char *path;            /* file, block device or URI (gw_node_open); or */
    struct gw_machine_disk take; /* ops not NULL: any other kind. gw_machine_new always takes it */
    struct gw_node_options options; /* for path; the machine sets `inactive` */
    const char *id;              /* the guest sees at most 20 bytes; NULL: "disk0", ... */
};

struct gw_machine_config {
    const char *name;  /* the machine's name for users; its type is always "godwit-1". May be NULL */
    uint8_t uuid[16];
    struct gw_machine_memory memory[GW_GUEST_MAX_RANGES];
    unsigned memory_count;
    unsigned cpus; /* 1..GW_GUEST_MAX_CPUS */
    enum gw_machine_accel accel;
    struct gw_machine_workload workload; /* unused with incoming: it arrives with the memory */
    struct gw_machine_disk_config disk[GW_GUEST_MAX_DISKS];
    unsigned disk_count;
    /* Called for each request that failed on a disk, which the guest sees as an I/O error; err names the disk and the
     * offset. On the disk's thread; it must not call the machine. May be NULL. */
    void (*disk_failed)(void *opaque, const struct gw_error *err);
    void *disk_failed_opaque;
    const char *serial;                  /* "stdio", "null", "file:PATH", "unix:PATH" (listens); NULL: null */
    bool incoming;                       /* memory stays untouched and devices in reset state: for a load */
    enum gw_tracker_kind tracker;        /* kvm-log, kvm-ring: needs KVM; explicit: needs Unicorn */
    uint32_t ring_bytes;                 /* kvm-ring: size for each vCPU, a power of two; 0: 64 KiB */
    /* Called before text of the serial port is written to standard output, on the port's thread. May be NULL */
    void (*before_print)(void *opaque);
    void *opaque;
};

/* One block of 128 MiB, one vCPU, accelerator auto, workload idle. */
void gw_machine_config_init(struct gw_machine_config *config);

/* "KIND[,rate=SIZE][,set=SIZE][,seed=N][,verify=SIZE][,stores=auto|cpu|engine][,fill=on|off]". -EINVAL: the error names
 * the part. */
int gw_machine_workload_parse(const char *text, struct gw_machine_workload *ret_workload, struct gw_error *err);
const char *gw_machine_workload_name(enum gw_guest_workload kind);
/* "64M": bytes, powers of two, K M G T. */
int gw_machine_size_parse(const char *text, uint64_t *ret_bytes, struct gw_error *err);

/* The machine is stopped. Errors: -EINVAL (names the member of config), -ENOMEM, -ENOTSUP (no such accelerator
 * here). */
int gw_machine_new(const struct gw_machine_config *config, struct gw_machine **ret_machine, struct gw_error *err);
/* Stops it. Its migrations must have ended. Takes NULL, returns NULL. */
struct gw_machine *gw_machine_free(struct gw_machine *m);
/* "kvm" or "unicorn". */
const char *gw_machine_accel_name(const struct gw_machine *m);

/* Starts or continues it. 0 if it runs already; -ESHUTDOWN if its guest has ended. */
int gw_machine_start(struct gw_machine *m, struct gw_error *err);
/* Stops all vCPUs between two instructions, the devices and virtual time. Takes a few milliseconds, unless a vCPU waits
 * for a page that has not arrived. */
int gw_machine_stop(struct gw_machine *m, struct gw_error *err);
bool gw_machine_running(struct gw_machine *m);

/* Waits until the guest ended the machine. 0: *ret_status is its exit code (enum gw_guest_exit); -ETIMEDOUT;
 * -EFAULT: it crashed, *err has the reason. */
int gw_machine_wait(struct gw_machine *m, uint64_t timeout_ns, int *ret_status, struct gw_error *err);

/* The mailbox of a vCPU after one of its polls. -EAGAIN: the guest has not polled yet. */
int gw_machine_mailbox(struct gw_machine *m, unsigned cpu, struct gw_guest_mailbox *ret_box, struct gw_error *err);
/* Host memory behind guest memory; NULL when [gpa, gpa + bytes) is not within one block. */
void *gw_machine_memory_at(struct gw_machine *m, uint64_t gpa, uint64_t bytes);
/* Copies the newest text of the serial port, at most size - 1 bytes and a NUL. Returns its length. */
size_t gw_machine_serial_tail(struct gw_machine *m, char *buf, size_t size);

/* Slow all vCPUs down by this share of time, or limit the dirty rate of each: gw_vm_ops of the same names. 0: no
 * limit. */
void gw_machine_throttle(struct gw_machine *m, unsigned percent);
void gw_machine_dirty_limit(struct gw_machine *m, uint64_t bytes_per_s);
/* The same for one vCPU; the lower of both limits applies. */
void gw_machine_vcpu_dirty_limit(struct gw_machine *m, unsigned cpu, uint64_t bytes_per_s);
/* The total time of waits for the limit, of the vCPU that waited longest. Any thread. */
uint64_t gw_machine_limited_ns(const struct gw_machine *m);

/* Makes the machine a gw_vm: its RAM, devices, tracker and ops. Once. */
int gw_machine_attach(struct gw_machine *m, struct gw_error *err);
struct gw_vm *gw_machine_vm(struct gw_machine *m); /* NULL before attach */

#endif
