/* SPDX-License-Identifier: MIT */
#include "disk/bitmap.h"

#include "base/sized.h"
#include "disk/bitmap_inner.h"
#include "disk/bitmap_stored.h"

#define GRANULARITY_MIN 512u
#define GRANULARITY_MAX (2 * GW_GIB)

struct gw_disk_bitmap *gw_disk_bitmap_find(struct gw_disk *d, const char *name)
{
    struct gw_disk_bitmap *b = d->bitmaps;

    while (b && strcmp(b->name, name))
        b = b->next;
    return b;
}

int gw_dirty_find(struct gw_disk *d, const char *name, unsigned needs, const char *what, struct gw_disk_bitmap **ret,
                   struct gw_error *err)
{
    struct gw_disk_bitmap *b = gw_disk_bitmap_find(d, name);

    if (!b)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "disk %s has no dirty bitmap %s", gw_disk_name(d), name);
    if ((needs & GW_BITMAP_IDLE) && b->busy)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "dirty bitmap %s of disk %s cannot be %s: %s uses it", name,
                       gw_disk_name(d), what, b->busy);
    if ((needs & GW_BITMAP_WRITABLE) && b->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_CALLER, "dirty bitmap %s of disk %s cannot be %s: it is read-only", name,
                       gw_disk_name(d), what);
    if ((needs & GW_BITMAP_CONSISTENT) && b->inconsistent)
        return gw_fail(err, -ESTALE, GW_BLAME_CALLER,
                       "dirty bitmap %s of disk %s cannot be %s: it is inconsistent, and can only be removed", name,
                       gw_disk_name(d), what);
    *ret = b;
    return 0;
}

/* ---- what is written ----------------------------------------------------------------------------------------------
 */

static bool records(const struct gw_disk_bitmap *b)
{
    return b->successor ? b->split_records : b->enabled;
}

static void set_range(const struct gw_disk_bitmap *b, struct gw_bits *bits, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset / b->granularity;

    gw_bits_set(bits, first, (offset + bytes - 1) / b->granularity - first + 1);
}

static void wrote(struct gw_disk_listener *l, uint64_t offset, uint64_t bytes)
{
    struct gw_disk_bitmap *b = GW_CONTAINER(l, struct gw_disk_bitmap, listener);

    if (records(b))
        set_range(b, b->successor ? b->successor : b->bits, offset, bytes);
}

/* Runs of set bits: true while there is one more. */
static bool next_run(const struct gw_bits *bits, uint64_t *first, uint64_t *end)
{
    *first = gw_bits_next_set(bits, *end);
    *end = *first < gw_bits_size(bits) ? gw_bits_next_clear(bits, *first) : *first;
    return *end > *first;
}

void gw_dirty_merge_bits(struct gw_bits *to, const struct gw_bits *from)
{
    for (uint64_t first, end = 0; next_run(from, &first, &end);)
        gw_bits_set(to, first, end - first);
}

/* ---- made and unmade ----------------------------------------------------------------------------------------------
 */

void gw_dirty_free(struct gw_disk_bitmap *b)
{
    if (!b)
        return;
    gw_bits_free(b->bits);
    gw_bits_free(b->successor);
    free(b->name);
    free(b);
}

static int take_granularity(const struct gw_disk *d, uint64_t granularity, uint64_t *ret, struct gw_error *err)
{
    if (!granularity)
        granularity =
            gw_is_pow2(d->cluster_bytes) ? GW_MAX(GW_MIN(d->cluster_bytes, 64 * GW_KIB), 4 * GW_KIB) : 64 * GW_KIB;
    if (!gw_is_pow2(granularity) || granularity < GRANULARITY_MIN || granularity > GRANULARITY_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "the granularity of a dirty bitmap is a power of two from 512 bytes to 2 GiB, not %" PRIu64,
                       granularity);
    *ret = granularity;
    return 0;
}

/* The new bitmap is not in the disk's list yet. */
int gw_dirty_make(struct gw_disk *d, const struct gw_bitmap_config *config, bool successor, struct gw_disk_bitmap **ret,
                struct gw_error *err)
{
    size_t n = config->name ? strlen(config->name) : 0;
    struct gw_disk_bitmap *b;
    int r;

    if (!n || n > GW_BITMAP_NAME_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the name of a dirty bitmap has 1 to %u bytes, not %zu",
                       GW_BITMAP_NAME_MAX, n);
    b = calloc(1, sizeof *b);
    if (!b)
        return gw_nomem(err, "dirty bitmap");
    b->listener.wrote = wrote;
    b->enabled = !config->disabled;
    b->persistent = config->persistent;
    b->name = malloc(n + 1);
    r = b->name ? take_granularity(d, config->granularity, &b->granularity, err) : gw_nomem(err, "dirty bitmap");
    if (r >= 0)
        memcpy(b->name, config->name, n + 1);
    if (r >= 0)
        r = gw_bits_new(gw_div_up(d->bytes, b->granularity), &b->bits, err);
    if (r >= 0 && successor)
        r = gw_bits_new(gw_bits_size(b->bits), &b->successor, err);
    if (r < 0)
        gw_dirty_free(b);
    else
        *ret = b;
    return r;
}

/* Under disk->lock. */
int gw_dirty_insert(struct gw_disk *d, struct gw_disk_bitmap *b, struct gw_error *err)
{
    struct gw_disk_bitmap **at = &d->bitmaps;

    for (; *at; at = &(*at)->next)
        if (!strcmp((*at)->name, b->name))
            return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "disk %s has a dirty bitmap %s already", gw_disk_name(d),
                           b->name);
    *at = b;
    gw_disk_listen_locked(d, &b->listener);
    return 0;
}

int gw_dirty_add(struct gw_disk *d, const struct gw_bitmap_config *config, bool arrives, struct gw_error *err)
{
    struct gw_disk_bitmap *b = NULL;
    int r;

    pthread_mutex_lock(&d->lock); /* the disk's length cannot change while the lock is held */
    r = gw_dirty_make(d, config, arrives && !config->disabled, &b, err);
    if (r >= 0 && arrives) {
        b->arrival = GW_BITMAP_COMING;
        b->busy = GW_BITMAP_BY_MIGRATION;
        b->enabled = false;
    }
    if (r >= 0 && (r = gw_dirty_insert(d, b, err)) < 0)
        gw_dirty_free(b);
    pthread_mutex_unlock(&d->lock);
    if (r < 0 && r != -EEXIST)
        gw_context(err, "dirty bitmap %.255s of disk %s", config->name ? config->name : "", gw_disk_name(d));
    return r;
}

int gw_disk_bitmap_add_sized(struct gw_disk *d, const struct gw_bitmap_config *config, size_t config_bytes,
                             struct gw_error *err)
{
    struct gw_bitmap_config own;
    int r = gw_sized_in(&own, sizeof own, config, config_bytes, GW_SIZED_UNTIL(struct gw_bitmap_config, name),
                        "struct gw_bitmap_config", err);

    if (r >= 0 && own.persistent)
        r = gw_disk_bitmaps_check_image(d, err);
    return r < 0 ? r : gw_dirty_add(d, &own, false, err);
}

struct gw_disk_bitmap **gw_dirty_take(struct gw_disk *d, struct gw_disk_bitmap *b)
{
    struct gw_disk_bitmap **at = &d->bitmaps;

    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    gw_disk_unlisten_locked(d, &b->listener);
    return at;
}

static void drop(struct gw_disk *d, struct gw_disk_bitmap *b)
{
    gw_dirty_take(d, b);
    gw_dirty_free(b);
}

void gw_disk_bitmaps_free(struct gw_disk *d)
{
    while (d->bitmaps)
        drop(d, d->bitmaps);
}

/* ---- changes ------------------------------------------------------------------------------------------------------
 */

int gw_dirty_find_to(struct gw_disk *d, const char *name, enum gw_bitmap_change what, struct gw_disk_bitmap **ret, struct gw_error *err)
{
    static const struct {
        unsigned needs;
        const char *text;
    } rows[] = {
        [GW_BITMAP_REMOVE] = {GW_BITMAP_IDLE | GW_BITMAP_WRITABLE, "removed"},
        [GW_BITMAP_CLEAR] = {GW_BITMAP_IDLE | GW_BITMAP_WRITABLE | GW_BITMAP_CONSISTENT, "cleared"},
        [GW_BITMAP_ENABLE] = {GW_BITMAP_IDLE | GW_BITMAP_CONSISTENT, "enabled"},
        [GW_BITMAP_DISABLE] = {GW_BITMAP_IDLE | GW_BITMAP_CONSISTENT, "disabled"},
        [GW_BITMAP_MERGE] = {GW_BITMAP_IDLE | GW_BITMAP_WRITABLE | GW_BITMAP_CONSISTENT, "merged into"},
    };

    return gw_dirty_find(d, name, rows[what].needs, rows[what].text, ret, err);
}

static int change(struct gw_disk *d, const char *name, enum gw_bitmap_change what, struct gw_error *err)
{
    struct gw_disk_bitmap *b;
    int r;

    pthread_mutex_lock(&d->lock);
    r = gw_dirty_find_to(d, name, what, &b, err);
    if (r >= 0 && what == GW_BITMAP_REMOVE)
        drop(d, b);
    else if (r >= 0 && what == GW_BITMAP_CLEAR)
        gw_bits_clear_all(b->bits);
    else if (r >= 0)
        b->enabled = what == GW_BITMAP_ENABLE;
    pthread_mutex_unlock(&d->lock);
    return r;
}

int gw_disk_bitmap_remove(struct gw_disk *d, const char *name, struct gw_error *err)
{
    return change(d, name, GW_BITMAP_REMOVE, err);
}

int gw_disk_bitmap_clear(struct gw_disk *d, const char *name, struct gw_error *err)
{
    return change(d, name, GW_BITMAP_CLEAR, err);
}

int gw_disk_bitmap_enable(struct gw_disk *d, const char *name, struct gw_error *err)
{
    return change(d, name, GW_BITMAP_ENABLE, err);
}

int gw_disk_bitmap_disable(struct gw_disk *d, const char *name, struct gw_error *err)
{
    return change(d, name, GW_BITMAP_DISABLE, err);
}

int gw_disk_bitmap_mark(struct gw_disk *d, const char *name, bool inconsistent, bool read_only, struct gw_error *err)
{
    struct gw_disk_bitmap *b;
    int r;

    pthread_mutex_lock(&d->lock);
    r = gw_dirty_find(d, name, GW_BITMAP_IDLE, "marked", &b, err);
    if (r >= 0) {
        b->inconsistent = inconsistent;
        b->read_only = read_only;
        b->enabled &= !inconsistent;
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* The locks of two disks are always taken in the same order. */
static void lock_both(struct gw_disk *a, struct gw_disk *b, bool lock)
{
    struct gw_disk *first = (uintptr_t)a < (uintptr_t)b ? a : b, *second = first == a ? b : a;
    int (*f)(pthread_mutex_t *) = lock ? pthread_mutex_lock : pthread_mutex_unlock;

    f(&first->lock);
    if (second != first)
        f(&second->lock);
}

static void merge_scaled(const struct gw_disk_bitmap *to, const struct gw_disk_bitmap *from, const struct gw_bits *bits,
                         uint64_t length)
{
    for (uint64_t first, end = 0; bits && next_run(bits, &first, &end);)
        set_range(to, to->bits, first * from->granularity,
                  GW_MIN(end * from->granularity, length) - first * from->granularity);
}

void gw_dirty_merge(const struct gw_disk_bitmap *to, const struct gw_disk_bitmap *from, uint64_t length)
{
    if (to == from)
        return;
    merge_scaled(to, from, from->bits, length);
    merge_scaled(to, from, from->successor, length);
}

int gw_dirty_find_both(struct gw_disk *d, const char *name, struct gw_disk *from_disk, const char *from, struct gw_disk_bitmap **ret_to,
                       struct gw_disk_bitmap **ret_from, struct gw_error *err)
{
    int r = gw_dirty_find_to(d, name, GW_BITMAP_MERGE, ret_to, err);

    if (r >= 0)
        r = gw_dirty_find(from_disk, from, GW_BITMAP_CONSISTENT, "merged", ret_from, err);
    if (r >= 0 && d->bytes != from_disk->bytes)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                    "dirty bitmaps of disks of different lengths cannot be merged: %s has %" PRIu64
                    " bytes, %s %" PRIu64,
                    gw_disk_name(d), d->bytes, gw_disk_name(from_disk), from_disk->bytes);
    return r;
}

int gw_disk_bitmap_merge(struct gw_disk *d, const char *name, struct gw_disk *from_disk, const char *from,
                         struct gw_error *err)
{
    struct gw_disk_bitmap *to, *source;
    int r;

    lock_both(d, from_disk, true);
    r = gw_dirty_find_both(d, name, from_disk, from, &to, &source, err);
    if (r >= 0)
        gw_dirty_merge(to, source, d->bytes);
    lock_both(d, from_disk, false);
    return r;
}

/* ---- looking ------------------------------------------------------------------------------------------------------
 */

static uint64_t count(const struct gw_disk_bitmap *b)
{
    uint64_t n = gw_bits_count(b->bits);

    for (uint64_t first, end = 0; b->successor && next_run(b->successor, &first, &end);)
        n += end - first - gw_bits_count_range(b->bits, first, end - first);
    return n;
}

void gw_dirty_tell(const struct gw_disk_bitmap *b, struct gw_bitmap_info *ret)
{
    *ret = (struct gw_bitmap_info){
        .granularity = b->granularity,
        .dirty_bytes = count(b) * b->granularity,
        .recording = records(b),
        .busy = b->busy != NULL,
        .persistent = b->persistent,
        .inconsistent = b->inconsistent,
        .read_only = b->read_only,
        .not_stored = b->not_stored,
    };
    gw_strcopy(ret->name, sizeof ret->name, b->name);
}

int gw_disk_bitmap_at_sized(struct gw_disk *d, unsigned i, struct gw_bitmap_info *info, size_t info_bytes)
{
    struct gw_bitmap_info own = {0};
    struct gw_disk_bitmap *b;

    pthread_mutex_lock(&d->lock);
    for (b = d->bitmaps; b && i; i--)
        b = b->next;
    if (b)
        gw_dirty_tell(b, &own);
    pthread_mutex_unlock(&d->lock);
    gw_sized_out(info, info_bytes, &own, sizeof own);
    return b ? 0 : -ENOENT;
}

int gw_disk_bitmap_next(struct gw_disk *d, const char *name, uint64_t from, uint64_t *ret_offset, uint64_t *ret_bytes,
                        struct gw_error *err)
{
    struct gw_disk_bitmap *b;
    uint64_t first, end;
    int r;

    pthread_mutex_lock(&d->lock);
    r = gw_dirty_find(d, name, GW_BITMAP_CONSISTENT, "read", &b, err);
    if (r >= 0) {
        end = GW_MIN(from / b->granularity, gw_bits_size(b->bits));
        next_run(b->bits, &first, &end);
        first *= b->granularity;
        end = GW_MIN(end * b->granularity, d->bytes);
        *ret_offset = GW_MAX(first, from);
        *ret_bytes = end > *ret_offset ? end - *ret_offset : 0;
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* ---- backups ------------------------------------------------------------------------------------------------------
 */

int gw_disk_bitmap_split(struct gw_disk *d, const char *name, struct gw_error *err)
{
    struct gw_disk_bitmap *b;
    int r;

    pthread_mutex_lock(&d->lock);
    r = gw_dirty_find(d, name, GW_BITMAP_IDLE | GW_BITMAP_WRITABLE | GW_BITMAP_CONSISTENT, "split", &b, err);
    if (r >= 0)
        r = gw_bits_new(gw_bits_size(b->bits), &b->successor, err);
    if (r >= 0) {
        b->split_records = b->enabled;
        b->busy = "a backup";
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

void gw_dirty_join(struct gw_disk_bitmap *b, bool done)
{
    if (done) {
        gw_bits_free(b->bits);
        b->bits = b->successor;
    } else {
        gw_dirty_merge_bits(b->bits, b->successor);
        gw_bits_free(b->successor);
    }
    b->successor = NULL;
    b->split_records = false;
    b->busy = NULL;
}

int gw_disk_bitmap_join(struct gw_disk *d, const char *name, bool done, struct gw_error *err)
{
    struct gw_disk_bitmap *b;
    int r;

    pthread_mutex_lock(&d->lock);
    r = gw_dirty_find(d, name, 0, "joined", &b, err);
    if (r >= 0 && (!b->successor || b->arrival != GW_BITMAP_HERE))
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "dirty bitmap %s of disk %s is not split", name, gw_disk_name(d));
    if (r >= 0)
        gw_dirty_join(b, done);
    pthread_mutex_unlock(&d->lock);
    return r;
}
