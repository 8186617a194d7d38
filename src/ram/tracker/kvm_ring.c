/* SPDX-License-Identifier: MIT
 *
 * KVM writes the pages that a vCPU dirties into that vCPU's ring. A harvest marks the pages of the entries and returns
 * the entries, and KVM then protects their pages again:
 *
 *     KVM: DIRTY  --take: mark the page, say RESET-->  RESET  --KVM_RESET_DIRTY_RINGS: protect, say 0-->  free
 *
 * Both steps happen under one lock, and so does moving marks into dirty. Otherwise a page could be sent between
 * its mark and its protection, and a write in that gap would be lost.
 *
 * KVM makes a vCPU leave with KVM_EXIT_DIRTY_RING_FULL before its ring is full. If a ring overflows all the same,
 * entries are overwritten and pages are lost: this is detected by a ring with only new entries, or by entries that were
 * not returned, and is an error that ends the migration. (Nested KVMs have been seen to overflow, and sometimes never
 * to return from KVM_RUN then: harvest often, use large rings.)
 */
#include "ram/tracker/kvm_ring.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "base/thread.h"
#include "ram/tracker/kvm_slots.h"
#include "ram/tracker/tracker.h"

#define INTERVAL_NS (5 * GW_NS_PER_MS)
#define UNKNOWN     UINT32_MAX

struct ring {
    struct kvm_dirty_gfn *entries;
    uint32_t next; /* the first entry that was not taken, or UNKNOWN: other code may have used the ring before */
};

struct kvm_ring {
    struct gw_tracker base;
    struct gw_tracker_config config;
    struct gw_kvm_slots slots;
    struct ring *rings; /* one for each vCPU */
    uint32_t entries;   /* in each ring; a power of two */
    bool logging;
    unsigned leader; /* index of the block whose sync harvests for all blocks */

    pthread_mutex_t lock; /* guards rings, last, failed, and the order of marking and resetting */
    unsigned last;        /* piece of the last entry: the next one is usually in the same */
    uint64_t harvested;
    uint64_t *counts; /* by vCPU: pages that were first reported by its ring since a count began. Under lock */
    struct gw_error failed; /* error of a harvest by the thread; the next sync returns it */

    pthread_t thread;
    pthread_cond_t wake;
    uint64_t interval_ns;
    bool running, quit; /* quit: under lock */
};

/* Marks the page of one entry; returns how many pages were not marked before. Entries come from the kernel, but a slot
 * may be one that is not tracked. */
static uint64_t take_entry(struct kvm_ring *t, uint32_t slot, uint64_t page)
{
    for (unsigned n = 0; n < t->slots.piece_count; n++) {
        unsigned i = (t->last + n) % t->slots.piece_count;
        const struct gw_kvm_piece *p = &t->slots.pieces[i];
        uint64_t first, pages;

        if (t->config.slots[p->slot].slot != slot || page < p->slot_page || page - p->slot_page >= p->slot_pages)
            continue;
        gw_kvm_piece_pages(&t->slots, p, page, 1, t->base.ram->page_bits, &first, &pages);
        t->last = i;
        return gw_marks_set(&t->base.marks, p->block, first, pages);
    }
    return 0;
}

static bool is_dirty(const struct kvm_dirty_gfn *e)
{
    return __atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY;
}

/* New entries are contiguous: finds the first. */
static void find_next(const struct kvm_ring *t, struct ring *ring)
{
    uint32_t mask = t->entries - 1, at = 0;

    while (at < t->entries && !is_dirty(&ring->entries[at]))
        at++;
    if (at == t->entries)
        return;
    for (uint32_t n = 0; n < t->entries && is_dirty(&ring->entries[(at - 1) & mask]); n++)
        at--;
    ring->next = at & mask;
}

static uint32_t take_ring(struct kvm_ring *t, struct ring *ring)
{
    uint32_t n;

    if (ring->next == UNKNOWN)
        find_next(t, ring);
    if (ring->next == UNKNOWN)
        return 0;
    for (n = 0; n < t->entries; n++) {
        struct kvm_dirty_gfn *e = &ring->entries[ring->next];

        if (!is_dirty(e))
            break;
        t->counts[ring - t->rings] += take_entry(t, e->slot, e->offset);
        __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        ring->next = (ring->next + 1) & (t->entries - 1);
    }
    return n;
}

/* After an overflow KVM's oldest entry lies before ours, among entries that KVM has lost count of, and it takes back no
 * entry before those. Returns these too, one by one; otherwise the vCPU would never run again. The tracking is lost
 * anyway. */
static void regain(struct kvm_ring *t, struct ring *ring)
{
    uint32_t mask = t->entries - 1, at = 0;

    while (at < t->entries && !(__atomic_load_n(&ring->entries[at].flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_RESET))
        at++;
    for (uint32_t n = 0; at < 2 * t->entries && n < t->entries; n++) {
        struct kvm_dirty_gfn *e = &ring->entries[--at & mask];

        if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_RESET)
            continue;
        __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        if (ioctl(t->config.kvm_vm_fd, KVM_RESET_DIRTY_RINGS, 0) != 0)
            break;
    }
}

/* Under lock. */
static int harvest(struct kvm_ring *t, struct gw_error *err)
{
    uint64_t taken = 0;
    bool full = false;
    int given;

    for (unsigned i = 0; t->rings && i < t->config.vcpu_count; i++) {
        uint32_t n = take_ring(t, &t->rings[i]);

        full = full || n == t->entries;
        taken += n;
    }
    t->harvested += taken;
    given = taken ? ioctl(t->config.kvm_vm_fd, KVM_RESET_DIRTY_RINGS, 0) : 0;
    if (given < 0 && !t->failed.code)
        gw_fail(&t->failed, -errno, GW_BLAME_LOCAL, "KVM_RESET_DIRTY_RINGS: %s", strerror(errno));
    else if ((full || (uint64_t)given != taken) && !t->failed.code)
        gw_fail(&t->failed, -EOVERFLOW, GW_BLAME_LOCAL,
                "a KVM dirty ring of %u entries overflowed (%" PRIu64
                " taken, %d given back): this KVM lets vCPUs run on "
                "when the ring is full; make the ring larger, or use the kvm-log or pagemap tracker",
                t->entries, taken, given);
    if (!t->failed.code)
        return 0;
    for (unsigned i = 0; t->rings && i < t->config.vcpu_count; i++) {
        if (given >= 0 && (uint64_t)given != taken)
            regain(t, &t->rings[i]);
        t->rings[i].next = UNKNOWN;
    }
    if (err)
        *err = t->failed;
    return t->failed.code;
}

static int kvm_ring_full(struct gw_tracker *base, struct gw_error *err)
{
    struct kvm_ring *t = (struct kvm_ring *)base;
    int r;

    pthread_mutex_lock(&t->lock);
    r = harvest(t, err);
    pthread_mutex_unlock(&t->lock);
    /* An overflow ends the migration with the next sync, but not the machine. */
    return r == -EOVERFLOW ? 0 : r;
}

static uint64_t kvm_ring_count(struct gw_tracker *base, unsigned vcpu)
{
    struct kvm_ring *t = (struct kvm_ring *)base;
    uint64_t n = 0;

    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; vcpu == UINT32_MAX && i < t->config.vcpu_count; i++)
        t->counts[i] = 0;
    if (vcpu < t->config.vcpu_count)
        n = t->counts[vcpu];
    pthread_mutex_unlock(&t->lock);
    return n;
}

static void *harvester(void *arg)
{
    struct kvm_ring *t = arg;
    struct timespec at;

    pthread_mutex_lock(&t->lock);
    clock_gettime(CLOCK_MONOTONIC, &at);
    while (!t->quit) {
        harvest(t, NULL);
        /* From the current time, not from the planned one: a slow harvest must not hold the lock all the time. */
        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_nsec += (long)(t->interval_ns % GW_NS_PER_S);
        at.tv_sec += (time_t)(t->interval_ns / GW_NS_PER_S) + at.tv_nsec / 1000000000;
        at.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&t->wake, &t->lock, &at);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static void kvm_ring_flush(struct gw_tracker *t)
{
    const struct gw_tracker_config *config = &((struct kvm_ring *)t)->config;

    if (config->kick_vcpus)
        config->kick_vcpus(t->ram->opaque);
}

static int kvm_ring_sync(struct gw_tracker *base, struct gw_ram_block *b, uint64_t *ret_new, struct gw_error *err)
{
    struct kvm_ring *t = (struct kvm_ring *)base;
    int r = 0;

    pthread_mutex_lock(&t->lock);
    if (b->index == t->leader)
        r = harvest(t, err);
    if (r == 0)
        *ret_new += gw_marks_take(&base->marks, base, b);
    pthread_mutex_unlock(&t->lock);
    return r;
}

static int kvm_ring_clean(struct gw_tracker *base, struct gw_ram_block *b, uint64_t first, uint64_t pages,
                          uint64_t *ret_new, struct gw_error *err)
{
    struct kvm_ring *t = (struct kvm_ring *)base;

    /* Pages are protected when their entries are returned, which must be before they are entered into dirty. */
    pthread_mutex_lock(&t->lock);
    *ret_new += gw_marks_take_chunks(&base->marks, base, b, first, pages);
    pthread_mutex_unlock(&t->lock);
    return 0;
}

static void kvm_ring_stop(struct gw_tracker *base)
{
    struct kvm_ring *t = (struct kvm_ring *)base;

    if (t->running) {
        pthread_mutex_lock(&t->lock);
        t->quit = true;
        pthread_cond_signal(&t->wake);
        pthread_mutex_unlock(&t->lock);
        pthread_join(t->thread, NULL);
        t->running = false;
    }
    if (t->logging)
        gw_kvm_slots_log(&t->slots, false, NULL);
    pthread_mutex_lock(&t->lock);
    /* Entries that are left would disturb the next user of the rings. */
    if (t->logging)
        harvest(t, NULL);
    t->logging = false;
    for (unsigned i = 0; t->rings && i < t->config.vcpu_count; i++)
        if (t->rings[i].entries)
            munmap(t->rings[i].entries, t->config.ring_bytes);
    free(t->rings);
    t->rings = NULL;
    pthread_mutex_unlock(&t->lock);
    gw_kvm_slots_close(&t->slots);
}

/* KVM maps any size and raises SIGBUS beyond the end; a system call that reads there returns an error instead. */
static bool readable(int pipe_fd, const void *p)
{
    return write(pipe_fd, p, 1) == 1;
}

static int map_ring(const struct kvm_ring *t, unsigned i, int pipe_fd, struct ring *ret, struct gw_error *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = t->config.ring_bytes;
    uint8_t *p = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_SHARED, t->config.vcpu_fds[i],
                      KVM_DIRTY_LOG_PAGE_OFFSET * (off_t)page);
    bool fits;

    if (p == MAP_FAILED)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "the dirty ring of vCPU %u (descriptor %d) cannot be mapped: %s", i,
                       t->config.vcpu_fds[i], strerror(errno));
    fits = readable(pipe_fd, p + bytes - page) && !readable(pipe_fd, p + bytes);
    munmap(p + bytes, page);
    if (!fits) {
        munmap(p, bytes);
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "vCPU %u has no dirty ring of %zu bytes: was KVM_CAP_DIRTY_LOG_RING turned on, with this size, "
                       "before the vCPUs were made?",
                       i, bytes);
    }
    *ret = (struct ring){.entries = (void *)p, .next = UNKNOWN};
    return 0;
}

static int map_rings(struct kvm_ring *t, struct gw_error *err)
{
    int fds[2], r = 0;

    t->rings = calloc(t->config.vcpu_count, sizeof *t->rings);
    if (!t->rings)
        return gw_nomem(err, "KVM dirty rings");
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "pipe: %s", strerror(errno));
    for (unsigned i = 0; i < t->config.vcpu_count && r == 0; i++) {
        uint8_t drain[2];

        r = map_ring(t, i, fds[1], &t->rings[i], err);
        if (read(fds[0], drain, sizeof drain) < 0 && r == 0)
            r = gw_fail(err, -errno, GW_BLAME_LOCAL, "pipe: %s", strerror(errno));
    }
    close(fds[0]);
    close(fds[1]);
    return r;
}

static int kvm_ring_start(struct gw_tracker *base, struct gw_error *err)
{
    struct kvm_ring *t = (struct kvm_ring *)base;
    int r = gw_kvm_slots_open(&t->slots, base->ram, &t->config, err);

    if (r < 0)
        return r;
    t->failed = (struct gw_error)GW_ERROR_INIT;
    t->quit = false;
    t->last = 0;
    t->leader = t->slots.pieces[0].block->index;
    for (unsigned i = 0; i < t->slots.piece_count; i++)
        t->leader = GW_MIN(t->leader, t->slots.pieces[i].block->index);
    pthread_mutex_lock(&t->lock);
    r = map_rings(t, err);
    pthread_mutex_unlock(&t->lock);
    if (r < 0)
        return r;
    r = gw_kvm_slots_log(&t->slots, true, err);
    if (r < 0)
        return r;
    t->logging = true;
    /* Entries that other code has taken and not returned would confuse the count in harvest. */
    if (ioctl(t->config.kvm_vm_fd, KVM_RESET_DIRTY_RINGS, 0) < 0)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "KVM_RESET_DIRTY_RINGS: %s", strerror(errno));
    if (!t->interval_ns)
        return 0;
    r = gw_thread_start(&t->thread, harvester, t, err);
    t->running = r >= 0;
    return r;
}

static struct gw_tracker *kvm_ring_free(struct gw_tracker *base)
{
    struct kvm_ring *t = (struct kvm_ring *)base;

    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t->counts);
    free(t);
    return NULL;
}

static const struct gw_tracker_ops kvm_ring_ops = {
    .name = "kvm-ring",
    .start = kvm_ring_start,
    .flush = kvm_ring_flush,
    .sync = kvm_ring_sync,
    .clean = kvm_ring_clean,
    .stop = kvm_ring_stop,
    .ring_full = kvm_ring_full,
    .ring_count = kvm_ring_count,
    .free = kvm_ring_free,
};

void gw_kvm_ring_set_interval(struct gw_tracker *t, uint64_t interval_ns)
{
    ((struct kvm_ring *)t)->interval_ns = interval_ns;
}

uint64_t gw_kvm_ring_harvested(struct gw_tracker *base)
{
    struct kvm_ring *t = (struct kvm_ring *)base;
    uint64_t n;

    pthread_mutex_lock(&t->lock);
    n = t->harvested;
    pthread_mutex_unlock(&t->lock);
    return n;
}

int gw_tracker_kvm_ring_new(struct gw_ram *ram, const struct gw_tracker_config *config, struct gw_tracker **ret,
                            struct gw_error *err)
{
    struct kvm_ring *t;
    pthread_condattr_t attr;
    int r = gw_kvm_config_check(config, err);

    if (r < 0)
        return r;
    if (ioctl(config->kvm_vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING) <= 0 &&
        ioctl(config->kvm_vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_ACQ_REL) <= 0)
        return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "this KVM has no dirty ring: use the kvm-log tracker");
    if (!config->vcpu_fds || !config->vcpu_count || !gw_is_pow2(config->ring_bytes) ||
        config->ring_bytes < (uint32_t)sysconf(_SC_PAGESIZE))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "the KVM dirty ring needs the vCPUs (%u given) and the size of their rings (%u bytes given)",
                       config->vcpu_count, config->ring_bytes);
    t = calloc(1, sizeof *t);
    if (t)
        t->counts = calloc(config->vcpu_count, sizeof *t->counts);
    if (!t || !t->counts) {
        free(t);
        return gw_nomem(err, "dirty tracker");
    }
    t->base.ops = &kvm_ring_ops;
    t->base.ram = ram;
    t->base.vcpus = config->vcpu_count;
    t->config = *config;
    t->entries = config->ring_bytes / (uint32_t)sizeof(struct kvm_dirty_gfn);
    t->interval_ns = INTERVAL_NS;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->wake, &attr);
    pthread_condattr_destroy(&attr);
    *ret = &t->base;
    return 0;
}
