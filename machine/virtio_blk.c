/* SPDX-License-Identifier: MIT
 *
 * The requests of the block device. Data goes through a buffer of ours: a page of guest memory may still be on its way
 * (postcopy), and only plain user code is sure to be allowed to wait for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "machine/guestmem.h"
#include "machine/internal.h"
#include "machine/virtio.h"

#define SECTOR       512u
#define BOUNCE_BYTES 65536u

enum { REQUEST_IN = 0, REQUEST_OUT = 1, REQUEST_FLUSH = 4, REQUEST_GET_ID = 8 };
enum { RESULT_OK = 0, RESULT_IOERR = 1, RESULT_UNSUPPORTED = 2 };
enum { DESC_NEXT = 1, DESC_WRITE = 2 };

struct desc {
    uint64_t gpa;
    uint32_t bytes;
    uint16_t flags, next;
};

struct head {
    uint32_t type, reserved;
    uint64_t sector;
};

struct used_element {
    uint32_t id, bytes;
};

/* A chain, copied out of the guest's reach: nothing that was checked can change any more. */
struct chain {
    struct desc desc[GW_VIRTIO_QUEUE_MAX];
    unsigned count;
};

static int chain_take(struct gw_machine *m, const struct gw_virtio_queue *q, uint16_t first, struct chain *chain)
{
    uint16_t at = first;

    chain->count = 0;
    do {
        const struct desc *table = gw_machine_memory_at(m, q->desc, q->num * sizeof(struct desc));
        if (!table || at >= q->num || chain->count == q->num)
            return -EPROTO;
        struct desc *d = &chain->desc[chain->count++];
        gw_guestmem_read(d, &table[at], sizeof(*d));
        if (!gw_machine_memory_at(m, d->gpa, d->bytes))
            return -EPROTO;
        at = d->next;
    } while (chain->desc[chain->count - 1].flags & DESC_NEXT);
    return 0;
}

/* One piece of data, of a size that fits the buffer. */
static int transfer(struct gw_virtio_blk *b, bool write, uint64_t offset, uint64_t gpa, size_t bytes)
{
    const struct gw_machine_disk *disk = &b->disk;
    void *guest = gw_machine_memory_at(b->machine, gpa, bytes);
    int r;

    if (write) {
        gw_guestmem_read(b->bounce, guest, bytes);
        r = disk->ops->write(disk->opaque, b->bounce, bytes, offset, NULL);
        if (b->known) /* also a write that failed may have done a part */
            b->wrote(b->known, offset, bytes);
        return r;
    }
    r = disk->ops->read(disk->opaque, b->bounce, bytes, offset, NULL);
    if (!r) {
        gw_guestmem_write(guest, b->bounce, bytes);
        gw_memory_written(b->machine, gpa, bytes);
    }
    return r;
}

static uint8_t data_request(struct gw_virtio_blk *b, bool write, uint64_t sector, const struct chain *chain, uint32_t *ret_written)
{
    uint64_t offset = sector * SECTOR;

    if (sector > b->state.capacity_sectors || (write && b->disk.readonly))
        return RESULT_IOERR;
    for (unsigned i = 1; i + 1 < chain->count; i++) {
        const struct desc *d = &chain->desc[i];
        if (d->bytes % SECTOR || d->bytes > b->state.capacity_sectors * SECTOR - offset || write == !!(d->flags & DESC_WRITE))
            return RESULT_IOERR;
        for (uint32_t done = 0; done < d->bytes;) {
            uint32_t piece = d->bytes - done < BOUNCE_BYTES ? d->bytes - done : BOUNCE_BYTES;
            if (transfer(b, write, offset, d->gpa + done, piece))
                return RESULT_IOERR;
            done += piece;
            offset += piece;
        }
        if (!write)
            *ret_written += d->bytes;
    }
    if (write)
        b->unflushed = true;
    return RESULT_OK;
}

static uint8_t flush(struct gw_virtio_blk *b)
{
    b->unflushed = false;
    return b->disk.ops->flush(b->disk.opaque, NULL) ? RESULT_IOERR : RESULT_OK;
}

/* Carries out one chain: head, data, a byte for the result. -EPROTO when it is none. *ret_written: bytes put in memory. */
static int request(struct gw_virtio_blk *b, const struct chain *chain, uint32_t *ret_written)
{
    struct gw_machine *m = b->machine;
    const struct desc *first = &chain->desc[0], *last = &chain->desc[chain->count - 1];
    struct head head;
    uint8_t result;

    if (chain->count < 2 || first->bytes < sizeof(head) || (first->flags & DESC_WRITE) || !(last->flags & DESC_WRITE) ||
        last->bytes < 1)
        return -EPROTO;
    gw_guestmem_read(&head, gw_machine_memory_at(m, first->gpa, sizeof(head)), sizeof(head));
    *ret_written = 1;
    switch (head.type) {
    case REQUEST_IN:
    case REQUEST_OUT:
        result = data_request(b, head.type == REQUEST_OUT, head.sector, chain, ret_written);
        break;
    case REQUEST_FLUSH:
        result = flush(b);
        break;
    case REQUEST_GET_ID:
        result = RESULT_UNSUPPORTED;
        if (chain->count == 3 && (chain->desc[1].flags & DESC_WRITE) && chain->desc[1].bytes >= 20) {
            char id[20] = {0};
            memcpy(id, b->id, strnlen(b->id, sizeof(id)));
            gw_guestmem_write(gw_machine_memory_at(m, chain->desc[1].gpa, 20), id, 20);
            gw_memory_written(m, chain->desc[1].gpa, 20);
            *ret_written += 20;
            result = RESULT_OK;
        }
        break;
    default:
        result = RESULT_UNSUPPORTED;
        break;
    }
    gw_guestmem_write(gw_machine_memory_at(m, last->gpa, 1), &result, 1);
    gw_memory_written(m, last->gpa, 1);
    return 0;
}

/* Handles all requests in one queue. q is a copy, which no other thread changes. */
static int queue_serve(struct gw_virtio_blk *b, unsigned index, struct gw_virtio_queue *q)
{
    struct gw_machine *m = b->machine;
    struct chain chain;

    if (!q->ready || !q->num)
        return 0;
    for (;;) {
        const uint16_t *avail = gw_machine_memory_at(m, q->avail, 4 + q->num * 2ull);
        uint8_t *used = gw_machine_memory_at(m, q->used, 4 + q->num * sizeof(struct used_element));
        if (!avail || !used || (q->avail & 1) || (q->used & 3))
            return -EPROTO;
        uint16_t end = __atomic_load_n(&avail[1], __ATOMIC_ACQUIRE);
        if (end == q->next_avail)
            return 0;
        if ((uint16_t)(end - q->next_avail) > q->num)
            return -EPROTO;

        struct used_element element = {.id = avail[2 + q->next_avail % q->num]};
        int r = chain_take(m, q, (uint16_t)element.id, &chain);
        if (!r)
            r = request(b, &chain, &element.bytes);
        if (r)
            return r;
        q->next_avail++;
        gw_guestmem_write(used + 4 + q->next_used % q->num * sizeof(element), &element, sizeof(element));
        q->next_used++;
        gw_guestmem_publish((uint16_t *)(used + 2), q->next_used);
        gw_memory_written(m, q->used, 4 + q->num * sizeof(struct used_element));
        gw_vcpu_pace_wake(&m->vcpu[index], true);
    }
}

static void *blk_thread(void *arg)
{
    struct gw_virtio_blk *b = arg;

    pthread_mutex_lock(&b->lock);
    while (!b->quit) {
        if (!b->notified || b->standing) {
            pthread_cond_wait(&b->changed, &b->lock);
            continue;
        }
        unsigned index = (unsigned)__builtin_ctz(b->notified);
        b->notified &= ~(1u << index);
        if (b->state.status & GW_VIRTIO_NEEDS_RESET)
            continue;
        struct gw_virtio_queue q = b->state.queue[index];
        b->busy = true;
        pthread_mutex_unlock(&b->lock);
        int r = queue_serve(b, index, &q);
        pthread_mutex_lock(&b->lock);
        b->state.queue[index].next_avail = q.next_avail;
        b->state.queue[index].next_used = q.next_used;
        if (r)
            b->state.status |= GW_VIRTIO_NEEDS_RESET;
        b->busy = false;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

int gw_virtio_blk_new(struct gw_machine *m, unsigned index, const struct gw_machine_disk *take_disk,
                      struct gw_virtio_blk **ret_blk, struct gw_error *err)
{
    struct gw_virtio_blk *b = calloc(1, sizeof(*b));
    int r;

    if (b)
        b->bounce = malloc(BOUNCE_BYTES);
    if (!b || !b->bounce) {
        free(b);
        if (take_disk->close)
            take_disk->close(take_disk->opaque);
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (block device)");
    }
    b->machine = m;
    b->gpa = GW_GUEST_MMIO_GPA + index * GW_GUEST_PAGE;
    b->disk = *take_disk;
    b->state.capacity_sectors = take_disk->bytes / SECTOR;
    b->standing = true;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    r = -pthread_create(&b->thread, NULL, blk_thread, b);
    if (r) {
        gw_virtio_blk_free(b);
        return gw_fail(err, r, GW_BLAME_LOCAL, "thread of disk %u: %s", index, strerror(-r));
    }
    b->thread_made = true;
    *ret_blk = b;
    return 0;
}

struct gw_virtio_blk *gw_virtio_blk_free(struct gw_virtio_blk *b)
{
    if (!b)
        return NULL;
    pthread_mutex_lock(&b->lock);
    b->quit = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    if (b->thread_made)
        pthread_join(b->thread, NULL);
    if (b->disk.close)
        b->disk.close(b->disk.opaque);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b->bounce);
    free(b);
    return NULL;
}

int gw_virtio_blk_drain(struct gw_virtio_blk *b, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&b->lock);
    while (!b->standing && (b->notified || b->busy))
        pthread_cond_wait(&b->changed, &b->lock);
    b->standing = true;
    pthread_mutex_unlock(&b->lock);
    if (b->unflushed) {
        r = b->disk.ops->flush(b->disk.opaque, err);
        b->unflushed = r != 0;
    }
    return r;
}

void gw_virtio_blk_resume(struct gw_virtio_blk *b)
{
    pthread_mutex_lock(&b->lock);
    b->standing = false;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}
