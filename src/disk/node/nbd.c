/* SPDX-License-Identifier: MIT */
#include "disk/node/nbd.h"

#include "base/base.h"

#define DEPTH       16u
#define LARGE_BYTES GW_GIB /* piece size of requests that carry no data */

struct far {
    struct gw_node node; /* the first member */
    struct gw_nbd *nbd;
    const struct gw_nbd_facts *facts;
};

static struct far *far_of(struct gw_node *n)
{
    return (struct far *)n;
}

static const char *verb(enum gw_nbd_op op)
{
    static const char *const verbs[] = {
        [GW_NBD_READ] = "read",    [GW_NBD_WRITE] = "write", [GW_NBD_ZERO] = "zero",
        [GW_NBD_TRIM] = "discard", [GW_NBD_FLUSH] = "flush", [GW_NBD_STATUS] = "look at"};

    return verbs[op];
}

static int failed(struct far *f, const struct gw_nbd_request *r, struct gw_error *err)
{
    bool dead = gw_nbd_dead(f->nbd);

    return gw_fail(err, dead ? -ENOTCONN : -r->error, dead ? GW_BLAME_CHANNEL : GW_BLAME_PEER,
                   "%.200s: %s could not %s %" PRIu64 " bytes at offset %" PRIu64 ": %s", f->node.name,
                   dead ? "the connection is lost; the server" : "the server", verb(r->op), r->bytes, r->offset,
                   strerror(r->error));
}

/* Makes requests like `like` for the whole range, DEPTH of them in progress at once. */
static int run(struct far *f, const struct gw_nbd_request *like, uint64_t piece_bytes, uint64_t bytes,
               struct gw_error *err)
{
    struct gw_nbd_request piece[DEPTH], next = *like;
    int r = 0;

    do {
        unsigned n = 0;

        for (; n < DEPTH && (bytes || !n); n++) {
            next.bytes = GW_MIN(bytes, piece_bytes);
            piece[n] = next;
            gw_nbd_submit(f->nbd, &piece[n]);
            next.offset += next.bytes;
            next.memory = next.memory ? (char *)next.memory + next.bytes : NULL;
            bytes -= next.bytes;
        }
        for (unsigned i = 0; i < n; i++)
            if (gw_nbd_await(f->nbd, &piece[i]) && r >= 0)
                r = failed(f, &piece[i], err);
    } while (bytes && r >= 0);
    return r;
}

static int far_flush(struct gw_node *n, struct gw_error *err)
{
    struct gw_nbd_request like = {.op = GW_NBD_FLUSH};

    return far_of(n)->facts->flush ? run(far_of(n), &like, 1, 0, err) : 0;
}

static int far_read(struct gw_node *n, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct gw_nbd_request like = {.op = GW_NBD_READ, .memory = to, .offset = offset};

    return run(far_of(n), &like, far_of(n)->facts->piece_bytes, bytes, err);
}

static unsigned durable(const struct far *f, unsigned flags)
{
    return flags & GW_NODE_DURABLE && f->facts->durable ? GW_NBD_DURABLE : 0;
}

/* Makes a write durable on a server without FUA. */
static int flush_behind(struct far *f, unsigned flags, struct gw_error *err)
{
    return flags & GW_NODE_DURABLE && !f->facts->durable ? far_flush(&f->node, err) : 0;
}

static int far_write(struct gw_node *n, const void *from, uint64_t bytes, uint64_t offset, unsigned flags,
                     struct gw_error *err)
{
    struct far *f = far_of(n);
    struct gw_nbd_request like = {
        .op = GW_NBD_WRITE, .flags = durable(f, flags), .memory = (void *)from, .offset = offset};
    int r = run(f, &like, f->facts->piece_bytes, bytes, err);

    return r < 0 ? r : flush_behind(f, flags, err);
}

static int write_zeros(struct far *f, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    GW_AUTOFREE void *room = calloc(1, GW_MIN(bytes, f->facts->piece_bytes));
    int r = room ? 0 : gw_nomem(err, "zeros");

    for (uint64_t part; bytes && r >= 0; bytes -= part, offset += part) {
        part = GW_MIN(bytes, f->facts->piece_bytes);
        r = far_write(&f->node, room, part, offset, flags, err);
    }
    return r;
}

static int far_zero(struct gw_node *n, uint64_t bytes, uint64_t offset, unsigned flags, struct gw_error *err)
{
    struct far *f = far_of(n);
    struct gw_nbd_request like = {.op = GW_NBD_ZERO,
                                  .flags = durable(f, flags) | (flags & GW_NODE_UNMAP ? 0u : GW_NBD_NO_HOLE),
                                  .offset = offset};
    int r;

    if (!f->facts->zero)
        return write_zeros(f, bytes, offset, flags, err);
    r = run(f, &like, LARGE_BYTES, bytes, err);
    return r < 0 ? r : flush_behind(f, flags, err);
}

static int far_discard(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    struct gw_nbd_request like = {.op = GW_NBD_TRIM, .offset = offset};

    return far_of(n)->facts->trim ? run(far_of(n), &like, LARGE_BYTES, bytes, err) : 0;
}

static int far_find(struct gw_node *n, uint64_t bytes, uint64_t offset, struct gw_node_run *ret, struct gw_error *err)
{
    struct far *f = far_of(n);
    struct gw_nbd_request ask = {.op = GW_NBD_STATUS, .bytes = GW_MIN(bytes, LARGE_BYTES), .offset = offset};

    *ret = (struct gw_node_run){.kind = GW_DISK_DATA, .bytes = ask.bytes, .fd = -1};
    if (!f->facts->allocation)
        return 0;
    gw_nbd_submit(f->nbd, &ask);
    if (gw_nbd_await(f->nbd, &ask))
        return failed(f, &ask, err);
    if (ask.run_bytes) /* a hole that may not read as zeros is treated as data */
        *ret = (struct gw_node_run){
            .kind = ask.status & GW_NBD_IS_ZERO ? GW_DISK_ZERO : GW_DISK_DATA, .bytes = ask.run_bytes, .fd = -1};
    return 0;
}

static int far_free(struct gw_node *n, struct gw_error *err)
{
    struct far *f = far_of(n);
    int r;

    gw_nbd_close(f->nbd);
    r = gw_node_done(n, err);
    free(f);
    return r;
}

static const struct gw_node_ops far_ops = {
    .format = "nbd",
    .read = far_read,
    .write = far_write,
    .zero = far_zero,
    .discard = far_discard,
    .find = far_find,
    .flush = far_flush,
    .free = far_free,
};

static int look_at_export(struct far *f, bool read_only, struct gw_error *err)
{
    if (f->facts->read_only && !read_only)
        return gw_fail(err, -EROFS, GW_BLAME_PEER, "%.200s: the server exports it read-only: open it read-only",
                       f->node.name);
    if (f->facts->least_bytes > GW_NODE_REQUEST_MAX)
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "%.200s: the server needs requests of at least %u bytes, which is not "
                       "supported", f->node.name,
                       f->facts->least_bytes);
    f->node.bytes = f->facts->bytes;
    f->node.request_bytes = f->facts->least_bytes;
    f->node.read_only = read_only;
    return 0;
}

int gw_node_nbd_open(const char *uri, const struct gw_node_options *o, struct gw_node **ret, struct gw_error *err)
{
    struct far *f = calloc(1, sizeof *f);
    int r;

    if (!f)
        return gw_nomem(err, "disk");
    r = gw_node_init(&f->node, &far_ops, uri, err);
    r = r < 0 ? r : gw_nbd_connect(uri, UINT64_MAX, &f->nbd, err);
    if (r >= 0) {
        f->facts = gw_nbd_facts(f->nbd);
        r = look_at_export(f, o->read_only, err);
    }
    if (r < 0) {
        far_free(&f->node, NULL);
        return r;
    }
    f->node.inactive = o->inactive;
    *ret = &f->node;
    return 0;
}
