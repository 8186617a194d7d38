/* SPDX-License-Identifier: MIT */
#include "guest.h"

/* Finds the wrong byte; the fast loops below only detect that there is one. */
static _Noreturn void page_corrupt(const struct worker *w, uint64_t gpa, uint32_t generation)
{
    const struct gw_guest_params *p = w->params;
    const uint64_t *word = (const uint64_t *)gpa;

    for (unsigned i = 0; i < GW_GUEST_PAGE_WORDS; i++) {
        uint64_t expected = gw_guest_word(p->workload, p->seed, gpa, generation, i);
        uint64_t found = word[i], wrong = expected ^ found;
        if (wrong) {
            unsigned byte = (unsigned)__builtin_ctzll(wrong) / 8;
            guest_corrupt(w, "memory", gpa + i * 8 + byte, expected >> byte * 8 & 255, found >> byte * 8 & 255);
        }
    }
    /* It was wrong a moment ago and is correct now. */
    guest_corrupt(w, "memory that changes by itself", gpa, generation, generation);
}

static inline uint64_t words_differ(const uint64_t *word, uint64_t value, unsigned count, uint64_t step)
{
    uint64_t wrong = 0;

    for (; count >= 8; count -= 8, word += 8) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < 8; i++, value += step)
            wrong |= word[i] ^ value;
    }
    for (; count; count--, word++, value += step)
        wrong |= *word ^ value;
    return wrong;
}

static bool sparse_differs(const struct worker *w, uint64_t gpa, uint32_t generation)
{
    const uint64_t *word = (const uint64_t *)gpa;
    uint64_t base = gw_guest_key(w->params->seed, gpa, 0), wrong = 0;

    for (unsigned stripe = 0; stripe < 8; stripe++) {
        unsigned from = stripe * 64, slot = from + gw_guest_sparse_slot(base, stripe);
        uint64_t at_slot = base + slot * GW_GUEST_STEP;
        wrong |= words_differ(word + from, base + from * GW_GUEST_STEP, slot - from, GW_GUEST_STEP);
        wrong |= word[slot] ^ ((at_slot & ~0xffffull) | gw_guest_sparse_mark(generation, stripe));
        wrong |= words_differ(word + slot + 1, at_slot + GW_GUEST_STEP, from + 63 - slot, GW_GUEST_STEP);
    }
    return wrong;
}

void guest_page_verify(const struct worker *w, uint64_t gpa, uint32_t generation)
{
    const struct gw_guest_params *p = w->params;
    bool wrong;

    if (generation == 0 || (p->workload == GW_GUEST_ZERO && !(generation & 1)))
        wrong = words_differ((const uint64_t *)gpa, 0, GW_GUEST_PAGE_WORDS, 0);
    else if (p->workload == GW_GUEST_SPARSE)
        wrong = sparse_differs(w, gpa, generation);
    else
        wrong = words_differ((const uint64_t *)gpa, gw_guest_key(p->seed, gpa, generation), GW_GUEST_PAGE_WORDS,
                             GW_GUEST_STEP);
    if (wrong)
        page_corrupt(w, gpa, generation);
}

static void words_store(uint64_t *word, uint64_t value, uint64_t step)
{
    for (unsigned n = 0; n < GW_GUEST_PAGE_WORDS; n += 8, word += 8) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < 8; i++, value += step)
            *(volatile uint64_t *)(word + i) = value;
    }
}

static void page_store(const struct worker *w, uint64_t gpa, uint32_t generation, uint64_t key, uint64_t step)
{
    bool engine = w->params->stores == GW_GUEST_STORES_ENGINE;

    /* If the CPU's stores are slow, the engine writes seven pages of eight; the eighth keeps both methods tested. */
    if (w->params->stores == GW_GUEST_STORES_AUTO && (w->features & GW_GUEST_SLOW_STORES))
        engine = (gpa / GW_GUEST_PAGE + generation) & 7;
    if (engine)
        guest_fill(gpa, key, GW_GUEST_PAGE_WORDS | (step ? 0 : GW_GUEST_FILL_SAME));
    else
        words_store((uint64_t *)gpa, key, step);
}

void guest_page_write(struct worker *w, uint64_t gpa, uint32_t generation)
{
    const struct gw_guest_params *p = w->params;
    uint64_t key = gw_guest_key(p->seed, gpa, generation), step = GW_GUEST_STEP;

    if (p->workload == GW_GUEST_SPARSE) {
        uint64_t base = gw_guest_key(p->seed, gpa, 0);
        if (generation == 1)
            page_store(w, gpa, generation, base, step);
        for (unsigned stripe = 0; stripe < 8; stripe++) {
            uint64_t *word = (uint64_t *)gpa + stripe * 64 + gw_guest_sparse_slot(base, stripe);
            *(volatile uint16_t *)word = gw_guest_sparse_mark(generation, stripe);
        }
        return;
    }
    if (p->workload == GW_GUEST_ZERO && !(generation & 1))
        key = step = 0;
    page_store(w, gpa, generation, key, step);
}

uint32_t guest_entry_read(const struct worker *w, const uint64_t *entry, uint64_t where)
{
    uint64_t found = *entry, expected = gw_guest_entry(w->params->seed, where, (uint32_t)found);

    if (found != expected)
        guest_corrupt(w, "table of generations", (uint64_t)entry, expected, found);
    return (uint32_t)found;
}
