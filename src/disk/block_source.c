/* SPDX-License-Identifier: MIT */
#include "disk/block.h"

#include "disk/block_due.h"
#include "disk/block_pull.h"
#include "wire/block_record.h"

/* The machine has stopped, so later writes are not the guest's. Hand-over fails after this many looks that find
 * some. */
#define LAST_LOOKS 100u

struct source {
    struct gw_live live;
    struct gw_block_config config;
    struct gw_block_due due;
    struct gw_block_pull *pull; /* NULL: between sessions */
    uint64_t bulk_chunks;       /* chunks of the bulk phase that were sent, or need not be */
    uint64_t total_chunks;
    unsigned percent;
    _Atomic uint64_t total_bytes, sent_bytes, left_bytes; /* size of the bulk phase; sent of it; all that is due */
};

static struct source *source_of(struct gw_live *live)
{
    return GW_CONTAINER(live, struct source, live);
}

static uint64_t left_chunks(const struct source *s)
{
    return gw_block_due_count(&s->due) + (s->pull ? gw_block_pull_count(s->pull) : 0);
}

static void publish(struct source *s)
{
    atomic_store(&s->left_bytes, left_chunks(s) * GW_BLOCK_CHUNK_BYTES);
}

static void cleanup(struct gw_live *live)
{
    struct source *s = source_of(live);

    gw_block_pull_free(s->pull);
    s->pull = NULL;
    gw_block_due_close(&s->due);
}

static int setup(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct source *s = source_of(live);
    int r = gw_block_due_open(&s->due, s->config.disks, s->config.count, err);

    if (r >= 0)
        r = gw_block_pull_new(s->config.zeros, &s->pull, err);
    if (r < 0) {
        cleanup(live);
        return r;
    }
    s->total_chunks = gw_block_due_count(&s->due);
    s->bulk_chunks = s->percent = 0;
    atomic_store(&s->total_bytes, gw_block_due_bytes(&s->due));
    atomic_store(&s->sent_bytes, 0);
    publish(s);
    gw_writer_cause(w, GW_CAUSE_DISK);
    gw_block_put_end(&w->out);
    return 0;
}

static int pending(struct gw_live *live, bool exact, struct gw_pending *ret, struct gw_error *err)
{
    struct source *s = source_of(live);
    uint64_t fresh = 0;
    int r = exact ? gw_block_due_look(&s->due, &fresh, err) : 0;

    if (r < 0)
        return r;
    publish(s);
    *ret = (struct gw_pending){.must_precopy_bytes = left_chunks(s) * GW_BLOCK_CHUNK_BYTES,
                               .fresh_bytes = fresh * GW_BLOCK_CHUNK_BYTES};
    return 0;
}

/* Requests as many chunks as may be read ahead. A chunk that is being read is not requested again before it was
 * sent. */
static int ask(struct source *s, struct gw_error *err)
{
    struct gw_block_ask a = {0};
    int r = 0;

    while (r >= 0 && gw_block_pull_count(s->pull) < GW_BLOCK_AHEAD &&
           gw_block_due_find(&s->due, &a.disk, &a.chunk, &a.bulk) && !gw_block_pull_has(s->pull, a.disk, a.chunk)) {
        a.top_only = s->config.top_only && a.bulk;
        r = gw_block_due_take(&s->due, err);
        if (r >= 0)
            gw_block_pull_ask(s->pull, &a);
    }
    return r;
}

static void put_percent(struct source *s, struct gw_writer *w)
{
    unsigned percent = (unsigned)(s->bulk_chunks * 100 / s->total_chunks);

    if (percent != s->percent)
        gw_block_put_progress(&w->out, percent);
    s->percent = percent;
}

static void count_bulk(struct source *s, const struct gw_block_ask *a, struct gw_writer *w)
{
    uint64_t offset = a->chunk * GW_BLOCK_CHUNK_BYTES;

    s->bulk_chunks++;
    atomic_fetch_add(&s->sent_bytes, GW_MIN(GW_BLOCK_CHUNK_BYTES, a->disk->bytes - offset));
    put_percent(s, w);
}

/* Sends the oldest requested chunk. */
static int put_chunk(struct source *s, struct gw_writer *w, struct gw_error *err)
{
    static const uint8_t zeros[GW_BLOCK_CHUNK_BYTES];
    struct gw_block_ask a;
    enum gw_block_holds holds;
    const uint8_t *data;
    int r = gw_block_pull_take(s->pull, &a, &holds, &data, err);

    if (r < 0)
        return r;
    if (holds != GW_BLOCK_NOTHING) {
        bool told = holds == GW_BLOCK_ZEROS && s->config.zeros;

        gw_block_put_chunk(&w->out, gw_disk_name(a.disk), a.chunk * GW_BLOCK_CHUNK_BYTES, told);
        if (!told)
            gw_put_ref(w, holds == GW_BLOCK_ZEROS ? zeros : data, GW_BLOCK_CHUNK_BYTES);
    }
    if (a.bulk)
        count_bulk(s, &a, w);
    if (holds == GW_BLOCK_BYTES) /* release lets its memory be used for another read */
        r = gw_writer_await(w, gw_writer_offset(w), err);
    gw_block_pull_release(s->pull);
    publish(s);
    return r;
}

/* 1: nothing is left; 0: the budget is spent. budget NULL: no limit. */
static int put_chunks(struct source *s, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    int r = ask(s, err);

    while (r >= 0 && gw_block_pull_count(s->pull)) {
        uint64_t before = gw_writer_offset(w);

        r = put_chunk(s, w, err);
        if (r >= 0 && budget && budget->spent(budget, gw_writer_offset(w) - before))
            return 0;
        if (r >= 0)
            r = ask(s, err);
    }
    return r < 0 ? r : 1;
}

static int step(struct gw_live *live, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    struct source *s = source_of(live);
    int r;

    gw_writer_cause(w, GW_CAUSE_DISK);
    r = put_chunks(s, w, budget, err);
    gw_block_put_end(&w->out);
    return r;
}

static bool in_bulk(struct gw_live *live)
{
    struct source *s = source_of(live);

    return s->pull && s->bulk_chunks < s->total_chunks;
}

static int complete(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct source *s = source_of(live);
    unsigned looks = 0;
    uint64_t fresh;
    int r;

    gw_writer_cause(w, GW_CAUSE_DISK);
    do {
        r = put_chunks(s, w, NULL, err);
        if (r >= 0)
            r = gw_block_due_look(&s->due, &fresh, err);
        if (r >= 0 && ++looks > LAST_LOOKS)
            r = gw_fail(err, -EBUSY, GW_BLAME_EMBEDDER, "the machine is stopped, but its disks are still written to");
    } while (r >= 0 && fresh);
    gw_block_put_progress(&w->out, 100);
    gw_block_put_end(&w->out);
    if (r >= 0) /* the next owner of the machine may want to lock the disks */
        r = gw_writer_await(w, gw_writer_offset(w), err);
    if (r >= 0)
        cleanup(live);
    return r;
}

static void progress(struct gw_live *live, struct gw_progress *sum)
{
    struct source *s = source_of(live);

    sum->disk.total_bytes += atomic_load(&s->total_bytes);
    sum->disk.transferred_bytes += atomic_load(&s->sent_bytes);
    sum->disk.remaining_bytes += atomic_load(&s->left_bytes);
}

static struct gw_live *source_free(struct gw_live *live)
{
    cleanup(live);
    free(source_of(live));
    return NULL;
}

int gw_block_source_new(const struct gw_block_config *config, struct gw_live **ret, struct gw_error *err)
{
    static const struct gw_live_ops ops = {
        .id = GW_BLOCK_SECTION,
        .version = GW_BLOCK_SECTION_VERSION,
        .order = GW_BLOCK_ORDER,
        .setup = setup,
        .pending = pending,
        .step = step,
        .first = in_bulk,
        .complete = complete,
        .cleanup = cleanup,
        .progress = progress,
        .free = source_free,
    };
    struct source *s = calloc(1, sizeof *s);

    if (!s)
        return gw_nomem(err, "section block");
    s->live.ops = &ops;
    s->live.section_id = config->section_id;
    s->config = *config;
    *ret = &s->live;
    return 0;
}
