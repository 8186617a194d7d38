/* SPDX-License-Identifier: MIT */
#include "disk/tracker.h"

#include "disk/bits.h"

struct gw_disk_tracker {
    struct gw_disk_listener listener;
    struct gw_disk *disk;
    unsigned shift;
    struct gw_bits *bits; /* under disk->lock */
};

static void range(const struct gw_disk_tracker *t, uint64_t offset, uint64_t bytes, uint64_t *ret_first,
                  uint64_t *ret_count)
{
    uint64_t size = gw_bits_size(t->bits), first = GW_MIN(offset >> t->shift, size);
    uint64_t last = (GW_MIN(bytes, INT64_MAX - GW_MIN(offset, INT64_MAX)) + offset - 1) >> t->shift;

    *ret_first = first;
    *ret_count = !bytes || first == size ? 0 : GW_MIN(last, size - 1) - first + 1;
}

static void wrote(struct gw_disk_listener *l, uint64_t offset, uint64_t bytes)
{
    struct gw_disk_tracker *t = GW_CONTAINER(l, struct gw_disk_tracker, listener);
    uint64_t first, count;

    range(t, offset, bytes, &first, &count);
    gw_bits_set(t->bits, first, count);
}

int gw_disk_tracker_new(struct gw_disk *d, uint64_t granularity, struct gw_disk_tracker **ret, struct gw_error *err)
{
    struct gw_disk_tracker *t;
    int r;

    if (!gw_is_pow2(granularity) || granularity < 512)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "disk %s: writes are tracked in a power of two of bytes from 512 up, not in %" PRIu64,
                       gw_disk_name(d), granularity);
    t = calloc(1, sizeof *t);
    if (!t)
        return gw_nomem(err, "tracker of a disk");
    t->listener.wrote = wrote;
    t->disk = d;
    t->shift = (unsigned)__builtin_ctzll(granularity);
    r = gw_bits_new(gw_div_up(d->bytes, granularity), &t->bits, err);
    if (r < 0) {
        free(t);
        gw_context(err, "disk %s", gw_disk_name(d));
        return r;
    }
    gw_disk_listen(d, &t->listener);
    *ret = t;
    return 0;
}

struct gw_disk_tracker *gw_disk_tracker_free(struct gw_disk_tracker *t)
{
    if (!t)
        return NULL;
    gw_disk_unlisten(t->disk, &t->listener);
    gw_bits_free(t->bits);
    free(t);
    return NULL;
}

void gw_disk_tracker_mark(struct gw_disk_tracker *t, uint64_t offset, uint64_t bytes)
{
    pthread_mutex_lock(&t->disk->lock);
    wrote(&t->listener, offset, bytes);
    pthread_mutex_unlock(&t->disk->lock);
}

int gw_disk_tracker_take(struct gw_disk_tracker *t, uint64_t offset, uint64_t bytes, uint64_t *ret_dirty,
                         struct gw_error *err)
{
    uint64_t first, count, dirty;
    int r;

    pthread_mutex_lock(&t->disk->lock);
    range(t, offset, bytes, &first, &count);
    dirty = gw_bits_count_range(t->bits, first, count);
    r = dirty ? gw_bits_clear(t->bits, first, count) : 0;
    pthread_mutex_unlock(&t->disk->lock);
    if (r < 0)
        return gw_nomem(err, "tracker of a disk");
    *ret_dirty = dirty;
    return 0;
}

uint64_t gw_disk_tracker_dirty_bytes(struct gw_disk_tracker *t)
{
    uint64_t n;

    pthread_mutex_lock(&t->disk->lock);
    n = gw_bits_count(t->bits);
    pthread_mutex_unlock(&t->disk->lock);
    return n << t->shift;
}

bool gw_disk_tracker_next(struct gw_disk_tracker *t, uint64_t from, uint64_t *ret_offset)
{
    uint64_t at, size = gw_bits_size(t->bits);

    pthread_mutex_lock(&t->disk->lock);
    at = gw_bits_next_set(t->bits, GW_MIN(from >> t->shift, size));
    pthread_mutex_unlock(&t->disk->lock);
    if (at == size)
        return false;
    *ret_offset = at << t->shift;
    return true;
}
