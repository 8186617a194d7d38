/* SPDX-License-Identifier: MIT
 *
 * Random migrations against a model: pages that came before, that are discarded, that come by two lanes which are cut off again and
 * again, that never come; a guest of several threads that reads and writes all the while.
 */
#include "uffd_rig.h"
#include "../../../privilege.h"

#define UNITS  96u
#define GUESTS 3u
#define LANES  2u

enum fate { CAME_BEFORE, COMES, NEVER };

struct world {
    struct rig rig;
    uint32_t page_bytes;
    size_t unit_bytes;
    unsigned unit_pages;
    uint64_t seed;
    enum fate fate[UNITS];
    uint8_t value[UNITS * 16]; /* of target pages, as the guest must see them */
    bool wrote[GUESTS][UNITS * 16];

    pthread_mutex_t lock; /* what follows */
    bool asked[UNITS];    /* since the last cut */
    bool taken[UNITS], done[UNITS];
    unsigned order[UNITS], next;   /* background */
    unsigned queue[UNITS * 64], queued, served;
    uint64_t asks;
    int budget; /* target pages that are sent before the next cut */
};

static uint64_t chance(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static void on_ask(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes)
{
    struct world *w = opaque;
    uint64_t unit = offset / w->unit_bytes;

    pthread_mutex_lock(&w->lock);
    if (bytes != w->unit_bytes || unit >= UNITS || w->asked[unit] || w->fate[unit] == CAME_BEFORE)
        abort();
    w->asked[unit] = true;
    w->asks++;
    w->queue[w->queued++] = (unsigned)unit;
    pthread_mutex_unlock(&w->lock);
}

/* ---- the guest ------------------------------------------------------------------------------------------------------ */

struct guest {
    struct world *w;
    unsigned number;
    uint64_t seed;
    pthread_t thread;
    unsigned wrong;
};

static void *guest(void *opaque)
{
    struct guest *g = opaque;
    struct world *w = g->w;
    uint64_t seed = g->seed;

    for (unsigned i = 0; i < 300; i++) {
        uint64_t page = chance(&seed) % (UNITS * w->unit_pages);
        volatile uint8_t *p = w->rig.host + page * w->page_bytes;

        if (chance(&seed) % 2) {
            p[8 + g->number] = (uint8_t)(0xc0 + g->number);
            w->wrote[g->number][page] = true;
        } else if (p[chance(&seed) % 8] != w->value[page] || p[w->page_bytes - 1] != w->value[page]) {
            g->wrong++;
        }
    }
    return NULL;
}

/* ---- the source ----------------------------------------------------------------------------------------------------- */

struct lane {
    struct world *w;
    struct gw_store *store;
    pthread_t thread;
    uint64_t seed;
    int failed;
};

/* UNITS: none is left. */
static unsigned take(struct world *w)
{
    unsigned unit = UNITS;

    pthread_mutex_lock(&w->lock);
    while (w->served < w->queued && unit == UNITS) {
        unsigned q = w->queue[w->served++];

        if (w->fate[q] == COMES && !w->taken[q])
            unit = q;
    }
    while (w->next < UNITS && unit == UNITS) {
        unsigned o = w->order[w->next++];

        if (w->fate[o] == COMES && !w->taken[o])
            unit = o;
    }
    if (unit < UNITS)
        w->taken[unit] = true;
    pthread_mutex_unlock(&w->lock);
    return unit;
}

static bool spend(struct world *w)
{
    bool left;

    pthread_mutex_lock(&w->lock);
    left = w->budget-- > 0;
    pthread_mutex_unlock(&w->lock);
    return left;
}

static void *lane(void *opaque)
{
    struct lane *l = opaque;
    struct world *w = l->w;
    unsigned unit;

    while ((unit = take(w)) < UNITS) {
        for (unsigned i = 0; i < w->unit_pages; i++) {
            uint64_t page = (uint64_t)unit * w->unit_pages + i;

            if (!spend(w))
                return NULL;
            if (!w->value[page] && chance(&l->seed) % 4)
                l->failed |= l->store->zero(l->store, w->rig.b, page, NULL);
            else
                l->failed |= rig_put(&w->rig, l->store, page, w->value[page], NULL);
        }
        pthread_mutex_lock(&w->lock);
        w->done[unit] = true;
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

/* What has come is what the lanes have put wholly; who waits is asked for again. */
static void cut(struct world *w)
{
    const uint64_t *received;

    gw_uffd_hold(w->rig.store);
    received = gw_uffd_received(w->rig.store, w->rig.b);
    pthread_mutex_lock(&w->lock);
    for (unsigned page = 0; page < UNITS * w->unit_pages; page++) {
        unsigned unit = page / w->unit_pages;

        assert_int_equal(gw_bitmap_test_atomic(received, page), w->done[unit] || w->fate[unit] == CAME_BEFORE);
    }
    memset(w->asked, 0, sizeof w->asked);
    memcpy(w->taken, w->done, sizeof w->taken);
    w->queued = w->served = w->next = 0;
    pthread_mutex_unlock(&w->lock);
    gw_uffd_ask_again(w->rig.store);
}

static bool all_done(const struct world *w)
{
    for (unsigned i = 0; i < UNITS; i++)
        if (w->fate[i] == COMES && !w->done[i])
            return false;
    return true;
}

static void serve(struct world *w)
{
    while (!all_done(w)) {
        struct lane l[LANES] = {{0}};

        w->budget = (int)(chance(&w->seed) % (UNITS * w->unit_pages));
        for (unsigned i = 0; i < LANES; i++) {
            l[i] = (struct lane){.w = w, .seed = chance(&w->seed)};
            assert_int_equal(gw_uffd_lane(w->rig.store, &l[i].store, NULL), 0);
            assert_int_equal(pthread_create(&l[i].thread, NULL, lane, &l[i]), 0);
        }
        for (unsigned i = 0; i < LANES; i++) {
            pthread_join(l[i].thread, NULL);
            l[i].store->free(l[i].store);
            assert_int_equal(l[i].failed, 0);
        }
        cut(w);
    }
}

/* ---- a migration ---------------------------------------------------------------------------------------------------- */

static void prepare(struct world *w)
{
    struct gw_store *s = w->rig.store;

    for (unsigned i = 0; i < UNITS; i++) {
        unsigned k = (unsigned)chance(&w->seed) % (i + 1), n = (unsigned)chance(&w->seed) % 8;

        w->order[i] = w->order[k];
        w->order[k] = i;
        w->fate[i] = n < 2 ? CAME_BEFORE : n < 7 ? COMES : NEVER;
        for (unsigned p = i * w->unit_pages; p < (i + 1) * w->unit_pages; p++) {
            w->value[p] = w->fate[i] == NEVER || chance(&w->seed) % 3 == 0 ? 0 : (uint8_t)(1 + chance(&w->seed) % 0xbf);
            /* Once, twice or not at all before; what is discarded then was another content. */
            for (uint64_t times = chance(&w->seed) % 3 + (w->fate[i] == CAME_BEFORE); times-- > 0;) {
                uint8_t v = w->fate[i] == CAME_BEFORE && !times ? w->value[p] : (uint8_t)chance(&w->seed);

                assert_int_equal(v ? rig_put(&w->rig, s, p, v, NULL) : s->zero(s, w->rig.b, p, NULL), 0);
            }
        }
        if (w->fate[i] != CAME_BEFORE)
            assert_int_equal(gw_uffd_discard(s, w->rig.b, i * w->unit_pages, w->unit_pages, NULL), 0);
    }
}

static void compare(const struct world *w)
{
    for (unsigned page = 0; page < UNITS * w->unit_pages; page++)
        for (unsigned at = 0; at < w->page_bytes; at++) {
            bool written = at >= 8 && at < 8 + GUESTS && w->wrote[at - 8][page];

            if (w->rig.host[page * w->page_bytes + at] != (written ? 0xc0 + at - 8 : w->value[page]))
                fail_msg("page %u, byte %u: 0x%x", page, at, w->rig.host[page * w->page_bytes + at]);
        }
}

static void migrate(enum memory kind, uint32_t page, size_t unit, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    struct gw_uffd_config config = {.ask = on_ask, .failed = rig_failed, .opaque = w, .clock = &w->rig.clock};
    struct guest g[GUESTS];
    uint64_t never = 0;

    w->page_bytes = page;
    w->unit_bytes = unit;
    w->unit_pages = (unsigned)(unit / page);
    w->seed = seed;
    pthread_mutex_init(&w->lock, NULL);
    assert_true(rig_open(&w->rig, kind, page, unit, UNITS * unit, seed % 2 ? GW_RAM_FRESH : 0));
    w->rig.store->free(w->rig.store);
    assert_int_equal(gw_store_uffd_new(&w->rig.ram, &config, &w->rig.store, NULL), 0);
    assert_int_equal(w->rig.store->add(w->rig.store, w->rig.b, NULL), 0);
    prepare(w);
    rig_listen(&w->rig);
    for (unsigned i = 0; i < GUESTS; i++) {
        g[i] = (struct guest){.w = w, .number = i, .seed = chance(&w->seed)};
        assert_int_equal(pthread_create(&g[i].thread, NULL, guest, &g[i]), 0);
    }
    serve(w);
    assert_int_equal(gw_uffd_finish(w->rig.store, NULL), 0);
    for (unsigned i = 0; i < GUESTS; i++) {
        pthread_join(g[i].thread, NULL);
        assert_int_equal(g[i].wrong, 0);
    }
    for (unsigned i = 0; i < UNITS; i++)
        never += w->fate[i] == NEVER ? w->unit_pages : 0;
    assert_int_equal(w->rig.store->missing(w->rig.store, w->rig.b), never);
    assert_int_equal(rig_figures(&w->rig).requests, w->asks);
    assert_int_equal(gw_uffd_waiting(w->rig.store), 0);
    assert_int_equal(gw_uffd_end(w->rig.store, NULL), 0);
    compare(w);
    rig_close(&w->rig);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void random_migrations(void **state)
{
    static const struct {
        uint32_t page;
        size_t unit;
    } sizes[] = {{4096, 4096}, {1024, 4096}, {2048, 4096}, {4096, 65536}};

    for (unsigned i = 0; i < 24; i++)
        migrate(i / 4 % 2 ? MEMFD : ANONYMOUS, sizes[i % 4].page, sizes[i % 4].unit, 1 + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_migrations),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests_name("uffd store and its model", tests, NULL, NULL);
}
