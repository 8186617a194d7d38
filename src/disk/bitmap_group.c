/* SPDX-License-Identifier: MIT
 *
 * Several changes of dirty bitmaps at one moment. All disks are locked meanwhile, so that no write falls between two
 * changes. Each change keeps what is needed to undo it until all changes have been made.
 */
#include <stdlib.h>

#include "base/sized.h"
#include "disk/bitmap_inner.h"
#include "disk/bitmap_stored.h"

#define ACTIONS_MAX 1024u

struct made {
    struct gw_bitmap_action action;
    struct gw_disk_bitmap *bitmap;
    struct gw_disk_bitmap **place; /* REMOVE: the bitmap's position in the list */
    struct gw_bits *before;        /* CLEAR, MERGE: the bits before the change */
    bool enabled;                  /* ENABLE, DISABLE: the value before the change */
};

struct group {
    struct made *made;
    size_t count;
    struct gw_disk **disk; /* each disk once, sorted by address: the order in which all code takes their locks */
    size_t disks;
};

/* ---- one change ----------------------------------------------------------------------------------------------------- */

static int add(struct made *m, struct gw_error *err)
{
    struct gw_disk *d = m->action.disk;
    int r = gw_dirty_make(d, &m->action.config, false, &m->bitmap, err);

    if (r >= 0 && (r = gw_dirty_insert(d, m->bitmap, err)) < 0)
        gw_dirty_free(m->bitmap);
    if (r < 0 && r != -EEXIST)
        gw_context(err, "dirty bitmap %.255s of disk %s", m->action.config.name ? m->action.config.name : "", gw_disk_name(d));
    return r;
}

/* Replaces the bits by new ones, all clear, and keeps the old ones for undo. */
static int put_bits_aside(struct made *m, struct gw_error *err)
{
    struct gw_bits *bits;
    int r = gw_bits_new(gw_bits_size(m->bitmap->bits), &bits, err);

    if (r < 0)
        return r;
    m->before = m->bitmap->bits;
    m->bitmap->bits = bits;
    return 0;
}

static int merge(struct made *m, struct gw_error *err)
{
    const struct gw_bitmap_action *a = &m->action;
    struct gw_disk_bitmap *from;
    int r = gw_dirty_find_both(a->disk, a->config.name, a->from_disk, a->from, &m->bitmap, &from, err);

    if (r < 0 || from == m->bitmap)
        return r;
    r = put_bits_aside(m, err);
    if (r < 0)
        return r;
    gw_dirty_merge_bits(m->bitmap->bits, m->before);
    gw_dirty_merge(m->bitmap, from, a->disk->bytes);
    return 0;
}

static int change(struct made *m, struct gw_error *err)
{
    const struct gw_bitmap_action *a = &m->action;
    int r;

    if (a->change == GW_BITMAP_ADD)
        return add(m, err);
    if (a->change == GW_BITMAP_MERGE)
        return merge(m, err);
    r = gw_dirty_find_to(a->disk, a->config.name, a->change, &m->bitmap, err);
    if (r < 0)
        return r;
    m->enabled = m->bitmap->enabled;
    if (a->change == GW_BITMAP_REMOVE)
        m->place = gw_dirty_take(a->disk, m->bitmap);
    else if (a->change == GW_BITMAP_CLEAR)
        return put_bits_aside(m, err);
    else
        m->bitmap->enabled = a->change == GW_BITMAP_ENABLE;
    return 0;
}

/* The last change is undone first, so that each undo finds the list as that change left it. */
static void take_back(struct made *m)
{
    struct gw_disk *d = m->action.disk;

    switch (m->action.change) {
    case GW_BITMAP_ADD:
        gw_dirty_take(d, m->bitmap);
        gw_dirty_free(m->bitmap);
        break;
    case GW_BITMAP_REMOVE:
        m->bitmap->next = *m->place;
        *m->place = m->bitmap;
        gw_disk_listen_locked(d, &m->bitmap->listener);
        break;
    case GW_BITMAP_CLEAR:
    case GW_BITMAP_MERGE:
        if (!m->before)
            break;
        gw_bits_free(m->bitmap->bits);
        m->bitmap->bits = m->before;
        break;
    case GW_BITMAP_ENABLE:
    case GW_BITMAP_DISABLE:
        m->bitmap->enabled = m->enabled;
        break;
    }
}

/* Frees what undo needed. */
static void keep(struct made *m)
{
    if (m->action.change == GW_BITMAP_REMOVE)
        gw_dirty_free(m->bitmap);
    gw_bits_free(m->before);
}

/* ---- all of them ---------------------------------------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (struct gw_disk *const *)a, y = (uintptr_t) * (struct gw_disk *const *)b;

    return x < y ? -1 : x > y;
}

static void list_disks(struct group *g)
{
    size_t n = 0;

    for (size_t i = 0; i < g->count; i++) {
        g->disk[g->disks++] = g->made[i].action.disk;
        if (g->made[i].action.change == GW_BITMAP_MERGE)
            g->disk[g->disks++] = g->made[i].action.from_disk;
    }
    qsort(g->disk, g->disks, sizeof *g->disk, by_address);
    for (size_t i = 0; i < g->disks; i++)
        if (!i || g->disk[i] != g->disk[n - 1])
            g->disk[n++] = g->disk[i];
    g->disks = n;
}

static int take_actions(struct group *g, const struct gw_bitmap_action *actions, size_t bytes, size_t count, size_t *failed,
                        struct gw_error *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < count; i++) {
        struct gw_bitmap_action *a = &g->made[i].action;

        *failed = i;
        r = gw_sized_in(a, sizeof *a, (const char *)actions + i * bytes, bytes, GW_SIZED_UNTIL(struct gw_bitmap_action, from),
                        "struct gw_bitmap_action", err);
        if (r >= 0 && ((unsigned)a->change > GW_BITMAP_MERGE || !a->disk || (a->change == GW_BITMAP_MERGE && (!a->from_disk || !a->from)) ||
                       (a->change != GW_BITMAP_ADD && !a->config.name)))
            r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "change %zu of dirty bitmaps lacks a kind, a disk or a name", i);
        if (r >= 0 && a->change == GW_BITMAP_ADD && a->config.persistent)
            r = gw_disk_bitmaps_check_image(a->disk, err);
    }
    g->count = count;
    return r;
}

static int make_all(struct group *g, size_t *failed, struct gw_error *err)
{
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; i < g->disks; i++)
        pthread_mutex_lock(&g->disk[i]->lock);
    for (; n < g->count && r >= 0; n += r >= 0) {
        *failed = n;
        r = change(&g->made[n], err);
    }
    for (size_t i = n; r < 0 && i > 0; i--)
        take_back(&g->made[i - 1]);
    for (size_t i = 0; r >= 0 && i < n; i++)
        keep(&g->made[i]);
    for (size_t i = g->disks; i > 0; i--)
        pthread_mutex_unlock(&g->disk[i - 1]->lock);
    return r;
}

int gw_disk_bitmaps_change_sized(const struct gw_bitmap_action *actions, size_t action_bytes, size_t count, size_t *ret_failed,
                                 struct gw_error *err)
{
    struct group g = {0};
    size_t failed = 0;
    int r;

    if (count > ACTIONS_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%zu changes of dirty bitmaps at once, at most %u", count, ACTIONS_MAX);
    if (!count)
        return 0;
    g.made = calloc(count, sizeof *g.made);
    g.disk = calloc(2 * count, sizeof *g.disk);
    r = g.made && g.disk ? take_actions(&g, actions, action_bytes, count, &failed, err) : gw_nomem(err, "changes of dirty bitmaps");
    if (r >= 0) {
        list_disks(&g);
        r = make_all(&g, &failed, err);
    }
    if (r < 0 && ret_failed)
        *ret_failed = failed;
    free(g.made);
    free(g.disk);
    return r;
}
