/* SPDX-License-Identifier: MIT */
#include "image/near.h"

#include <pthread.h>

struct block {
    enum { EMPTY, BUSY, READY } state; /* under the lock; while BUSY the data belongs to the thread that reads it */
    uint64_t number, used;             /* used: the lowest value is the least recently used */
    uint8_t *data;
};

struct kept { /* never modified */
    uint64_t at, bytes;
    uint8_t data[];
};

struct near {
    struct gw_bytes bytes; /* the first member */
    struct gw_bytes *far;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct block block[GW_NEAR_BLOCKS];
    uint64_t clock;
    _Atomic(struct kept *) tail, ahead;
};

static struct near *near_of(struct gw_bytes *b)
{
    return (struct near *)b;
}

/* ---- what was read ahead ----------------------------------------------------------------------------------------- */

static bool copy_kept(_Atomic(struct kept *) *kept, uint8_t *dst, size_t bytes, uint64_t at)
{
    const struct kept *k = atomic_load(kept);

    if (!k || at < k->at || at - k->at > k->bytes || bytes > k->bytes - (at - k->at))
        return false;
    memcpy(dst, k->data + (at - k->at), bytes);
    return true;
}

/* Copies a range that begins in the announced range and continues in the file's end, which follows it. */
static bool copy_both(struct near *n, uint8_t *dst, size_t bytes, uint64_t at)
{
    const struct kept *k = atomic_load(&n->ahead), *tail = atomic_load(&n->tail);
    size_t here;

    if (!k || !tail || k->at + k->bytes != tail->at || at < k->at || at >= tail->at || bytes < tail->at - at)
        return false;
    here = (size_t)(tail->at - at);
    return copy_kept(&n->ahead, dst, here, at) && copy_kept(&n->tail, dst + here, bytes - here, tail->at);
}

/* If another thread has stored a copy already, that one stays. */
static int keep(struct near *n, _Atomic(struct kept *) *kept, uint64_t at, uint64_t bytes, struct gw_error *err)
{
    struct kept *k = malloc(sizeof *k + bytes), *none = NULL;
    int r;

    if (!k)
        return gw_nomem(err, "bytes of a server");
    k->at = at;
    k->bytes = bytes;
    r = gw_bytes_read(n->far, k->data, bytes, at, err);
    if (r < 0 || !atomic_compare_exchange_strong(kept, &none, k))
        free(k);
    return r;
}

/* A failure is not reported here; the later read reports it. */
static void near_ahead(struct gw_bytes *b, uint64_t at, uint64_t bytes)
{
    struct near *n = near_of(b);
    const struct kept *tail = atomic_load(&n->tail);

    if (at >= b->size || atomic_load(&n->ahead) || (tail && at >= tail->at))
        return;
    bytes = GW_MIN(bytes, GW_NEAR_AHEAD_BYTES);
    bytes = GW_MIN(bytes, (tail ? tail->at : b->size) - at);
    if (bytes)
        keep(n, &n->ahead, at, bytes, NULL);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* Finds the block, or a slot for it; NULL: all are busy. Under the lock. */
static struct block *find(struct near *n, uint64_t number)
{
    struct block *oldest = NULL;

    for (unsigned i = 0; i < GW_NEAR_BLOCKS; i++) {
        struct block *k = &n->block[i];

        if (k->state != EMPTY && k->number == number)
            return k;
        if (k->state != BUSY && (!oldest || k->used < oldest->used))
            oldest = k;
    }
    return oldest;
}

/* Fills a block. The lock is released meanwhile. */
static int fill(struct near *n, struct block *k, uint64_t number, struct gw_error *err)
{
    uint64_t at = number * GW_NEAR_BLOCK;
    int r = 0;

    *k = (struct block){.state = BUSY, .number = number, .data = k->data};
    pthread_mutex_unlock(&n->lock);
    if (!k->data && !(k->data = malloc(GW_NEAR_BLOCK)))
        r = gw_nomem(err, "bytes of a server");
    if (r >= 0)
        r = gw_bytes_read(n->far, k->data, (size_t)GW_MIN(n->bytes.size - at, GW_NEAR_BLOCK), at, err);
    pthread_mutex_lock(&n->lock);
    k->state = r < 0 ? EMPTY : READY;
    pthread_cond_broadcast(&n->changed);
    return r;
}

/* A part of one block. */
static int read_block(struct near *n, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err)
{
    uint64_t number = at / GW_NEAR_BLOCK;
    struct block *k;
    int r = 0;

    pthread_mutex_lock(&n->lock);
    while ((k = find(n, number)) && k->state == BUSY)
        pthread_cond_wait(&n->changed, &n->lock);
    if (k && (k->state == EMPTY || k->number != number))
        r = fill(n, k, number, err);
    if (k && r >= 0) {
        memcpy(dst, k->data + at % GW_NEAR_BLOCK, bytes);
        k->used = ++n->clock;
    }
    pthread_mutex_unlock(&n->lock);
    return k ? r : gw_bytes_read(n->far, dst, bytes, at, err);
}

static int read_small(struct near *n, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err)
{
    int r = 0;

    while (r >= 0 && bytes) {
        size_t part = (size_t)GW_MIN(bytes, GW_NEAR_BLOCK - at % GW_NEAR_BLOCK);

        r = read_block(n, dst, part, at, err);
        dst += part;
        at += part;
        bytes -= part;
    }
    return r;
}

static int near_read(struct gw_bytes *b, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err)
{
    struct near *n = near_of(b);

    if (copy_kept(&n->tail, dst, bytes, at) || copy_kept(&n->ahead, dst, bytes, at) || copy_both(n, dst, bytes, at))
        return 0;
    return bytes < GW_NEAR_SMALL ? read_small(n, dst, bytes, at, err) : gw_bytes_read(n->far, dst, bytes, at, err);
}

static void near_free(struct gw_bytes *b)
{
    struct near *n = near_of(b);

    gw_bytes_free(n->far);
    for (unsigned i = 0; i < GW_NEAR_BLOCKS; i++)
        free(n->block[i].data);
    free(atomic_load(&n->tail));
    free(atomic_load(&n->ahead));
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->changed);
    free(n);
}

static const struct gw_bytes_ops near_ops = {.read = near_read, .ahead = near_ahead, .free = near_free};

_Static_assert(GW_NEAR_TAIL_BYTES >= GW_NEAR_BLOCK, "a file that is longer than its end has a first block");

/* Reads the end and, if that is not the whole file, the first block: formats begin at one of them, and one access
 * brings both. */
static int read_ends(struct near *n, uint64_t tail, struct gw_error *err)
{
    struct kept *k = malloc(sizeof *k + tail);
    struct block *first = &n->block[0];
    uint64_t at = n->far->size - tail, head = at ? GW_NEAR_BLOCK : 0;
    struct gw_bytes_range range[] = {{NULL, (size_t)head, 0}, {k ? k->data : NULL, (size_t)tail, at}};
    int r;

    if (head)
        range[0].dst = first->data = malloc(GW_NEAR_BLOCK);
    if (!k || (head && !first->data)) {
        free(k);
        return gw_nomem(err, "bytes of a server");
    }
    k->at = at;
    k->bytes = tail;
    r = gw_bytes_read_all(n->far, head ? range : range + 1, head ? 2 : 1, err);
    if (r < 0) {
        free(k);
        return r;
    }
    atomic_store(&n->tail, k);
    if (head)
        *first = (struct block){.state = READY, .number = 0, .data = first->data};
    return 0;
}

int gw_near_new(struct gw_bytes *take_far, struct gw_bytes **ret, struct gw_error *err)
{
    struct near *n = calloc(1, sizeof *n);
    uint64_t tail = GW_MIN(take_far->size, GW_NEAR_TAIL_BYTES);
    int r = 0;

    if (!n) {
        gw_bytes_free(take_far);
        return gw_nomem(err, "bytes of a server");
    }
    n->bytes = (struct gw_bytes){.ops = &near_ops, .size = take_far->size, .fd = -1, .depth = take_far->depth};
    n->far = take_far;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->changed, NULL);
    if (tail)
        r = read_ends(n, tail, err);
    if (r < 0) {
        near_free(&n->bytes);
        return r;
    }
    *ret = &n->bytes;
    return 0;
}
