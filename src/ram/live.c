/* SPDX-License-Identifier: MIT */
#include "ram/live.h"

#include <unistd.h>

#include "ram/layout/transport.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"

static int check_resized(struct ram_live *m, struct gw_error *err)
{
    struct gw_ram *ram = m->config.ram;
    char name[256];

    pthread_mutex_lock(&ram->lock);
    gw_strcopy(name, sizeof name, ram->resized);
    pthread_mutex_unlock(&ram->lock);
    if (name[0])
        return gw_fail(err, -ECANCELED, GW_BLAME_EMBEDDER, "RAM block %s was resized while the migration was under way", name);
    return 0;
}

/* The blocks whose pages are sent. */
static int begin(struct ram_live *m, struct gw_error *err)
{
    struct gw_ram *ram = m->config.ram;
    GW_AUTOFREE bool *goes = calloc(GW_MAX(ram->count, 1u), sizeof *goes);
    int r;

    if (!goes)
        return gw_nomem(err, "RAM section");
    for (unsigned i = 0; i < ram->count; i++)
        goes[i] = gw_ram_migrates(ram->blocks[i]) && !gw_ram_stays(m, ram->blocks[i]);
    m->begun = true;
    r = gw_lanes_begin(m->lanes, err);
    return r < 0 ? r : m->source->begin(m->source, goes, err);
}

static int tell(struct ram_live *m, enum gw_transport_stretch stretch, bool end, struct gw_writer *w, struct gw_error *err)
{
    return m->config.transport ? gw_layout_transport_tell(m->config.transport, stretch, end, w, err) : 0;
}

static int setup(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    struct gw_ram *ram = m->config.ram;
    uint64_t total = 0, stays = 0;
    int r = check_resized(m, err);

    if (r >= 0)
        r = begin(m, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&ram->lock);
    ram->sending = true;
    ram->skipped_pages = 0;
    for (unsigned i = 0; i < ram->count; i++) {
        struct gw_ram_block *b = ram->blocks[i];

        if (!gw_ram_migrates(b))
            continue;
        total += b->used_bytes;
        stays += gw_ram_stays(m, b) ? b->used_bytes : 0;
        b->flags &=
            /* the machine runs at the destination: if it comes back, its pages must not count as zeros */
            ~(unsigned)GW_RAM_FRESH;
        if (b->discarded)
            ram->skipped_pages += gw_bitmap_count(b->discarded, b->pages);
    }
    pthread_mutex_unlock(&ram->lock);
    atomic_store(&m->total, total - stays);

    gw_writer_cause(w, GW_CAUSE_RAM_META);
    gw_ram_list_put_total(&w->out, total);
    for (unsigned i = 0; r >= 0 && i < ram->count; i++) {
        struct gw_ram_block *b = ram->blocks[i];

        if (!gw_ram_migrates(b))
            continue;
        gw_trace_ram_block(ram->trace, b->name, b->used_bytes, b->gpa);
        gw_ram_list_put(&w->out, b->name, b->used_bytes, NULL);
        if (m->config.postcopy && gw_ram_large_pages(m->config.ram, b))
            gw_put_u64(&w->out, b->page_bytes);
        if (m->config.ignore_shared)
            gw_put_u64(&w->out, b->gpa);
        r = gw_lanes_list(m->lanes, b, w, err);
    }
    if (r >= 0)
        r = tell(m, GW_TRANSPORT_SETUP, false, w, err);
    if (r >= 0)
        r = tell(m, GW_TRANSPORT_SETUP, true, w, err);
    if (r >= 0)
        r = gw_lanes_barrier(m->lanes, GW_BARRIER_LISTED, w, err);
    if (r >= 0)
        gw_ram_put_end(&w->out);
    return r;
}

static int pending(struct gw_live *live, bool exact, struct gw_pending *ret, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    unsigned bits = m->config.ram->page_bits;
    uint64_t fresh = 0;
    int r = exact ? m->source->sync(m->source, &fresh, err) : 0;

    if (r < 0)
        return r;
    m->round_due |= exact;
    *ret =
        (struct gw_pending){.can_postcopy_bytes = m->source->pending(m->source) << bits, .fresh_bytes = fresh << bits};
    return 0;
}

/* Sends one batch of at most max pages; *ret_count 0: nothing is due. */
static int send_batch(struct ram_live *m, struct gw_writer *w, unsigned max, unsigned *ret_count, struct gw_error *err)
{
    struct gw_batch *batch;
    int r = gw_lanes_batch(m->lanes, m->source, w, &batch, err), e;

    if (r < 0)
        return r;
    r = m->source->next(m->source, batch, max, err);
    if (r < 0)
        batch->count = 0;
    *ret_count = batch->count;
    e = gw_lanes_submit(m->lanes, batch, w, r < 0 ? NULL : err);
    return r < 0 ? r : e;
}

/* Sends until the budget is spent (NULL: no limit). 1: nothing was left; 0: the budget was spent. */
static int send_pages(struct ram_live *m, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    uint64_t pages = budget ? budget->batch_bytes >> m->config.ram->page_bits : GW_BATCH_PAGES, before;
    unsigned count, max = (unsigned)GW_MAX(1u, GW_MIN(pages, (uint64_t)GW_BATCH_PAGES));
    int r;

    gw_writer_cause(w, GW_CAUSE_RAM_META);
    do {
        before = gw_writer_offset(w) + gw_lanes_bytes(m->lanes);
        r = send_batch(m, w, max, &count, err);
        if (r < 0 || !count)
            return r < 0 ? r : 1;
    } while (!budget || !budget->spent(budget, gw_writer_offset(w) + gw_lanes_bytes(m->lanes) - before));
    return 0;
}

static int step(struct gw_live *live, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    int r = check_resized(m, err), dry = 0;

    if (r >= 0 && (m->round_due || m->resumed))
        r = gw_lanes_barrier(m->lanes, m->resumed ? GW_BARRIER_POSTCOPY : GW_BARRIER_ROUND, w, err);
    m->round_due = m->resumed = false;
    if (r >= 0)
        r = tell(m, GW_TRANSPORT_PAGES, false, w, err);
    if (r >= 0)
        r = dry = send_pages(m, w, budget, err);
    if (r >= 0) /* a source whose pages go once may have no END */
        r = gw_lanes_barrier(m->lanes, dry && m->source->once ? GW_BARRIER_END : GW_BARRIER_STEP, w, err);
    m->ended = r >= 0 && dry && m->source->once;
    if (r >= 0)
        r = tell(m, GW_TRANSPORT_PAGES, true, w, err);
    if (r < 0)
        return r;
    gw_ram_put_end(&w->out);
    return dry;
}

static int wait_for(struct gw_live *live, uint64_t ns, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);

    return m->source->wait ? m->source->wait(m->source, ns, err) : 0;
}

static int finish(struct ram_live *m, struct gw_writer *w, struct gw_error *err)
{
    int r = gw_lanes_barrier(m->lanes, GW_BARRIER_SWITCH, w, err);

    if (r >= 0)
        r = tell(m, GW_TRANSPORT_FINISH, false, w, err);
    if (r >= 0)
        r = send_pages(m, w, NULL, err);
    if (r >= 0)
        r = gw_lanes_barrier(m->lanes, GW_BARRIER_END, w, err);
    return r < 0 ? r : tell(m, GW_TRANSPORT_FINISH, true, w, err);
}

static int complete(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    int r = check_resized(m, err);

    if (r >= 0 && !m->ended)
        r = finish(m, w, err);
    if (r < 0)
        return r;
    gw_ram_put_end(&w->out);
    m->completed = true;
    return 0;
}

/* All lanes reach a barrier: what was written before it arrives before the other side continues. */
static int meet(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    int r = gw_lanes_barrier(m->lanes, GW_BARRIER_ROUND, w, err);

    if (r >= 0)
        gw_ram_put_end(&w->out);
    return r;
}

static int hand_over(struct gw_live *live, struct gw_writer *w, struct gw_commands *c, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    int r = check_resized(m, err);

    if (r >= 0)
        r = gw_lanes_barrier(m->lanes, GW_BARRIER_POSTCOPY, w, err);
    m->round_due = false;
    if (r >= 0)
        gw_ram_discard(m->config.ram, m->source, c);
    return r;
}

/* The destination must still have the pages that were given back here: this side does not have them any more. */
static int check_given(const struct gw_ram *ram, const struct gw_ram_block *b, const uint64_t *map, struct gw_error *err)
{
    for (uint64_t at = 0; b->given && atomic_load(&ram->given); at++) {
        at = gw_bitmap_next_set(b->given, b->pages, at);
        if (at == b->pages)
            break;
        if (!gw_bitmap_test(map, at))
            return gw_fail(err, -ENODATA, GW_BLAME_PEER,
                           "the destination lacks page 0x%" PRIx64 " of RAM block %s, which the first destination had, so that it "
                           "was given back to the host here (release-ram): resume at that "
                           "destination", at << ram->page_bits, b->name);
    }
    return 0;
}

static int resume(struct gw_live *live, struct gw_resume *ask, struct gw_error *err)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    struct gw_ram *ram = m->config.ram;
    uint64_t total = 0;
    int r = begin(m, err);

    m->resumed = true;
    for (unsigned i = 0; r >= 0 && i < ram->count; i++) {
        struct gw_ram_block *b = ram->blocks[i];
        uint64_t *map = NULL, at = 0, end;

        if (!gw_ram_migrates(b) || gw_ram_stays(m, b))
            continue;
        total += b->used_bytes;
        r = ask->map(ask, b->name, b->pages, &map, err);
        if (r >= 0)
            r = check_given(ram, b, map, err);
        for (; r >= 0 && (at = gw_bitmap_next_set(map, b->pages, at)) < b->pages; at = end) {
            end = gw_bitmap_next_clear(map, b->pages, at);
            r = m->source->settle(m->source, b, at, end - at, err);
        }
        free(map);
    }
    if (r < 0)
        return r;
    pthread_mutex_lock(&ram->lock);
    ram->sending = true;
    pthread_mutex_unlock(&ram->lock);
    atomic_store(&m->total, total);
    return 0;
}

static void cleanup(struct gw_live *live)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);

    if (!m->begun)
        return;
    pthread_mutex_lock(&m->config.ram->lock);
    m->config.ram->sending = false;
    pthread_mutex_unlock(&m->config.ram->lock);
    /* Batches go back to the source before the source ends. */
    gw_lanes_end(m->lanes);
    m->source->end(m->source);
    if (m->config.transport && m->config.transport->ops.over)
        m->config.transport->ops.over(m->config.transport->opaque, m->completed);
    m->begun = false;
}

static struct gw_live *live_free(struct gw_live *live)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);

    cleanup(live);
    gw_lanes_free(m->lanes);
    if (m->source)
        m->source->free(m->source);
    gw_lanes_in_free(m->lanes_in); /* before the store to which they write */
    gw_ram_unfollow(m);
    if (m->in)
        m->in->free(m->in);
    if (m->urgent_in)
        m->urgent_in->free(m->urgent_in);
    if (m->store)
        m->store->free(m->store);
    free(m);
    return NULL;
}

static void progress(struct gw_live *live, struct gw_progress *sum)
{
    struct ram_live *m = GW_CONTAINER(live, struct ram_live, live);
    struct gw_ram *ram = m->config.ram;
    bool sending;

    pthread_mutex_lock(&ram->lock);
    sending = ram->sending;
    sum->skipped_pages += m->source ? ram->skipped_pages : 0;
    pthread_mutex_unlock(&ram->lock);
    sum->total_bytes += atomic_load(&m->total);
    if (sending && m->source)
        sum->remaining_bytes += m->source->pending(m->source) << ram->page_bits;
    if (m->lanes) {
        gw_lanes_progress(m->lanes, sum);
        return;
    }
    if (m->lanes_in)
        gw_lanes_in_progress(m->lanes_in, sum);
    if (m->urgent_in)
        gw_progress_add(sum, m->urgent_in->pages);
    gw_progress_add(sum, m->in->pages);
}

static const struct gw_live_ops ops = {
    .id = "ram",
    .version = GW_RAM_SECTION_VERSION,
    .order = GW_RAM_ORDER,
    .setup = setup,
    .pending = pending,
    .step = step,
    .wait = wait_for,
    .complete = complete,
    .meet = meet,
    .hand_over = hand_over,
    .resume = resume,
    .cleanup = cleanup,
    .load_setup = gw_ram_load_setup,
    .load = gw_ram_load,
    .check_ended = gw_ram_check_ended,
    .over = gw_ram_over,
    .advised = gw_ram_advised,
    .regain = gw_ram_regain,
    .discard = gw_ram_forget,
    .follow = gw_ram_follow,
    .cut = gw_ram_cut,
    .hold = gw_ram_hold,
    .again = gw_ram_again,
    .release = gw_ram_release,
    .load_urgent = gw_ram_load_urgent,
    .lacking = gw_ram_lacking,
    .received = gw_ram_received,
    .load_cleanup = gw_ram_load_cleanup,
    .progress = progress,
    .free = live_free,
};

int gw_ram_live_new(const struct gw_ram_config *config, struct gw_live **ret_live, struct gw_error *err)
{
    struct ram_live *m = calloc(1, sizeof *m);

    if (!m) {
        gw_lanes_free(config->take_lanes);
        gw_lanes_in_free(config->take_lanes_in);
        if (config->take_source)
            config->take_source->free(config->take_source);
        if (config->take_in)
            config->take_in->free(config->take_in);
        if (config->take_urgent_in)
            config->take_urgent_in->free(config->take_urgent_in);
        if (config->take_store)
            config->take_store->free(config->take_store);
        return gw_nomem(err, "RAM section");
    }
    m->live.ops = &ops;
    m->live.section_id = config->section_id;
    m->live.apart = config->apart;
    m->config = *config;
    m->source = config->take_source;
    m->lanes = config->take_lanes;
    m->in = config->take_in;
    m->lanes_in = config->take_lanes_in;
    m->urgent_in = config->take_urgent_in;
    m->store = config->take_store;
    *ret_live = &m->live;
    return 0;
}
