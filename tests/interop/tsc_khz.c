/* SPDX-License-Identifier: MIT
 *
 * Prints the frequency of this machine's time stamp counter in kHz. An emulated processor has the same counter, but a
 * guest that measures it with a timer gets a wrong value on a busy host. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
    uint64_t ns, ticks;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Reads both clocks together: of many tries the one with the shortest interruption. */
static struct moment look(void)
{
    struct moment best = {0};
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < 200; i++) {
        uint64_t before = now_ns(), ticks = __rdtsc(), took = now_ns() - before;

        if (took < least) {
            least = took;
            best = (struct moment){before + took / 2, ticks};
        }
    }
    return best;
}

int main(void)
{
    struct moment a = look(), b;

    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    b = look();
    printf("%" PRIu64 "\n", (uint64_t)((double)(b.ticks - a.ticks) * 1e6 / (double)(b.ns - a.ns) + 0.5));
    return 0;
}
