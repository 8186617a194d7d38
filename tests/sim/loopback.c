/* SPDX-License-Identifier: MIT */
#include "loopback.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../owned.h"
#include "base/base.h"

#define PAGE 4096u
#define MOST 64u /* entries in a record */

struct entry {
    char block[16];
    uint64_t offset;
    const void *data; /* not copied yet; NULL once `page` has the contents */
    bool complete, told, dropped;
    uint8_t page[PAGE];
};

/* The guest may write to this memory meanwhile: then the page comes again. */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize_thread))
#endif
static void look(uint8_t *to, const void *from)
{
    const volatile uint64_t *words = from;

    for (unsigned i = 0; i < PAGE / 8; i++)
        memcpy(to + i * 8, &(uint64_t){words[i]}, 8);
}

static int fails(unsigned at, unsigned call, struct gw_error *err)
{
    return at && at == call ? gw_fail(err, -EIO, GW_BLAME_NONE, "the loopback breaks") : 0;
}

static bool stalls(struct loopback *l)
{
    return atomic_load(&l->stall) || (l->stall_after && atomic_load(&l->later) >= l->stall_after && !l->quit && !l->no_abort);
}

/* Under lock. */
static struct entry *new_entry(struct loopback *l, const struct gw_transport_page *p)
{
    struct entry *e;

    if (l->entries == l->room) {
        unsigned room = l->room ? 2 * l->room : 1024;
        struct entry *grown = realloc(l->entry, room * sizeof *grown);

        if (!grown)
            return NULL;
        l->entry = grown;
        l->room = room;
    }
    e = &l->entry[l->entries++];
    memset(e, 0, sizeof *e);
    gw_strcopy(e->block, sizeof e->block, p->block);
    e->offset = p->offset;
    e->data = p->data;
    return e;
}

static int take(void *opaque, const struct gw_transport_page *p, struct gw_error *err)
{
    struct loopback *l = opaque;
    unsigned n = atomic_fetch_add(&l->takes, 1) + 1, kind = (unsigned)(sim_mix(n) % 3);
    int r = fails(l->fail_take, n, err);
    struct entry *e;

    if (r < 0)
        return r;
    if (!l->open)
        atomic_store(&l->disorder, true);
    if (kind == GW_TAKE_DECLINED) {
        atomic_fetch_add(&l->declined, 1);
        return GW_TAKE_DECLINED;
    }
    pthread_mutex_lock(&l->lock);
    e = new_entry(l, p);
    if (e && kind == GW_TAKE_DONE) {
        look(e->page, e->data);
        e->data = NULL;
        e->complete = true;
    }
    atomic_fetch_add(kind == GW_TAKE_DONE ? &l->done : &l->later, 1);
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    return e ? (int)kind : -ENOMEM;
}

static void *complete_all(void *arg)
{
    struct loopback *l = arg;

    pthread_mutex_lock(&l->lock);
    while (!l->quit) {
        struct entry *e = l->next < l->entries ? &l->entry[l->next] : NULL;
        int result = 0;

        if (!e || (e->data && stalls(l))) {
            struct timespec until;

            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec = (until.tv_nsec + 2000000) % 1000000000;
            until.tv_sec += until.tv_nsec < 2000000;
            pthread_cond_timedwait(&l->wake, &l->lock, &until);
            continue;
        }
        l->next++;
        if (!e->data)
            continue;
        look(e->page, e->data);
        e->data = NULL;
        e->complete = true;
        if (atomic_fetch_add(&l->completed, 1) + 1 == l->fail_late)
            result = -EIO;
        l->busy = true;
        pthread_mutex_unlock(&l->lock);
        gw_page_taken(l->from->vm, 1, result);
        pthread_mutex_lock(&l->lock);
        l->busy = false;
        pthread_cond_broadcast(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void abort_all(void *opaque)
{
    struct loopback *l = opaque;

    pthread_mutex_lock(&l->lock);
    atomic_fetch_add(&l->aborts, 1);
    for (unsigned i = 0; i < l->entries; i++)
        l->entry[i].data = NULL;
    while (l->busy)
        pthread_cond_wait(&l->wake, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

/* Reports completed entries that were not reported yet. */
static void announce(struct loopback *l, struct gw_transport_out *out)
{
    struct {
        uint32_t count, number[MOST];
    } record = {0};

    pthread_mutex_lock(&l->lock);
    while (l->told < l->entries && l->entry[l->told].told)
        l->told++;
    for (unsigned i = l->told; i < l->entries; i++) {
        if (!l->entry[i].complete || l->entry[i].told)
            continue;
        l->entry[i].told = true;
        record.number[record.count++] = i;
        if (record.count < MOST)
            continue;
        gw_transport_put(out, &record, sizeof record);
        record.count = 0;
    }
    pthread_mutex_unlock(&l->lock);
    gw_transport_put(out, &record, sizeof record); /* often without entries: that is allowed too */
}

static int begin(void *opaque, enum gw_transport_stretch s, struct gw_transport_out *out, struct gw_error *err)
{
    struct loopback *l = opaque;
    unsigned all = 0;

    atomic_fetch_add(&l->begins[s], 1);
    for (unsigned i = 0; i < 3; i++)
        all += atomic_load(&l->begins[i]);
    if (l->open || (s == GW_TRANSPORT_SETUP) != (all == 1) || atomic_load(&l->in_finish))
        atomic_store(&l->disorder, true);
    l->open = true;
    if (s == GW_TRANSPORT_FINISH)
        atomic_store(&l->in_finish, true);
    announce(l, out);
    return fails(l->fail_begin, all, err);
}

static int end(void *opaque, enum gw_transport_stretch s, struct gw_transport_out *out, struct gw_error *err)
{
    struct loopback *l = opaque;
    unsigned all = 0;

    atomic_fetch_add(&l->ends[s], 1);
    for (unsigned i = 0; i < 3; i++)
        all += atomic_load(&l->ends[i]);
    if (!l->open || atomic_load(&l->begins[s]) != atomic_load(&l->ends[s]))
        atomic_store(&l->disorder, true);
    l->open = false;
    announce(l, out);
    return fails(l->fail_end, all, err);
}

static void over_from(void *opaque, bool ok)
{
    struct loopback *l = opaque;

    atomic_fetch_add(&l->over[0], 1);
    atomic_fetch_add(&l->over_ok[0], ok);
}

/* ---- the destination's end ---------------------------------------------------------------------------------------- */

static int block(void *opaque, const char *name, void *host, uint64_t bytes, struct gw_error *err)
{
    struct loopback *l = opaque;
    unsigned n = atomic_fetch_add(&l->blocks, 1);

    gw_strcopy(l->name[n % SIM_BLOCKS], sizeof l->name[0], name);
    l->host[n % SIM_BLOCKS] = host;
    l->bytes[n % SIM_BLOCKS] = bytes;
    return fails(l->fail_block, n + 1, err);
}

static int put_page(struct loopback *l, struct gw_transport_in *in, const struct entry *e, struct gw_error *err)
{
    for (unsigned i = 0; i < SIM_BLOCKS; i++)
        if (!strcmp(l->name[i], e->block) && e->offset < l->bytes[i]) {
            memcpy((uint8_t *)l->host[i] + e->offset, e->page, PAGE);
            atomic_fetch_add(&l->placed, 1);
            return gw_transport_placed(in, e->block, e->offset, PAGE, err);
        }
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "no block %s", e->block);
}

static int record(void *opaque, struct gw_transport_in *in, struct gw_error *err)
{
    struct loopback *l = opaque;
    struct {
        uint32_t count, number[MOST];
    } record;
    unsigned n = atomic_fetch_add(&l->records, 1) + 1;
    int r = gw_transport_get(in, &record, sizeof record, err);

    if (r >= 0)
        r = fails(l->fail_record, n, err);
    if (r >= 0 && l->lie == n)
        r = gw_transport_placed(in, l->name[0], l->bytes[0], PAGE, err);
    if (r >= 0 && record.count > MOST)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "a record of %u pages", record.count);
    for (uint32_t i = 0; r >= 0 && i < record.count; i++) {
        struct entry *e = malloc(sizeof *e);

        pthread_mutex_lock(&l->lock);
        if (e && record.number[i] < l->entries)
            *e = l->entry[record.number[i]];
        else
            r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "no entry %u", record.number[i]);
        pthread_mutex_unlock(&l->lock);
        if (r >= 0)
            r = put_page(l, in, e, err);
        free(e);
    }
    return r;
}

static void over_to(void *opaque, bool ok)
{
    struct loopback *l = opaque;

    atomic_fetch_add(&l->over[1], 1);
    atomic_fetch_add(&l->over_ok[1], ok);
}

/* ---- made and unmade ---------------------------------------------------------------------------------------------- */

static void loopback_free(void *what)
{
    struct loopback *l = what;

    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    free(l->entry);
    free(l);
}

struct loopback *loopback_new(void)
{
    struct loopback *l = calloc(1, sizeof *l);

    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    if (pthread_create(&l->thread, NULL, complete_all, l))
        abort();
    return owned(l, loopback_free);
}

void loopback_join(struct loopback *l, struct sim *from, struct sim *to, bool both)
{
    struct gw_page_transport_ops source = {GW_SIZED(struct gw_page_transport_ops), .begin = begin, .take = take, .end = end,
                                           .abort = l->no_abort ? NULL : abort_all, .over = over_from};
    static const struct gw_page_transport_ops destination = {GW_SIZED(struct gw_page_transport_ops), .block = block,
                                                             .record = record, .over = over_to};

    l->from = from;
    l->to = to;
    if (gw_vm_set_page_transport(from->vm, &source, l, NULL) < 0 ||
        (both && gw_vm_set_page_transport(to->vm, &destination, l, NULL) < 0))
        abort();
}
