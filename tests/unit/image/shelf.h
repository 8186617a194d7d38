/* SPDX-License-Identifier: MIT
 *
 * Bytes in memory that can be read and written, as a server's can: what was done to them is counted, one of it fails,
 * and what was flushed is known. Any thread.
 */
#ifndef TESTS_UNIT_IMAGE_SHELF_H
#define TESTS_UNIT_IMAGE_SHELF_H

#include <pthread.h>
#include <stdlib.h>

#include "image/bytes.h"

struct shelf {
    struct gw_bytes bytes; /* the first member */
    pthread_mutex_t lock;
    uint8_t *data, *safe; /* what there is, and what a crash leaves of it */
    unsigned did, fails_at,
        fail_for; /* writes, zeros and flushes; those from number fails_at on fail, so many (0: none) */
    unsigned accesses; /* reads, however many ranges each has */
    bool unaligned, freed;
};

static int shelf_do(struct shelf *s, uint64_t at, uint64_t bytes, struct gw_error *err)
{
    s->unaligned |= at % s->bytes.align || (bytes % s->bytes.align && at + bytes != s->bytes.size);
    s->did++;
    return s->did >= s->fails_at && s->did < s->fails_at + s->fail_for
               ? gw_fail(err, -EIO, GW_BLAME_PEER, "shelf: byte %" PRIu64, at)
               : 0;
}

static int shelf_read_all(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err)
{
    struct shelf *s = (struct shelf *)b;

    pthread_mutex_lock(&s->lock);
    s->accesses++;
    for (unsigned i = 0; i < count; i++)
        memcpy(range[i].dst, s->data + range[i].at, range[i].bytes);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int shelf_read(struct gw_bytes *b, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err)
{
    const struct gw_bytes_range range = {dst, bytes, at};

    return shelf_read_all(b, &range, 1, err);
}

static int shelf_put(struct gw_bytes *b, const uint8_t *src, uint64_t bytes, uint64_t at, struct gw_error *err)
{
    struct shelf *s = (struct shelf *)b;
    int r;

    if (src && at + bytes > b->size && src[bytes - 1] == 0) /* padding */
        bytes = b->size - at;
    if (at > b->size || bytes > b->size - at)
        abort();
    pthread_mutex_lock(&s->lock);
    r = shelf_do(s, at, bytes, err);
    if (src)
        memcpy(s->data + at, src, r < 0 ? bytes / 2 : bytes); /* a part of it may be there */
    else
        memset(s->data + at, 0, r < 0 ? bytes / 2 : bytes);
    pthread_mutex_unlock(&s->lock);
    return r;
}

static int shelf_write(struct gw_bytes *b, const uint8_t *src, size_t bytes, uint64_t at, struct gw_error *err)
{
    return shelf_put(b, src, bytes, at, err);
}

static int shelf_zero(struct gw_bytes *b, uint64_t at, uint64_t bytes, struct gw_error *err)
{
    return shelf_put(b, NULL, bytes, at, err);
}

static int shelf_flush(struct gw_bytes *b, struct gw_error *err)
{
    struct shelf *s = (struct shelf *)b;
    int r;

    pthread_mutex_lock(&s->lock);
    r = shelf_do(s, 0, 0, err);
    if (r >= 0)
        memcpy(s->safe, s->data, b->size);
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void shelf_free(struct gw_bytes *b)
{
    ((struct shelf *)b)->freed = true;
}

/* fill: what it begins with everywhere. */
static void shelf_open(struct shelf *s, uint64_t size, uint8_t fill)
{
    static const struct gw_bytes_ops ops = {
        .read = shelf_read, .read_all = shelf_read_all, .write = shelf_write, .zero = shelf_zero, .flush = shelf_flush, .free = shelf_free};

    *s = (struct shelf){
        .bytes = {.ops = &ops, .size = size, .fd = -1, .depth = 4, .writes = true, .flushes = true, .align = 512}};
    pthread_mutex_init(&s->lock, NULL);
    s->data = malloc(size);
    s->safe = malloc(size);
    memset(s->data, fill, size);
    memset(s->safe, fill, size);
}

static void shelf_close(struct shelf *s)
{
    free(s->data);
    free(s->safe);
    pthread_mutex_destroy(&s->lock);
}

#endif
