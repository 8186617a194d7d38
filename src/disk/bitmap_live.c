/* SPDX-License-Identifier: MIT */
#include "disk/bitmap_live.h"

#define BLOCKED "its dirty bitmaps are in use by migration"

#define RECORD_BYTES 24u /* bytes of a BITS record without names and buffer, approximately */

int gw_bitmap_live_add(struct gw_bitmap_live *x, struct gw_disk *disk, const char *name, struct gw_bitmap_item **ret,
                       struct gw_error *err)
{
    struct gw_bitmap_item *list = realloc(x->item, (x->count + 1) * sizeof *list);
    char *copy = strdup(name);

    if (list)
        x->item = list;
    if (!list || !copy) {
        free(copy);
        return gw_nomem(err, "list of dirty bitmaps");
    }
    list[x->count] = (struct gw_bitmap_item){.disk = disk, .name = copy};
    *ret = &list[x->count++];
    return 0;
}

void gw_bitmap_live_forget(struct gw_bitmap_live *x)
{
    for (unsigned i = 0; i < x->count; i++)
        free(x->item[i].name);
    free(x->item);
    x->item = NULL;
    x->count = x->at = 0;
    x->node[0] = x->name[0] = 0;
}

/* ---- which bitmaps travel -----------------------------------------------------------------------------------------
 */

static int name_item(struct gw_bitmap_live *x, struct gw_bitmap_item *item, const struct gw_bitmap_info *info,
                     struct gw_error *err)
{
    const struct gw_disk *d = item->disk;
    const struct gw_bitmap_alias *a =
        x->config.map ? gw_bitmap_map_here(x->config.map, d->device, d->node, info->name) : NULL;
    const char *disk = a ? a->disk_alias : gw_disk_name(d), *name = a ? a->alias : info->name;
    bool persistent = a && a->set_persistent ? a->persistent : info->persistent;

    if (!a && disk[0] == '#')
        return gw_fail(
            err, -EINVAL, GW_BLAME_CALLER,
            "dirty bitmap %.255s: its disk has only a generated name (%s), by which the destination cannot find it: give the disk "
            "a node name, or map it (block-bitmap-mapping)",
            info->name, disk);
    if (!gw_strcopy(item->alias, sizeof item->alias, name))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "dirty bitmap %.64s... of disk %s: its name is longer than 255 bytes; map it to a shorter one "
                       "(block-bitmap-mapping)",
                       info->name, gw_disk_name(d));
    gw_strcopy(item->disk_alias, sizeof item->disk_alias, disk);
    item->flags = (uint8_t)((info->recording ? GW_BITMAP_ENABLED : 0) | (persistent ? GW_BITMAP_PERSISTENT : 0));
    item->granularity = info->granularity;
    item->bits = gw_div_up(d->bytes, info->granularity);
    return 0;
}

static int take_bitmap(struct gw_bitmap_live *x, struct gw_disk *d, const char *name, struct gw_error *err)
{
    struct gw_bitmap_info info;
    struct gw_bitmap_item *item;
    int r = gw_bitmap_live_add(x, d, name, &item, err);

    if (r < 0)
        return r;
    r = gw_disk_bitmap_select(d, name, &info, err); /* the bitmap is busy from here on: only this session changes it */
    item->started = r >= 0;
    return r < 0 ? r : name_item(x, item, &info, err);
}

static bool taken(const struct gw_bitmap_live *x, const struct gw_disk *d, const char *name)
{
    for (unsigned i = 0; i < x->count; i++)
        if (x->item[i].disk == d && !strcmp(x->item[i].name, name))
            return true;
    return false;
}

static int take_disk(struct gw_bitmap_live *x, struct gw_disk *d, struct gw_error *err)
{
    struct gw_bitmap_info info;
    unsigned before, here = x->count;
    int r = 0;

    /* Starts again from the first bitmap until a pass finds nothing, as bitmaps may be added and removed meanwhile. */
    do {
        before = x->count;
        for (unsigned i = 0; r >= 0 && !gw_disk_bitmap_at(d, i, &info); i++)
            if (!taken(x, d, info.name) &&
                (!x->config.map || gw_bitmap_map_here(x->config.map, d->device, d->node, info.name)))
                r = take_bitmap(x, d, info.name, err);
    } while (r >= 0 && x->count != before);
    if (r >= 0 && x->count != here)
        r = gw_disk_block(d, BLOCKED, err);
    if (r >= 0 && x->count != here)
        x->item[here].blocks = true;
    return r;
}

static void release(struct gw_bitmap_live *x)
{
    for (unsigned i = 0; i < x->count; i++) {
        if (x->item[i].blocks)
            gw_disk_unblock(x->item[i].disk, BLOCKED);
        if (x->item[i].started)
            gw_disk_bitmap_release(x->item[i].disk, x->item[i].name);
    }
    gw_bitmap_live_forget(x);
}

static int take_all(struct gw_bitmap_live *x, struct gw_error *err)
{
    int r = 0;

    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; r >= 0 && i < x->config.disk_count; i++)
            if (!x->config.disks[i]->device[0] == (pass == 1))
                r = take_disk(x, x->config.disks[i], err);
    return r;
}

/* ---- what is put --------------------------------------------------------------------------------------------------
 */

static void name_record(struct gw_bitmap_live *x, const struct gw_bitmap_item *item, struct gw_bitmap_record *r)
{
    r->has_node = strcmp(x->node, item->disk_alias) != 0;
    r->has_name = r->has_node || strcmp(x->name, item->alias);
    gw_strcopy(r->node, sizeof r->node, item->disk_alias);
    gw_strcopy(r->name, sizeof r->name, item->alias);
    gw_strcopy(x->node, sizeof x->node, item->disk_alias);
    gw_strcopy(x->name, sizeof x->name, item->alias);
}

static void put_end(struct gw_writer *w)
{
    gw_bitmap_record_put(&w->out, &(struct gw_bitmap_record){.kind = GW_BITMAP_RECORD_END});
}

static uint64_t chunks(const struct gw_bitmap_item *item)
{
    return gw_div_up(item->bits - item->next, GW_BITMAP_CHUNK_BITS);
}

/* Approximate bytes that remain to be sent. */
static uint64_t left(struct gw_bitmap_live *x)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < x->count; i++) {
        const struct gw_bitmap_item *item = &x->item[i];

        if (!item->done)
            bytes +=
                1 + chunks(item) * RECORD_BYTES +
                GW_BITMAP_CHUNK_BYTES * gw_disk_bitmap_chunks(item->disk, item->name, item->next, GW_BITMAP_CHUNK_BITS);
    }
    atomic_store(&x->left_bytes, bytes);
    return bytes;
}

/* QEMU 7.2 to 10.0 abort when a record after the machine names another disk. With one disk no record does. */
static bool may_follow(const struct gw_bitmap_live *x)
{
    for (unsigned i = 1; i < x->count; i++)
        if (x->item[i].disk != x->item[0].disk)
            return false;
    return true;
}

static const struct gw_live_ops ops, ops_before;

static int setup(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct gw_bitmap_live *x = gw_bitmap_live_of(live);
    int r = take_all(x, err);

    if (r < 0) {
        release(x);
        return r;
    }
    x->set_up = true;
    live->ops = may_follow(x) ? &ops : &ops_before;
    gw_writer_cause(w, GW_CAUSE_DISK);
    for (unsigned i = 0; i < x->count; i++) {
        struct gw_bitmap_item *item = &x->item[i];
        struct gw_bitmap_record record = {
            .kind = GW_BITMAP_RECORD_START, .granularity = (uint32_t)item->granularity, .flags = item->flags};

        name_record(x, item, &record);
        gw_bitmap_record_put(&w->out, &record);
        gw_disk_bitmap_set_stored(item->disk, item->name, false); /* the destination stores it; done last, as this cannot fail */
    }
    put_end(w);
    left(x);
    return 0;
}

static bool left_out(struct gw_live *live, bool running)
{
    return running || !gw_bitmap_live_of(live)->count;
}

static int pending(struct gw_live *live, bool exact, struct gw_pending *ret, struct gw_error *err)
{
    struct gw_bitmap_live *x = gw_bitmap_live_of(live);

    uint64_t bytes = exact ? left(x) : atomic_load(&x->left_bytes);

    *ret = live->ops->hand_over ? (struct gw_pending){.can_postcopy_bytes = bytes}
                                : (struct gw_pending){.must_precopy_bytes = bytes};
    return 0;
}

static uint32_t put_chunk(struct gw_bitmap_live *x, struct gw_bitmap_item *item, struct gw_writer *w)
{
    uint8_t buffer[GW_BITMAP_CHUNK_BYTES + GW_BITMAP_BUFFER_UNIT] = {0};
    uint64_t bits = GW_MIN(item->bits - item->next, GW_BITMAP_CHUNK_BITS),
             sectors = item->granularity / GW_BITMAP_SECTOR;
    uint64_t end = gw_div_up(item->disk->bytes, GW_BITMAP_SECTOR), first = item->next * sectors;
    uint32_t bytes = (uint32_t)(gw_div_up(gw_div_up(bits, 64) * 8, GW_BITMAP_BUFFER_UNIT) * GW_BITMAP_BUFFER_UNIT);
    struct gw_bitmap_record record = {.kind = GW_BITMAP_RECORD_BITS,
                                      .sector = first,
                                      .sectors = (uint32_t)GW_MIN(bits * sectors, end - first),
                                      .buffer_bytes = bytes};

    record.zeros = !gw_disk_bitmap_get(item->disk, item->name, item->next, bits, buffer);
    name_record(x, item, &record);
    gw_bitmap_record_put(&w->out, &record);
    if (!record.zeros)
        gw_put_bytes(w, buffer, bytes);
    item->next += bits;
    return RECORD_BYTES + (record.zeros ? 0 : bytes);
}

/* 1: all bits were put; 0: the budget is spent. */
static int put_bits(struct gw_bitmap_live *x, struct gw_writer *w, struct gw_budget *budget)
{
    for (; x->at < x->count; x->at++) {
        struct gw_bitmap_item *item = &x->item[x->at];

        while (item->next < item->bits) {
            uint32_t bytes = put_chunk(x, item, w);

            atomic_store(&x->left_bytes, GW_MAX(atomic_load(&x->left_bytes), bytes + 1u) - bytes);
            if (budget && budget->spent(budget, bytes))
                return 0;
        }
        item->done = true;
    }
    atomic_store(&x->left_bytes, 0);
    return 1;
}

static int step(struct gw_live *live, struct gw_writer *w, struct gw_budget *budget, struct gw_error *err)
{
    int r;

    gw_writer_cause(w, GW_CAUSE_DISK);
    r = put_bits(gw_bitmap_live_of(live), w, budget);
    put_end(w);
    return r;
}

static int complete(struct gw_live *live, struct gw_writer *w, struct gw_error *err)
{
    struct gw_bitmap_live *x = gw_bitmap_live_of(live);

    gw_writer_cause(w, GW_CAUSE_DISK);
    put_bits(x, w, NULL);
    for (unsigned i = 0; i < x->count; i++) {
        struct gw_bitmap_record record = {.kind = GW_BITMAP_RECORD_COMPLETE};

        name_record(x, &x->item[i], &record);
        gw_bitmap_record_put(&w->out, &record);
    }
    put_end(w);
    return 0;
}

/* Bits may follow the machine, so nothing has to be sent before the hand-over. */
static int hand_over(struct gw_live *live, struct gw_writer *w, struct gw_commands *c, struct gw_error *err)
{
    return 0;
}

static void cleanup(struct gw_live *live)
{
    struct gw_bitmap_live *x = gw_bitmap_live_of(live);

    for (unsigned i = 0; x->set_up && !x->config.gone(x->config.opaque) && i < x->count; i++)
        gw_disk_bitmap_set_stored(x->item[i].disk, x->item[i].name, true);
    release(x);
    x->set_up = false;
}

/* ---- both ---------------------------------------------------------------------------------------------------------
 */

static void progress(struct gw_live *live, struct gw_progress *sum)
{
    sum->remaining_bytes += atomic_load(&gw_bitmap_live_of(live)->left_bytes);
}

static struct gw_live *free_section(struct gw_live *live)
{
    struct gw_bitmap_live *x = gw_bitmap_live_of(live);

    gw_bitmap_live_forget(x);
    gw_bitmap_map_free(x->config.map);
    free(x);
    return NULL;
}

#define OPS                                                                                                            \
    .id = GW_BITMAP_SECTION, .version = 1, .order = 30, .setup = setup, .pending = pending, .step = step,              \
    .left_out = left_out, .complete = complete, .cleanup = cleanup, .load_setup = gw_bitmap_load_setup,                \
    .load = gw_bitmap_load, .check_ended = gw_bitmap_check_ended, .load_cleanup = gw_bitmap_load_cleanup,              \
    .progress = progress, .free = free_section

static const struct gw_live_ops ops = {OPS, .hand_over = hand_over}, ops_before = {OPS};

int gw_bitmap_live_new(const struct gw_bitmap_live_config *config, struct gw_live **ret, struct gw_error *err)
{
    struct gw_bitmap_live *x = calloc(1, sizeof *x);

    if (!x)
        return gw_nomem(err, "section dirty-bitmap");
    x->live.ops = &ops;
    x->live.section_id = config->section_id;
    x->config = *config;
    gw_bitmap_map_share(x->config.map);
    *ret = &x->live;
    return 0;
}
