/* SPDX-License-Identifier: MIT */
#include "guest.h"

#define MS 1000000ull
#define SECOND 1000000000ull

void gw_guest_main(uint64_t cpu);

/* The compiler may generate calls of these for structures. */
void *memset(void *at, int value, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes);

void *memset(void *at, int value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((volatile char *)at)[i] = (char)value;
    return at;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

static void heartbeat(struct worker *w)
{
    uint64_t written = 0, verified = 0, passes = ~0ull, gap = 0;

    /* The other vCPUs write their mailboxes meanwhile, so these values may be inconsistent; they are only printed. */
    for (uint64_t i = 0; i < w->params->cpus; i++) {
        const volatile struct gw_guest_mailbox *box =
            (const volatile struct gw_guest_mailbox *)(GW_GUEST_MAILBOX_GPA + i * GW_GUEST_MAILBOX_BYTES);
        uint64_t gaps = box->gaps, newest = gaps ? box->gap[(gaps - 1) % GW_GUEST_GAPS].ns : 0;
        written += box->pages_written;
        verified += box->pages_verified;
        if (box->verify_passes < passes)
            passes = box->verify_passes;
        /* Recorded since the last heartbeat. */
        if (gaps && box->gap[(gaps - 1) % GW_GUEST_GAPS].at_wall_ns + SECOND > w->wall_ns && newest > gap)
            gap = newest;
    }
    if (w->beat_gap_ns > gap)
        gap = w->beat_gap_ns;
    guest_put("beat ");
    guest_put_decimal(w->beat_number++);
    guest_put(" up_ms ");
    guest_put_decimal(w->virtual_ns / MS);
    guest_put(" gap_us ");
    guest_put_decimal(gap / 1000);
    guest_put(" written_pages ");
    guest_put_decimal(written);
    guest_put(" verified_pages ");
    guest_put_decimal(verified);
    guest_put(" passes ");
    guest_put_decimal(passes);
    guest_put(" errors 0\n");
    w->beat_gap_ns = 0;
    w->beat_virtual_ns = w->virtual_ns;
}

void guest_look(struct worker *w)
{
    struct gw_guest_mailbox *box = w->box;
    struct guest_poll poll = guest_poll();
    uint64_t wall = poll.wall_ns, now = poll.virtual_ns;
    uint64_t gap = wall > w->wall_ns ? wall - w->wall_ns : 0; /* the host's clock may be set back */

    if (now < w->virtual_ns)
        guest_corrupt(w, "virtual clock (went back)", 0, w->virtual_ns, now);
    w->wall_ns = wall;
    w->virtual_ns = now;
    w->features = poll.features;
    if (gap > w->beat_gap_ns)
        w->beat_gap_ns = gap;

    volatile struct gw_guest_mailbox *v = box;
    v->sequence = v->sequence + 1;
    v->polls = v->polls + 1;
    v->wall_ns = wall;
    v->virtual_ns = now;
    v->pages_written = w->written_pages;
    v->pages_verified = w->verified_pages;
    v->verify_passes = w->passes;
    if (gap > v->max_gap_ns) {
        v->max_gap_ns = gap;
        v->max_gap_at_wall_ns = wall;
    }
    if (gap >= GW_GUEST_GAP_NOTED) {
        v->gap[v->gaps % GW_GUEST_GAPS].at_wall_ns = wall;
        v->gap[v->gaps % GW_GUEST_GAPS].ns = gap;
        v->gaps = v->gaps + 1;
    }
    v->sequence = v->sequence + 1;

    if (w->undeclared_bytes) {
        guest_dirtied(w->undeclared_bytes);
        w->undeclared_bytes = 0;
    }
}

/* The number of pages of one vCPU at this rate since the counts began. */
static uint64_t target(const struct worker *w, uint64_t bytes_per_s)
{
    uint64_t elapsed_us = (w->virtual_ns - w->pace_virtual_ns) / 1000;

    return bytes_per_s / w->params->cpus / 1000 * elapsed_us / 1000 / GW_GUEST_PAGE;
}

static uint64_t due(const struct worker *w, uint64_t bytes_per_s, uint64_t done_pages)
{
    uint64_t pages = target(w, bytes_per_s);

    pages = pages > done_pages ? pages - done_pages : 0;
    return pages < w->batch_pages ? pages : w->batch_pages;
}

/* Does one batch. Returns whether there was anything to do. */
static bool batch(struct worker *w)
{
    const struct gw_guest_params *p = w->params;
    uint64_t least = p->verify_bytes_per_s ? p->verify_bytes_per_s : GW_GUEST_VERIFY_LEAST;
    uint64_t writes = p->rate_bytes_per_s ? due(w, p->rate_bytes_per_s, w->pace_written_pages) : w->batch_pages;
    uint64_t scans = due(w, least, w->pace_verified_pages);

    if (p->workload == GW_GUEST_IDLE)
        writes = 0;
    if (!p->verify_bytes_per_s && scans < writes / 2)
        scans = writes / 2;
    bool disk = p->workload == GW_GUEST_DISK;
    uint64_t done = 0;
    while (done < writes)
        done += disk ? guest_disk_step(w) : guest_work_step(w);
    w->pace_written_pages += done;
    done = 0;
    while (done < scans)
        done += disk ? guest_disk_scan_step(w) : guest_scan_step(w);
    w->pace_verified_pages += done;
    return writes || scans;
}

static void adapt(struct worker *w, uint64_t began_virtual_ns)
{
    const struct gw_guest_params *p = w->params;
    uint64_t took = w->virtual_ns - began_virtual_ns, elapsed = w->virtual_ns - w->pace_virtual_ns;

    /* A dirty limit makes a batch take longer, and works better with small batches: so reduce at once. */
    if (took > 2 * MS)
        w->batch_pages = w->batch_pages * MS / took + 1;
    else if (took < MS / 2 && w->batch_pages < 1024)
        w->batch_pages *= 2;
    /* A backlog of more than a tenth of a second is dropped, so that a slow time is not followed by a burst. */
    bool late = p->rate_bytes_per_s && p->workload != GW_GUEST_IDLE &&
                target(w, p->rate_bytes_per_s) > w->pace_written_pages + p->rate_bytes_per_s / p->cpus / 10 / GW_GUEST_PAGE + 16;
    if (late || elapsed > 60 * SECOND) {
        w->pace_virtual_ns = w->virtual_ns;
        w->pace_written_pages = w->pace_verified_pages = 0;
    }
}

void gw_guest_main(uint64_t cpu)
{
    const struct gw_guest_params *p = (const struct gw_guest_params *)GW_GUEST_PARAMS_GPA;
    struct worker w;
    uint64_t began;

    memset(&w, 0, sizeof w);
    w.params = p;
    w.cpu = cpu;
    w.box = (struct gw_guest_mailbox *)(GW_GUEST_MAILBOX_GPA + cpu * GW_GUEST_MAILBOX_BYTES);
    if (p->magic != GW_GUEST_MAGIC || p->version != GW_GUEST_VERSION || cpu >= p->cpus)
        guest_corrupt(&w, "parameter page", GW_GUEST_PARAMS_GPA, GW_GUEST_MAGIC, p->magic);
    w.box->magic = GW_GUEST_MAGIC;
    w.chance = gw_guest_mix(p->seed + cpu);
    w.batch_pages = 4;
    if (p->workload == GW_GUEST_DISK)
        guest_disk_init(&w);
    else
        guest_work_init(&w);
    w.wall_ns = guest_poll().wall_ns;
    guest_look(&w);
    w.pace_virtual_ns = w.beat_virtual_ns = w.virtual_ns;
    for (;;) {
        began = w.virtual_ns;
        bool worked = batch(&w);
        guest_yield();
        guest_scan_program(&w);
        guest_look(&w);
        if (worked)
            adapt(&w, began);
        if (cpu == 0 && w.virtual_ns - w.beat_virtual_ns >= SECOND)
            heartbeat(&w);
        w.seal = gw_guest_sum(&w, offsetof(struct worker, seal));
        if (!worked)
            guest_sleep_us((uint32_t)(p->poll_ns / 1000));
        uint64_t sum = gw_guest_sum(&w, offsetof(struct worker, seal));
        if (sum != w.seal)
            guest_corrupt(&w, "state of a vCPU (sum)", (uint64_t)&w, w.seal, sum);
    }
}
