/* SPDX-License-Identifier: MIT
 *
 * The guest's program fills memory with a sequence, repeatedly, receives bytes and posts buffers, and checks all
 * results. So it detects a migration that lost or duplicated data.
 */
#include <string.h>
#include <unistd.h>

#include "small_vmm.h"

#define WORDS        (RAM_BYTES / 8)
#define BUFFER_BYTES 4096u
#define SEQUENCE(n)  ((n) * 0x9E3779B97F4A7C15ull)

/* Guests write while their memory is being read, which dirty tracking handles. So the thread sanitizer must ignore
 * this. */
__attribute__((no_sanitize("thread"))) static void put_words(uint64_t *ram, uint64_t n, unsigned count)
{
    for (; count; count--, n++)
        ram[n % WORDS] = SEQUENCE(n);
}

/* Sum of the bytes of the page that has words 512 * page and following. */
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

/* One step uses each of the devices once. */
static void step(struct small_vmm *v)
{
    uint64_t n = v->cpu.step * 64;
    uint8_t byte;

    put_words((uint64_t *)(void *)v->ram, n, 64);
    /* The bytes that arrive are the numbers of the steps that sent them: 8 are queued, or a new one is the first. */
    if (v->cpu.step >= 8 && (!uart_take(&v->uart, &byte) || byte != (uint8_t)(v->cpu.step - 8)))
        v->cpu.wrong++;
    if (!uart_receive(&v->uart, (uint8_t)v->cpu.step))
        v->cpu.wrong++;
    /* Eight steps fill a page. Each step posts the last full page, from step 8 on. */
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
