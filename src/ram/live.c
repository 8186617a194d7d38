/* SPDX-License-Identifier: MIT */
#include "ram/live.h"

#include "wire/numbers.h"

static int check_resized(struct ram_live *m, struct gw_error *err)
{
    struct gw_ram *ram = m->config.ram;
    char name[256];

    pthread_mutex_lock(&ram->lock);
    gw_strcopy(name, sizeof name, ram->resized);
    pthread_mutex_unlock(&ram->lock);
    if (name[0])
        return gw_fail(err, -ECANCELED, GW_BLAME_EMBEDDER, "RAM block %s was resized during the migration", name);
    return 0;
}

static int sync_dirty(struct ram_live *m, struct gw_error *err)
{
    uint64_t fresh = 0;
    int r = m->config.notify ? m->config.notify(m->config.opaque, GW_NOTIFY_BEFORE_SYNC, err) : 0;

    if (r < 0)
        return r;
    r = gw_source_dirty_sync(&m->source, &fresh, err);
    if (r < 0)
        return r;
    atomic_fetch_add(&m->sync_count, 1);
    atomic_store(&m->last_fresh, fresh);
    if (m->config.synced)
        m->config.synced(m->config.opaque, atomic_load(&m->sync_count), fresh);
    return m->config.notify ? m->config.notify(m->config.opaque, GW_NOTIFY_AFTER_SYNC, err) : 0;
}

static int setup(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    struct gw_ram *ram = m->config.ram;
    uint64_t total = 0;
    int r = check_resized(m, err);

    pthread_mutex_lock(&ram->lock);
    for (unsigned i = 0; i < ram->count; i++)
        ram->blocks[i]->stays = gw_ram_stays(m, ram->blocks[i]);
    pthread_mutex_unlock(&ram->lock);
    if (r >= 0)
        r = gw_lane_begin(m->lane, err);
    if (r >= 0)
        r = gw_tracker_start(m->config.tracker, err);
    if (r < 0)
        return r;
    m->started = true;
    pthread_mutex_lock(&ram->lock);
    for (unsigned i = 0; i < ram->count; i++) {
        struct gw_ram_block *b = ram->blocks[i];

        if (!gw_ram_migrates(b))
            continue;
        total += b->used_bytes;
        b->flags &= ~(unsigned)GW_RAM_FRESH; /* it has a guest: should it come back, its pages must not count as zeros */
        if (b->discarded)
            m->skipped += gw_bitmap_count(b->discarded, b->pages);
    }
    pthread_mutex_unlock(&ram->lock);
    gw_source_dirty_init(&m->source, ram, m->config.tracker);
    m->sending = true;
    atomic_store(&m->total, total);

    gw_writer_cause(w, GW_CAUSE_RAM_META);
    gw_put_u64(w, total | GW_RAMF_MEM_SIZE);
    for (unsigned i = 0; i < ram->count; i++) {
        const struct gw_ram_block *b = ram->blocks[i];

        if (!gw_ram_migrates(b))
            continue;
        gw_trace_ram_block(ram->trace, b->name, b->used_bytes, b->gpa);
        gw_put_str8(w, b->name);
        gw_put_u64(w, b->used_bytes);
        if (m->config.ignore_shared)
            gw_put_u64(w, b->gpa);
    }
    gw_put_u64(w, GW_RAMF_EOS);
    atomic_store(&m->sync_count, 1);
    if (m->config.synced)
        m->config.synced(m->config.opaque, 1, gw_source_dirty_pages(&m->source));
    return 0;
}

static int pending(struct gw_live *live, bool exact, struct gw_pending *ret, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    int r = exact ? sync_dirty(m, err) : 0;

    if (r < 0)
        return r;
    *ret = (struct gw_pending){.can_postcopy_bytes = gw_source_dirty_pages(&m->source) << m->config.ram->page_bits};
    return 0;
}

/* Sends one batch of at most max pages; *ret_count 0: nothing is dirty. */
static int send_batch(struct ram_live *m, struct gw_writer *w, unsigned max, unsigned *ret_count, struct gw_error *err)
{
    int r = gw_lane_step(m->lane, &m->source.source, w, max, ret_count, err);

    atomic_store(&m->plain_pages, gw_lane_pages(m->lane, GW_FORM_PLAIN));
    atomic_store(&m->zero_pages, gw_lane_pages(m->lane, GW_FORM_ZERO));
    return r;
}

static int step(struct gw_live *live, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    int r = check_resized(m, err), done = 0;

    gw_writer_cause(w, GW_CAUSE_RAM_META);
    while (r >= 0 && !done) {
        uint64_t before = gw_writer_offset(w);
        uint64_t pages = budget->batch_bytes >> m->config.ram->page_bits;
        unsigned count, max = (unsigned)GW_MAX(1u, GW_MIN(pages, (uint64_t)GW_BATCH_PAGES));

        r = send_batch(m, w, max, &count, err);
        if (r < 0)
            return r;
        if (!count)
            done = 1;
        else if (budget->spent(budget, gw_writer_offset(w) - before))
            break;
    }
    if (r < 0)
        return r;
    gw_put_u64(w, GW_RAMF_EOS);
    return done;
}

static int complete(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    unsigned count;
    int r = check_resized(m, err);

    if (r >= 0)
        r = sync_dirty(m, err);
    gw_writer_cause(w, GW_CAUSE_RAM_META);
    do {
        if (r < 0)
            return r;
        r = send_batch(m, w, GW_BATCH_PAGES, &count, err);
    } while (r >= 0 && count);
    if (r < 0)
        return r;
    gw_put_u64(w, GW_RAMF_EOS);
    return 0;
}

static void cleanup(struct gw_live *live)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);

    m->sending = false;
    if (m->started)
        gw_tracker_stop(m->config.tracker);
    for (unsigned i = 0; m->lane && i < m->config.ram->count; i++)
        m->config.ram->blocks[i]->stays = false;
    if (m->lane)
        gw_lane_end(m->lane);
    m->started = false;
}

static struct gw_live *live_free(struct gw_live *live)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);

    cleanup(live);
    gw_lane_free(m->lane);
    if (m->store)
        m->store->free(m->store);
    free(m);
    return NULL;
}

static const struct gw_live_ops ops = {
    .id = "ram",
    .version = GW_RAM_SECTION_VERSION,
    .setup = setup,
    .pending = pending,
    .step = step,
    .complete = complete,
    .cleanup = cleanup,
    .load_setup = gw_ram_load_setup,
    .load = gw_ram_load,
    .load_cleanup = gw_ram_load_cleanup,
    .free = live_free,
};

int gw_ram_live_new(const struct gw_ram_config *config, struct gw_live **ret_live, struct gw_error *err)
{
    struct ram_live *m = calloc(1, sizeof *m);

    if (!m) {
        gw_lane_free(config->take_lane);
        if (config->take_store)
            config->take_store->free(config->take_store);
        return gw_nomem(err, "RAM section");
    }
    m->live.ops = &ops;
    m->config = *config;
    m->lane = config->take_lane;
    m->store = config->take_store;
    *ret_live = &m->live;
    return 0;
}

void gw_ram_live_counts(struct gw_live *live, struct gw_ram_counts *ret)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);

    pthread_mutex_lock(&m->config.ram->lock);
    *ret = (struct gw_ram_counts){
        .total_bytes = atomic_load(&m->total),
        .remaining_pages = m->sending ? m->config.ram->dirty_pages : 0,
        .zero_pages = atomic_load(&m->zero_pages),
        .plain_pages = atomic_load(&m->plain_pages),
        .skipped_pages = atomic_load(&m->skipped),
        .sync_count = atomic_load(&m->sync_count),
        .dirty_pages_last_sync = atomic_load(&m->last_fresh),
        .guessed_pages = atomic_load(&m->guessed),
        .missed_pages = atomic_load(&m->missed),
    };
    pthread_mutex_unlock(&m->config.ram->lock);
}

void gw_ram_live_skipped(struct gw_live *live, uint64_t pages)
{
    atomic_fetch_add(&GW_CONTAINER(live, struct ram_live, live)->skipped, pages);
}

uint64_t gw_ram_live_forget(struct gw_live *live, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    uint64_t n;

    if (!m->sending || first >= b->pages)
        return 0;
    if (gw_tracker_drop(m->config.tracker, b, first, GW_MIN(count, b->pages - first), &n, NULL) < 0)
        return 0;
    gw_ram_live_skipped(live, n);
    return n;
}
