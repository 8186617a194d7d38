/* SPDX-License-Identifier: MIT
 *
 * internal: declarations that the files of the machine share.
 *
 *     machine.c   made and unmade          run.c      start, stop, the vCPU threads
 *     memory.c    RAM blocks               loader.c   what is in memory at the start
 *     cpu.c       vCPU state               accel*.c   who executes
 *     ports.c     port I/O                 pace.c     sleeping vCPUs: wait port, throttle, dirty limit
 *     clock.c     virtual time             serial.c   the serial port's other end
 *     virtio_*.c  block devices            disk.c     what they read and write
 *     guestmem.c  devices in guest memory  debt.c     what is owed to a dirty limit
 *     workload.c  options as text          attach.c   the machine as a gw_vm
 */
#ifndef GW_MACHINE_INTERNAL_H
#define GW_MACHINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "machine/accel.h"
#include "machine/cpu.h"
#include "machine/debt.h"
#include "machine/machine.h"
#include "machine/virtio.h"

#define GW_MACHINE_TYPE "godwit-1"

struct gw_machine_block {
    char name[64];
    uint8_t *host;
    uint64_t gpa, bytes, page_bytes;
    bool shared;
    bool file; /* a shared mapping of a named file */
};

/* Port registers of one vCPU. */
struct gw_port_state {
    uint64_t wall_ns, virtual_ns; /* values of the last poll */
    uint8_t poll_word;            /* the next word to be read */
    uint64_t fill_gpa, fill_key;
    uint32_t line_bytes;
    uint8_t line[200]; /* a line of the serial port, until it is complete */
};
extern const struct gw_state gw_port_description;

struct gw_vcpu {
    struct gw_machine *machine;
    unsigned index;
    pthread_t thread;
    bool thread_made;
    int32_t thread_id;       /* gettid; set when `ready` is */

    struct gw_cpu_state cpu; /* authoritative while parked */
    struct gw_port_state port;
    void *accel;             /* the accelerator's data, used on the vCPU's thread */

    _Atomic bool leave;      /* stop executing after the current instruction */
    bool parked, ready, quit; /* under machine->lock */

    pthread_mutex_t sleep_lock; /* for the sleeps of pace.c */
    pthread_cond_t wake;
    bool event;                 /* under sleep_lock: an event that the guest may wait for has occurred */
    bool limits_changed;        /* under sleep_lock: a limit changed, so the rest must be recomputed */
    uint64_t slice_began_ns;    /* throttle: since when it has run without a rest */
    struct gw_debt debt;        /* dirty limit */
    _Atomic uint64_t dirty_limit_bytes_per_s; /* its own limit, in addition to the machine's */
    _Atomic uint64_t dirtied_bytes; /* total */
    _Atomic uint64_t limited_ns; /* total time of waits for the dirty limit */
};

struct gw_machine_clock {
    _Atomic bool running;
    _Atomic uint64_t origin_ns; /* running: monotonic time at virtual 0 */
    uint64_t virtual_ns;        /* while stopped: virtual time */
};
extern const struct gw_state gw_machine_clock_description;

struct gw_serial;

struct gw_machine {
    char name[128];
    uint8_t uuid[16];
    struct gw_machine_block block[GW_GUEST_MAX_RANGES];
    unsigned blocks;
    struct gw_vcpu *vcpu;
    unsigned cpus;
    const struct gw_accel_ops *accel;
    enum gw_machine_accel accel_wanted;
    void *accel_machine; /* the accelerator's data */
    struct gw_machine_clock clock;
    struct gw_serial *serial;
    struct gw_virtio_blk *disk[GW_GUEST_MAX_DISKS];
    unsigned disks;

    pthread_mutex_t control; /* serialises start and stop; taken before lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;  /* signalled when a vCPU parked or is ready, the machine ended, or vCPUs may run */
    bool run;                /* vCPUs may execute */
    bool dying;              /* gw_machine_free has begun */
    bool ended;
    int exit_status;
    struct gw_error crash;   /* code 0: it did not crash */

    _Atomic unsigned throttle_percent;
    _Atomic uint64_t dirty_limit_bytes_per_s;

    enum gw_tracker_kind tracker;
    uint32_t ring_bytes;
    struct gw_vm *vm; /* and its calls, set by attach: */
    int (*mark_dirty)(struct gw_vm *vm, uint64_t gpa, uint64_t bytes);
    int (*dirty_ring_full)(struct gw_vm *vm, struct gw_error *err);
    struct gw_vm *(*free_vm)(struct gw_vm *vm);
    bool incoming;
};

/* memory.c */
int gw_memory_map(struct gw_machine *m, const struct gw_machine_config *config, struct gw_error *err);
void gw_memory_unmap(struct gw_machine *m);
/* The machine itself (not a vCPU) wrote to this memory. */
void gw_memory_written(struct gw_machine *m, uint64_t gpa, uint64_t bytes);

/* loader.c: program, page tables, parameters, tables of generations. */
int gw_loader_load(struct gw_machine *m, const struct gw_machine_config *config, struct gw_error *err);

/* run.c */
int gw_run_open(struct gw_machine *m, struct gw_error *err); /* creates the threads, parked */
void gw_run_close(struct gw_machine *m);
/* On a vCPU's thread: the guest asked to end the machine. */
void gw_run_end(struct gw_vcpu *v, int status);

/* ports.c; on the vCPU's thread. bytes: 1, 2 or 4. */
void gw_port_out(struct gw_vcpu *v, uint16_t port, unsigned bytes, uint32_t value);
uint32_t gw_port_in(struct gw_vcpu *v, uint16_t port, unsigned bytes);
/* The same for the registers of the disks; offset from GW_GUEST_MMIO_GPA. */
void gw_mmio_out(struct gw_machine *m, uint64_t offset, unsigned bytes, uint32_t value);
uint32_t gw_mmio_in(struct gw_machine *m, uint64_t offset, unsigned bytes);

/* pace.c; on the vCPU's thread; all return early when it must leave. */
void gw_vcpu_pace_wait(struct gw_vcpu *v, uint64_t until_virtual_ns);
void gw_vcpu_pace_throttle(struct gw_vcpu *v);
void gw_vcpu_pace_dirtied(struct gw_vcpu *v, uint64_t bytes);
/* Any thread. event: ends the current or the next wait; else ends the rest that a limit imposes. Both end if the vCPU
 * must leave. */
void gw_vcpu_pace_wake(struct gw_vcpu *v, bool event);

/* clock.c */
uint64_t gw_clock_monotonic_ns(void);
uint64_t gw_clock_wall_ns(void);
uint64_t gw_clock_virtual_ns(struct gw_machine_clock *clock);
void gw_clock_run(struct gw_machine_clock *clock);
void gw_clock_stand(struct gw_machine_clock *clock);

/* serial.c */
int gw_serial_open(const struct gw_machine_config *config, struct gw_serial **ret_serial, struct gw_error *err);
struct gw_serial *gw_serial_close(struct gw_serial *s); /* writes the buffered text first */
void gw_serial_put(struct gw_serial *s, const void *text, size_t bytes);
size_t gw_serial_tail(struct gw_serial *s, char *buf, size_t size);

#endif
