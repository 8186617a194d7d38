/* SPDX-License-Identifier: MIT */
#include "ram/source/protect.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <unistd.h>

#include "ram/page/uffd.h"
#include "ram/source/moment.h"

#define FAULTS         64u            /* faults that are handled at a time; the kernel queues the others */
/* The state of an area's pages. */
struct due {
    uint64_t *pages; /* pages not given yet; NULL: this block is not sent */
    uint64_t *out;   /* pages given that have not come back yet; NULL: the block is not watched. Under lock */
    uint64_t bits;
};

struct fault {
    struct gw_area *area;
    uint64_t page;
};

struct protect {
    struct gw_source source;
    struct gw_moment moment;
    struct due *due; /* by block number */
    unsigned at;     /* block in which the search continues */
    uint64_t page;
    struct fault fault[FAULTS]; /* oldest first */
    unsigned faults;
    bool hurry; /* a thread waits for a page that is already under way */
    _Atomic uint64_t left;
    pthread_mutex_t lock;
    struct gw_error error; /* the first failure to remove protection. Under lock */
};

static struct protect *of(struct gw_source *source)
{
    return GW_CONTAINER(source, struct protect, source);
}

static void free_due(struct protect *p)
{
    for (unsigned i = 0; p->due && i < p->moment.count; i++) {
        gw_bitmap_free(p->due[i].pages, p->due[i].bits);
        gw_bitmap_free(p->due[i].out, p->due[i].bits);
    }
    free(p->due);
    p->due = NULL;
}

static void end(struct gw_source *source)
{
    struct protect *p = of(source);

    free_due(p);
    gw_moment_end(&p->moment);
    p->faults = 0;
    p->hurry = false;
    atomic_store(&p->left, 0);
}

static int make_due(struct protect *p, struct gw_error *err)
{
    const struct gw_moment *m = &p->moment;

    p->due = calloc(GW_MAX(m->count, 1u), sizeof *p->due);
    for (unsigned i = 0; p->due && i < m->count; i++) {
        const struct gw_area *a = &m->areas[i];
        struct due *d = &p->due[i];

        if (!a->goes)
            continue;
        d->bits = a->block->pages;
        d->pages = gw_bitmap_new(d->bits);
        d->out = a->open ? gw_bitmap_new(d->bits) : NULL;
        if (!d->pages || (a->open && !d->out))
            return gw_nomem(err, "pages that are due");
        atomic_fetch_add(&p->left, gw_bitmap_count(a->goes, d->bits));
    }
    return p->due ? 0 : gw_nomem(err, "pages that are due");
}

static int begin(struct gw_source *source, const bool *goes, struct gw_error *err)
{
    struct protect *p = of(source);
    int r;

    p->error = (struct gw_error)GW_ERROR_INIT;
    r = gw_moment_begin(&p->moment, goes, err);
    if (r >= 0)
        r = make_due(p, err);
    if (r < 0)
        end(source);
    return r;
}

/* The moment: protects everything. */
static int sync_all(struct gw_source *source, uint64_t *ret_fresh, struct gw_error *err)
{
    struct protect *p = of(source);
    uint64_t left = 0;
    int r = gw_moment_take(&p->moment, err);

    for (unsigned i = 0; r >= 0 && i < p->moment.count; i++) {
        const struct gw_area *a = &p->moment.areas[i];
        struct due *d = &p->due[i];

        if (!d->pages)
            continue;
        memcpy(d->pages, a->goes, gw_bitmap_words(d->bits) * sizeof *d->pages);
        if (d->out)
            memcpy(d->out, a->goes, gw_bitmap_words(d->bits) * sizeof *d->out);
        left += gw_bitmap_count(a->goes, d->bits);
    }
    atomic_store(&p->left, left);
    p->at = 0;
    p->page = 0;
    *ret_fresh = left;
    return r;
}

/* ---- pages --------------------------------------------------------------------------------------------------------- */

static void note_fault(struct protect *p, uintptr_t address)
{
    struct fault f;

    f.area = gw_moment_find(&p->moment, address, &f.page);
    if (f.area)
        p->fault[p->faults++] = f;
}

/* Reads faults from the kernel, as many as there is room for. */
static int read_faults(struct protect *p, struct gw_error *err)
{
    struct uffd_msg msg[16];

    while (p->faults + GW_ARRAY_LEN(msg) <= FAULTS) {
        int n = gw_uffd_read(p->moment.uffd, msg, GW_ARRAY_LEN(msg), err);

        if (n <= 0)
            return n;
        for (int i = 0; i < n; i++)
            if (msg[i].event == UFFD_EVENT_PAGEFAULT)
                note_fault(p, (uintptr_t)msg[i].arg.pagefault.address);
        if (n < (int)GW_ARRAY_LEN(msg))
            return 0;
    }
    return 0;
}

static void gather(struct protect *p, const struct gw_area *a, uint64_t first, uint64_t last, unsigned max,
                   struct gw_batch *batch)
{
    uint64_t *due = p->due[a->block->index].pages;
    const struct gw_ram *ram = p->moment.ram;

    batch->block = a->block;
    for (uint64_t page = gw_bitmap_next_set(due, last, first); page < last && batch->count < max;
         page = gw_bitmap_next_set(due, last, page + 1)) {
        unsigned i = batch->count++;

        gw_bitmap_clear(due, page);
        batch->page[i] = page;
        batch->form[i] = GW_FORM_OPEN;
        batch->body[i] = (struct gw_body){a->block->host + (page << ram->page_bits), ram->page_bytes};
    }
    atomic_fetch_sub(&p->left, batch->count);
}

/* Removes the protection of the host pages in [first, last) all of whose pages have come back. Under lock. */
static void release(struct protect *p, const struct gw_area *a, uint64_t first, uint64_t last)
{
    const uint64_t *out = p->due[a->block->index].out;
    struct gw_error error = GW_ERROR_INIT;

    last = GW_MIN(gw_div_up(last, a->step) * a->step, a->block->pages);
    for (first -= first % a->step; first < last;) {
        uint64_t held = gw_bitmap_next_set(out, last, first), to = held < last ? held - held % a->step : last;

        if (to > first && gw_moment_protect(&p->moment, a, first, to, false, &error) < 0 && !p->error.code)
            p->error = error;
        first = to + a->step;
    }
}

/* Gives the due pages around the page of the fault. The page itself may be under way, or may have come back
 * meanwhile. */
static void take_fault(struct protect *p, unsigned max, struct gw_batch *batch)
{
    struct fault f = p->fault[0];
    uint64_t first, last;

    gw_moment_around(f.area, f.page, &first, &last);
    gather(p, f.area, first, last, max, batch);
    batch->urgent = batch->count;
    if (!batch->count) {
        pthread_mutex_lock(&p->lock);
        release(p, f.area, f.page, f.page + 1);
        pthread_mutex_unlock(&p->lock);
        p->hurry = true;
    }
    if (gw_bitmap_next_set(p->due[f.area->block->index].pages, last, first) < last)
        return; /* there was no room for all of them */
    memmove(&p->fault[0], &p->fault[1], --p->faults * sizeof p->fault[0]);
}

static void search(struct protect *p, unsigned max, struct gw_batch *batch)
{
    while (p->at < p->moment.count && !batch->count) {
        const struct due *d = &p->due[p->at];
        uint64_t page = gw_bitmap_next_set(d->pages, d->bits, p->page);

        if (page >= d->bits) {
            p->at++;
            p->page = 0;
            continue;
        }
        /* Stops where a huge page may end, so that it is unprotected as a whole. */
        p->page = GW_MIN(d->bits, (page / GW_BATCH_PAGES + 1) * GW_BATCH_PAGES);
        gather(p, &p->moment.areas[p->at], page, p->page, max, batch);
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
    const struct gw_area *a = &p->moment.areas[batch->block->index];
    uint64_t *out = p->due[batch->block->index].out;

    if (!out)
        return;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < batch->count; i++)
        gw_bitmap_clear(out, batch->page[i]);
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
    int r = p->faults ? 0 : gw_wait_ready(p->moment.uffd, POLLIN, p->moment.cancel, NULL, gw_deadline(GW_MAX(ns, 1u)));

    return r != -ETIMEDOUT && r != -ECANCELED; /* a cancel is reported elsewhere */
}

static struct gw_source *source_free(struct gw_source *source)
{
    struct protect *p = of(source);

    end(source);
    gw_moment_fini(&p->moment);
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
                                     .free = source_free}};
    gw_moment_init(&p->moment, ram, cancel);
    pthread_mutex_init(&p->lock, NULL);
    *ret = &p->source;
    return 0;
}
