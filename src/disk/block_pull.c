/* SPDX-License-Identifier: MIT */
#include "disk/block_pull.h"

#include "base/workers.h"
#include "ram/page/zero.h"
#include "wire/block_record.h"

#define READERS 4u
#define ALIGN   4096u /* alignment for nodes that bypass the page cache */

struct slot {
    struct gw_block_ask ask;
    enum gw_block_holds holds;
    uint8_t *data;
};

struct gw_block_pull {
    struct gw_workers *workers;
    const struct gw_zero *zero; /* NULL: zeros are not looked for */
    uint64_t asked, released;
    struct slot slots[GW_BLOCK_AHEAD];
};

/* Asks the disk what the range holds, before anything is read. If the disk does not know, the range is read. */
static enum gw_block_holds look(const struct gw_block_ask *ask, uint64_t offset, uint64_t bytes)
{
    bool nothing = ask->top_only, zeros = true;

    for (uint64_t end = offset + bytes; offset < end && (nothing || zeros);) {
        struct gw_disk_run run;

        if (gw_disk_find(ask->disk, end - offset, offset, &run, NULL) < 0)
            return GW_BLOCK_BYTES;
        nothing &= run.kind == GW_DISK_ABSENT;
        zeros &= run.kind == GW_DISK_ZERO;
        offset += run.bytes;
    }
    return nothing ? GW_BLOCK_NOTHING : zeros ? GW_BLOCK_ZEROS : GW_BLOCK_BYTES;
}

static int read_chunk(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct gw_block_pull *p = opaque;
    struct slot *s = &p->slots[slot];
    uint64_t offset = s->ask.chunk * GW_BLOCK_CHUNK_BYTES;
    uint64_t bytes = GW_MIN(GW_BLOCK_CHUNK_BYTES, s->ask.disk->bytes - offset);
    int r;

    s->holds = look(&s->ask, offset, bytes);
    if (s->holds != GW_BLOCK_BYTES)
        return 0;
    r = gw_disk_read(s->ask.disk, s->data, bytes, offset, err);
    if (r < 0)
        return r;
    if (p->zero && p->zero->all(s->data, bytes))
        s->holds = GW_BLOCK_ZEROS;
    else
        memset(s->data + bytes, 0, GW_BLOCK_CHUNK_BYTES - bytes);
    return 0;
}

int gw_block_pull_new(bool find_zeros, struct gw_block_pull **ret, struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = read_chunk};
    struct gw_block_pull *p = calloc(1, sizeof *p);
    bool all = p != NULL;
    int r;

    for (unsigned i = 0; all && i < GW_BLOCK_AHEAD; i++) {
        p->slots[i].data = aligned_alloc(ALIGN, GW_BLOCK_CHUNK_BYTES);
        all = p->slots[i].data != NULL;
    }
    if (all)
        p->zero = find_zeros ? gw_zero_pick() : NULL;
    r = all ? gw_workers_new(&ops, p, gw_workers_threads(0, READERS), GW_BLOCK_AHEAD, &p->workers, err)
            : gw_nomem(err, "chunks of disks");
    if (r < 0) {
        gw_block_pull_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

unsigned gw_block_pull_count(const struct gw_block_pull *p)
{
    return (unsigned)(p->asked - p->released);
}

bool gw_block_pull_has(const struct gw_block_pull *p, const struct gw_disk *disk, uint64_t chunk)
{
    for (uint64_t n = p->released; n < p->asked; n++) {
        const struct gw_block_ask *ask = &p->slots[n % GW_BLOCK_AHEAD].ask;

        if (ask->disk == disk && ask->chunk == chunk)
            return true;
    }
    return false;
}

void gw_block_pull_ask(struct gw_block_pull *p, const struct gw_block_ask *ask)
{
    p->slots[p->asked++ % GW_BLOCK_AHEAD].ask = *ask;
    gw_workers_submit(p->workers, p->asked);
}

int gw_block_pull_take(struct gw_block_pull *p, struct gw_block_ask *ret, enum gw_block_holds *ret_holds,
                       const uint8_t **ret_data, struct gw_error *err)
{
    const struct slot *s = &p->slots[p->released % GW_BLOCK_AHEAD];
    int r = gw_workers_take(p->workers, p->released, err);

    if (r < 0)
        return r;
    *ret = s->ask;
    *ret_holds = s->holds;
    *ret_data = s->data;
    return 0;
}

void gw_block_pull_release(struct gw_block_pull *p)
{
    gw_workers_release(p->workers, ++p->released);
}

void gw_block_pull_free(struct gw_block_pull *p)
{
    if (!p)
        return;
    gw_workers_free(p->workers);
    for (unsigned i = 0; i < GW_BLOCK_AHEAD; i++)
        free(p->slots[i].data);
    free(p);
}
