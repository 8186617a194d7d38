/* SPDX-License-Identifier: MIT
 *
 * guestmem: access of devices to guest memory. vCPUs, devices and migrations read and write guest memory at the same
 * time and without locks, as in real machines. So the thread sanitizer does not see these accesses, just as it does not
 * see the vCPUs' stores. The caller has checked the addresses.
 */
#ifndef GW_MACHINE_GUESTMEM_H
#define GW_MACHINE_GUESTMEM_H

#include <stddef.h>
#include <stdint.h>

/* Stores count words, starting with first, each step more than the one before. */
void gw_guestmem_fill(uint64_t *at, uint64_t first, uint64_t step, uint32_t count);
void gw_guestmem_write(void *guest, const void *from, size_t bytes);
void gw_guestmem_read(void *to, const void *guest, size_t bytes);
/* A ring's index: earlier writes become visible before it. */
void gw_guestmem_publish(uint16_t *guest, uint16_t value);

#endif
