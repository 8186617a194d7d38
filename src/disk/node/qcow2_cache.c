/* SPDX-License-Identifier: MIT
 *
 * A cache of slices of metadata. Only the changed part of a slice is written. Slices of refcount blocks may be written
 * at any time, because a count in memory is never lower than the disk needs; those of L2 tables only by
 * gw_qcow2_write_back.
 */
#include "disk/node/qcow2_inner.h"

#define SLICE_MAX 16384u

int gw_qcow2_cache_init(struct gw_qcow2_cache *c, uint32_t cluster_bytes, size_t bytes, struct gw_error *err)
{
    size_t count;

    c->slice_bytes = GW_MIN(cluster_bytes, SLICE_MAX);
    c->sets = (unsigned)GW_MIN(bytes / c->slice_bytes / GW_QCOW2_WAYS, 1024);
    count = (size_t)c->sets * GW_QCOW2_WAYS;
    c->slices = calloc(count, sizeof *c->slices);
    c->room = malloc(count * c->slice_bytes);
    if (!c->slices || !c->room)
        return gw_nomem(err, "tables of a qcow2 image");
    for (size_t i = 0; i < count; i++)
        c->slices[i].data = c->room + i * c->slice_bytes;
    return 0;
}

void gw_qcow2_cache_done(struct gw_qcow2_cache *c)
{
    free(c->slices);
    free(c->room);
    memset(c, 0, sizeof *c);
}

static struct gw_qcow2_slice *set_of(const struct gw_qcow2_cache *c, uint64_t offset)
{
    uint64_t n = offset / c->slice_bytes;

    n ^= n >> 17;
    return &c->slices[n % c->sets * GW_QCOW2_WAYS];
}

static struct gw_qcow2_slice *look(struct gw_qcow2_cache *c, uint64_t offset)
{
    struct gw_qcow2_slice *s = set_of(c, offset);

    for (unsigned i = 0; i < GW_QCOW2_WAYS; i++)
        if (s[i].offset == offset)
            return &s[i];
    return NULL;
}

static struct gw_qcow2_slice *oldest(struct gw_qcow2_cache *c, uint64_t offset)
{
    struct gw_qcow2_slice *s = set_of(c, offset), *best = s;

    for (unsigned i = 0; i < GW_QCOW2_WAYS; i++) {
        if (!s[i].offset)
            return &s[i];
        if (s[i].used < best->used)
            best = &s[i];
    }
    return best;
}

static bool dirty(const struct gw_qcow2_slice *s)
{
    return s->offset && s->dirty_from < s->dirty_to;
}

static int write_slice(struct gw_qcow2 *q, struct gw_qcow2_cache *c, struct gw_qcow2_slice *s, struct gw_error *err)
{
    int r = gw_qcow2_put(q, s->data + s->dirty_from, s->dirty_to - s->dirty_from, s->offset + s->dirty_from, err);

    if (r < 0)
        return r;
    s->dirty_from = s->dirty_to = 0;
    c->dirty--;
    return 0;
}

int gw_qcow2_cache_at(struct gw_qcow2 *q, struct gw_qcow2_cache *c, uint64_t offset, struct gw_qcow2_slice **ret,
                      uint8_t **ret_at, struct gw_error *err)
{
    uint32_t in = (uint32_t)(offset & (c->slice_bytes - 1));
    struct gw_qcow2_slice *s = look(c, offset - in);
    int r = 0;

    if (!s) {
        s = oldest(c, offset - in);
        if (dirty(s))
            r = c == &q->l2 ? gw_qcow2_write_back(q, err) : write_slice(q, c, s, err);
        if (r < 0)
            return r;
        s->offset = 0;
        r = gw_qcow2_get(q, s->data, c->slice_bytes, offset - in, err);
        if (r < 0)
            return r;
        s->offset = offset - in;
        s->dirty_from = s->dirty_to = 0;
    }
    s->used = ++c->clock;
    *ret = s;
    *ret_at = s->data + in;
    return 0;
}

void gw_qcow2_cache_dirty(struct gw_qcow2_cache *c, struct gw_qcow2_slice *s, const uint8_t *at, uint32_t bytes)
{
    uint32_t from = (uint32_t)(at - s->data);

    if (!dirty(s)) {
        c->dirty++;
        s->dirty_from = from;
        s->dirty_to = from + bytes;
    }
    s->dirty_from = GW_MIN(s->dirty_from, from);
    s->dirty_to = GW_MAX(s->dirty_to, from + bytes);
}

int gw_qcow2_cache_write(struct gw_qcow2 *q, struct gw_qcow2_cache *c, struct gw_error *err)
{
    for (size_t i = 0; c->dirty && i < (size_t)c->sets * GW_QCOW2_WAYS; i++)
        if (dirty(&c->slices[i])) {
            int r = write_slice(q, c, &c->slices[i], err);
            if (r < 0)
                return r;
        }
    return 0;
}

void gw_qcow2_cache_forget(struct gw_qcow2 *q, struct gw_qcow2_cache *c, uint64_t offset)
{
    for (uint32_t at = 0; at < q->cluster_bytes; at += c->slice_bytes) {
        struct gw_qcow2_slice *s = look(c, offset + at);

        if (!s)
            continue;
        if (dirty(s))
            c->dirty--;
        s->offset = 0;
        s->dirty_from = s->dirty_to = 0;
    }
}
