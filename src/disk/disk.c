/* SPDX-License-Identifier: MIT */
#include "disk/disk.h"

#include "base/sized.h"
#include "disk/bitmap.h"
#include "disk/bitmap_stored.h"

#define REQUEST_MAX (64 * GW_KIB)
#define ZERO_PIECE  (64 * GW_KIB)

static int take_name(char *to, const char *name, const char *what, struct gw_error *err)
{
    size_t n = name ? strlen(name) : 0;

    if (name && (!n || n >= GW_DISK_NAME))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the %s name of a disk has 1 to 255 bytes, not %zu", what, n);
    gw_strcopy(to, GW_DISK_NAME, name ? name : "");
    return 0;
}

static int take_desc(struct gw_disk *d, const struct gw_disk_desc *desc, struct gw_error *err)
{
    int r = take_name(d->device, desc->device, "device", err);

    if (r >= 0)
        r = take_name(d->node, desc->node, "node", err);
    if (r >= 0)
        r = gw_sized_table_in(&d->ops, sizeof d->ops, desc->ops, GW_SIZED_UNTIL(struct gw_disk_ops, read),
                              "struct gw_disk_ops", err);
    if (r < 0)
        return r;
    if (!d->device[0] && !d->node[0])
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a disk needs a device name or a node name");
    if (!d->ops.read)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disk %s needs the call read", gw_disk_name(d));
    d->request_bytes = desc->request_bytes ? desc->request_bytes : 1;
    if (!gw_is_pow2(d->request_bytes) || d->request_bytes > REQUEST_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "disk %s: requests are multiples of a power of two up to 64 KiB, not of %u bytes",
                       gw_disk_name(d), d->request_bytes);
    if (desc->bytes > INT64_MAX || desc->bytes % d->request_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disk %s: %" PRIu64 " bytes are not a multiple of %u up to 2^63",
                       gw_disk_name(d), desc->bytes, d->request_bytes);
    atomic_store(&d->bytes, desc->bytes);
    d->cluster_bytes = desc->cluster_bytes;
    d->read_only = desc->read_only || !d->ops.write;
    d->active = !desc->inactive;
    d->opaque = desc->opaque;
    d->image = desc->image;
    return 0;
}

int gw_disk_new(const struct gw_disk_desc *desc, struct gw_disk **ret, struct gw_error *err)
{
    struct gw_disk *d = calloc(1, sizeof *d);
    int r;

    if (!d)
        return gw_nomem(err, "disk");
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->owning, NULL);
    r = take_desc(d, desc, err);
    if (r >= 0 && d->active)
        r = gw_disk_bitmaps_load(d, err);
    if (r < 0)
        d->active = false; /* so that free stores no bitmaps */
    if (r < 0)
        gw_disk_free(d);
    else
        *ret = d;
    return r;
}

struct gw_disk *gw_disk_free(struct gw_disk *d)
{
    if (!d)
        return NULL;
    if (d->active)
        gw_disk_bitmaps_store(d, NULL); /* on failure they stay marked in use, so that no reader trusts them */
    gw_disk_bitmaps_forget(d);
    gw_disk_bitmaps_free(d);
    pthread_mutex_destroy(&d->owning);
    pthread_mutex_destroy(&d->lock);
    free(d);
    return NULL;
}

const char *gw_disk_name(const struct gw_disk *d)
{
    return d->device[0] ? d->device : d->node;
}

void gw_disk_describe_sized(struct gw_disk *d, struct gw_disk_info *ret, size_t bytes)
{
    struct gw_disk_info own = {.length = d->bytes, .read_only = d->read_only};

    gw_strcopy(own.device, sizeof own.device, d->device);
    gw_strcopy(own.node, sizeof own.node, d->node);
    gw_strcopy(own.format, sizeof own.format, d->image ? gw_node_format(d->image) : "");
    pthread_mutex_lock(&d->lock);
    own.active = d->active;
    pthread_mutex_unlock(&d->lock);
    gw_sized_out(ret, bytes, &own, sizeof own);
}

/* ---- listeners ----------------------------------------------------------------------------------------------------
 */

void gw_disk_wrote(struct gw_disk *d, uint64_t offset, uint64_t bytes)
{
    uint64_t end = atomic_load(&d->bytes);

    if (!atomic_load(&d->listening) || !bytes || offset >= end)
        return;
    bytes = GW_MIN(bytes, end - offset);
    pthread_mutex_lock(&d->lock);
    for (struct gw_disk_listener *l = d->listeners; l; l = l->next)
        l->wrote(l, offset, bytes);
    pthread_mutex_unlock(&d->lock);
}

void gw_disk_listen_locked(struct gw_disk *d, struct gw_disk_listener *l)
{
    l->next = d->listeners;
    d->listeners = l;
    atomic_fetch_add(&d->listening, 1);
}

void gw_disk_unlisten_locked(struct gw_disk *d, struct gw_disk_listener *l)
{
    struct gw_disk_listener **at = &d->listeners;

    while (*at && *at != l)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = l->next;
    atomic_fetch_sub(&d->listening, 1);
}

void gw_disk_listen(struct gw_disk *d, struct gw_disk_listener *l)
{
    pthread_mutex_lock(&d->lock);
    gw_disk_listen_locked(d, l);
    pthread_mutex_unlock(&d->lock);
}

void gw_disk_unlisten(struct gw_disk *d, struct gw_disk_listener *l)
{
    pthread_mutex_lock(&d->lock);
    gw_disk_unlisten_locked(d, l);
    pthread_mutex_unlock(&d->lock);
}

/* ---- calls --------------------------------------------------------------------------------------------------------
 */

static int check_range(const struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    uint64_t end = atomic_load(&d->bytes);

    if (offset > end || bytes > end - offset)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "disk %s: %" PRIu64 " bytes at %" PRIu64 " lie beyond its end at %" PRIu64, gw_disk_name(d),
                       bytes, offset, end);
    if ((bytes | offset) & (d->request_bytes - 1))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "disk %s: %" PRIu64 " bytes at %" PRIu64 " are not multiples of its %u bytes", gw_disk_name(d),
                       bytes, offset, d->request_bytes);
    return 0;
}

static int check_write(struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r = check_range(d, bytes, offset, err);
    bool active;

    if (r < 0)
        return r;
    if (d->read_only)
        return gw_fail(err, -EROFS, GW_BLAME_CALLER, "disk %s cannot be written", gw_disk_name(d));
    pthread_mutex_lock(&d->lock);
    active = d->active;
    pthread_mutex_unlock(&d->lock);
    return active ? 0 : gw_fail(err, -EPERM, GW_BLAME_CALLER, "disk %s belongs to another host now", gw_disk_name(d));
}

static void told(int r, struct gw_error *err)
{
    if (err && !err->code)
        gw_fail(err, r, GW_BLAME_EMBEDDER, "%s", strerror(-r));
    if (err && err->blame == GW_BLAME_NONE)
        err->blame = GW_BLAME_EMBEDDER;
}

static int embedder(const struct gw_disk *d, int r, const char *call, uint64_t offset, struct gw_error *err)
{
    if (r >= 0)
        return r;
    told(r, err);
    gw_context(err, "disk %s: %s at byte %" PRIu64, gw_disk_name(d), call, offset);
    return r;
}

/* A call that concerns the whole disk. */
static int embedder_whole(const struct gw_disk *d, int r, const char *call, struct gw_error *err)
{
    if (r >= 0)
        return r;
    told(r, err);
    gw_context(err, "disk %s: %s", gw_disk_name(d), call);
    return r;
}

int gw_disk_read(struct gw_disk *d, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r = check_range(d, bytes, offset, err);

    if (r < 0 || !bytes)
        return r;
    return embedder(d, d->ops.read(d->opaque, to, bytes, offset, err), "reading", offset, err);
}

int gw_disk_write(struct gw_disk *d, const void *from, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r = check_write(d, bytes, offset, err);

    if (r < 0 || !bytes)
        return r;
    r = d->ops.write(d->opaque, from, bytes, offset, err);
    gw_disk_wrote(d, offset, bytes);
    return embedder(d, r, "writing", offset, err);
}

static int write_zeros(struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    void *zeros = calloc(1, GW_MIN(bytes, ZERO_PIECE));
    int r = zeros ? 0 : gw_nomem(err, "zeros for a disk");

    while (r >= 0 && bytes) {
        uint64_t n = GW_MIN(bytes, ZERO_PIECE);

        r = d->ops.write(d->opaque, zeros, n, offset, err);
        offset += n;
        bytes -= n;
    }
    free(zeros);
    return r;
}

int gw_disk_zero(struct gw_disk *d, uint64_t bytes, uint64_t offset, bool unmap, struct gw_error *err)
{
    int r = check_write(d, bytes, offset, err);

    if (r < 0 || !bytes)
        return r;
    r = d->ops.zero ? d->ops.zero(d->opaque, bytes, offset, unmap, err) : write_zeros(d, bytes, offset, err);
    gw_disk_wrote(d, offset, bytes);
    return embedder(d, r, "writing zeros", offset, err);
}

int gw_disk_discard(struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r = check_write(d, bytes, offset, err);

    if (r < 0 || !bytes || !d->ops.discard)
        return r;
    r = d->ops.discard(d->opaque, bytes, offset, err);
    gw_disk_wrote(d, offset, bytes);
    return embedder(d, r, "discarding", offset, err);
}

int gw_disk_find(struct gw_disk *d, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err)
{
    struct gw_disk_run run = {GW_DISK_DATA, bytes};
    int r = bytes ? check_range(d, bytes, offset, err)
                  : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disk %s: a range of 0 bytes", gw_disk_name(d));

    if (r >= 0 && d->ops.find)
        r = embedder(d, d->ops.find(d->opaque, bytes, offset, &run, err), "looking for what is there", offset, err);
    if (r < 0)
        return r;
    if (!run.bytes || run.bytes > bytes || run.kind > GW_DISK_ABSENT)
        return gw_fail(err, -EINVAL, GW_BLAME_EMBEDDER,
                       "disk %s: find returned a run of %" PRIu64 " bytes and kind %d for %" PRIu64
                       " bytes at %" PRIu64,
                       gw_disk_name(d), run.bytes, (int)run.kind, bytes, offset);
    *ret = run;
    return 0;
}

int gw_disk_flush(struct gw_disk *d, struct gw_error *err)
{
    return d->ops.flush ? embedder_whole(d, d->ops.flush(d->opaque, err), "flushing", err) : 0;
}

/* ---- who owns it --------------------------------------------------------------------------------------------------
 */

/* The bitmaps in its image leave with it. */
static int give(struct gw_disk *d, struct gw_error *err)
{
    int r = gw_disk_bitmaps_store(d, err);

    if (r >= 0 && d->ops.inactivate)
        r = embedder_whole(d, d->ops.inactivate(d->opaque, err), "giving it up", err);
    if (r < 0)
        gw_disk_bitmaps_load(d, NULL); /* marks the bitmaps in use again */
    else
        gw_disk_bitmaps_given(d);
    return r;
}

static int take(struct gw_disk *d, struct gw_error *err)
{
    int r = d->ops.activate ? embedder_whole(d, d->ops.activate(d->opaque, err), "taking it over", err) : 0;

    if (r < 0)
        return r;
    r = gw_disk_bitmaps_load(d, err);
    if (r < 0 && d->ops.inactivate)
        d->ops.inactivate(d->opaque, NULL);
    return r;
}

static int own(struct gw_disk *d, bool active, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&d->owning);
    if (d->active != active) { /* changes only with owning held */
        r = active ? take(d, err) : give(d, err);
        pthread_mutex_lock(&d->lock);
        d->active = r >= 0 ? active : d->active;
        pthread_mutex_unlock(&d->lock);
    }
    pthread_mutex_unlock(&d->owning);
    return r;
}

bool gw_disk_active(struct gw_disk *d)
{
    bool active;

    pthread_mutex_lock(&d->lock);
    active = d->active;
    pthread_mutex_unlock(&d->lock);
    return active;
}

int gw_disk_activate(struct gw_disk *d, struct gw_error *err)
{
    return own(d, true, err);
}

int gw_disk_inactivate(struct gw_disk *d, struct gw_error *err)
{
    return own(d, false, err);
}

/* ---- blockers -----------------------------------------------------------------------------------------------------
 */

int gw_disk_block(struct gw_disk *d, const char *reason, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&d->lock);
    if (d->blocker_count == GW_DISK_BLOCKERS)
        r = gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "disk %s: more than %u operations use it", gw_disk_name(d),
                    GW_DISK_BLOCKERS);
    else
        d->blockers[d->blocker_count++] = reason;
    pthread_mutex_unlock(&d->lock);
    return r;
}

void gw_disk_unblock(struct gw_disk *d, const char *reason)
{
    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < d->blocker_count; i++) {
        if (strcmp(d->blockers[i], reason))
            continue;
        d->blockers[i] = d->blockers[--d->blocker_count];
        break;
    }
    pthread_mutex_unlock(&d->lock);
}

static int check_unblocked(struct gw_disk *d, const char *what, struct gw_error *err)
{
    return d->blocker_count
               ? gw_fail(err, -EBUSY, GW_BLAME_CALLER, "disk %s %s: %s", gw_disk_name(d), what, d->blockers[0])
               : 0;
}

int gw_disk_check_unblocked(struct gw_disk *d, const char *what, struct gw_error *err)
{
    int r;

    pthread_mutex_lock(&d->lock);
    r = check_unblocked(d, what, err);
    pthread_mutex_unlock(&d->lock);
    return r;
}

int gw_disk_resized(struct gw_disk *d, uint64_t bytes, struct gw_error *err)
{
    int r;

    if (bytes > INT64_MAX || bytes % d->request_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "disk %s: %" PRIu64 " bytes are not a multiple of %u up to 2^63",
                       gw_disk_name(d), bytes, d->request_bytes);
    pthread_mutex_lock(&d->lock);
    r = check_unblocked(d, "cannot be resized", err);
    if (r >= 0 && d->listening)
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "disk %s cannot be resized: its writes are tracked", gw_disk_name(d));
    if (r >= 0)
        atomic_store(&d->bytes, bytes);
    pthread_mutex_unlock(&d->lock);
    return r;
}
