/* SPDX-License-Identifier: MIT
 *
 * The block device's queues and its thread. virtio_request.c executes the requests.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine/guestmem.h"
#include "machine/internal.h"
#include "machine/virtio_request.h"

struct used_element {
    uint32_t id, bytes;
};

static int chain_take(struct gw_machine *m, const struct gw_virtio_queue *q, uint16_t first, struct gw_virtio_chain *chain)
{
    uint16_t at = first;

    chain->count = 0;
    do {
        const struct gw_virtio_desc *table = gw_machine_memory_at(m, q->desc, q->num * sizeof(struct gw_virtio_desc));
        if (!table || at >= q->num || chain->count == q->num)
            return -EPROTO;
        struct gw_virtio_desc *d = &chain->desc[chain->count++];
        gw_guestmem_read(d, &table[at], sizeof(*d));
        if (!gw_machine_memory_at(m, d->gpa, d->bytes))
            return -EPROTO;
        at = d->next;
    } while (chain->desc[chain->count - 1].flags & GW_VIRTIO_DESC_NEXT);
    return 0;
}

/* Begins the new chains of one queue, while there is room. *ret_more: some had no room. */
static int queue_serve(struct gw_virtio_blk *b, unsigned index, struct gw_virtio_queue *q, bool *ret_more)
{
    struct gw_machine *m = b->machine;
    struct gw_virtio_chain chain;

    *ret_more = false;
    while (q->ready && q->num) {
        const uint16_t *avail = gw_machine_memory_at(m, q->avail, 4 + q->num * 2ull);
        if (!avail || (q->avail & 1))
            return -EPROTO;
        uint16_t end = __atomic_load_n(&avail[1], __ATOMIC_ACQUIRE);
        if (end == q->next_avail)
            break;
        if ((uint16_t)(end - q->next_avail) > q->num)
            return -EPROTO;
        *ret_more = !gw_virtio_requests_room(b);
        if (*ret_more)
            break;

        uint16_t id = avail[2 + q->next_avail % q->num];
        int r = chain_take(m, q, id, &chain);
        if (!r)
            r = gw_virtio_request_begin(b, index, id, &chain);
        if (r)
            return r;
        q->next_avail++;
    }
    return 0;
}

static void broke(struct gw_virtio_blk *b)
{
    pthread_mutex_lock(&b->lock);
    b->state.status |= GW_VIRTIO_NEEDS_RESET;
    pthread_mutex_unlock(&b->lock);
}

/* Guest memory is accessed without the lock, as the access may wait for a page. A reset waits for this thread. */
void gw_virtio_blk_used(struct gw_virtio_blk *b, unsigned queue, uint16_t id, uint32_t written)
{
    const struct used_element element = {.id = id, .bytes = written};
    struct gw_machine *m = b->machine;
    uint8_t *used;

    pthread_mutex_lock(&b->lock);
    struct gw_virtio_queue q = b->state.queue[queue];
    pthread_mutex_unlock(&b->lock);
    used = gw_machine_memory_at(m, q.used, 4 + q.num * sizeof(element));
    if (!q.num || !used || (q.used & 3)) {
        broke(b);
        return;
    }
    gw_guestmem_write(used + 4 + q.next_used % q.num * sizeof(element), &element, sizeof(element));
    q.next_used++;
    gw_guestmem_publish((uint16_t *)(used + 2), q.next_used);
    gw_memory_written(m, q.used, 4 + q.num * sizeof(element));
    pthread_mutex_lock(&b->lock);
    b->state.queue[queue].next_used = q.next_used;
    pthread_mutex_unlock(&b->lock);
    gw_vcpu_pace_wake(&m->vcpu[queue], true);
}

/* Under the lock, which is released meanwhile, as in the functions below. */
static void serve(struct gw_virtio_blk *b)
{
    unsigned index = (unsigned)__builtin_ctz(b->notified);
    struct gw_virtio_queue q = b->state.queue[index];
    bool more;
    int r;

    b->notified &= ~(1u << index);
    if (b->state.status & GW_VIRTIO_NEEDS_RESET)
        return;
    b->busy = true;
    pthread_mutex_unlock(&b->lock);
    r = queue_serve(b, index, &q, &more);
    if (r)
        broke(b);
    pthread_mutex_lock(&b->lock);
    b->state.queue[index].next_avail = q.next_avail;
    if (more)
        b->notified |= 1u << index;
}

static void wait_for_requests(struct gw_virtio_blk *b)
{
    eventfd_t count;

    b->sleeps = true;
    pthread_mutex_unlock(&b->lock);
    gw_virtio_requests_wait(b, b->wake_fd);
    pthread_mutex_lock(&b->lock);
    b->sleeps = false;
    (void)!eventfd_read(b->wake_fd, &count);
}

static void *blk_thread(void *arg)
{
    struct gw_virtio_blk *b = arg;

    pthread_mutex_lock(&b->lock);
    for (;;) {
        if (b->notified && !b->standing && gw_virtio_requests_room(b)) {
            serve(b);
        } else if (gw_virtio_requests_under_way(b)) {
            wait_for_requests(b);
        } else if (b->quit) {
            break;
        } else {
            pthread_cond_wait(&b->changed, &b->lock);
            continue;
        }
        b->busy = gw_virtio_requests_under_way(b) != 0;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

void gw_virtio_blk_notify(struct gw_virtio_blk *b, uint32_t queues)
{
    b->notified |= queues;
    if (b->sleeps)
        (void)!eventfd_write(b->wake_fd, 1);
    pthread_cond_broadcast(&b->changed);
}

int gw_virtio_blk_new(struct gw_machine *m, unsigned index, const struct gw_machine_disk *take_disk,
                      struct gw_virtio_blk **ret_blk, struct gw_error *err)
{
    struct gw_virtio_blk *b = calloc(1, sizeof(*b));
    int r;

    if (!b) {
        if (take_disk->close)
            take_disk->close(take_disk->opaque);
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (block device)");
    }
    b->machine = m;
    b->gpa = GW_GUEST_MMIO_GPA + index * GW_GUEST_PAGE;
    b->disk = *take_disk;
    b->state.capacity_sectors = take_disk->bytes / 512;
    b->standing = true;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = b->wake_fd < 0 ? gw_fail(err, -errno, GW_BLAME_LOCAL, "eventfd of disk %u: %s", index, strerror(errno)) : 0;
    if (r >= 0)
        r = gw_virtio_requests_new(b, err);
    if (r >= 0) {
        r = -pthread_create(&b->thread, NULL, blk_thread, b);
        if (r)
            gw_fail(err, r, GW_BLAME_LOCAL, "thread of disk %u: %s", index, strerror(-r));
    }
    if (r < 0) {
        gw_virtio_blk_free(b);
        return r;
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
    gw_virtio_requests_free(b);
    if (b->wake_fd >= 0)
        close(b->wake_fd);
    if (b->disk.close)
        b->disk.close(b->disk.opaque);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b);
    return NULL;
}

int gw_virtio_blk_drain(struct gw_virtio_blk *b, struct gw_error *err)
{
    pthread_mutex_lock(&b->lock);
    while (!b->standing && (b->notified || b->busy))
        pthread_cond_wait(&b->changed, &b->lock);
    b->standing = true;
    pthread_mutex_unlock(&b->lock);
    return gw_virtio_requests_settle(b, err);
}

void gw_virtio_blk_resume(struct gw_virtio_blk *b)
{
    pthread_mutex_lock(&b->lock);
    b->standing = false;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}
