/* SPDX-License-Identifier: MIT */
#include "image/nbd.h"

#include <pthread.h>

#include "godwit/clock.h"

#define REST_NS     (100 * GW_NS_PER_MS)
#define ZERO_BYTES  (64u << 20) /* size of a write of zeros; some servers write them out */
#define ZERO_PIECES 16u         /* zero writes in one request list */

struct link { /* one connection */
    struct gw_nbd *nbd;
    unsigned users; /* protects the members below */
    bool dead;
};

struct far {
    struct gw_bytes bytes; /* the first member */
    char *uri;
    uint64_t piece_bytes, align_bytes;
    bool zeroes; /* the server supports WRITE_ZEROES */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct link *link; /* NULL: not connected, or a connection is being made */
    bool connecting;
};

struct request {
    enum gw_nbd_op op;
    uint8_t *data; /* a buffer that WRITE does not modify; NULL: none */
    uint64_t bytes, at;
};

static struct far *far_of(struct gw_bytes *b)
{
    return (struct far *)b;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void link_close(struct link *l)
{
    gw_nbd_close(l->nbd);
    free(l);
}

/* Connects. Also fills in, or compares, the server's description of the export. */
static int link_open(struct far *f, struct link **ret, struct gw_error *err)
{
    struct link *l = calloc(1, sizeof *l);
    const struct gw_nbd_facts *facts;
    int r;

    if (!l)
        return gw_nomem(err, "NBD connection");
    r = gw_nbd_connect(f->uri, GW_NBD_SILENCE_NS, &l->nbd, err);
    if (r < 0) {
        free(l);
        return r;
    }
    facts = gw_nbd_facts(l->nbd);
    if (f->bytes.size && f->bytes.size != facts->bytes) {
        r = gw_fail(err, -ESTALE, GW_BLAME_PEER, "%.200s: it had %" PRIu64 " bytes before the connection was lost, and has %" PRIu64 " now",
                    f->uri, f->bytes.size, facts->bytes);
        link_close(l);
        return r;
    }
    f->bytes.size = facts->bytes;
    f->align_bytes = facts->least_bytes;
    f->piece_bytes = facts->piece_bytes;
    f->zeroes = facts->zero;
    f->bytes.writes = !facts->read_only;
    f->bytes.flushes = facts->flush;
    f->bytes.align = facts->least_bytes;
    *ret = l;
    return 0;
}

/* Returns the connection, made now if there is none; the caller ends with let_go. */
static int get_link(struct far *f, struct link **ret, struct gw_error *err)
{
    struct link *l = NULL;
    int r = 0;

    pthread_mutex_lock(&f->lock);
    while (f->connecting)
        pthread_cond_wait(&f->changed, &f->lock);
    if (!f->link) {
        f->connecting = true;
        pthread_mutex_unlock(&f->lock);
        r = link_open(f, &l, err);
        pthread_mutex_lock(&f->lock);
        f->connecting = false;
        f->link = l;
        pthread_cond_broadcast(&f->changed);
    }
    if (r >= 0) {
        f->link->users++;
        *ret = f->link;
    }
    pthread_mutex_unlock(&f->lock);
    return r;
}

/* Ends a use of the connection. Returns whether it still works. */
static bool let_go(struct far *f, struct link *l)
{
    bool dead, last;

    pthread_mutex_lock(&f->lock);
    dead = l->dead |= gw_nbd_dead(l->nbd);
    if (dead && f->link == l)
        f->link = NULL;
    last = !--l->users && dead;
    pthread_mutex_unlock(&f->lock);
    if (last)
        link_close(l);
    return !dead;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* Errors that no server reports for a request, except ESHUTDOWN: the server is about to disconnect. */
static bool is_lost(int error)
{
    return error == ENOTCONN || error == ESHUTDOWN || error == EPIPE || error == ECONNRESET;
}

/* The next piece of the requests, from byte *done of number *i on. False: no piece is left. */
static bool next_piece(struct far *f, struct link *l, const struct request *q, unsigned count, unsigned *i, uint64_t *done,
                       struct gw_nbd_request *p)
{
    uint64_t part;

    if (*i == count)
        return false;
    q += *i;
    part = GW_MIN(q->bytes - *done, q->op == GW_NBD_ZERO ? ZERO_BYTES : f->piece_bytes);
    *p = (struct gw_nbd_request){.op = q->op, .memory = q->data ? q->data + *done : NULL, .bytes = part, .offset = q->at + *done};
    gw_nbd_submit(l->nbd, p);
    *done += part;
    if (*done == q->bytes) {
        ++*i;
        *done = 0;
    }
    return true;
}

/* One attempt at all requests, many in progress at once. Ranges are aligned as the server requires. 0, or the server's
 * errno, and the piece that failed. */
static int attempt(struct far *f, struct link *l, const struct request *q, unsigned count, struct gw_nbd_request *ret_bad)
{
    struct gw_nbd_request piece[GW_NBD_DEPTH];
    unsigned at = 0, n = 1;
    uint64_t done = 0;
    int error = 0;

    while (n && !error) {
        for (n = 0; n < GW_NBD_DEPTH && next_piece(f, l, q, count, &at, &done, &piece[n]);)
            n++;
        for (unsigned i = 0; i < n; i++) {
            int failed = gw_nbd_await(l->nbd, &piece[i]);

            if (failed && !error) {
                error = failed;
                *ret_bad = piece[i];
            }
        }
    }
    if (error && is_lost(error)) {
        pthread_mutex_lock(&f->lock);
        l->dead = true;
        pthread_mutex_unlock(&f->lock);
    }
    return error;
}

/* refused: the server's errno; 0: the connection was lost. */
static int told_of(const struct far *f, enum gw_nbd_op op, const struct gw_nbd_request *p, int refused, struct gw_error *err)
{
    static const char *const verb[] = {"read", "write", "write zeros:"}, *const lost[] = {"read", "written",
                                                                                          "made zeros"};
    enum gw_blame blame = refused ? GW_BLAME_PEER : GW_BLAME_CHANNEL;
    int code = refused && op != GW_NBD_READ ? -refused : -EIO;

    if (op == GW_NBD_FLUSH)
        return refused ? gw_fail(err, code, blame, "%.200s: the server cannot flush what was written: %s", f->uri,
                                 strerror(refused))
                       : gw_fail(err, code, blame,
                                 "%.200s: the connection was lost before all that was written was flushed", f->uri);
    return refused ? gw_fail(err, code, blame, "%.200s: the server cannot %s %" PRIu64 " bytes at byte %" PRIu64 ": %s",
                             f->uri, verb[op], p->bytes, p->offset, strerror(refused))
                   : gw_fail(err, code, blame,
                             "%.200s: the connection was lost while %" PRIu64 " bytes at byte %" PRIu64 " were %s",
                             f->uri, p->bytes, p->offset, lost[op]);
}

/* Reads are repeated over a new connection. Writes are not: earlier unflushed writes may be lost with the connection,
 * and the writer must know. */
static int perform(struct far *f, const struct request *q, unsigned count, struct gw_error *err)
{
    for (unsigned tries = 0;; tries++) {
        struct gw_error local = GW_ERROR_INIT;
        struct gw_nbd_request bad;
        struct link *l;
        int r = get_link(f, &l, &local), error = 0;

        if (r >= 0) {
            error = attempt(f, l, q, count, &bad);
            if (let_go(f, l) && error)
                return told_of(f, q->op, &bad, error, err);
            if (!error)
                return 0;
            told_of(f, q->op, &bad, 0, &local);
        }
        if (q->op != GW_NBD_READ || tries == GW_NBD_TRIES || r == -ESTALE || r == -ENOMEM) {
            if (tries)
                gw_context(&local, "after %u more attempts", tries);
            if (err)
                *err = local;
            return local.code;
        }
        gw_clock_real.sleep_ns(NULL, REST_NS << tries);
    }
}

/* Extends the range to the server's minimum block size, if needed; room: where the extended range is then read to. */
static int grow(const struct far *f, const struct gw_bytes_range *from, struct request *ret, uint8_t **ret_room,
                struct gw_error *err)
{
    uint64_t at = from->at - from->at % f->align_bytes,
             end = gw_div_up(from->at + from->bytes, f->align_bytes) * f->align_bytes;

    if (end > f->bytes.size)
        end = f->bytes.size;
    *ret = (struct request){GW_NBD_READ, from->dst, end - at, at};
    if (at == from->at && end == at + from->bytes)
        return 0;
    ret->data = *ret_room = malloc(end - at);
    return *ret_room ? 0 : gw_nomem(err, "bytes of a server");
}

static int far_read_all(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err)
{
    struct far *f = far_of(b);
    uint8_t *room[GW_BYTES_RANGES] = {NULL};
    struct request q[GW_BYTES_RANGES] = {{GW_NBD_READ, NULL, 0, 0}};
    int r = 0;

    for (unsigned i = 0; i < count && r >= 0; i++)
        r = grow(f, &range[i], &q[i], &room[i], err);
    if (r >= 0)
        r = perform(f, q, count, err);
    for (unsigned i = 0; i < count; i++) {
        if (r >= 0 && room[i])
            memcpy(range[i].dst, room[i] + (range[i].at - q[i].at), range[i].bytes);
        free(room[i]);
    }
    return r;
}

static int far_read(struct gw_bytes *b, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err)
{
    const struct gw_bytes_range range = {dst, bytes, at};

    return far_read_all(b, &range, 1, err);
}

static int far_write(struct gw_bytes *b, const uint8_t *src, size_t bytes, uint64_t at, struct gw_error *err)
{
    const struct request q = {GW_NBD_WRITE, (uint8_t *)(uintptr_t)src, bytes, at};

    return perform(far_of(b), &q, 1, err);
}

/* Writes zeros from a buffer if the server has no WRITE_ZEROES. */
static int far_zero(struct gw_bytes *b, uint64_t at, uint64_t bytes, struct gw_error *err)
{
    struct far *f = far_of(b);
    GW_AUTOFREE uint8_t *zeros = f->zeroes ? NULL : calloc(1, ZERO_PIECES * GW_NBD_PIECE_BYTES);
    int r = f->zeroes || zeros ? 0 : gw_nomem(err, "zeros for a server");

    for (uint64_t part; bytes && r >= 0; at += part, bytes -= part) {
        struct request q = {f->zeroes ? GW_NBD_ZERO : GW_NBD_WRITE, zeros, 0, at};

        q.bytes = part = f->zeroes ? bytes : GW_MIN(bytes, ZERO_PIECES * GW_NBD_PIECE_BYTES);
        r = perform(f, &q, 1, err);
    }
    return r;
}

static int far_flush(struct gw_bytes *b, struct gw_error *err)
{
    const struct request q = {GW_NBD_FLUSH, NULL, 0, 0};

    return perform(far_of(b), &q, 1, err);
}

static void far_free(struct gw_bytes *b)
{
    struct far *f = far_of(b);

    if (f->link)
        link_close(f->link);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    free(f->uri);
    free(f);
}

static const struct gw_bytes_ops far_ops = {.read = far_read,
                                            .read_all = far_read_all,
                                            .write = far_write,
                                            .zero = far_zero,
                                            .flush = far_flush,
                                            .free = far_free};

int gw_nbd_open(const char *uri, struct gw_bytes **ret, struct gw_error *err)
{
    struct far *f = calloc(1, sizeof *f);
    int r;

    if (f)
        f->uri = strdup(uri);
    if (!f || !f->uri) {
        free(f);
        return gw_nomem(err, "NBD connection");
    }
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->bytes = (struct gw_bytes){.ops = &far_ops, .fd = -1, .depth = GW_NBD_DEPTH};
    r = link_open(f, &f->link, err); /* the first connection is not retried */
    if (r < 0) {
        far_free(&f->bytes);
        return r;
    }
    *ret = &f->bytes;
    return 0;
}

