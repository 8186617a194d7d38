/* SPDX-License-Identifier: MIT */
#include "disk/block_store.h"

#include "base/workers.h"
#include "ram/page/zero.h"
#include "wire/block_record.h"

#define WRITERS 4u
#define ALIGN   4096u     /* alignment for disks that bypass the page cache */
#define CLUSTER 0x10000u  /* granularity of holes made for zeros, if the disk has no cluster size */

enum what { WRITE, ZERO, FLUSH };

struct slot {
    enum what what;
    struct gw_disk *disk;
    uint64_t offset, bytes;
    uint8_t *data;
};

struct gw_block_store {
    struct gw_workers *workers;
    const struct gw_zero *zero;
    uint64_t put, done; /* done: their results were returned to the caller */
    struct slot slots[GW_BLOCK_BEHIND];
};

static uint64_t cluster_of(const struct gw_disk *d)
{
    uint64_t c = d->cluster_bytes ? d->cluster_bytes : CLUSTER;

    return c >= d->request_bytes && gw_is_pow2(c) && c <= GW_BLOCK_CHUNK_BYTES ? c : GW_BLOCK_CHUNK_BYTES;
}

static bool is_hole(struct gw_disk *d, uint64_t offset, uint64_t bytes)
{
    struct gw_disk_run run;

    return gw_disk_find(d, bytes, offset, &run, NULL) >= 0 && run.kind == GW_DISK_ZERO && run.bytes == bytes;
}

static int put_zeros(struct gw_disk *d, uint64_t offset, uint64_t bytes, struct gw_error *err)
{
    return is_hole(d, offset, bytes) ? 0 : gw_disk_zero(d, bytes, offset, true, err);
}

/* Neighbouring clusters of one kind are written in one call. */
static int put_data(const struct slot *s, const struct gw_zero *z, struct gw_error *err)
{
    uint64_t cluster = cluster_of(s->disk), end;
    int r = 0;

    for (uint64_t at = 0; r >= 0 && at < s->bytes; at = end) {
        bool zero = z->all(s->data + at, GW_MIN(cluster, s->bytes - at));

        for (end = GW_MIN(at + cluster, s->bytes);
             end < s->bytes && z->all(s->data + end, GW_MIN(cluster, s->bytes - end)) == zero;)
            end = GW_MIN(end + cluster, s->bytes);
        r = zero ? put_zeros(s->disk, s->offset + at, end - at, err)
                 : gw_disk_write(s->disk, s->data + at, end - at, s->offset + at, err);
    }
    return r;
}

static int work(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    const struct gw_block_store *store = opaque;
    const struct slot *s = &store->slots[slot];

    switch (s->what) {
    case WRITE:
        return put_data(s, store->zero, err);
    case ZERO:
        return put_zeros(s->disk, s->offset, s->bytes, err);
    default:
        return gw_disk_flush(s->disk, err);
    }
}

static bool apart(void *opaque, unsigned slot, unsigned older)
{
    const struct gw_block_store *s = opaque;
    const struct slot *a = &s->slots[slot], *b = &s->slots[older];

    return a->disk != b->disk || a->offset != b->offset || a->what == FLUSH || b->what == FLUSH;
}

int gw_block_store_new(struct gw_block_store **ret, struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = work, .apart = apart};
    struct gw_block_store *s = calloc(1, sizeof *s);
    bool all = s != NULL;
    int r;

    for (unsigned i = 0; all && i < GW_BLOCK_BEHIND; i++) {
        s->slots[i].data = aligned_alloc(ALIGN, GW_BLOCK_CHUNK_BYTES);
        all = s->slots[i].data != NULL;
    }
    if (all)
        s->zero = gw_zero_pick();
    r = all ? gw_workers_new(&ops, s, gw_workers_threads(0, WRITERS), GW_BLOCK_BEHIND, &s->workers, err)
            : gw_nomem(err, "chunks of disks");
    if (r < 0) {
        gw_block_store_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

/* Waits until at most `left` writes are in progress. */
static int await(struct gw_block_store *s, uint64_t left, struct gw_error *err)
{
    while (s->put - s->done > left) {
        int r = gw_workers_take(s->workers, s->done, err);

        if (r < 0)
            return r;
        gw_workers_release(s->workers, ++s->done);
    }
    return 0;
}

int gw_block_store_room(struct gw_block_store *s, uint8_t **ret, struct gw_error *err)
{
    int r = await(s, GW_BLOCK_BEHIND - 1, err);

    *ret = s->slots[s->put % GW_BLOCK_BEHIND].data;
    return r;
}

static void submit(struct gw_block_store *s, enum what what, struct gw_disk *disk, uint64_t offset, uint64_t bytes)
{
    struct slot *slot = &s->slots[s->put % GW_BLOCK_BEHIND];

    slot->what = what;
    slot->disk = disk;
    slot->offset = offset;
    slot->bytes = bytes;
    gw_workers_submit(s->workers, ++s->put);
}

void gw_block_store_put(struct gw_block_store *s, struct gw_disk *disk, uint64_t offset, uint64_t bytes)
{
    submit(s, WRITE, disk, offset, bytes);
}

int gw_block_store_zero(struct gw_block_store *s, struct gw_disk *disk, uint64_t offset, uint64_t bytes,
                        struct gw_error *err)
{
    int r = await(s, GW_BLOCK_BEHIND - 1, err);

    if (r >= 0)
        submit(s, ZERO, disk, offset, bytes);
    return r;
}

int gw_block_store_flush(struct gw_block_store *s, struct gw_disk *disk, struct gw_error *err)
{
    int r = await(s, GW_BLOCK_BEHIND - 1, err);

    if (r >= 0)
        submit(s, FLUSH, disk, 0, 0);
    return r;
}

int gw_block_store_settle(struct gw_block_store *s, struct gw_error *err)
{
    return await(s, 0, err);
}

void gw_block_store_free(struct gw_block_store *s)
{
    if (!s)
        return;
    gw_workers_free(s->workers);
    for (unsigned i = 0; i < GW_BLOCK_BEHIND; i++)
        free(s->slots[i].data);
    free(s);
}
