/* SPDX-License-Identifier: MIT
 *
 * A set of clusters, as an open hash table: those that hold metadata, which no data may be written over.
 */
#include "disk/node/qcow2_inner.h"

static size_t slot(const struct gw_qcow2_set *s, uint64_t key)
{
    uint64_t h = key * 0x9e3779b97f4a7c15ull;

    return (size_t)(h >> 20) & (s->room - 1);
}

static void put(struct gw_qcow2_set *s, uint64_t key)
{
    size_t i = slot(s, key);

    while (s->keys[i])
        i = (i + 1) & (s->room - 1);
    s->keys[i] = key;
}

static int grow(struct gw_qcow2_set *s, struct gw_error *err)
{
    struct gw_qcow2_set more = {.room = s->room ? s->room * 2 : 64, .count = s->count};

    more.keys = calloc(more.room, sizeof *more.keys);
    if (!more.keys)
        return gw_nomem(err, "places of the tables of a qcow2 image");
    for (size_t i = 0; i < s->room; i++)
        if (s->keys[i])
            put(&more, s->keys[i]);
    free(s->keys);
    *s = more;
    return 0;
}

/* The key's slot, or the free slot for it. */
static size_t find(const struct gw_qcow2_set *s, uint64_t key)
{
    size_t i;

    if (!s->room)
        return 0;
    for (i = slot(s, key); s->keys[i]; i = (i + 1) & (s->room - 1))
        if (s->keys[i] == key)
            return i;
    return s->room;
}

bool gw_qcow2_set_has(const struct gw_qcow2_set *s, uint64_t cluster)
{
    return find(s, cluster + 1) < s->room;
}

int gw_qcow2_set_add(struct gw_qcow2_set *s, uint64_t cluster, struct gw_error *err)
{
    if (gw_qcow2_set_has(s, cluster))
        return 1;
    if (s->count * 2 >= s->room) {
        int r = grow(s, err);
        if (r < 0)
            return r;
    }
    put(s, cluster + 1);
    s->count++;
    return 0;
}

/* The keys after it, up to the next gap, are inserted again: a search for them must not end in the new gap. */
void gw_qcow2_set_remove(struct gw_qcow2_set *s, uint64_t cluster)
{
    size_t i = find(s, cluster + 1);

    if (i >= s->room)
        return;
    s->keys[i] = 0;
    s->count--;
    for (i = (i + 1) & (s->room - 1); s->keys[i]; i = (i + 1) & (s->room - 1)) {
        uint64_t key = s->keys[i];

        s->keys[i] = 0;
        put(s, key);
    }
}
