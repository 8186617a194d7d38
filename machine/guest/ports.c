/* SPDX-License-Identifier: MIT */
#include "guest.h"

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

struct guest_poll guest_poll(void)
{
    uint32_t word[GW_GUEST_POLL_WORDS], *to = word;
    uint64_t count = GW_GUEST_POLL_WORDS;

    __asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"((uint16_t)GW_PORT_POLL) : "memory");
    return (struct guest_poll){
        .wall_ns = word[GW_GUEST_POLL_WALL_LOW] | (uint64_t)word[GW_GUEST_POLL_WALL_HIGH] << 32,
        .virtual_ns = word[GW_GUEST_POLL_VIRTUAL_LOW] | (uint64_t)word[GW_GUEST_POLL_VIRTUAL_HIGH] << 32,
        .features = word[GW_GUEST_POLL_FEATURES],
    };
}

void guest_sleep_us(uint32_t us)
{
    out32(GW_PORT_WAIT, us);
}

void guest_dirtied(uint64_t bytes)
{
    out32(GW_PORT_DIRTIED, (uint32_t)bytes);
}

void guest_fill(uint64_t gpa, uint64_t key, uint32_t words)
{
    out32(GW_PORT_FILL_LOW, (uint32_t)gpa);
    out32(GW_PORT_FILL_HIGH, (uint32_t)(gpa >> 32));
    out32(GW_PORT_KEY_LOW, (uint32_t)key);
    out32(GW_PORT_KEY_HIGH, (uint32_t)(key >> 32));
    out32(GW_PORT_FILL, words);
}

_Noreturn void guest_exit(enum gw_guest_exit code)
{
    for (;;) {
        out32(GW_PORT_EXIT, code);
        guest_yield();
    }
}
