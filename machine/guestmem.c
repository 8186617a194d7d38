/* SPDX-License-Identifier: MIT */
#include "machine/guestmem.h"

#include <string.h>

/* Loops, because the thread sanitizer intercepts memcpy. */
#define HIDDEN __attribute__((no_sanitize("thread"), noinline))

HIDDEN void gw_guestmem_fill(uint64_t *at, uint64_t first, uint64_t step, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, first += step)
        ((volatile uint64_t *)at)[i] = first;
}

HIDDEN static void copy(volatile char *to, const volatile char *from, size_t bytes)
{
    size_t i = 0;

    if (!((uintptr_t)to % 8) && !((uintptr_t)from % 8)) {
        for (; i + 8 <= bytes; i += 8)
            *(volatile uint64_t *)(to + i) = *(const volatile uint64_t *)(from + i);
    }
    for (; i < bytes; i++)
        to[i] = from[i];
}

HIDDEN void gw_guestmem_write(void *guest, const void *from, size_t bytes)
{
    copy(guest, from, bytes);
}

HIDDEN void gw_guestmem_read(void *to, const void *guest, size_t bytes)
{
    copy(to, guest, bytes);
}

HIDDEN void gw_guestmem_publish(uint16_t *guest, uint16_t value)
{
    __atomic_store_n(guest, value, __ATOMIC_RELEASE);
}
