/* SPDX-License-Identifier: MIT */
#include "disk/bitmap_live.h"

#include <stdio.h>

#define BITMAPS_MAX 4096u

int gw_bitmap_load_setup(struct gw_live *live, struct gw_error *err)
{
    struct gw_bitmap_live *x = gw_bitmap_live_of(live);

    for (unsigned i = 0; i < x->config.disk_count; i++)
        gw_disk_bitmaps_stand(x->config.disks[i]);
    return 0;
}

/* The disk whose name on the wire this is. */
static struct gw_disk *find_disk(const struct gw_bitmap_live *x, const char *wire)
{
    const struct gw_bitmap_alias *a = x->config.map ? gw_bitmap_map_there(x->config.map, wire, NULL) : NULL;
    const char *name = x->config.map ? a ? a->disk : NULL : wire;

    for (unsigned i = 0; name && i < x->config.disk_count; i++)
        if (!strcmp(x->config.disks[i]->device, name) || !strcmp(x->config.disks[i]->node, name))
            return x->config.disks[i];
    return NULL;
}

static struct gw_bitmap_item *find_item(const struct gw_bitmap_live *x)
{
    for (unsigned i = 0; i < x->count; i++)
        if (!strcmp(x->item[i].disk_alias, x->node) && !strcmp(x->item[i].alias, x->name))
            return &x->item[i];
    return NULL;
}

static int take_names(struct gw_bitmap_live *x, const struct gw_bitmap_record *record, struct gw_error *err)
{
    if (record->has_node) {
        gw_strcopy(x->node, sizeof x->node, record->node);
        x->name[0] = 0;
        if (!find_disk(x, x->node))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "dirty bitmap record at byte %" PRIu64 ": there is no disk %s here%s", record->at, x->node,
                           x->config.map ? " that the mapping of dirty bitmaps (block-bitmap-mapping) names so" : "");
    }
    if (record->has_name)
        gw_strcopy(x->name, sizeof x->name, record->name);
    return x->node[0] && x->name[0]
               ? 0
               : gw_fail(err, -EPROTO, GW_BLAME_PEER,
                         "dirty bitmap record at byte %" PRIu64 " names no %s, and neither did one before it",
                         record->at, x->node[0] ? "bitmap" : "disk");
}

static int start(struct gw_bitmap_live *x, const struct gw_bitmap_record *record, struct gw_error *err)
{
    struct gw_disk *d = find_disk(x, x->node);
    const struct gw_bitmap_alias *a = x->config.map ? gw_bitmap_map_there(x->config.map, x->node, x->name) : NULL;
    struct gw_bitmap_config config = {
        .name = a ? a->bitmap : x->name,
        .granularity = record->granularity,
        .persistent = a && a->set_persistent ? a->persistent : record->flags & GW_BITMAP_PERSISTENT,
        .disabled = !(record->flags & GW_BITMAP_ENABLED),
    };
    struct gw_bitmap_item *item;
    int r;

    if (x->count >= BITMAPS_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %u dirty bitmaps", BITMAPS_MAX);
    if (x->config.map && !a)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the mapping of dirty bitmaps has no bitmap %s of disk %s", x->name,
                       x->node);
    r = gw_bitmap_live_add(x, d, config.name, &item, err);
    if (r < 0)
        return r;
    gw_strcopy(item->disk_alias, sizeof item->disk_alias, x->node);
    gw_strcopy(item->alias, sizeof item->alias, x->name);
    item->granularity = record->granularity;
    item->bits = gw_div_up(d->bytes, record->granularity);
    r = gw_disk_bitmap_arrive(d, &config, err);
    item->started = r >= 0;
    if (r < 0) {
        free(item->name);
        x->count--;
    }
    return r;
}

/* Converts the range to bits: it must be whole chunks of them; the last one may end with the disk. */
static int check_range(const struct gw_bitmap_item *item, const struct gw_bitmap_record *record, uint64_t *ret_first,
                       uint64_t *ret_bits, struct gw_error *err)
{
    uint64_t sectors = item->granularity / GW_BITMAP_SECTOR, end = gw_div_up(item->disk->bytes, GW_BITMAP_SECTOR);
    uint64_t first = record->sector / sectors, bits = gw_div_up(record->sectors, sectors), need, most;

    if (!record->sectors || record->sector > end || record->sectors > end - record->sector)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "%u sectors from sector %" PRIu64 " on: disk %s has %" PRIu64
                       " sectors here; disks whose dirty bitmaps "
                       "migrate have the same length on both sides",
                       record->sectors, record->sector, gw_disk_name(item->disk), end);
    if (record->sector % (64 * sectors) || (record->sectors % sectors && record->sector + record->sectors != end))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "%u sectors from sector %" PRIu64 " on are not whole words of bits of %" PRIu64 " bytes each",
                       record->sectors, record->sector, item->granularity);
    need = gw_div_up(bits, 64) * 8;
    most = gw_div_up(need, GW_BITMAP_BUFFER_UNIT) * GW_BITMAP_BUFFER_UNIT;
    if (!record->zeros && (record->buffer_bytes < need || record->buffer_bytes > most))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "%u bytes for %" PRIu64 " bits, which take %" PRIu64 ": the bitmap has another granularity at the source",
                       record->buffer_bytes, bits, need);
    *ret_first = first;
    *ret_bits = bits;
    return 0;
}

static int take_bits(struct gw_bitmap_item *item, const struct gw_bitmap_record *record, struct gw_reader *r,
                     struct gw_error *err)
{
    uint8_t buffer[GW_BITMAP_BUFFER_MAX];
    uint64_t first = 0, bits = 0;
    int e = check_range(item, record, &first, &bits, err);

    if (e < 0 || record->zeros) /* a new bitmap has no set bits */
        return e < 0 ? e : gw_disk_bitmap_put(item->disk, item->name, first, bits, NULL, err);
    e = gw_get_bytes(r, buffer, record->buffer_bytes, err);
    return e < 0 ? e : gw_disk_bitmap_put(item->disk, item->name, first, bits, buffer, err);
}

static int take_record(struct gw_bitmap_live *x, const struct gw_bitmap_record *record, struct gw_reader *r,
                       struct gw_error *err)
{
    struct gw_bitmap_item *item;
    int e = take_names(x, record, err);

    if (e < 0)
        return e;
    item = find_item(x);
    if (record->kind == GW_BITMAP_RECORD_START)
        return item ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "it was started before") : start(x, record, err);
    if (!item)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it was never started");
    if (item->done)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it was complete before");
    if (record->kind == GW_BITMAP_RECORD_BITS)
        return take_bits(item, record, r, err);
    gw_disk_bitmap_complete(item->disk, item->name);
    item->done = true;
    return 0;
}

int gw_bitmap_load(struct gw_live *live, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err)
{
    struct gw_bitmap_live *x = gw_bitmap_live_of(live);

    for (;;) {
        struct gw_bitmap_record record;
        int e = gw_bitmap_record_get(&r->in, &record, err);

        if (e < 0 || record.kind == GW_BITMAP_RECORD_END)
            return e;
        if ((kind == GW_SECTION_START) != (record.kind == GW_BITMAP_RECORD_START))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "dirty bitmap record at byte %" PRIu64
                           ": a START is allowed in the first section only, and the first section holds nothing else",
                           record.at);
        e = take_record(x, &record, r, err);
        if (e < 0) {
            gw_context(err, "record at byte %" PRIu64 ", dirty bitmap %s of disk %s", record.at, x->name, x->node);
            return e;
        }
    }
}

/* Writes the names of the incomplete bitmaps, as far as they fit. */
static unsigned lacking(const struct gw_bitmap_live *x, char *names, size_t size)
{
    unsigned n = 0;
    size_t at = 0;

    names[0] = 0;
    for (unsigned i = 0; i < x->count; i++) {
        if (x->item[i].done)
            continue;
        if (at + 1 < size)
            at += (size_t)snprintf(names + at, size - at, "%s%s of disk %s", n ? ", " : "", x->item[i].name,
                                   gw_disk_name(x->item[i].disk));
        n++;
    }
    return n;
}

int gw_bitmap_check_ended(struct gw_live *live, enum gw_live_end end, char *note, struct gw_error *err)
{
    char names[120];

    if (lacking(gw_bitmap_live_of(live), names, sizeof names))
        snprintf(note, GW_LIVE_NOTE, "dirty bitmaps that did not come whole are removed: %s", names);
    return 0;
}

void gw_bitmap_load_cleanup(struct gw_live *live, bool ok)
{
    struct gw_bitmap_live *x = gw_bitmap_live_of(live);

    for (unsigned i = 0; i < x->count; i++)
        if (x->item[i].started && !(ok && x->item[i].done))
            gw_disk_bitmap_abandon(x->item[i].disk, x->item[i].name);
    gw_bitmap_live_forget(x);
}
