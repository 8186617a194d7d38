/* SPDX-License-Identifier: MIT
 *
 * sections: two machines with disks, and the section dirty-bitmap between them through memory.
 */
#ifndef TESTS_DISK_SECTIONS_H
#define TESTS_DISK_SECTIONS_H

#include "disk/bitmap_live.h"
#include "disk_rig.h"

#define SIDE_DISKS 2u

struct side {
    struct gw_disk *disk[SIDE_DISKS];
    struct gw_live *live;
    bool has_gone;
};

static inline bool side_gone(void *opaque)
{
    return ((struct side *)opaque)->has_gone;
}

static inline struct gw_disk *side_disk(const char *device, const char *node, uint64_t bytes)
{
    struct gw_disk_desc desc = {.device = device, .node = node, .bytes = bytes, .ops = &rig_ops};
    struct gw_disk *d;

    assert_int_equal(gw_disk_new(&desc, &d, NULL), 0);
    return d;
}

/* Disk n0 of 8 MiB by its node name, d1 of 1 MiB and a bit by its device name. */
static inline void side_up(struct side *s, struct gw_bitmap_map *map)
{
    struct gw_bitmap_live_config config = {
        .disks = s->disk, .disk_count = SIDE_DISKS, .map = map, .gone = side_gone, .opaque = s};

    *s = (struct side){0};
    s->disk[0] = side_disk(NULL, "n0", 8 << 20);
    s->disk[1] = side_disk("d1", "node1", (1 << 20) + 512);
    assert_int_equal(gw_bitmap_live_new(&config, &s->live, NULL), 0);
}

static inline void side_down(struct side *s)
{
    s->live->ops->free(s->live);
    for (unsigned i = 0; i < SIDE_DISKS; i++)
        gw_disk_free(s->disk[i]);
}

static inline void side_bitmap(struct gw_disk *d, const char *name, uint64_t granularity, bool disabled,
                               bool persistent)
{
    struct gw_bitmap_config config = {
        .name = name, .granularity = granularity, .disabled = disabled, .persistent = persistent};

    assert_int_equal(gw_disk_bitmap_add(d, &config, NULL), 0);
}

#endif
