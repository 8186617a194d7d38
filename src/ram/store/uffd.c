/* SPDX-License-Identifier: MIT */
#include "ram/store/uffd.h"

#include "ram/page/uffd.h"
#include "ram/store/direct.h"
#include "ram/store/faults.h"
#include "ram/store/staging.h"

struct uffd {
    struct gw_store store;
    const struct gw_ram *ram;
    struct gw_uffd_config config;
    struct gw_store *direct; /* used before listen; has the maps of received pages */
    bool listens;
    struct gw_unit_table table; /* valid while it listens, like all fields below */
    struct gw_faults faults;
    struct gw_staging *staging; /* for the store's own lane */
};

struct lane {
    struct gw_store store;
    struct uffd *uffd;
    struct gw_staging *staging;
};

static struct uffd *of(const struct gw_store *store)
{
    return GW_CONTAINER(store, struct uffd, store);
}

static struct gw_store *direct(struct gw_store *store)
{
    return of(store)->direct;
}

/* ---- while it listens ---------------------------------------------------------------------------------------------- */

static int put(struct uffd *s, struct gw_staging *staging, const struct gw_ram_block *b, uint64_t page, bool zeros,
               struct gw_error *err)
{
    struct gw_units *u = &s->table.of[b->index];
    const uint8_t *from = NULL;
    uint64_t unit = page / u->unit_pages;
    int r;

    if (s->table.finished)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "RAM block %s: the page at 0x%" PRIx64 " arrives after all pages of the "
                       "machine were received", b->name,
                       page << s->ram->page_bits);
    r = gw_staging_put(staging, u, page, zeros, &from, err);
    if (r <= 0)
        return r;
    r = gw_unit_put(u, unit, from, err);
    if (r >= 0)
        gw_faults_came(&s->faults, u, unit);
    return r;
}

static uint8_t *lane_where(struct gw_store *store, struct gw_ram_block *b, uint64_t page, enum gw_intent intent)
{
    struct lane *l = GW_CONTAINER(store, struct lane, store);

    return gw_staging_where(l->staging, &l->uffd->table.of[b->index], page);
}

static int lane_place(struct gw_store *store, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    struct lane *l = GW_CONTAINER(store, struct lane, store);

    return put(l->uffd, l->staging, b, page, false, err);
}

static int lane_zero(struct gw_store *store, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    struct lane *l = GW_CONTAINER(store, struct lane, store);

    return put(l->uffd, l->staging, b, page, true, err);
}

static uint64_t lane_missing(struct gw_store *store, const struct gw_ram_block *b)
{
    struct gw_store *all = &GW_CONTAINER(store, struct lane, store)->uffd->store;

    return all->missing(all, b);
}

static struct gw_store *lane_free(struct gw_store *store)
{
    struct lane *l = GW_CONTAINER(store, struct lane, store);

    gw_staging_free(l->staging);
    free(l);
    return NULL;
}

int gw_uffd_lane(struct gw_store *store, struct gw_store **ret, struct gw_error *err)
{
    struct uffd *s = of(store);
    struct lane *l;
    int r;

    if (!s->listens)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a lane of postcopy was asked for before LISTEN");
    l = calloc(1, sizeof *l);
    if (!l)
        return gw_nomem(err, "lane of postcopy");
    *l = (struct lane){.store = {.where = lane_where, .place = lane_place, .zero = lane_zero, .missing = lane_missing, .free = lane_free},
                       .uffd = s};
    r = gw_staging_new(&s->table, &l->staging, err);
    if (r < 0) {
        free(l);
        return r;
    }
    *ret = &l->store;
    return 0;
}

int gw_uffd_listen(struct gw_store *store, struct gw_error *err)
{
    struct uffd *s = of(store);
    uint64_t **received;
    int r;

    if (s->listens)
        return gw_fail(err, -EALREADY, GW_BLAME_CALLER, "the store listens already");
    received = calloc(GW_MAX(s->ram->count, 1u), sizeof *received);
    if (!received)
        return gw_nomem(err, "maps of received pages");
    for (unsigned i = 0; i < s->ram->count; i++)
        received[i] = gw_store_direct_received(s->direct, s->ram->blocks[i]);
    r = gw_units_begin(&s->table, s->ram, received, err);
    free(received);
    if (r < 0)
        return r;
    r = gw_staging_new(&s->table, &s->staging, err);
    if (r >= 0)
        r = gw_faults_begin(&s->faults, err);
    s->listens = true;
    if (r < 0)
        gw_uffd_end(store, NULL);
    return r;
}

int gw_uffd_end(struct gw_store *store, struct gw_error *err)
{
    struct uffd *s = of(store);
    int r;

    if (!s->listens)
        return 0;
    r = gw_faults_end(&s->faults, err);
    gw_units_end(&s->table);
    s->staging = gw_staging_free(s->staging);
    s->listens = false;
    return r;
}

void gw_uffd_hold(struct gw_store *store)
{
    struct uffd *s = of(store);

    gw_faults_hold(&s->faults);
    if (s->staging)
        gw_staging_forget(s->staging);
}

void gw_uffd_ask_again(struct gw_store *store)
{
    gw_faults_ask_again(&of(store)->faults);
}

int gw_uffd_finish(struct gw_store *store, struct gw_error *err)
{
    struct uffd *s = of(store);

    if (!s->listens)
        return 0;
    s->table.finished = true;
    return gw_faults_finish(&s->faults, err);
}

/* ---- the store ----------------------------------------------------------------------------------------------------- */

static int add(struct gw_store *store, struct gw_ram_block *b, struct gw_error *err)
{
    if (of(store)->listens)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s is listed after postcopy has begun", b->name);
    return direct(store)->add(direct(store), b, err);
}

static uint8_t *where(struct gw_store *store, struct gw_ram_block *b, uint64_t page, enum gw_intent intent)
{
    struct uffd *s = of(store);

    return s->listens ? gw_staging_where(s->staging, &s->table.of[b->index], page)
                      : s->direct->where(s->direct, b, page, intent);
}

static int place(struct gw_store *store, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    struct uffd *s = of(store);

    return s->listens ? put(s, s->staging, b, page, false, err) : s->direct->place(s->direct, b, page, err);
}

static int zero(struct gw_store *store, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    struct uffd *s = of(store);

    return s->listens ? put(s, s->staging, b, page, true, err) : s->direct->zero(s->direct, b, page, err);
}

static uint64_t missing(struct gw_store *store, const struct gw_ram_block *b)
{
    return direct(store)->missing(direct(store), b);
}

static void reset(struct gw_store *store)
{
    gw_uffd_end(store, NULL);
    direct(store)->reset(direct(store));
}

/* No prediction while the guest runs in this memory. */
static uint64_t open_page(struct gw_store *store, struct gw_ram_block *b, uint64_t from, uint64_t end)
{
    return of(store)->listens ? end : direct(store)->open(direct(store), b, from, end);
}

static void expect(struct gw_store *store, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    if (!of(store)->listens)
        direct(store)->expect(direct(store), b, first, count);
}

static void unguess(struct gw_store *store, struct gw_ram_block *b, uint64_t page)
{
    if (!of(store)->listens)
        direct(store)->unguess(direct(store), b, page);
}

static int discard(struct gw_store *store, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    return gw_uffd_discard(store, b, first, count, err);
}

static void received(struct gw_store *store, const struct gw_ram_block *b, uint64_t *map)
{
    direct(store)->received(direct(store), b, map);
}

static struct gw_store *store_free(struct gw_store *store)
{
    struct uffd *s = of(store);

    gw_uffd_end(store, NULL);
    gw_faults_fini(&s->faults);
    s->direct->free(s->direct);
    free(s);
    return NULL;
}

int gw_store_uffd_new(const struct gw_ram *ram, const struct gw_uffd_config *config, struct gw_store **ret, struct gw_error *err)
{
    struct uffd *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return gw_nomem(err, "store of pages");
    *s = (struct uffd){.store = {.add = add,
                                 .where = where,
                                 .place = place,
                                 .zero = zero,
                                 .missing = missing,
                                 .reset = reset,
                                 .discard = discard,
                                 .received = received,
                                 .listen = gw_uffd_listen,
                                 .hold = gw_uffd_hold,
                                 .ask_again = gw_uffd_ask_again,
                                 .finish = gw_uffd_finish,
                                 .lane = gw_uffd_lane,
                                 .open = open_page,
                                 .expect = expect,
                                 .unguess = unguess,
                                 .free = store_free},
                       .ram = ram,
                       .config = *config,
                       .table = {.uffd = -1}};
    r = gw_store_direct_new(ram, &s->direct, err);
    if (r < 0) {
        free(s);
        return r;
    }
    gw_faults_init(&s->faults, &s->table, &s->config);
    *ret = &s->store;
    return 0;
}

int gw_uffd_discard(struct gw_store *store, const struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    struct uffd *s = of(store);
    uint64_t *received = gw_store_direct_received(s->direct, b);
    uint64_t unit = gw_unit_bytes(s->ram, b) >> s->ram->page_bits;

    if (s->listens)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "RAM block %s: pages are discarded after postcopy has begun", b->name);
    if (!received)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "pages of RAM block %s are discarded, which was not listed", b->name);
    if (first > b->pages || count > b->pages - first)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "RAM block %s: %" PRIu64 " pages from page %" PRIu64 " on are to be discarded, but the block's pages are "
                       "%" PRIu64, b->name, count, first, b->pages);
    if (first % unit || (count % unit && first + count != b->pages))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "RAM block %s: %" PRIu64 " pages from %" PRIu64 " on are discarded, but a host page has %" PRIu64, b->name, count,
                       first, unit);
    gw_bitmap_clear_range(received, first, count);
    return 0;
}

const uint64_t *gw_uffd_received(const struct gw_store *store, const struct gw_ram_block *b)
{
    return gw_store_direct_received(of(store)->direct, b);
}

uint64_t gw_uffd_waiting(const struct gw_store *store)
{
    return of(store)->faults.waiting;
}

void gw_uffd_figures(const struct gw_store *store, struct gw_uffd_figures *ret)
{
    const struct gw_faults *f = &of(store)->faults;

    *ret = (struct gw_uffd_figures){.faults = f->faults, .requests = f->requests, .local = f->local};
}

int gw_uffd_probe(const struct gw_ram *ram, struct gw_error *err)
{
    GW_AUTOFD int uffd = -1;
    uint64_t features;
    int r = gw_uffd_open_missing(&uffd, &features, err);

    for (unsigned i = 0; r >= 0 && i < ram->count; i++) {
        struct gw_missing a;

        if (!gw_ram_migrates(ram->blocks[i]))
            continue;
        r = gw_missing_begin(&a, uffd, ram->blocks[i], NULL, err);
        if (r >= 0)
            gw_missing_end(&a);
    }
    return r;
}
