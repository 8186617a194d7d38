/* SPDX-License-Identifier: MIT */
#include "guest.h"

struct place {
    uint64_t gpa;
    uint64_t *entry;
};

static struct place place_of(const struct worker *w, uint64_t page)
{
    const struct gw_guest_slice *s = w->slice;

    while (page >= s->data_pages)
        page -= s++->data_pages;
    return (struct place){s->data_gpa + page * GW_GUEST_PAGE, (uint64_t *)s->table_gpa + page};
}

uint64_t guest_chance(struct worker *w)
{
    return gw_guest_mix(w->chance += GW_GUEST_STEP);
}

void guest_work_init(struct worker *w)
{
    const struct gw_guest_params *p = w->params;

    for (uint32_t r = 0; r < p->ranges; r++) {
        struct gw_guest_slice s = gw_guest_slice_of(p, r, (uint32_t)w->cpu);
        w->slice[r] = s;
        w->pages += s.data_pages;
    }
    w->slices = p->ranges;
    w->generations = p->filled ? w->pages : 0;
}

static uint64_t pick(struct worker *w)
{
    uint64_t chance = guest_chance(w), range = w->pages, page;

    switch (w->params->workload) {
    case GW_GUEST_SEQUENTIAL:
    case GW_GUEST_SPARSE:
        page = w->cursor++;
        if (w->cursor == w->pages)
            w->cursor = 0;
        return page;
    case GW_GUEST_HOTSET:
        /* Half of the choices fall into half of the pages, half of those into a quarter, and so on: about 1/n. */
        for (unsigned halvings = 0; halvings < 12 && (chance & 1) && range > 1; halvings++, chance >>= 1)
            range /= 2;
        /* Multiplying by a prime larger than any set spreads the hot pages over the set. */
        return (guest_chance(w) >> 16) % range * 2147483647ull % w->pages;
    default:
        return (chance >> 16) % range;
    }
}

uint64_t guest_work_step(struct worker *w)
{
    struct place at;
    uint64_t page;
    uint32_t generation;

    if (!w->pages)
        return 1;
    guest_yield();
    page = pick(w);
    at = place_of(w, page);
    generation = guest_entry_read(w, at.entry, at.gpa);
    guest_page_verify(w, at.gpa, generation);
    generation++;
    guest_page_write(w, at.gpa, generation);
    *at.entry = gw_guest_entry(w->params->seed, at.gpa, generation);
    w->generations++;
    if (page < w->scan)
        w->scan_generations++;
    w->written_pages++;
    w->verified_pages++;
    w->undeclared_bytes += GW_GUEST_PAGE;
    return 1;
}

uint64_t guest_scan_step(struct worker *w)
{
    struct place at;
    uint32_t generation;

    if (!w->pages)
        return 1;
    guest_yield();
    at = place_of(w, w->scan);
    generation = guest_entry_read(w, at.entry, at.gpa);
    guest_page_verify(w, at.gpa, generation);
    w->scan_generations += generation;
    w->verified_pages++;
    if (++w->scan < w->pages)
        return 1;
    /* A page and its entry that both reverted are consistent with each other, but not with the sum. */
    if (w->scan_generations != w->generations)
        guest_corrupt(w, "sum of generations", (uint64_t)&w->generations, w->generations, w->scan_generations);
    w->scan = w->scan_generations = 0;
    w->passes++;
    return 1;
}

static void scan_fixed(struct worker *w, const char *what, uint64_t gpa, uint64_t bytes, uint64_t expected, uint64_t *at,
                       uint64_t *sum)
{
    uint64_t end = *at + 1024 < bytes ? *at + 1024 : bytes;

    if (*at == 0)
        *sum = bytes;
    for (; *at < end; *at += 8)
        *sum = ((*sum << 7) | (*sum >> 57)) * 0x9fb21c651e98df25ull + *(const uint64_t *)(gpa + *at);
    if (*at < bytes)
        return;
    if (*sum != expected)
        guest_corrupt(w, what, gpa, expected, *sum);
    *at = 0;
}

void guest_scan_program(struct worker *w)
{
    const struct gw_guest_params *p = w->params;
    uint64_t sum = gw_guest_sum(p, offsetof(struct gw_guest_params, params_sum));

    if (sum != p->params_sum)
        guest_corrupt(w, "parameter page (sum)", GW_GUEST_PARAMS_GPA, p->params_sum, sum);
    scan_fixed(w, "program text (sum)", GW_GUEST_TEXT_GPA, p->text_bytes, p->text_sum, &w->text_scan, &w->text_sum);
    scan_fixed(w, "page tables (sum)", GW_GUEST_PML4_GPA, GW_GUEST_TABLES_END - GW_GUEST_PML4_GPA, p->tables_sum,
               &w->tables_scan, &w->tables_sum);
}
