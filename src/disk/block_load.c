/* SPDX-License-Identifier: MIT */
#include "disk/block.h"

#include "disk/block_store.h"
#include "wire/block_record.h"

#define REASON "a migration writes to it"

struct load {
    struct gw_live live;
    struct gw_block_config config;
    struct gw_block_store *store; /* NULL: no chunk has arrived yet */
    bool *ours;                   /* ours[i]: config.disks[i] was taken over and written to */
    unsigned last;                /* the disk of the previous record */
    atomic_uint percent;
};

static struct load *load_of(struct gw_live *live)
{
    return GW_CONTAINER(live, struct load, live);
}

static int load_setup(struct gw_live *live, struct gw_error *err)
{
    struct load *l = load_of(live);

    l->last = 0;
    atomic_store(&l->percent, 0);
    return 0;
}

static void release(struct load *l)
{
    gw_block_store_free(l->store);
    l->store = NULL;
    for (unsigned i = 0; i < l->config.count; i++) {
        if (l->ours[i])
            gw_disk_unblock(l->config.disks[i], REASON);
        l->ours[i] = false;
    }
}

static void load_cleanup(struct gw_live *live, bool ok)
{
    release(load_of(live));
}

/* On the first chunk of a disk. */
static int take_over(struct load *l, unsigned i, struct gw_error *err)
{
    struct gw_disk *d = l->config.disks[i];
    int r;

    if (d->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_LOCAL, "disk %s, which the source sends, cannot be written here",
                       gw_disk_name(d));
    if (!l->store) {
        r = gw_block_store_new(&l->store, err);
        if (r < 0)
            return r;
    }
    atomic_store(&l->live.touched, true);
    r = gw_disk_block(d, REASON, err); /* the disk's length is fixed now */
    if (r < 0)
        return r;
    l->ours[i] = true;
    return gw_disk_activate(d, err);
}

static int find(struct load *l, const struct gw_block_record *rec, struct gw_error *err)
{
    const struct gw_block_config *c = &l->config;

    if (l->last < c->count && !strcmp(gw_disk_name(c->disks[l->last]), rec->name))
        return 0;
    for (l->last = 0; l->last < c->count && strcmp(gw_disk_name(c->disks[l->last]), rec->name); l->last++)
        ;
    return l->last < c->count ? 0
                              : gw_fail(err, -EPROTO, GW_BLAME_PEER,
                                        "the source sends a disk %s, and this machine has none of that name", rec->name);
}

static int check(const struct gw_disk *d, const struct gw_block_record *rec, uint64_t at, struct gw_error *err)
{
    uint64_t bytes = atomic_load(&d->bytes);

    if (rec->offset % GW_BLOCK_CHUNK_BYTES)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "byte %" PRIu64 ": a chunk of disk %s begins at its byte %" PRIu64 ", which is no multiple of 1 MiB",
                       at, rec->name, rec->offset);
    if (rec->offset >= bytes)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "byte %" PRIu64 ": a chunk of disk %s begins at its byte %" PRIu64 ", and it has %" PRIu64
                       " bytes here: the disks of both machines must be equally long",
                       at, rec->name, rec->offset, bytes);
    return 0;
}

static int get_chunk(struct load *l, const struct gw_block_record *rec, uint64_t at, struct gw_reader *r,
                     struct gw_error *err)
{
    struct gw_disk *d;
    uint64_t bytes;
    uint8_t *room;
    int e = find(l, rec, err);

    if (e < 0)
        return e;
    d = l->config.disks[l->last];
    e = check(d, rec, at, err);
    if (e >= 0 && !l->ours[l->last])
        e = take_over(l, l->last, err);
    if (e < 0)
        return e;
    bytes = GW_MIN(GW_BLOCK_CHUNK_BYTES, d->bytes - rec->offset);
    if (rec->zero)
        return gw_block_store_zero(l->store, d, rec->offset, bytes, err);
    e = gw_block_store_room(l->store, &room, err);
    if (e >= 0)
        e = gw_reader_direct(r, &(struct iovec){room, GW_BLOCK_CHUNK_BYTES}, 1, err);
    if (e >= 0)
        gw_block_store_put(l->store, d, rec->offset, bytes);
    return e;
}

/* Most written data goes to stable storage while the machine still runs on the source. */
static int begin_flush(struct load *l, struct gw_error *err)
{
    int e = 0;

    for (unsigned i = 0; e >= 0 && i < l->config.count; i++)
        if (l->ours[i])
            e = gw_block_store_flush(l->store, l->config.disks[i], err);
    return e;
}

static int settle(struct load *l, struct gw_error *err)
{
    int e = l->store ? gw_block_store_settle(l->store, err) : 0;

    if (e >= 0)
        e = begin_flush(l, err);
    return e >= 0 && l->store ? gw_block_store_settle(l->store, err) : e;
}

static int get_percent(struct load *l, unsigned percent, struct gw_error *err)
{
    return atomic_exchange(&l->percent, percent) != 100 && percent == 100 ? begin_flush(l, err) : 0;
}

static int load(struct gw_live *live, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err)
{
    struct load *l = load_of(live);
    struct gw_block_record rec = {.kind = GW_BLOCK_PROGRESS};
    int e;

    do {
        uint64_t at = gw_reader_offset(r);

        e = gw_block_get(&r->in, &rec, err);
        if (e >= 0 && rec.kind == GW_BLOCK_CHUNK)
            e = get_chunk(l, &rec, at, r, err);
        else if (e >= 0 && rec.kind == GW_BLOCK_PROGRESS)
            e = get_percent(l, rec.percent, err);
    } while (e >= 0 && rec.kind != GW_BLOCK_END);
    return e >= 0 && kind == GW_SECTION_END ? settle(l, err) : e;
}

static int check_ended(struct gw_live *live, enum gw_live_end end, char *note, struct gw_error *err)
{
    return end == GW_LIVE_OPEN ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "it ends before the contents of its disks do") : 0;
}

static void progress(struct gw_live *live, struct gw_progress *sum)
{
    struct load *l = load_of(live);
    uint64_t total = 0, percent = atomic_load(&l->percent), done;

    for (unsigned i = 0; i < l->config.count; i++)
        total += l->config.disks[i]->read_only ? 0 : l->config.disks[i]->bytes;
    done = total / 100 * percent + total % 100 * percent / 100;
    if (!percent)
        return;
    sum->disk.total_bytes += total;
    sum->disk.transferred_bytes += done;
    sum->disk.remaining_bytes += total - done;
}

static struct gw_live *load_free(struct gw_live *live)
{
    struct load *l = load_of(live);

    release(l);
    free(l->ours);
    free(l);
    return NULL;
}

int gw_block_load_new(const struct gw_block_config *config, struct gw_live **ret, struct gw_error *err)
{
    static const struct gw_live_ops ops = {
        .id = GW_BLOCK_SECTION,
        .version = GW_BLOCK_SECTION_VERSION,
        .order = GW_BLOCK_ORDER,
        .load_setup = load_setup,
        .load = load,
        .check_ended = check_ended,
        .load_cleanup = load_cleanup,
        .progress = progress,
        .free = load_free,
    };
    struct load *l = calloc(1, sizeof *l);

    if (l)
        l->ours = calloc(GW_MAX(config->count, 1u), sizeof *l->ours);
    if (!l || !l->ours) {
        free(l);
        return gw_nomem(err, "section block");
    }
    l->live.ops = &ops;
    l->config = *config;
    *ret = &l->live;
    return 0;
}
