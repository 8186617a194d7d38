/* SPDX-License-Identifier: MIT */
#include "image/nbd.h"

#include <pthread.h>

#include "godwit/clock.h"

#define REST_NS (100 * GW_NS_PER_MS)

struct link { /* one connection */
    struct gw_nbd *nbd;
    unsigned users; /* under the lock */
};

struct far {
    struct gw_bytes bytes; /* the first member */
    char *uri;
    uint64_t piece_bytes, align_bytes;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct link *link;  /* NULL: none; also while it is being made */
    bool connecting;
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

/* Also fills in, or compares, what the server says of the export. */
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
    dead = gw_nbd_dead(l->nbd);
    if (dead && f->link == l)
        f->link = NULL;
    last = !--l->users && dead;
    pthread_mutex_unlock(&f->lock);
    if (last)
        link_close(l);
    return !dead;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* One attempt. at and bytes are as the server wants them. 0, or an errno of the server. */
static int attempt(struct far *f, struct link *l, uint8_t *dst, uint64_t bytes, uint64_t at)
{
    struct gw_nbd_request piece[GW_NBD_DEPTH];
    uint64_t done = 0;
    int error = 0;

    while (done < bytes && !error) {
        unsigned n = 0;

        for (; n < GW_NBD_DEPTH && done < bytes; n++) {
            uint64_t part = GW_MIN(bytes - done, f->piece_bytes);

            piece[n] = (struct gw_nbd_request){.op = GW_NBD_READ, .memory = dst + done, .bytes = part, .offset = at + done};
            gw_nbd_submit(l->nbd, &piece[n]);
            done += part;
        }
        for (unsigned i = 0; i < n; i++) {
            int failed = gw_nbd_await(l->nbd, &piece[i]);

            error = error ? error : failed;
        }
    }
    return error;
}

static int fetch(struct far *f, uint8_t *dst, uint64_t bytes, uint64_t at, struct gw_error *err)
{
    for (unsigned tries = 0;; tries++) {
        struct gw_error local = GW_ERROR_INIT;
        struct link *l;
        int r = get_link(f, &l, &local), error = 0;

        if (r >= 0) {
            error = attempt(f, l, dst, bytes, at);
            if (let_go(f, l) && error)
                return gw_fail(err, -EIO, GW_BLAME_PEER, "%.200s: the server cannot read %" PRIu64 " bytes at byte %" PRIu64 ": %s", f->uri, bytes,
                               at, strerror(error));
            if (!error)
                return 0;
            gw_fail(&local, -EIO, GW_BLAME_CHANNEL, "%.200s: the connection was lost while %" PRIu64 " bytes at byte %" PRIu64 " were read", f->uri,
                    bytes, at);
        }
        if (tries == GW_NBD_TRIES || r == -ESTALE || r == -ENOMEM) {
            if (tries)
                gw_context(&local, "after %u more attempts", tries);
            if (err)
                *err = local;
            return local.code;
        }
        gw_clock_real.sleep_ns(NULL, REST_NS << tries);
    }
}

/* Grown to what the server wants at least. */
static int far_read(struct gw_bytes *b, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err)
{
    struct far *f = far_of(b);
    uint64_t from = at - at % f->align_bytes, end = gw_div_up(at + bytes, f->align_bytes) * f->align_bytes;
    GW_AUTOFREE uint8_t *room = NULL;
    int r;

    if (end > b->size)
        end = b->size;
    if (from == at && end == at + bytes)
        return fetch(f, dst, bytes, at, err);
    room = malloc(end - from);
    if (!room)
        return gw_nomem(err, "bytes of a server");
    r = fetch(f, room, end - from, from, err);
    if (r >= 0)
        memcpy(dst, room + (at - from), bytes);
    return r;
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

static const struct gw_bytes_ops far_ops = {.read = far_read, .free = far_free};

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

