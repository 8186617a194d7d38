/* SPDX-License-Identifier: MIT
 *
 * small_vmm: a virtual machine monitor in small, to show what an embedder does beyond migrate_self: devices with guests' addresses
 * in them, timers, a device that got a new version and a subsection since its first release, and a QMP server.
 *
 *     small_vmm.c          the machine as the library sees it, the command line
 *     small_vmm_devices.c  what its three devices do, and what their state consists of
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

/* A clock with one alarm. The guest's time stands still while the machine does. */
struct clock_device {
    uint64_t now_ns;    /* the guest's time */
    uint64_t alarm_ns;  /* when it rings, by the guest's time; all ones: never */
    uint32_t rang;      /* how often it did */
    uint64_t host_ns;   /* the host's time that belongs to now_ns: every host has another one, so it does not travel */
};

/* A serial port. The first release had no `mcr`, and threw a break condition away. */
struct uart_device {
    uint8_t ier, mcr;
    uint16_t divisor;
    bool break_pending;
    uint64_t break_ns;
    uint32_t rx_len;
    uint8_t rx[16];
    uint64_t received; /* bytes in all */
};

/* A mailbox: the guest posts buffers in its memory, the device adds up what is in them. */
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

/* The processor: where the guest's program is. */
struct cpu {
    uint64_t step;
    uint64_t wrong; /* what the program found that was not as it had left it */
};

struct small_vmm {
    uint8_t *ram;
    struct cpu cpu;
    struct clock_device clock;
    struct uart_device uart;
    struct mailbox_device mailbox;
    pthread_mutex_t lock; /* the processor's while it does something */
    atomic_bool runs, had_guest, ends;
    pthread_t thread;
};

/* small_vmm_devices.c */
void clock_reset(struct clock_device *c);
void clock_run(struct clock_device *c);    /* the guest's time goes on from here */
void clock_advance(struct clock_device *c); /* to the present; rings the alarm */
bool uart_receive(struct uart_device *u, uint8_t byte); /* false: it is full */
bool uart_take(struct uart_device *u, uint8_t *ret_byte);
bool mailbox_post(struct mailbox_device *m, uint64_t gpa, uint32_t bytes);
void mailbox_work(struct mailbox_device *m, const uint8_t *ram); /* takes one entry */
/* Makes all devices known. old: as the first release of this program did. */
int devices_add(struct small_vmm *vmm, struct gw_registry *registry, bool old, struct gw_error *err);

/* small_vmm_guest.c */
void *guest_thread(void *vmm);
/* Words of memory that are not as the program left them. The machine stands. */
uint64_t guest_wrong_words(const struct small_vmm *vmm);

#endif
