/* SPDX-License-Identifier: MIT
 *
 * With manual protect, KVM_GET_DIRTY_LOG only reads, and clean passes the dirty bits of the chunk to KVM, which clears
 * and protects exactly those pages. A page that was written since the sync and is in dirty is sent with its chunk; one
 * that is not in dirty keeps its bit in KVM, for the next sync. So a clean has nothing to report except marks.
 *
 * Without it, reading also clears and protects, for the whole slot at once: clean has nothing to do.
 */
#include "ram/tracker/kvm_log.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "ram/tracker/kvm_slots.h"
#include "ram/tracker/tracker.h"

/* The chunk's pages, with both ends widened to whole words. */
#define CLEAR_WORDS (GW_CHUNK_PAGES / 64 + 2)

struct kvm_log {
    struct gw_tracker base;
    struct gw_tracker_config config;
    struct gw_kvm_slots slots;
    bool manual, logging;
    uint64_t *map; /* of the largest slot */
    uint64_t map_bits;
};

static uint64_t slot_pages(const struct kvm_log *t, const struct gw_kvm_piece *p)
{
    return t->config.slots[p->slot].bytes >> t->slots.host_page_bits;
}

static int get_log(struct kvm_log *t, const struct gw_kvm_piece *p, struct gw_error *err)
{
    struct kvm_dirty_log log = {.slot = t->config.slots[p->slot].slot, .dirty_bitmap = t->map};

    if (ioctl(t->config.kvm_vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
        return gw_fail(err, -errno, errno == ENXIO ? GW_BLAME_CALLER : GW_BLAME_LOCAL,
                       "KVM_GET_DIRTY_LOG of slot %u: %s%s", log.slot, strerror(errno),
                       errno == ENXIO ? " (the machine was made with KVM_CAP_DIRTY_LOG_RING: use the kvm-ring tracker)"
                                      : "");
    return 0;
}

/* ORs the bits of t->map for the piece into its block. */
static uint64_t piece_found(struct kvm_log *t, const struct gw_kvm_piece *p)
{
    uint64_t end = p->slot_page + p->slot_pages, found = 0, first, pages;
    unsigned page_bits = t->base.ram->page_bits;

    if (page_bits == t->slots.host_page_bits && !(p->slot_page % 64) && !((p->offset >> page_bits) % 64))
        return gw_tracker_found_map(&t->base, p->block, p->offset >> page_bits, p->slot_pages,
                                    t->map + p->slot_page / 64, true);
    for (uint64_t at = p->slot_page; (at = gw_bitmap_next_set(t->map, end, at)) < end;) {
        uint64_t to = gw_bitmap_next_clear(t->map, end, at);

        gw_kvm_piece_pages(&t->slots, p, at, to - at, page_bits, &first, &pages);
        found += gw_tracker_found(&t->base, p->block, first, pages, true);
        at = to;
    }
    return found;
}

/* A slot is read once for all of its blocks, when the first of them is synced: if reading also clears, the bits of the
 * others would be lost otherwise. */
static int kvm_log_sync(struct gw_tracker *base, struct gw_ram_block *b, uint64_t *ret_new, struct gw_error *err)
{
    struct kvm_log *t = (struct kvm_log *)base;

    *ret_new += gw_marks_take(&base->marks, base, b);
    for (unsigned i = 0; i < t->slots.piece_count; i++) {
        unsigned lead = i;
        int r;

        if (!t->slots.pieces[i].leads || t->slots.pieces[i].block != b)
            continue;
        r = get_log(t, &t->slots.pieces[i], err);
        if (r < 0)
            return r;
        do
            *ret_new += piece_found(t, &t->slots.pieces[i]);
        while (++i < t->slots.piece_count && t->slots.pieces[i].slot == t->slots.pieces[lead].slot);
        i--;
    }
    return 0;
}

/* Whether this page of the slot may be cleared: all of its target pages are going to be sent. */
static bool all_dirty(const struct gw_ram_block *b, uint64_t first, uint64_t pages)
{
    for (uint64_t i = first; i < first + pages && i < b->pages; i++)
        if (!gw_bitmap_test(b->dirty, i))
            return false;
    return true;
}

static int clear_piece(struct kvm_log *t, const struct gw_kvm_piece *p, uint64_t from, uint64_t to,
                       struct gw_error *err)
{
    uint64_t map[CLEAR_WORDS] = {0}, first = from & ~63ull, any = 0, page, pages;
    struct kvm_clear_dirty_log clear = {
        .slot = t->config.slots[p->slot].slot, .first_page = first, .dirty_bitmap = map};

    for (uint64_t i = from; i < to; i++) {
        gw_kvm_piece_pages(&t->slots, p, i, 1, t->base.ram->page_bits, &page, &pages);
        if (all_dirty(p->block, page, pages))
            gw_bitmap_set(map, i - first);
    }
    for (unsigned w = 0; w < CLEAR_WORDS; w++)
        any |= map[w];
    if (!any)
        return 0;
    clear.num_pages = (uint32_t)(GW_MIN((to + 63) & ~63ull, slot_pages(t, p)) - first);
    if (ioctl(t->config.kvm_vm_fd, KVM_CLEAR_DIRTY_LOG, &clear) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "KVM_CLEAR_DIRTY_LOG of slot %u, pages %" PRIu64 "+%u: %s",
                       clear.slot, first, clear.num_pages, strerror(errno));
    return 0;
}

static int kvm_log_clean(struct gw_tracker *base, struct gw_ram_block *b, uint64_t first, uint64_t pages,
                         uint64_t *ret_new, struct gw_error *err)
{
    struct kvm_log *t = (struct kvm_log *)base;
    uint64_t start = first << base->ram->page_bits, end = (first + pages) << base->ram->page_bits;

    *ret_new += gw_marks_take_chunks(&base->marks, base, b, first, pages);
    for (unsigned i = 0; t->manual && i < t->slots.piece_count; i++) {
        const struct gw_kvm_piece *p = &t->slots.pieces[i];
        uint64_t from = GW_MAX(start, p->offset),
                 to = GW_MIN(end, p->offset + (p->slot_pages << t->slots.host_page_bits));

        if (p->block != b || from >= to)
            continue;
        from = p->slot_page + ((from - p->offset) >> t->slots.host_page_bits);
        to = p->slot_page + gw_div_up(to - p->offset, 1ull << t->slots.host_page_bits);
        while (from < to) {
            uint64_t step = GW_MIN(to, from + GW_CHUNK_PAGES);
            int r = clear_piece(t, p, from, step, err);

            if (r < 0)
                return r;
            from = step;
        }
    }
    return 0;
}

static void kvm_log_stop(struct gw_tracker *base)
{
    struct kvm_log *t = (struct kvm_log *)base;

    if (t->logging)
        gw_kvm_slots_log(&t->slots, false, NULL);
    t->logging = false;
    gw_kvm_slots_close(&t->slots);
    gw_bitmap_free(t->map, t->map_bits);
    t->map = NULL;
}

static int kvm_log_start(struct gw_tracker *base, struct gw_error *err)
{
    struct kvm_log *t = (struct kvm_log *)base;
    int r = gw_kvm_slots_open(&t->slots, base->ram, &t->config, err);

    if (r < 0)
        return r;
    t->map_bits = 0;
    for (unsigned i = 0; i < t->slots.piece_count; i++)
        t->map_bits = GW_MAX(t->map_bits, slot_pages(t, &t->slots.pieces[i]));
    t->map = gw_bitmap_new(t->map_bits);
    if (!t->map)
        return gw_nomem(err, "KVM dirty log");
    r = gw_kvm_slots_log(&t->slots, true, err);
    if (r < 0)
        return r;
    t->logging = true;
    /* Fails here if this machine has no log; bits that this clears are dirty anyway. */
    return get_log(t, &t->slots.pieces[0], err);
}

static struct gw_tracker *kvm_log_free(struct gw_tracker *t)
{
    free(t);
    return NULL;
}

static const struct gw_tracker_ops kvm_log_ops = {
    .name = "kvm-log",
    .start = kvm_log_start,
    .sync = kvm_log_sync,
    .clean = kvm_log_clean,
    .stop = kvm_log_stop,
    .free = kvm_log_free,
};

int gw_tracker_kvm_log_new_mode(struct gw_ram *ram, const struct gw_tracker_config *config, bool manual,
                                struct gw_tracker **ret, struct gw_error *err)
{
    struct kvm_log *t;
    int r = gw_kvm_config_check(config, err), modes;

    if (r < 0)
        return r;
    /* Turned on if it is wanted and supported, off otherwise: it changes the behaviour of KVM_GET_DIRTY_LOG. */
    modes = ioctl(config->kvm_vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
    if (modes > 0) {
        struct kvm_enable_cap cap = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2};

        if (manual)
            cap.args[0] = (uint64_t)modes & (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
        if (ioctl(config->kvm_vm_fd, KVM_ENABLE_CAP, &cap) < 0)
            return gw_fail(err, -errno, GW_BLAME_LOCAL, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: %s", strerror(errno));
    }
    t = calloc(1, sizeof *t);
    if (!t)
        return gw_nomem(err, "dirty tracker");
    t->base.ops = &kvm_log_ops;
    t->base.ram = ram;
    t->config = *config;
    t->manual = manual && modes > 0;
    *ret = &t->base;
    return 0;
}

int gw_tracker_kvm_log_new(struct gw_ram *ram, const struct gw_tracker_config *config, struct gw_tracker **ret,
                           struct gw_error *err)
{
    return gw_tracker_kvm_log_new_mode(ram, config, true, ret, err);
}
