/* SPDX-License-Identifier: MIT */
#include "disk/node/node.h"

#include "base/base.h"

int gw_node_init(struct gw_node *n, const struct gw_node_ops *ops, const char *name, struct gw_error *err)
{
    n->ops = ops;
    if (!n->request_bytes)
        n->request_bytes = 1;
    pthread_rwlock_init(&n->edges, NULL);
    n->name = strdup(name);
    return n->name ? 0 : gw_nomem(err, "disk");
}

int gw_node_done(struct gw_node *n, struct gw_error *err)
{
    int r = gw_node_free(n->backing, err);

    n->backing = NULL;
    free(n->name);
    n->name = NULL;
    pthread_rwlock_destroy(&n->edges);
    return r;
}

int gw_node_free(struct gw_node *n, struct gw_error *err)
{
    return n ? n->ops->free(n, err) : 0;
}

void gw_node_use(struct gw_node *n)
{
    atomic_fetch_add(&n->users, 1);
}

void gw_node_unuse(struct gw_node *n)
{
    atomic_fetch_sub(&n->users, 1);
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static int within(const struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    if (offset <= n->bytes && bytes <= n->bytes - offset)
        return 0;
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                   "%s: %" PRIu64 " bytes at offset %" PRIu64 " are not in it: it has %" PRIu64 " bytes", n->name,
                   bytes, offset, n->bytes);
}

static int may_change(const struct gw_node *n, const char *what, struct gw_error *err)
{
    if (!n->read_only)
        return 0;
    return gw_fail(err, -EROFS, GW_BLAME_CALLER, "%s: cannot %s: it was opened read-only", n->name, what);
}

static int is_active(const struct gw_node *n, struct gw_error *err)
{
    if (!n->inactive)
        return 0;
    return gw_fail(err, -EPERM, GW_BLAME_CALLER, "%s: it is not active: its machine is elsewhere, or still to arrive",
                   n->name);
}

static int to_read(const struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r = is_active(n, err);

    return r < 0 ? r : within(n, bytes, offset, err);
}

static int to_change(const struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r = may_change(n, "write", err);

    return r < 0 ? r : to_read(n, bytes, offset, err);
}

/* ---- read -------------------------------------------------------------------------------------------------------- */

/* Reads from a backing that may be shorter than the node above it: zeros after its end. */
static int read_backing(struct gw_node *backing, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    uint64_t there = offset < backing->bytes ? GW_MIN(bytes, backing->bytes - offset) : 0;

    memset((char *)to + there, 0, bytes - there);
    return there ? gw_node_read(backing, to, there, offset, err) : 0;
}

/* offset and bytes are multiples of the block size. */
static int read_blocks(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    char *at = to;
    int r = 0;

    if (!n->backing)
        return n->ops->read(n, to, bytes, offset, err);
    while (bytes && r >= 0) {
        struct gw_node_run run;

        r = gw_node_find_here(n, bytes, offset, &run, err);
        if (r < 0)
            return r;
        if (run.kind == GW_DISK_DATA)
            r = n->ops->read(n, at, run.bytes, offset, err);
        else if (run.kind == GW_DISK_ABSENT)
            r = read_backing(n->backing, at, run.bytes, offset, err);
        else
            memset(at, 0, run.bytes);
        at += run.bytes;
        offset += run.bytes;
        bytes -= run.bytes;
    }
    return r;
}

/* Memory for one block, aligned to the block size. */
static int block_new(const struct gw_node *n, void **ret, struct gw_error *err)
{
    return posix_memalign(ret, GW_MAX(n->request_bytes, sizeof(void *)), n->request_bytes)
               ? gw_nomem(err, "block of a disk")
               : 0;
}

/* The part of [offset, offset + bytes) in its first block, if it does not fill that block; else 0. */
static uint64_t part_of_block(const struct gw_node *n, uint64_t bytes, uint64_t offset)
{
    uint64_t in = offset & (n->request_bytes - 1), left = n->request_bytes - in;

    if (!in && (bytes >= n->request_bytes || offset + bytes == n->bytes))
        return 0;
    return GW_MIN(bytes, left);
}

/* The length of whole blocks from offset on, which is a block's start; a last block cut by the node's end counts. */
static uint64_t whole_blocks(const struct gw_node *n, uint64_t bytes, uint64_t offset)
{
    return offset + bytes == n->bytes ? bytes : bytes & ~(uint64_t)(n->request_bytes - 1);
}

static uint64_t block_at(const struct gw_node *n, uint64_t offset)
{
    return offset & ~(uint64_t)(n->request_bytes - 1);
}

static uint64_t block_bytes(const struct gw_node *n, uint64_t block)
{
    return GW_MIN(n->request_bytes, n->bytes - block);
}

int gw_node_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    GW_AUTOFREE void *room = NULL;
    char *at = to;
    int r = to_read(n, bytes, offset, err);

    while (bytes && r >= 0) {
        uint64_t part = part_of_block(n, bytes, offset), block = block_at(n, offset);

        if (part) {
            r = room ? 0 : block_new(n, &room, err);
            if (r >= 0)
                r = read_blocks(n, room, block_bytes(n, block), block, err);
            if (r >= 0)
                memcpy(at, (char *)room + (offset - block), part);
        } else {
            part = whole_blocks(n, bytes, offset);
            r = read_blocks(n, at, part, offset, err);
        }
        at += part;
        offset += part;
        bytes -= part;
    }
    return r;
}

/* ---- write ------------------------------------------------------------------------------------------------------- */

/* from NULL: zeros. */
static int write_blocks(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                        struct gw_error *err)
{
    int r;

    if (n->request_bytes > 1)
        pthread_rwlock_rdlock(&n->edges);
    r = from ? n->ops->write(n, from, bytes, offset, flags & GW_NODE_DURABLE, err)
             : n->ops->zero(n, bytes, offset, flags, err);
    if (n->request_bytes > 1)
        pthread_rwlock_unlock(&n->edges);
    return r;
}

/* Reads the block, changes a part of it and writes it. The caller excludes other writes: one might hit the same
 * block. */
static int write_part(struct gw_node *n, void *room, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                      struct gw_error *err)
{
    uint64_t block = block_at(n, offset);
    int r;

    pthread_rwlock_wrlock(&n->edges);
    r = read_blocks(n, room, block_bytes(n, block), block, err);
    if (r >= 0) {
        if (from)
            memcpy((char *)room + (offset - block), from, bytes);
        else
            memset((char *)room + (offset - block), 0, bytes);
        r = n->ops->write(n, room, block_bytes(n, block), block, flags & GW_NODE_DURABLE, err);
    }
    pthread_rwlock_unlock(&n->edges);
    return r;
}

static int change(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                  struct gw_error *err)
{
    GW_AUTOFREE void *room = NULL;
    const char *at = from;
    int r = to_change(n, bytes, offset, err);

    while (bytes && r >= 0) {
        uint64_t part = part_of_block(n, bytes, offset);

        if (part) {
            r = room ? 0 : block_new(n, &room, err);
            if (r >= 0)
                r = write_part(n, room, at, part, offset, flags, err);
        } else {
            part = whole_blocks(n, bytes, offset);
            r = write_blocks(n, at, part, offset, flags, err);
        }
        at = at ? at + part : NULL;
        offset += part;
        bytes -= part;
    }
    return r;
}

int gw_node_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                  struct gw_error *err)
{
    return change(n, from, bytes, offset, flags, err);
}

int gw_node_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    return change(n, NULL, bytes, offset, flags, err);
}

int gw_node_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    int r = to_change(n, bytes, offset, err);
    uint64_t skip = -offset & (n->request_bytes - 1);

    if (r < 0 || !n->ops->discard || bytes <= skip)
        return r;
    offset += skip;
    bytes = whole_blocks(n, bytes - skip, offset);
    if (!bytes)
        return 0;
    if (n->request_bytes > 1)
        pthread_rwlock_rdlock(&n->edges);
    r = n->ops->discard(n, bytes, offset, err);
    if (n->request_bytes > 1)
        pthread_rwlock_unlock(&n->edges);
    return r;
}

/* ---- find -------------------------------------------------------------------------------------------------------- */

int gw_node_find_here(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err)
{
    struct gw_node_run run = {.fd = -1};
    uint64_t block, skip, asked;
    int r = to_read(n, bytes, offset, err);

    if (r >= 0 && !bytes)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: a range of 0 bytes is asked for at offset %" PRIu64, n->name, offset);
    if (r < 0)
        return r;
    block = block_at(n, offset);
    skip = offset - block;
    asked = GW_MIN(gw_div_up(skip + bytes, n->request_bytes) * n->request_bytes, n->bytes - block);
    r = n->ops->find(n, asked, block, &run, err);
    if (r < 0)
        return r;
    if (run.bytes <= skip) { /* the run is shorter than a block, so its kind says nothing about the block: it is read */
        *ret = (struct gw_node_run){.kind = GW_DISK_DATA, .bytes = GW_MIN(bytes, asked - skip), .fd = -1};
        ret->bytes = GW_MIN(ret->bytes, n->request_bytes - skip);
        return 0;
    }
    run.bytes = GW_MIN(run.bytes - skip, bytes);
    run.file_offset += skip;
    *ret = run;
    return 0;
}

int gw_node_look(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_disk_run *ret, struct gw_error *err)
{
    struct gw_node_run run;
    int r = gw_node_find_here(n, bytes, offset, &run, err);

    if (r >= 0)
        *ret = (struct gw_disk_run){run.kind == GW_DISK_ABSENT && !n->backing ? GW_DISK_ZERO : run.kind, run.bytes};
    return r;
}

int gw_node_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err)
{
    struct gw_node_run run;
    bool below = false;
    int r = gw_node_find_here(n, bytes, offset, &run, err);

    for (; r >= 0 && run.kind == GW_DISK_ABSENT && n->backing; below = true) {
        n = n->backing;
        if (offset >= n->bytes)
            break;
        r = gw_node_find_here(n, GW_MIN(run.bytes, n->bytes - offset), offset, &run, err);
    }
    if (r < 0)
        return r;
    run.file_read_only |= below;
    *ret = run;
    return 0;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

int gw_node_flush(struct gw_node *n, struct gw_error *err)
{
    return n->read_only || n->inactive ? 0 : n->ops->flush(n, err);
}

static int set_active(struct gw_node *n, bool active, struct gw_error *err)
{
    int r = 0;

    if (n->inactive == !active)
        return 0;
    if (!active)
        r = gw_node_flush(n, err);
    if (r >= 0 && n->ops->activate)
        r = n->ops->activate(n, active, err);
    if (r >= 0)
        n->inactive = !active;
    return r;
}

/* Backings first: activating the node above may read them. */
int gw_node_activate(struct gw_node *n, struct gw_error *err)
{
    int r = n->backing ? gw_node_activate(n->backing, err) : 0;

    if (r < 0)
        return r;
    r = set_active(n, true, err);
    if (r < 0 && n->backing)
        gw_node_inactivate(n->backing, NULL);
    return r;
}

int gw_node_inactivate(struct gw_node *n, struct gw_error *err)
{
    int r = set_active(n, false, err);

    return r < 0 || !n->backing ? r : gw_node_inactivate(n->backing, err);
}

const char *gw_node_format(const struct gw_node *n)
{
    return n->ops->format;
}

uint64_t gw_node_bytes(const struct gw_node *n)
{
    return n->bytes;
}

bool gw_node_read_only(const struct gw_node *n)
{
    return n->read_only;
}

int gw_node_resize(struct gw_node *n, uint64_t bytes, struct gw_error *err)
{
    int r = may_change(n, "change its length", err);

    r = r < 0 ? r : is_active(n, err);
    if (r < 0 || bytes == n->bytes)
        return r;
    if (!n->ops->resize)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%s: the length of a disk of format %s cannot be changed",
                       n->name, n->ops->format);
    if (atomic_load(&n->users))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "%s: it is in use, so its length cannot be changed now", n->name);
    return n->ops->resize(n, bytes, err);
}
