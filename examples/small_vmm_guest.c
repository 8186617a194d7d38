/* SPDX-License-Identifier: MIT
 *
 * The guest's program fills memory with a sequence, round and round, receives bytes and posts buffers, and compares all that
 * comes back with what it must be: a migration that lost or doubled anything is found out.
 */
#include <string.h>
#include <unistd.h>

#include "small_vmm.h"

#define WORDS        (RAM_BYTES / 8)
#define BUFFER_BYTES 4096u
#define SEQUENCE(n)  ((n) * 0x9E3779B97F4A7C15ull)

/* Guests write while their memory is being read: that is what dirty tracking is for, and thread sanitizers need not mind. */
__attribute__((no_sanitize("thread"))) static void put_words(uint64_t *ram, uint64_t n, unsigned count)
{
    for (; count; count--, n++)
        ram[n % WORDS] = SEQUENCE(n);
}

/* Of the bytes of the page that words 512 * page and on were put into. */
static uint64_t expected_sum(uint64_t page)
{
    uint64_t sum = 0;

    for (uint64_t n = page * 512; n < (page + 1) * 512; n++)
        for (unsigned i = 0; i < 8; i++)
            sum += SEQUENCE(n) >> 8 * i & 0xff;
    return sum;
}

/* The device takes a buffer that was posted four steps ago. */
static bool mailbox_answers(struct small_vmm *v)
{
    uint32_t n = v->mailbox.taken;

    mailbox_work(&v->mailbox, v->ram);
    return v->mailbox.entry[n % MAILBOX_SIZE].done && v->mailbox.entry[n % MAILBOX_SIZE].sum == expected_sum((8 + n) / 8 - 1);
}

/* One step; each does a little of everything. */
static void step(struct small_vmm *v)
{
    uint64_t n = v->cpu.step * 64;
    uint8_t byte;

    put_words((uint64_t *)(void *)v->ram, n, 64);
    /* Bytes that came are the numbers of the steps in which they were sent: 8 wait, or a new one is the first. */
    if (v->cpu.step >= 8 && (!uart_take(&v->uart, &byte) || byte != (uint8_t)(v->cpu.step - 8)))
        v->cpu.wrong++;
    if (!uart_receive(&v->uart, (uint8_t)v->cpu.step))
        v->cpu.wrong++;
    /* Eight steps fill a page. Each posts the last one that is full: they begin at step 8. */
    if (v->cpu.step >= 12 && !mailbox_answers(v))
        v->cpu.wrong++;
    if (v->cpu.step >= 8 && !mailbox_post(&v->mailbox, (n / 512 - 1) * BUFFER_BYTES % RAM_BYTES, BUFFER_BYTES))
        v->cpu.wrong++;
    v->cpu.step++;
}

void *guest_thread(void *arg)
{
    struct small_vmm *v = arg;

    for (; !v->ends; usleep(500)) {
        pthread_mutex_lock(&v->lock);
        if (v->runs) {
            clock_advance(&v->clock);
            for (int i = 0; i < 4; i++)
                step(v);
        }
        pthread_mutex_unlock(&v->lock);
    }
    return NULL;
}

uint64_t guest_wrong_words(const struct small_vmm *v)
{
    uint64_t n = v->cpu.step * 64, wrong = 0;

    for (uint64_t i = n > WORDS ? n - WORDS : 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, v->ram + i % WORDS * 8, sizeof word);
        wrong += word != SEQUENCE(i);
    }
    return wrong;
}
