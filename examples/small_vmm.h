/* SPDX-License-Identifier: MIT
 *
 * small_vmm: a small virtual machine monitor. It shows tasks of an embedder beyond migrate_self: devices whose state
 * has guest addresses, timers, a device that got a new version and a subsection since its first release, and a QMP
 * server.
 *
 *     small_vmm.c          the machine's interface to the library, the command line
 *     small_vmm_devices.c its three devices and their state
 *     small_vmm_guest.c    the processor and the program that it runs
 *
 * docs/embedding.md walks through it.
 */
#ifndef SMALL_VMM_H
#define SMALL_VMM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <godwit/godwit.h>

#define RAM_BYTES    (32u << 20)
#define MAILBOX_SIZE 8u

/* A clock with one alarm. The guest's time is stopped while the machine is. */
struct clock_device {
    uint64_t now_ns;    /* the guest's time */
    uint64_t alarm_ns;  /* when the alarm rings, in the guest's time; all ones: never */
    uint32_t rang;      /* number of alarms so far */
    uint64_t host_ns;   /* the host's time at now_ns: it differs between hosts, so it is not migrated */
};

/* A serial port. The first release had no `mcr`, and ignored a break condition. */
struct uart_device {
    uint8_t ier, mcr;
    uint16_t divisor;
    bool break_pending;
    uint64_t break_ns;
    uint32_t rx_len;
    uint8_t rx[16];
    uint64_t received; /* total bytes */
};

/* A mailbox: the guest posts buffers in its memory, the device sums up their contents. */
struct mailbox_entry {
    uint64_t gpa;
    uint32_t bytes;
    bool done;
    uint64_t sum;
};
struct mailbox_device {
    uint32_t posted, taken; /* counts; entry n is at n % MAILBOX_SIZE */
    struct mailbox_entry entry[MAILBOX_SIZE];
};

/* The processor: the position of the guest's program. */
struct cpu {
    uint64_t step;
    uint64_t wrong; /* number of values that the program found to be wrong */
};

struct small_vmm {
    uint8_t *ram;
    struct cpu cpu;
    struct clock_device clock;
    struct uart_device uart;
    struct mailbox_device mailbox;
    pthread_mutex_t lock; /* held by the processor while it does a step */
    atomic_bool runs, had_guest, ends;
    pthread_t thread;
};

/* small_vmm_devices.c */
void clock_reset(struct clock_device *c);
void clock_run(struct clock_device *c);    /* the guest's time continues */
void clock_advance(struct clock_device *c); /* advances to the present; rings the alarm */
bool uart_receive(struct uart_device *u, uint8_t byte); /* false: the queue is full */
bool uart_take(struct uart_device *u, uint8_t *ret_byte);
bool mailbox_post(struct mailbox_device *m, uint64_t gpa, uint32_t bytes);
void mailbox_work(struct mailbox_device *m, const uint8_t *ram); /* processes one entry */
/* Registers all devices. old: as in the first release of this program. */
int devices_add(struct small_vmm *vmm, struct gw_registry *registry, bool old, struct gw_error *err);

/* small_vmm_guest.c */
void *guest_thread(void *vmm);
/* Number of words of memory that differ from what the program wrote. The machine must be stopped. */
uint64_t guest_wrong_words(const struct small_vmm *vmm);

#endif
