/* SPDX-License-Identifier: MIT */
#include "image/held.h"

#include <pthread.h>

#include "godwit/clock.h"
#include "image/image.h"
#include "image/nbd.h"
#include "ram/page/zero.h"

#define TRIES   5u
#define REST_NS (100 * GW_NS_PER_MS)

struct gw_held {
    struct gw_bytes bytes; /* the first member */
    struct gw_bytes *far;
    char *uri;
    pthread_mutex_t lock; /* protects the members below */
    bool occupied;        /* the export did not begin with zeros when it was opened */
    bool committed;
    uint64_t end;
    uint64_t held_bytes;
    uint8_t head[GW_HELD_BYTES];
};

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Clears the beginning, also on stable storage: no reader finds a machine there any more. */
static int clear_head(struct gw_held *h, struct gw_error *err)
{
    int r = h->far->ops->zero(h->far, 0, h->held_bytes, err);

    return r < 0 ? r : h->far->ops->flush(h->far, err);
}

/* Cuts off padding that lies after the end of the export. */
static int clip(const struct gw_held *h, const uint8_t *src, size_t *bytes, uint64_t at, struct gw_error *err)
{
    size_t room = (size_t)GW_MIN(*bytes, h->bytes.size - GW_MIN(at, h->bytes.size));

    if (!gw_zero_pick()->all(src + room, *bytes - room))
        return gw_fail(err, -ENOSPC, GW_BLAME_LOCAL,
                       "%.200s: it has %" PRIu64 " bytes, too few for this machine, which goes on at byte %" PRIu64,
                       h->uri, h->bytes.size, at + room);
    *bytes = room;
    return 0;
}

/* Copies to the held-back beginning; src NULL: zeros. The first call clears the old beginning of the export. */
static int hold(struct gw_held *h, const uint8_t *src, uint64_t bytes, uint64_t at, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&h->lock);
    if (h->occupied)
        r = clear_head(h, err);
    if (r >= 0) {
        h->occupied = false;
        h->end = src ? GW_MAX(h->end, at + bytes) : h->end;
        if (at < h->held_bytes && src)
            memcpy(h->head + at, src, (size_t)GW_MIN(bytes, h->held_bytes - at));
        else if (at < h->held_bytes)
            memset(h->head + at, 0, (size_t)GW_MIN(bytes, h->held_bytes - at));
    }
    pthread_mutex_unlock(&h->lock);
    return r;
}

static int held_write(struct gw_bytes *b, const uint8_t *src, size_t bytes, uint64_t at, struct gw_error *err)
{
    struct gw_held *h = (struct gw_held *)b;
    size_t here;
    int r = clip(h, src, &bytes, at, err);

    if (r >= 0)
        r = hold(h, src, bytes, at, err);
    if (r < 0)
        return r;
    here = at < h->held_bytes ? (size_t)GW_MIN(bytes, h->held_bytes - at) : 0;
    return here < bytes ? h->far->ops->write(h->far, src + here, bytes - here, at + here, err) : 0;
}

static int held_zero(struct gw_bytes *b, uint64_t at, uint64_t bytes, struct gw_error *err)
{
    struct gw_held *h = (struct gw_held *)b;
    uint64_t end = GW_MIN(at + bytes, b->size), from = GW_MAX(at, h->held_bytes);
    int r = at < end ? hold(h, NULL, end - at, at, err) : 0;

    return r >= 0 && from < end ? h->far->ops->zero(h->far, from, end - from, err) : r;
}

static const struct gw_bytes_ops held_ops = {.write = held_write, .zero = held_zero};

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Tries again on failure: clearing is idempotent, and a partial machine must not remain. */
static int take_back(struct gw_held *h, struct gw_error *err)
{
    int r = clear_head(h, err);

    for (unsigned tries = 0; r < 0 && tries < TRIES; tries++) {
        gw_clock_real.sleep_ns(NULL, REST_NS << tries);
        if (err)
            *err = (struct gw_error)GW_ERROR_INIT;
        r = clear_head(h, err);
    }
    return r;
}

int gw_held_commit(struct gw_held *h, struct gw_error *err)
{
    const struct gw_bytes_ops *far = h->far->ops;
    size_t first = (size_t)GW_MIN(h->held_bytes, GW_HELD_BLOCK);
    int r = far->flush(h->far, err);

    if (r >= 0 && h->held_bytes > first)
        r = far->write(h->far, h->head + first, (size_t)h->held_bytes - first, first, err);
    if (r >= 0)
        r = far->flush(h->far, err);
    if (r < 0)
        return r;
    r = far->write(h->far, h->head, first, 0, err);
    if (r >= 0)
        r = far->flush(h->far, err);
    if (r < 0 && take_back(h, NULL) < 0)
        gw_context(err, "it may hold a machine nevertheless: do not start that while the machine exists elsewhere");
    h->committed = r >= 0;
    return r;
}

int gw_held_revert(struct gw_held *h, struct gw_error *err)
{
    int r = h->committed ? take_back(h, err) : 0;

    h->committed &= r < 0;
    return r;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* Reports that the export holds data that begins with these bytes. */
static int occupied(const struct gw_held *h, const uint8_t *head, struct gw_error *err)
{
    for (unsigned i = 0; i < gw_image_format_count; i++)
        if (gw_image_formats[i].recognise && gw_image_formats[i].recognise(head, GW_HELD_BLOCK))
            return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "%.200s: it holds a machine already (%s)", h->uri,
                           gw_image_formats[i].name);
    return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "%.200s: it holds something already: its first %u KiB are not zeros",
                   h->uri, GW_HELD_BYTES >> 10);
}

static int look(struct gw_held *h, bool replace, struct gw_error *err)
{
    int r;

    if (!h->far->writes)
        return gw_fail(err, -EROFS, GW_BLAME_PEER, "%.200s: the server exports it read-only", h->uri);
    if (!h->far->flushes)
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER,
                       "%.200s: the server does not support flush, which is needed to store a machine safely", h->uri);
    if (h->far->align > GW_HELD_BLOCK)
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "%.200s: the server needs blocks of at least %u bytes, at most "
                                                     "%u are supported",
                       h->uri, h->far->align, GW_HELD_BLOCK);
    if (h->far->size < 2 * GW_HELD_BLOCK)
        return gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "%.200s: it has %" PRIu64 " bytes, too few for any machine",
                       h->uri, h->far->size);
    h->held_bytes = GW_MIN(h->far->size, GW_HELD_BYTES);
    r = gw_bytes_read(h->far, h->head, (size_t)h->held_bytes, 0, err);
    if (r < 0)
        return r;
    h->occupied = !gw_zero_pick()->all(h->head, (size_t)h->held_bytes);
    if (h->occupied && !replace)
        return occupied(h, h->head, err);
    memset(h->head, 0, sizeof h->head);
    return 0;
}

int gw_held_open(const char *uri, bool replace, struct gw_held **ret, struct gw_error *err)
{
    struct gw_held *h = calloc(1, sizeof *h);
    int r;

    if (!h || !(h->uri = strdup(uri))) {
        free(h);
        return gw_nomem(err, "server");
    }
    pthread_mutex_init(&h->lock, NULL);
    r = gw_nbd_open(uri, &h->far, err);
    if (r >= 0)
        r = look(h, replace, err);
    if (r < 0) {
        gw_held_free(h);
        return r;
    }
    h->bytes = (struct gw_bytes){.ops = &held_ops,
                                 .size = h->far->size,
                                 .fd = -1,
                                 .depth = h->far->depth,
                                 .writes = true,
                                 .flushes = true,
                                 .align = GW_HELD_BLOCK};
    *ret = h;
    return 0;
}

struct gw_bytes *gw_held_bytes(struct gw_held *h)
{
    return &h->bytes;
}

uint64_t gw_held_end(const struct gw_held *h)
{
    return h->end;
}

struct gw_held *gw_held_free(struct gw_held *h)
{
    if (!h)
        return NULL;
    gw_bytes_free(h->far);
    pthread_mutex_destroy(&h->lock);
    free(h->uri);
    free(h);
    return NULL;
}
