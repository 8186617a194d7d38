/* SPDX-License-Identifier: MIT
 *
 * guest: the parts of the self-checking program that runs in the machine. It has no interrupts, no allocation and no data
 * but its stacks, the mailboxes and the working set; each vCPU uses only its own share of the set, so no locks are
 * needed.
 *
 *     main.c   start, the loop: a batch of work, a poll, perhaps a sleep
 *     page.c   one page: write the next generation, verify
 *     work.c   which page next: the workloads; the background scan
 *     disk.c   the same on disks
 *     ports.c  clock, sleep, exit, store engine
 *     print.c  the serial port; how corruption is reported
 */
#ifndef GW_GUEST_H
#define GW_GUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "machine/abi.h"

/* The state of a vCPU. A checksum protects it between uses, since it is guest memory too. If its share of the
 * set reverted to old contents, `generations` would differ from the sum over the table. */
struct worker {
    const struct gw_guest_params *params;
    struct gw_guest_mailbox *box;
    uint64_t cpu;
    uint64_t chance;              /* state of the random generator */
    uint64_t slices;
    struct gw_guest_slice slice[GW_GUEST_MAX_RANGES];
    uint64_t pages;               /* pages of all slices; disk: blocks */
    uint64_t cursor;              /* position of sequential and sparse */
    uint64_t scan;                /* next page to verify */
    uint64_t scan_generations;    /* sum over the pages before it */
    uint64_t generations;         /* sum over all pages */
    uint64_t text_scan, text_sum; /* the program: next byte to check, sum so far */
    uint64_t tables_scan, tables_sum;
    uint64_t batch_pages;         /* work between two polls: adapted to take about half a millisecond */
    uint64_t wall_ns, virtual_ns; /* at the last poll */
    uint64_t pace_virtual_ns;     /* start of the counts below */
    uint64_t pace_written_pages, pace_verified_pages;
    uint64_t undeclared_bytes;    /* dirtied, not yet reported by GW_PORT_DIRTIED */
    uint64_t written_pages, verified_pages, passes;
    uint64_t beat_virtual_ns, beat_gap_ns, beat_number;
    uint64_t features;            /* enum gw_guest_feature, at the last poll */
    uint64_t flush_virtual_ns;    /* disk: time of the next flush */
    uint64_t seal;                /* last member: gw_guest_sum of all before it */
};

/* start.S: a place where the vCPU may be stopped. No loop may run longer than a fraction of a millisecond without
 * calling it. */
void guest_yield(void);

/* main.c: reads the clocks, measures the gap since the last poll, updates the mailbox. */
void guest_look(struct worker *w);

/* ports.c */
struct guest_poll {
    uint64_t wall_ns, virtual_ns, features;
};
struct guest_poll guest_poll(void);
/* Sleeps until this long after the last poll. */
void guest_sleep_us(uint32_t us);
void guest_dirtied(uint64_t bytes);
void guest_fill(uint64_t gpa, uint64_t key, uint32_t words);
_Noreturn void guest_exit(enum gw_guest_exit code);

/* print.c */
void guest_put(const char *text);
void guest_put_decimal(uint64_t value);
void guest_put_hex(uint64_t value);
/* "corrupt: ..." on the serial port and in the mailbox, then the machine ends. where: a guest-physical address, or a disk
 * position with GW_GUEST_WHERE_DISK. what: the rule that was violated. */
_Noreturn void guest_corrupt(const struct worker *w, const char *what, uint64_t where, uint64_t expected, uint64_t found);

/* page.c */
void guest_page_verify(const struct worker *w, uint64_t gpa, uint32_t generation);
/* Writes the next generation over generation - 1. */
void guest_page_write(struct worker *w, uint64_t gpa, uint32_t generation);
/* Checks an entry of the table and returns the generation. */
uint32_t guest_entry_read(const struct worker *w, const uint64_t *entry, uint64_t where);

/* work.c */
void guest_work_init(struct worker *w);
/* Writes the next page; verifies the next page. Both return the number of pages. */
uint64_t guest_work_step(struct worker *w);
uint64_t guest_scan_step(struct worker *w);
/* Verifies a piece of the program and of the page tables. */
void guest_scan_program(struct worker *w);
uint64_t guest_chance(struct worker *w);

/* disk.c */
void guest_disk_init(struct worker *w);
uint64_t guest_disk_step(struct worker *w);
uint64_t guest_disk_scan_step(struct worker *w);

#endif
