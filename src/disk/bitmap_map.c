/* SPDX-License-Identifier: MIT */
#include "disk/bitmap_map.h"

struct gw_bitmap_map {
    atomic_uint references;
    size_t count;
    struct gw_bitmap_alias entry[];
};

static int check_name(const char *name, const char *what, size_t most, struct gw_error *err)
{
    size_t n = name ? strlen(name) : 0;

    return n && n <= most ? 0
                          : gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                                    "mapping of dirty bitmaps: the %s %.64s has %zu bytes, not 1 to %zu", what,
                                    name ? name : "", n, most);
}

static int check(const struct gw_bitmap_alias *a, struct gw_error *err)
{
    int r = check_name(a->disk, "disk", 255, err);

    if (r >= 0)
        r = check_name(a->disk_alias, "alias of a disk", 255, err);
    if (r >= 0)
        r = check_name(a->bitmap, "bitmap", GW_BITMAP_NAME_MAX, err);
    return r < 0 ? r : check_name(a->alias, "alias of a bitmap", 255, err);
}

/* One disk has one alias, and one alias one disk; the same for the bitmaps of one disk. */
static int compare(const struct gw_bitmap_alias *a, const struct gw_bitmap_alias *b, struct gw_error *err)
{
    bool disk = !strcmp(a->disk, b->disk), alias = !strcmp(a->disk_alias, b->disk_alias);

    if (disk != alias)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "mapping of dirty bitmaps: disk %s is called %s, and disk %s is called %s", a->disk,
                       a->disk_alias, b->disk, b->disk_alias);
    if (disk && (!strcmp(a->bitmap, b->bitmap) || !strcmp(a->alias, b->alias)))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "mapping of dirty bitmaps of disk %s: %s is called %s, and %s is called %s", a->disk, a->bitmap,
                       a->alias, b->bitmap, b->alias);
    return 0;
}

static int copy(struct gw_bitmap_alias *to, const struct gw_bitmap_alias *from)
{
    *to = *from;
    to->disk = strdup(from->disk);
    to->disk_alias = strdup(from->disk_alias);
    to->bitmap = strdup(from->bitmap);
    to->alias = strdup(from->alias);
    return to->disk && to->disk_alias && to->bitmap && to->alias ? 0 : -ENOMEM;
}

int gw_bitmap_map_new(const struct gw_bitmap_alias *aliases, size_t count, struct gw_bitmap_map **ret,
                      struct gw_error *err)
{
    struct gw_bitmap_map *m;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < count; i++) {
        r = check(&aliases[i], err);
        for (size_t k = 0; r >= 0 && k < i; k++)
            r = compare(&aliases[k], &aliases[i], err);
    }
    if (r < 0)
        return r;
    m = calloc(1, sizeof *m + count * sizeof m->entry[0]);
    if (!m)
        return gw_nomem(err, "mapping of dirty bitmaps");
    m->references = 1;
    for (m->count = 0; r >= 0 && m->count < count; m->count++)
        r = copy(&m->entry[m->count], &aliases[m->count]);
    if (r < 0) {
        gw_bitmap_map_free(m);
        return gw_nomem(err, "mapping of dirty bitmaps");
    }
    *ret = m;
    return 0;
}

struct gw_bitmap_map *gw_bitmap_map_share(struct gw_bitmap_map *m)
{
    if (m)
        atomic_fetch_add(&m->references, 1);
    return m;
}

struct gw_bitmap_map *gw_bitmap_map_free(struct gw_bitmap_map *m)
{
    if (!m || atomic_fetch_sub(&m->references, 1) != 1)
        return NULL;
    for (size_t i = 0; i < m->count; i++) {
        free((void *)(uintptr_t)m->entry[i].disk);
        free((void *)(uintptr_t)m->entry[i].disk_alias);
        free((void *)(uintptr_t)m->entry[i].bitmap);
        free((void *)(uintptr_t)m->entry[i].alias);
    }
    free(m);
    return NULL;
}

const struct gw_bitmap_alias *gw_bitmap_map_here(const struct gw_bitmap_map *m, const char *device, const char *node,
                                                 const char *bitmap)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct gw_bitmap_alias *a = &m->entry[i];

        if ((!strcmp(a->disk, device) || !strcmp(a->disk, node)) && !strcmp(a->bitmap, bitmap))
            return a;
    }
    return NULL;
}

const struct gw_bitmap_alias *gw_bitmap_map_there(const struct gw_bitmap_map *m, const char *disk, const char *bitmap)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct gw_bitmap_alias *a = &m->entry[i];

        if (!strcmp(a->disk_alias, disk) && (!bitmap || !strcmp(a->alias, bitmap)))
            return a;
    }
    return NULL;
}

const struct gw_bitmap_alias *gw_bitmap_map_at(const struct gw_bitmap_map *m, size_t i)
{
    return i < m->count ? &m->entry[i] : NULL;
}
