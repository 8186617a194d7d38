/* SPDX-License-Identifier: MIT */
#include "channel/nbd.h"

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

int gw_nbd_connect(const char *uri, uint64_t silence_ns, struct gw_nbd **ret, struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "%.200s: this build of godwit has no NBD (libnbd)", uri);
}

/* Called only if there is a connection. */
const struct gw_nbd_facts *gw_nbd_facts(const struct gw_nbd *n)
{
    return NULL;
}

void gw_nbd_submit(struct gw_nbd *n, struct gw_nbd_request *r)
{
}

int gw_nbd_await(struct gw_nbd *n, struct gw_nbd_request *r)
{
    return ENOTSUP;
}

bool gw_nbd_dead(struct gw_nbd *n)
{
    return true;
}

void gw_nbd_close(struct gw_nbd *n)
{
}

#else

#include <libnbd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define ALLOCATION LIBNBD_CONTEXT_BASE_ALLOCATION

struct gw_nbd {
    struct nbd_handle *h;
    char *uri;
    uint64_t silence_ns;
    struct gw_nbd_facts facts;
    int wake; /* eventfd: a request was made, so the events to wait for on the socket may have changed */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool moved; /* a thread drives the connection. Guarded by the lock, like all fields below */
    bool dead;
};

/* ---- connecting -------------------------------------------------------------------------------------------------- */

static int told(struct gw_nbd *n, const char *doing, struct gw_error *err)
{
    int code = nbd_get_errno();
    const char *text = nbd_get_error();

    return gw_fail(err, code > 0 ? -code : -EIO, GW_BLAME_CHANNEL, "%.200s: %s: %.200s", n->uri, doing,
                   text ? text : "?");
}

static int ask_facts(struct gw_nbd *n, struct gw_error *err)
{
    int64_t size = nbd_get_size(n->h), least = nbd_get_block_size(n->h, LIBNBD_SIZE_MINIMUM);
    int64_t most = nbd_get_block_size(n->h, LIBNBD_SIZE_MAXIMUM);
    uint64_t piece = GW_NBD_PIECE_BYTES;

    if (size < 0)
        return told(n, "asking for the size", err);
    if (least > (int64_t)GW_NBD_PIECE_BYTES || (least > 0 && !gw_is_pow2((uint64_t)least)))
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "%.200s: the server needs blocks of at least %" PRIi64 " bytes", n->uri,
                       least);
    least = GW_MAX(least, 1);
    if (most >= least)
        piece = GW_MIN((uint64_t)most, piece);
    n->facts = (struct gw_nbd_facts){
        .bytes = (uint64_t)size,
        .least_bytes = (uint32_t)least,
        .piece_bytes = (uint32_t)(piece - piece % (uint64_t)least),
        .read_only = nbd_is_read_only(n->h) > 0,
        .zero = nbd_can_zero(n->h) > 0,
        .trim = nbd_can_trim(n->h) > 0,
        .flush = nbd_can_flush(n->h) > 0,
        .durable = nbd_can_fua(n->h) > 0,
        .allocation = nbd_can_meta_context(n->h, ALLOCATION) > 0,
    };
    return 0;
}

int gw_nbd_connect(const char *uri, uint64_t silence_ns, struct gw_nbd **ret, struct gw_error *err)
{
    struct gw_nbd *n = calloc(1, sizeof *n);
    int r = 0;

    if (!n)
        return gw_nomem(err, "NBD connection");
    n->silence_ns = silence_ns;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->changed, NULL);
    n->uri = strdup(uri);
    n->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    n->h = n->wake < 0 || !n->uri ? NULL : nbd_create();
    if (!n->h)
        r = gw_nomem(err, "NBD connection");
    else if (nbd_set_uri_allow_local_file(n->h, true) < 0 || nbd_add_meta_context(n->h, ALLOCATION) < 0 ||
             nbd_connect_uri(n->h, n->uri) < 0)
        r = told(n, "connecting", err);
    else
        r = ask_facts(n, err);
    if (r < 0) {
        gw_nbd_close(n);
        return r;
    }
    *ret = n;
    return 0;
}

void gw_nbd_close(struct gw_nbd *n)
{
    if (!n)
        return;
    if (n->h)
        nbd_close(n->h);
    gw_close_fd(&n->wake);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->changed);
    free(n->uri);
    free(n);
}

const struct gw_nbd_facts *gw_nbd_facts(const struct gw_nbd *n)
{
    return &n->facts;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* Called on the thread that drives the connection. */
static int request_done(void *opaque, int *error)
{
    struct gw_nbd_request *r = opaque;

    pthread_mutex_lock(&r->nbd->lock);
    r->done = true;
    r->error = *error;
    pthread_cond_broadcast(&r->nbd->changed);
    pthread_mutex_unlock(&r->nbd->lock);
    return 1;
}

/* entries: pairs of a length and its status, from offset on. Keeps only the first run of equal status. */
static int extents(void *opaque, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
    struct gw_nbd_request *r = opaque;

    if (strcmp(context, ALLOCATION) != 0 || offset != r->offset + r->run_bytes || r->ended)
        return 0;
    for (size_t i = 0; i + 1 < count; i += 2) {
        unsigned status = entries[i + 1] & (GW_NBD_IS_HOLE | GW_NBD_IS_ZERO);

        if (r->run_bytes && status != r->status) {
            r->ended = true;
            break;
        }
        r->status = status;
        r->run_bytes = GW_MIN(r->run_bytes + entries[i], r->bytes);
    }
    return 0;
}

static int64_t send_request(struct nbd_handle *h, struct gw_nbd_request *r)
{
    nbd_completion_callback done = {.callback = request_done, .user_data = r};
    uint32_t flags = (r->flags & GW_NBD_DURABLE ? LIBNBD_CMD_FLAG_FUA : 0) |
                     (r->flags & GW_NBD_NO_HOLE ? LIBNBD_CMD_FLAG_NO_HOLE : 0);

    switch (r->op) {
    case GW_NBD_READ:
        return nbd_aio_pread(h, r->memory, r->bytes, r->offset, done, 0);
    case GW_NBD_WRITE:
        return nbd_aio_pwrite(h, r->memory, r->bytes, r->offset, done, flags);
    case GW_NBD_ZERO:
        return nbd_aio_zero(h, r->bytes, r->offset, done, flags);
    case GW_NBD_TRIM:
        return nbd_aio_trim(h, r->bytes, r->offset, done, 0);
    case GW_NBD_FLUSH:
        return nbd_aio_flush(h, done, 0);
    case GW_NBD_STATUS:
        return nbd_aio_block_status(h, r->bytes, r->offset, (nbd_extent_callback){.callback = extents, .user_data = r},
                                    done, 0);
    }
    return -1;
}

void gw_nbd_submit(struct gw_nbd *n, struct gw_nbd_request *r)
{
    uint64_t one = 1;

    r->nbd = n;
    r->done = r->ended = false;
    r->error = 0;
    r->run_bytes = r->status = 0;
    if (send_request(n->h, r) < 0) {
        int code = nbd_get_errno();

        pthread_mutex_lock(&n->lock);
        /* If it failed at once, request_done may have been called already. */
        r->done = true;
        r->error = code ? code : EIO;
        n->dead |= nbd_aio_is_dead(n->h) || nbd_aio_is_closed(n->h);
        pthread_mutex_unlock(&n->lock);
    }
    (void)!write(n->wake, &one, sizeof one);
}

/* Waits until the socket is ready for what the connection needs, and does that. Returns whether the connection is
 * alive. */
static bool move_on(struct gw_nbd *n)
{
    unsigned direction = (unsigned)nbd_aio_get_direction(n->h);
    struct pollfd p[2] = {{.fd = nbd_aio_get_fd(n->h)}, {.fd = n->wake, .events = POLLIN}};
    uint64_t count;
    int ready;

    if (nbd_aio_is_dead(n->h) || nbd_aio_is_closed(n->h) || p[0].fd < 0)
        return false;
    p[0].events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                          (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
    ready = poll(p, 2, n->silence_ns == UINT64_MAX ? -1 : (int)(n->silence_ns / GW_NS_PER_MS));
    if (!ready) /* this makes the requests fail */
        shutdown(p[0].fd, SHUT_RDWR);
    if (p[1].revents)
        (void)!read(n->wake, &count, sizeof count);
    /* A hang-up is handled by reading the rest. */
    if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && direction & LIBNBD_AIO_DIRECTION_READ)
        nbd_aio_notify_read(n->h);
    else if (p[0].revents & (POLLOUT | POLLHUP | POLLERR) && direction & LIBNBD_AIO_DIRECTION_WRITE)
        nbd_aio_notify_write(n->h);
    return !nbd_aio_is_dead(n->h) && !nbd_aio_is_closed(n->h);
}

/* Errors that no server returns for a request, except ESHUTDOWN: the server is about to stop. */
static bool is_lost(int error)
{
    return error == ENOTCONN || error == ESHUTDOWN || error == EPIPE || error == ECONNRESET;
}

int gw_nbd_await(struct gw_nbd *n, struct gw_nbd_request *r)
{
    pthread_mutex_lock(&n->lock);
    while (!r->done) {
        bool alive;

        if (n->moved) {
            pthread_cond_wait(&n->changed, &n->lock);
            continue;
        }
        n->moved = true;
        pthread_mutex_unlock(&n->lock);
        alive = move_on(n);
        pthread_mutex_lock(&n->lock);
        n->moved = false;
        n->dead |= !alive;
        pthread_cond_broadcast(&n->changed);
    }
    pthread_mutex_unlock(&n->lock);
    /* A request is completed before the driving thread has noticed that the connection is dead. */
    if (r->error && (is_lost(r->error) || nbd_aio_is_dead(n->h) || nbd_aio_is_closed(n->h))) {
        pthread_mutex_lock(&n->lock);
        n->dead = true;
        pthread_mutex_unlock(&n->lock);
    }
    return r->error;
}

bool gw_nbd_dead(struct gw_nbd *n)
{
    bool dead;

    pthread_mutex_lock(&n->lock);
    dead = n->dead;
    pthread_mutex_unlock(&n->lock);
    return dead;
}

#endif
