/* SPDX-License-Identifier: MIT
 *
 * bitmap_live: the live section "dirty-bitmap" (docs/wire-format.md 12): bitmap_live.c is the source, bitmap_load.c the
 * destination, one object.
 *
 * Source. Set-up selects the bitmaps: first those of disks with a device name, which is their name on the wire, then
 * those of the others by their node name. It is all or nothing. From then on to the end of the session they are busy
 * and their disks are blocked; they go on recording. Bits are read when the machine has stopped and nothing can write
 * to the disks any more; in postcopy they follow the machine. Without any bitmap only a START goes out, and no END.
 *
 * Destination. A bitmap is made at its START, records what is written from the start of the machine on (disk/bitmap.h),
 * and is an ordinary bitmap once it has arrived completely. Incomplete ones are removed at the end, and their names
 * reported.
 *
 * Hostile: every name, granularity, range and length is checked; an invalid one is -EPROTO and ends the load.
 */
#ifndef GW_DISK_BITMAP_LIVE_H
#define GW_DISK_BITMAP_LIVE_H

#include "disk/bitmap.h"
#include "disk/bitmap_map.h"
#include "live/live.h"
#include "wire/bitmap_record.h"

#define GW_BITMAP_SECTION "dirty-bitmap"

struct gw_bitmap_live_config {
    struct gw_disk *const *disks; /* borrowed, as they do not change during a migration */
    unsigned disk_count;
    struct gw_bitmap_map *map; /* shared; NULL: all bitmaps travel under their own names */
    uint32_t section_id;       /* the source's own */
    /* Source, after a session: whether its machine has moved to the destination, or may have. */
    bool (*gone)(void *opaque);
    void *opaque;
};

int gw_bitmap_live_new(const struct gw_bitmap_live_config *config, struct gw_live **ret, struct gw_error *err);

/* One bitmap of a session. */
struct gw_bitmap_item {
    struct gw_disk *disk;
    char *name;
    char disk_alias[256], alias[256];
    uint64_t granularity, bits;
    uint8_t flags;
    uint64_t next; /* source: the first bit that is not sent */
    bool done;     /* all bits were sent, or have arrived */
    bool started;  /* this session has selected it, or made it */
    bool blocks;   /* source: this item's block of the disk (gw_disk_block) stands for all bitmaps of the disk */
};

struct gw_bitmap_live {
    struct gw_live live;
    struct gw_bitmap_live_config config;
    struct gw_bitmap_item *item;
    unsigned count;
    unsigned at;                 /* source: the item that is being sent */
    _Atomic uint64_t left_bytes; /* source: approximate bytes on the wire that remain */
    bool set_up;                 /* source */
    char node[256], name[256];   /* names of the last record; "": none */
};

static inline struct gw_bitmap_live *gw_bitmap_live_of(struct gw_live *live)
{
    return GW_CONTAINER(live, struct gw_bitmap_live, live);
}

/* A new item at the end of the list; its name is copied. -ENOMEM. */
int gw_bitmap_live_add(struct gw_bitmap_live *x, struct gw_disk *disk, const char *name, struct gw_bitmap_item **ret,
                       struct gw_error *err);
void gw_bitmap_live_forget(struct gw_bitmap_live *x);

int gw_bitmap_load_setup(struct gw_live *live, struct gw_error *err);
int gw_bitmap_load(struct gw_live *live, enum gw_section_kind kind, struct gw_reader *r, struct gw_error *err);
int gw_bitmap_check_ended(struct gw_live *live, enum gw_live_end end, char *note, struct gw_error *err);
void gw_bitmap_load_cleanup(struct gw_live *live, bool ok);

#endif
