/* SPDX-License-Identifier: MIT */
#include "ram/source/protect.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <unistd.h>

#include "ram/source/watch.h"
#include "ram/tracker/uffd.h"

#define FAULTS         64u            /* that are known of at a time; the kernel keeps the others */
#define AROUND         16u            /* pages that go with one that is written to */
#define POPULATE_BYTES (64ull << 20)  /* between two looks at the cancel */

struct area {
    struct gw_ram_block *block;
    struct gw_watch watch;
    uint64_t step;        /* target pages that are protected together */
    uint64_t *due;        /* not given yet; NULL: this block does not go */
    uint64_t *out;        /* not back yet; NULL: it is not watched. Under lock */
};

struct fault {
    struct area *area;
    uint64_t page;
};

struct protect {
    struct gw_source source;
    struct gw_ram *ram;
    const struct gw_cancel *cancel;
    int uffd;
    struct area *areas;
    unsigned count;
    unsigned at; /* the search goes on in this area */
    uint64_t page;
    struct fault fault[FAULTS]; /* oldest first */
    unsigned faults;
    bool hurry; /* a page that is waited for is on its way already */
    _Atomic uint64_t left;
    pthread_mutex_t lock;
    struct gw_error error; /* the first failure to take protection away. Under lock */
};

static struct protect *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct protect, source);
}

/* ---- before the moment --------------------------------------------------------------------------------------------- */

/* Calls fn for each run of host pages of which something is not discarded. */
static int each_run(struct protect *p, const struct area *a, const uint64_t *pages,
                    int (*fn)(struct protect *p, const struct area *a, uintptr_t start, uintptr_t end, struct gw_error *err),
                    struct gw_error *err)
{
    uint64_t n = a->block->pages, first = gw_bitmap_next_set(pages, n, 0), end;
    unsigned bits = p->ram->page_bits;
    int r = 0;

    for (; r >= 0 && first < n; first = gw_bitmap_next_set(pages, n, end)) {
        first -= first % a->step;
        end = first;
        do
            end = (gw_bitmap_next_clear(pages, n, end) + a->step - 1) / a->step * a->step;
        while (end < n && gw_bitmap_test(pages, end));
        r = fn(p, a, a->watch.start + (uintptr_t)(first << bits), end >= n ? a->watch.end : a->watch.start + (uintptr_t)(end << bits), err);
        end = GW_MIN(end, n);
    }
    return r;
}

static int populate_run(struct protect *p, const struct area *a, uintptr_t start, uintptr_t end, struct gw_error *err)
{
    int r = 0;

    for (; r >= 0 && start < end; start += GW_MIN(POPULATE_BYTES, end - start)) {
        if (p->cancel && gw_cancel_triggered(p->cancel))
            return gw_fail_canceled(err);
        r = gw_watch_populate(start, start + GW_MIN(POPULATE_BYTES, end - start), a->block, err);
    }
    return r;
}

static int protect_run(struct protect *p, const struct area *a, uintptr_t start, uintptr_t end, struct gw_error *err)
{
    int r = gw_watch_protect(p->uffd, start, end, true, err);

    if (r < 0)
        gw_context(err, "RAM block %s", a->block->name);
    return r;
}

/* What is due of a block: all but what is discarded. */
static void mark_due(struct protect *p, struct area *a)
{
    const struct gw_ram_block *b = a->block;
    uint64_t n = 0;

    gw_bitmap_set_range(a->due, 0, b->pages);
    pthread_mutex_lock(&p->ram->lock);
    for (size_t w = 0; b->discarded && w < gw_bitmap_words(b->pages); w++)
        a->due[w] &= ~b->discarded[w];
    pthread_mutex_unlock(&p->ram->lock);
    n = gw_bitmap_count(a->due, b->pages);
    if (a->out)
        memcpy(a->out, a->due, gw_bitmap_words(b->pages) * sizeof *a->out);
    atomic_fetch_add(&p->left, n);
}

static int open_area(struct protect *p, struct gw_ram_block *b, struct area *a, struct gw_error *err)
{
    int r;

    a->block = b;
    a->due = gw_bitmap_new(b->pages);
    if (!a->due)
        return gw_nomem(err, "write-protected pages");
    if (gw_ram_writable(b)) {
        r = gw_watch_begin(p->uffd, b, &a->watch, err);
        if (r < 0)
            return r;
        a->step = GW_MAX(1u, GW_MAX(b->page_bytes, (uint64_t)sysconf(_SC_PAGESIZE)) >> p->ram->page_bits);
        a->out = gw_bitmap_new(b->pages);
        if (!a->out)
            return gw_nomem(err, "write-protected pages");
    }
    mark_due(p, a);
    return a->out ? each_run(p, a, a->due, populate_run, err) : 0;
}

static void end(struct gw_source *source)
{
    struct protect *p = of(source);

    for (unsigned i = 0; i < p->count; i++) {
        struct area *a = &p->areas[i];
        gw_watch_end(p->uffd, &a->watch);
        if (a->block) {
            gw_bitmap_free(a->due, a->block->pages);
            gw_bitmap_free(a->out, a->block->pages);
        }
    }
    free(p->areas);
    p->areas = NULL;
    p->count = p->faults = 0;
    p->hurry = false;
    atomic_store(&p->left, 0);
    gw_close_fd(&p->uffd); /* lets go on whoever still waits */
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct protect *p = of(source);
    int r = gw_uffd_open_wp(&p->uffd, err);

    if (r < 0)
        return r;
    p->error = (struct gw_error)GW_ERROR_INIT;
    p->areas = calloc(GW_MAX(p->ram->count, 1u), sizeof *p->areas);
    if (!p->areas)
        r = gw_nomem(err, "write-protected pages");
    p->count = p->areas ? p->ram->count : 0;
    for (unsigned i = 0; r >= 0 && i < p->count; i++)
        if (goes[i])
            r = open_area(p, p->ram->blocks[i], &p->areas[i], err);
    if (r < 0)
        end(source);
    return r;
}

/* ---- the moment ---------------------------------------------------------------------------------------------------- */

static int sync_all(struct gw_source *source, uint64_t *ret_fresh, struct gw_error *err)
{
    struct protect *p = of(source);
    int r = 0;

    atomic_store(&p->left, 0);
    for (unsigned i = 0; r >= 0 && i < p->count; i++) {
        struct area *a = &p->areas[i];

        if (!a->due)
            continue;
        mark_due(p, a);
        if (a->out)
            r = each_run(p, a, a->due, protect_run, err);
    }
    p->at = 0;
    p->page = 0;
    *ret_fresh = atomic_load(&p->left);
    return r;
}

/* ---- pages --------------------------------------------------------------------------------------------------------- */

static void note_fault(struct protect *p, uintptr_t address)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct area *a = &p->areas[i];

        if (address >= a->watch.start && address < a->watch.end) {
            uint64_t page = (address - a->watch.start) >> p->ram->page_bits;

            p->fault[p->faults++] = (struct fault){.area = a, .page = GW_MIN(page, a->block->pages - 1)};
            return;
        }
    }
}

/* Takes what the kernel has to tell, as far as there is room for it. */
static int read_faults(struct protect *p, struct gw_error *err)
{
    struct uffd_msg msg[16];

    while (p->faults + GW_ARRAY_LEN(msg) <= FAULTS) {
        ssize_t n = read(p->uffd, msg, sizeof msg);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return gw_fail(err, n ? -errno : -EIO, GW_BLAME_LOCAL, "userfaultfd: %s", n ? strerror(errno) : "it was closed");
        for (size_t i = 0; i < (size_t)n / sizeof *msg; i++)
            if (msg[i].event == UFFD_EVENT_PAGEFAULT)
                note_fault(p, (uintptr_t)msg[i].arg.pagefault.address);
        if ((size_t)n < sizeof msg)
            return 0;
    }
    return 0;
}

static void gather(struct protect *p, struct area *a, uint64_t first, uint64_t last, unsigned max, struct gw_batch *batch)
{
    batch->block = a->block;
    for (uint64_t page = gw_bitmap_next_set(a->due, last, first); page < last && batch->count < max;
         page = gw_bitmap_next_set(a->due, last, page + 1)) {
        unsigned i = batch->count++;

        gw_bitmap_clear(a->due, page);
        batch->page[i] = page;
        batch->form[i] = GW_FORM_OPEN;
        batch->body[i] = (struct gw_body){a->block->host + (page << p->ram->page_bits), p->ram->page_bytes};
    }
    atomic_fetch_sub(&p->left, batch->count);
}

/* Host pages [first, last) of target pages: those that are back lose their protection. Under lock. */
static void release(struct protect *p, const struct area *a, uint64_t first, uint64_t last)
{
    unsigned bits = p->ram->page_bits;
    uint64_t n = a->block->pages;

    first -= first % a->step;
    last = GW_MIN((last + a->step - 1) / a->step * a->step, n);
    while (first < last) {
        uint64_t held = gw_bitmap_next_set(a->out, last, first), to = held < last ? held - held % a->step : last;
        struct gw_error error = GW_ERROR_INIT;

        if (to > first && gw_watch_protect(p->uffd, a->watch.start + (uintptr_t)(first << bits),
                                  to == n ? a->watch.end : a->watch.start + (uintptr_t)(to << bits), false, &error) < 0 &&
            !p->error.code) {
            gw_context(&error, "RAM block %s", a->block->name);
            p->error = error;
        }
        first = GW_MIN(to + a->step, last);
        if (to == last)
            break;
    }
}

/* What is due around the page that is written to. It may be on its way, or back since. */
static void take_fault(struct protect *p, unsigned max, struct gw_batch *batch)
{
    struct fault f = p->fault[0];
    uint64_t wide = GW_MAX((uint64_t)AROUND, f.area->step), first = f.page - f.page % wide;
    uint64_t last = GW_MIN(first + wide, f.area->block->pages);

    gather(p, f.area, first, last, max, batch);
    batch->urgent = batch->count;
    if (!batch->count) {
        pthread_mutex_lock(&p->lock);
        release(p, f.area, f.page, f.page + 1);
        pthread_mutex_unlock(&p->lock);
        p->hurry = true;
    }
    if (gw_bitmap_next_set(f.area->due, last, first) < last)
        return; /* there was no room for all of a large page */
    memmove(&p->fault[0], &p->fault[1], --p->faults * sizeof p->fault[0]);
}

static void search(struct protect *p, unsigned max, struct gw_batch *batch)
{
    while (p->at < p->count && !batch->count) {
        struct area *a = &p->areas[p->at];
        uint64_t n = a->due ? a->block->pages : 0, page = n ? gw_bitmap_next_set(a->due, n, p->page) : 0;

        if (page >= n) {
            p->at++;
            p->page = 0;
            continue;
        }
        /* Not beyond where a large page may end, so that it is unprotected as a whole. */
        p->page = GW_MIN(n, (page / GW_BATCH_PAGES + 1) * GW_BATCH_PAGES);
        gather(p, a, page, p->page, max, batch);
        if (batch->count)
            p->page = batch->page[batch->count - 1] + 1;
    }
}

static int check(struct protect *p, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&p->lock);
    r = p->error.code;
    if (r < 0 && err)
        *err = p->error;
    pthread_mutex_unlock(&p->lock);
    return r;
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct protect *p = of(source);
    int r = check(p, err);

    max = GW_MIN(max, GW_BATCH_PAGES);
    batch->count = 0;
    batch->urgent = false;
    if (r >= 0)
        r = read_faults(p, err);
    if (r < 0)
        return r;
    while (p->faults && !batch->count)
        take_fault(p, max, batch);
    if (batch->count) {
        p->hurry = false;
        return 0;
    }
    search(p, max, batch);
    batch->urgent = p->hurry && batch->count;
    p->hurry = false;
    return 0;
}

static void sent(struct gw_source *source, struct gw_batch *batch)
{
    struct protect *p = of(source);
    struct area *a = &p->areas[batch->block->index];

    if (!a->out)
        return;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < batch->count; i++)
        gw_bitmap_clear(a->out, batch->page[i]);
    for (unsigned i = 0, k; i < batch->count; i = k) {
        for (k = i + 1; k < batch->count && batch->page[k] == batch->page[k - 1] + 1; k++)
            ;
        release(p, a, batch->page[i], batch->page[k - 1] + 1);
    }
    pthread_mutex_unlock(&p->lock);
}

static uint64_t pending(struct gw_source *source)
{
    return atomic_load(&of(source)->left);
}

static int wait_fault(struct gw_source *source, uint64_t ns, struct gw_error *err)
{
    struct protect *p = of(source);
    int r = p->faults ? 0 : gw_wait_ready(p->uffd, POLLIN, p->cancel, NULL, gw_deadline(GW_MAX(ns, 1u)));

    if (r == -ECANCELED)
        return gw_fail_canceled(err);
    return r != -ETIMEDOUT;
}

static struct gw_source *source_free(struct gw_source *source)
{
    struct protect *p = of(source);

    end(source);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

int gw_source_protect_new(struct gw_ram *ram, const struct gw_cancel *cancel, struct gw_source **ret, struct gw_error *err)
{
    struct protect *p = calloc(1, sizeof *p);

    if (!p)
        return gw_nomem(err, "source of write-protected pages");
    *p = (struct protect){.source = {.begin = begin,
                                     .next = next,
                                     .sync = sync_all,
                                     .pending = pending,
                                     .sent = sent,
                                     .wait = wait_fault,
                                     .once = true,
                                     .end = end,
                                     .free = source_free},
                          .ram = ram,
                          .cancel = cancel,
                          .uffd = -1};
    pthread_mutex_init(&p->lock, NULL);
    *ret = &p->source;
    return 0;
}
