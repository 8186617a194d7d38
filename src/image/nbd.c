/* SPDX-License-Identifier: MIT */
#include "image/nbd.h"

bool gw_nbd_meant(const char *text)
{
    static const char *const schemes[] = {"nbd", "nbds", "nbd+unix", "nbds+unix", "nbd+vsock", "nbds+vsock"};

    for (size_t i = 0; i < GW_ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);

        if (!strncmp(text, schemes[i], n) && !strncmp(text + n, "://", 3))
            return true;
    }
    return false;
}

#ifndef GW_HAVE_LIBNBD

int gw_nbd_open(const char *uri, struct gw_bytes **ret, struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%.200s: this build of godwit has no NBD (libnbd)", uri);
}

#else

#include <libnbd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "godwit/clock.h"

#define PIECE_BYTES (1u << 20)
#define REST_NS     (100 * GW_NS_PER_MS)
#define ZERO_BYTES  (64u << 20) /* that a server makes at a time: some write them */
#define ZERO_PIECES 16u         /* that are sent at a time */

struct link { /* one connection */
    struct nbd_handle *h;
    int wake;       /* eventfd: a request was made, so the socket may be waited for in another way */
    unsigned users; /* what follows: under the lock */
    bool moved;     /* somebody moves it */
    bool dead;
};

struct far {
    struct gw_bytes bytes; /* the first member */
    char *uri;
    uint64_t piece_bytes, align_bytes;
    bool zeroes; /* it makes zeros by itself */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct link *link; /* NULL: none; also while it is being made */
    bool connecting;
};

enum what { READ, WRITE, ZERO, FLUSH };

struct request {
    enum what what;
    uint8_t *data; /* not written to by WRITE; NULL: there is none */
    uint64_t bytes, at;
};

struct piece {
    struct far *far;
    uint64_t bytes, at;
    bool done; /* under the lock */
    int error;
};

static struct far *far_of(struct gw_bytes *b)
{
    return (struct far *)b;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void link_close(struct link *l)
{
    nbd_close(l->h);
    gw_close_fd(&l->wake);
    free(l);
}

static int told(struct far *f, const char *doing, struct gw_error *err)
{
    int code = nbd_get_errno();
    const char *text = nbd_get_error();

    return gw_fail(err, code > 0 ? -code : -EIO, GW_BLAME_CHANNEL, "%.200s: %s: %.200s", f->uri, doing,
                   text ? text : "?");
}

/* Also fills in, or compares, what the server says of the export. */
static int link_open(struct far *f, struct link **ret, struct gw_error *err)
{
    struct link *l = calloc(1, sizeof *l);
    int64_t size, least, most;
    int r = 0;

    if (!l)
        return gw_nomem(err, "NBD connection");
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->h = l->wake < 0 ? NULL : nbd_create();
    if (!l->h)
        r = gw_nomem(err, "NBD connection");
    else if (nbd_set_uri_allow_local_file(l->h, true) < 0 || nbd_connect_uri(l->h, f->uri) < 0)
        r = told(f, "connecting", err);
    if (r >= 0) {
        size = nbd_get_size(l->h);
        least = nbd_get_block_size(l->h, LIBNBD_SIZE_MINIMUM);
        most = nbd_get_block_size(l->h, LIBNBD_SIZE_MAXIMUM);
        if (size < 0)
            r = told(f, "asking for the size", err);
        else if (f->bytes.size && f->bytes.size != (uint64_t)size)
            r = gw_fail(err, -ESTALE, GW_BLAME_PEER,
                        "%.200s: it had %" PRIu64 " bytes before the connection was lost, and has %" PRIi64 " now",
                        f->uri, f->bytes.size, size);
        else if (least > (int64_t)PIECE_BYTES || (least > 0 && !gw_is_pow2((uint64_t)least)))
            r = gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "%.200s: it wants blocks of at least %" PRIi64 " bytes", f->uri,
                        least);
    }
    if (r < 0) {
        if (l->h)
            nbd_close(l->h);
        gw_close_fd(&l->wake);
        free(l);
        return r;
    }
    f->bytes.size = (uint64_t)size;
    f->align_bytes = least > 0 ? (uint64_t)least : 1;
    f->piece_bytes = most >= (int64_t)f->align_bytes ? GW_MIN((uint64_t)most, PIECE_BYTES) : PIECE_BYTES;
    f->piece_bytes -= f->piece_bytes % f->align_bytes;
    f->zeroes = nbd_can_zero(l->h) > 0;
    f->bytes.writes = nbd_is_read_only(l->h) == 0;
    f->bytes.flushes = nbd_can_flush(l->h) > 0;
    f->bytes.align = (uint32_t)f->align_bytes;
    *ret = l;
    return 0;
}

/* The connection, made now if there is none; to be left with let_go. */
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

/* Whether it still works. */
static bool let_go(struct far *f, struct link *l)
{
    bool dead, last;

    pthread_mutex_lock(&f->lock);
    dead = l->dead;
    if (dead && f->link == l)
        f->link = NULL;
    last = !--l->users && dead;
    pthread_mutex_unlock(&f->lock);
    if (last)
        link_close(l);
    return !dead;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* On whichever thread moves the connection. */
static int piece_done(void *opaque, int *error)
{
    struct piece *p = opaque;

    pthread_mutex_lock(&p->far->lock);
    p->done = true;
    p->error = *error;
    pthread_cond_broadcast(&p->far->changed);
    pthread_mutex_unlock(&p->far->lock);
    return 1;
}

/* Waits until the socket is ready for what the connection wants, and does that. Whether it is still alive. */
static bool move_on(struct link *l)
{
    unsigned direction = (unsigned)nbd_aio_get_direction(l->h);
    struct pollfd p[2] = {{.fd = nbd_aio_get_fd(l->h)}, {.fd = l->wake, .events = POLLIN}};
    uint64_t count;
    int n;

    if (nbd_aio_is_dead(l->h) || nbd_aio_is_closed(l->h) || p[0].fd < 0)
        return false;
    p[0].events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                          (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
    n = poll(p, 2, (int)(GW_NBD_SILENCE_NS / GW_NS_PER_MS));
    if (!n) /* the requests end by that */
        shutdown(p[0].fd, SHUT_RDWR);
    if (p[1].revents)
        (void)!read(l->wake, &count, sizeof count);
    /* A hang-up is found by reading what is left. */
    if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && direction & LIBNBD_AIO_DIRECTION_READ)
        nbd_aio_notify_read(l->h);
    else if (p[0].revents & (POLLOUT | POLLHUP | POLLERR) && direction & LIBNBD_AIO_DIRECTION_WRITE)
        nbd_aio_notify_write(l->h);
    return !nbd_aio_is_dead(l->h) && !nbd_aio_is_closed(l->h);
}

static void await(struct far *f, struct link *l, const struct piece *p)
{
    pthread_mutex_lock(&f->lock);
    while (!p->done) {
        bool alive;

        if (l->moved) {
            pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        l->moved = true;
        pthread_mutex_unlock(&f->lock);
        alive = move_on(l);
        pthread_mutex_lock(&f->lock);
        l->moved = false;
        l->dead |= !alive;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
}

static int64_t start(struct link *l, const struct request *q, uint8_t *data, struct piece *p)
{
    nbd_completion_callback told = {.callback = piece_done, .user_data = p};

    switch (q->what) {
    case READ:
        return nbd_aio_pread(l->h, data, (size_t)p->bytes, p->at, told, 0);
    case WRITE:
        return nbd_aio_pwrite(l->h, data, (size_t)p->bytes, p->at, told, 0);
    case ZERO:
        return nbd_aio_zero(l->h, p->bytes, p->at, told, 0);
    default:
        return nbd_aio_flush(l->h, told, 0);
    }
}

static void submit(struct far *f, struct link *l, const struct request *q, uint64_t done, uint64_t bytes,
                   struct piece *p)
{
    uint64_t one = 1;

    *p = (struct piece){.far = f, .bytes = bytes, .at = q->at + done};
    if (start(l, q, q->data ? q->data + done : NULL, p) < 0) {
        int code = nbd_get_errno();

        pthread_mutex_lock(&f->lock);
        /* One that failed at once may have told it already. */
        p->done = true;
        p->error = code ? code : EIO;
        l->dead |= nbd_aio_is_dead(l->h) || nbd_aio_is_closed(l->h);
        pthread_mutex_unlock(&f->lock);
    }
    (void)!write(l->wake, &one, sizeof one);
}

/* What no server says of a request, but ESHUTDOWN: it is about to go. */
static bool is_lost(int error)
{
    return error == ENOTCONN || error == ESHUTDOWN || error == EPIPE || error == ECONNRESET;
}

/* The next piece of the requests, from byte *done of number *i on. False: there is none. */
static bool next_piece(struct far *f, struct link *l, const struct request *q, unsigned count, unsigned *i,
                       uint64_t *done, struct piece *p)
{
    uint64_t most, part;

    if (*i == count)
        return false;
    most = q[*i].what == ZERO ? ZERO_BYTES : f->piece_bytes;
    part = GW_MIN(q[*i].bytes - *done, most);
    submit(f, l, &q[*i], *done, part, p);
    *done += part;
    if (*done == q[*i].bytes) {
        ++*i;
        *done = 0;
    }
    return true;
}

/* One attempt at all of them, many under way at once. Ranges are as the server wants them. 0, or an errno of the
 * server, and which piece it was. */
static int attempt(struct far *f, struct link *l, const struct request *q, unsigned count, struct piece *ret_bad)
{
    struct piece piece[GW_NBD_DEPTH];
    unsigned at = 0, n = 1;
    uint64_t done = 0;
    int error = 0;

    while (n && !error) {
        for (n = 0; n < GW_NBD_DEPTH && next_piece(f, l, q, count, &at, &done, &piece[n]);)
            n++;
        for (unsigned i = 0; i < n; i++) {
            await(f, l, &piece[i]);
            if (piece[i].error && !error) {
                error = piece[i].error;
                *ret_bad = piece[i];
            }
        }
    }
    /* A request is told before who moves the connection has seen that it is dead. */
    if (error && (is_lost(error) || nbd_aio_is_dead(l->h) || nbd_aio_is_closed(l->h))) {
        pthread_mutex_lock(&f->lock);
        l->dead = true;
        pthread_mutex_unlock(&f->lock);
    }
    return error;
}

/* refused: what the server answered; 0: the connection was lost. */
static int told_of(const struct far *f, enum what what, const struct piece *p, int refused, struct gw_error *err)
{
    static const char *const verb[] = {"read", "write", "write zeros:"}, *const lost[] = {"read", "written",
                                                                                          "made zeros"};
    enum gw_blame blame = refused ? GW_BLAME_PEER : GW_BLAME_CHANNEL;
    int code = refused && what != READ ? -refused : -EIO;

    if (what == FLUSH)
        return refused ? gw_fail(err, code, blame, "%.200s: the server cannot flush what was written: %s", f->uri,
                                 strerror(refused))
                       : gw_fail(err, code, blame,
                                 "%.200s: the connection was lost before all that was written was flushed", f->uri);
    return refused ? gw_fail(err, code, blame, "%.200s: the server cannot %s %" PRIu64 " bytes at byte %" PRIu64 ": %s",
                             f->uri, verb[what], p->bytes, p->at, strerror(refused))
                   : gw_fail(err, code, blame,
                             "%.200s: the connection was lost while %" PRIu64 " bytes at byte %" PRIu64 " were %s",
                             f->uri, p->bytes, p->at, lost[what]);
}

/* Reads are tried again over another connection. What was written over the one that is lost may be lost with it: its
 * writer is told. */
static int perform(struct far *f, const struct request *q, unsigned count, struct gw_error *err)
{
    for (unsigned tries = 0;; tries++) {
        struct gw_error local = GW_ERROR_INIT;
        struct piece bad;
        struct link *l;
        int r = get_link(f, &l, &local), error = 0;

        if (r >= 0) {
            error = attempt(f, l, q, count, &bad);
            if (let_go(f, l) && error)
                return told_of(f, q->what, &bad, error, err);
            if (!error)
                return 0;
            told_of(f, q->what, &bad, 0, &local);
        }
        if (q->what != READ || tries == GW_NBD_TRIES || r == -ESTALE || r == -ENOMEM) {
            if (tries)
                gw_context(&local, "after %u more attempts", tries);
            if (err)
                *err = local;
            return local.code;
        }
        gw_clock_real.sleep_ns(NULL, REST_NS << tries);
    }
}

/* Grown to what the server wants at least, where that is more; room: where it is then. */
static int grow(const struct far *f, const struct gw_bytes_range *from, struct request *ret, uint8_t **ret_room,
                struct gw_error *err)
{
    uint64_t at = from->at - from->at % f->align_bytes,
             end = gw_div_up(from->at + from->bytes, f->align_bytes) * f->align_bytes;

    if (end > f->bytes.size)
        end = f->bytes.size;
    *ret = (struct request){READ, from->dst, end - at, at};
    if (at == from->at && end == at + from->bytes)
        return 0;
    ret->data = *ret_room = malloc(end - at);
    return *ret_room ? 0 : gw_nomem(err, "bytes of a server");
}

static int far_read_all(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err)
{
    struct far *f = far_of(b);
    uint8_t *room[GW_BYTES_RANGES] = {NULL};
    struct request q[GW_BYTES_RANGES] = {{READ, NULL, 0, 0}};
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
    const struct request q = {WRITE, (uint8_t *)(uintptr_t)src, bytes, at};

    return perform(far_of(b), &q, 1, err);
}

/* By way of bytes that are zeros, where the server has no other. */
static int far_zero(struct gw_bytes *b, uint64_t at, uint64_t bytes, struct gw_error *err)
{
    struct far *f = far_of(b);
    GW_AUTOFREE uint8_t *zeros = f->zeroes ? NULL : calloc(1, ZERO_PIECES * PIECE_BYTES);
    int r = f->zeroes || zeros ? 0 : gw_nomem(err, "zeros for a server");

    for (uint64_t part; bytes && r >= 0; at += part, bytes -= part) {
        struct request q = {f->zeroes ? ZERO : WRITE, zeros, 0, at};

        q.bytes = part = f->zeroes ? bytes : GW_MIN(bytes, ZERO_PIECES * PIECE_BYTES);
        r = perform(f, &q, 1, err);
    }
    return r;
}

static int far_flush(struct gw_bytes *b, struct gw_error *err)
{
    const struct request q = {FLUSH, NULL, 0, 0};

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
    r = link_open(f, &f->link, err); /* a server that was never there is not waited for */
    if (r < 0) {
        far_free(&f->bytes);
        return r;
    }
    *ret = &f->bytes;
    return 0;
}

#endif
