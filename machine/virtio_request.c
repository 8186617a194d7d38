/* SPDX-License-Identifier: MIT */
#include "machine/virtio_request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "godwit/queue.h"
#include "machine/guestmem.h"
#include "machine/internal.h"

#define SECTOR       512u
#define PIECE_BYTES  65536u
#define BUFFER_ALIGN 4096u /* for disks that bypass the page cache */
#define POOL_THREADS 4u    /* for I/O that io_uring does not do: holes, images, NBD */

enum { REQUEST_IN = 0, REQUEST_OUT = 1, REQUEST_FLUSH = 4, REQUEST_GET_ID = 8 };
enum { RESULT_OK = 0, RESULT_IOERR = 1, RESULT_UNSUPPORTED = 2 };

struct request {
    struct gw_virtio_blk *blk;
    struct request *next; /* list of free requests */
    struct gw_virtio_chain chain;
    unsigned queue;
    uint16_t id;
    uint32_t type;
    unsigned desc;      /* the current piece: its descriptor, and the bytes done of it before */
    uint32_t done;
    uint64_t offset;    /* offset of the piece on the disk */
    uint32_t written;
    struct gw_queue_request io;
    struct iovec piece; /* the piece's place in the buffer */
};

struct gw_virtio_requests {
    struct gw_queue *queue; /* NULL: the disk is not a node */
    struct request request[GW_VIRTIO_REQUESTS];
    struct request *free;
    unsigned under_way, most;
    uint8_t *buffers;
    bool unflushed; /* data was written since the last flush */
};

/* ---- the end of one ---------------------------------------------------------------------------------------------- */

static void finish(struct request *r, uint8_t result)
{
    struct gw_virtio_blk *b = r->blk;
    uint64_t gpa = r->chain.desc[r->chain.count - 1].gpa;

    gw_guestmem_write(gw_machine_memory_at(b->machine, gpa, 1), &result, 1);
    gw_memory_written(b->machine, gpa, 1);
    r->next = b->requests->free;
    b->requests->free = r;
    b->requests->under_way--;
    gw_virtio_blk_used(b, r->queue, r->id, r->written + 1);
}

static void tell_failure(const struct request *r, const struct gw_error *why)
{
    const struct gw_virtio_blk *b = r->blk;
    struct gw_error err = *why;

    if (!b->failed)
        return;
    if (r->type == REQUEST_FLUSH)
        gw_context(&err, "disk %s: flush", b->id);
    else
        gw_context(&err, "disk %s: %s of %" PRIu64 " bytes at offset %" PRIu64, b->id, r->type == REQUEST_IN ? "read" : "write",
                   (uint64_t)r->piece.iov_len, r->offset);
    b->failed(b->failed_opaque, &err);
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static uint64_t piece_gpa(const struct request *r)
{
    return r->chain.desc[r->desc].gpa + r->done;
}

/* Sets up the next piece. False: there is none. */
static bool piece_next(struct request *r)
{
    while (r->desc + 1 < r->chain.count && r->done == r->chain.desc[r->desc].bytes) {
        r->desc++;
        r->done = 0;
    }
    if (r->desc + 1 >= r->chain.count)
        return false;
    uint32_t rest = r->chain.desc[r->desc].bytes - r->done;
    r->piece.iov_len = rest < PIECE_BYTES ? rest : PIECE_BYTES;
    if (r->type == REQUEST_OUT)
        gw_guestmem_read(r->piece.iov_base, gw_machine_memory_at(r->blk->machine, piece_gpa(r), r->piece.iov_len),
                         r->piece.iov_len);
    return true;
}

/* Handles the result of a piece, and goes to the next. */
static void piece_end(struct request *r, int result, const struct gw_error *why)
{
    struct gw_virtio_blk *b = r->blk;
    uint32_t bytes = (uint32_t)r->piece.iov_len;

    if (result < 0)
        tell_failure(r, why);
    if (r->type == REQUEST_FLUSH) {
        b->requests->unflushed |= result < 0;
        return;
    }
    if (r->type == REQUEST_OUT) {
        b->requests->unflushed = true;
        if (b->known) /* a failed write may have written a part */
            b->wrote(b->known, r->offset, bytes);
    } else if (result >= 0) {
        uint64_t gpa = piece_gpa(r);

        gw_guestmem_write(gw_machine_memory_at(b->machine, gpa, bytes), r->piece.iov_base, bytes);
        gw_memory_written(b->machine, gpa, bytes);
        r->written += bytes;
    }
    r->done += bytes;
    r->offset += bytes;
}

static int call(struct request *r, struct gw_error *err)
{
    const struct gw_machine_disk *disk = &r->blk->disk;

    if (r->type == REQUEST_FLUSH)
        return disk->ops->flush(disk->opaque, err);
    if (r->type == REQUEST_OUT)
        return disk->ops->write(disk->opaque, r->piece.iov_base, r->piece.iov_len, r->offset, err);
    return disk->ops->read(disk->opaque, r->piece.iov_base, r->piece.iov_len, r->offset, err);
}

static void piece_done(struct gw_queue_request *io, int result, const struct gw_error *why);

static int submit(struct request *r, struct gw_error *err)
{
    static const enum gw_queue_op ops[] = {
        [REQUEST_IN] = GW_QUEUE_READ, [REQUEST_OUT] = GW_QUEUE_WRITE, [REQUEST_FLUSH] = GW_QUEUE_FLUSH};
    bool data = r->type != REQUEST_FLUSH;

    r->io = (struct gw_queue_request){.op = ops[r->type], .vector = data ? &r->piece : NULL, .count = data,
                                      .bytes = data ? r->piece.iov_len : 0, .offset = data ? r->offset : 0,
                                      .done = piece_done, .opaque = r};
    return gw_queue_submit(r->blk->requests->queue, &r->io, err);
}

/* Executes the remaining pieces; with a queue, submits the first of them. A flush counts as a piece. */
static void go_on(struct request *r)
{
    bool flush = r->type == REQUEST_FLUSH;
    int result = 0;

    if (flush)
        r->blk->requests->unflushed = false;
    while (result >= 0 && (flush || piece_next(r))) {
        struct gw_error err = GW_ERROR_INIT;

        if (r->blk->requests->queue) {
            result = submit(r, &err);
            if (result >= 0)
                return;
        } else {
            result = call(r, &err);
        }
        piece_end(r, result, &err);
        if (flush)
            break;
    }
    finish(r, result < 0 ? RESULT_IOERR : RESULT_OK);
}

static void piece_done(struct gw_queue_request *io, int result, const struct gw_error *why)
{
    struct request *r = io->opaque;

    piece_end(r, result, why);
    if (result < 0)
        finish(r, RESULT_IOERR);
    else if (r->type == REQUEST_FLUSH)
        finish(r, RESULT_OK);
    else
        go_on(r);
}

/* ---- the beginning of one ------------------------------------------------------------------------------------------ */

/* Whether the data is whole sectors of the disk, and the buffers are readable or writable as the request needs. */
static bool data_is_good(const struct request *r, uint64_t sector)
{
    const struct gw_virtio_blk *b = r->blk;
    uint64_t left;

    if (sector > b->state.capacity_sectors || (r->type == REQUEST_OUT && b->disk.readonly))
        return false;
    left = (b->state.capacity_sectors - sector) * SECTOR;
    for (unsigned i = 1; i + 1 < r->chain.count; i++) {
        const struct gw_virtio_desc *d = &r->chain.desc[i];

        if (d->bytes % SECTOR || d->bytes > left || (r->type == REQUEST_OUT) == !!(d->flags & GW_VIRTIO_DESC_WRITE))
            return false;
        left -= d->bytes;
    }
    return true;
}

static uint8_t get_id(struct request *r)
{
    struct gw_machine *m = r->blk->machine;
    const struct gw_virtio_desc *d = &r->chain.desc[1];
    char id[20] = {0};

    if (r->chain.count != 3 || !(d->flags & GW_VIRTIO_DESC_WRITE) || d->bytes < sizeof(id))
        return RESULT_UNSUPPORTED;
    memcpy(id, r->blk->id, strnlen(r->blk->id, sizeof(id)));
    gw_guestmem_write(gw_machine_memory_at(m, d->gpa, sizeof(id)), id, sizeof(id));
    gw_memory_written(m, d->gpa, sizeof(id));
    r->written += sizeof(id);
    return RESULT_OK;
}

static void begin(struct request *r, uint64_t sector)
{
    switch (r->type) {
    case REQUEST_IN:
    case REQUEST_OUT:
        if (!data_is_good(r, sector)) {
            finish(r, RESULT_IOERR);
            return;
        }
        r->desc = 1;
        r->offset = sector * SECTOR;
        go_on(r);
        return;
    case REQUEST_FLUSH:
        go_on(r);
        return;
    case REQUEST_GET_ID:
        finish(r, get_id(r));
        return;
    default:
        finish(r, RESULT_UNSUPPORTED);
        return;
    }
}

int gw_virtio_request_begin(struct gw_virtio_blk *b, unsigned queue, uint16_t id, const struct gw_virtio_chain *chain)
{
    const struct gw_virtio_desc *first = &chain->desc[0], *last = &chain->desc[chain->count - 1];
    struct gw_virtio_requests *all = b->requests;
    struct request *r = all->free;
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } head;

    if (chain->count < 2 || first->bytes < sizeof(head) || (first->flags & GW_VIRTIO_DESC_WRITE) ||
        !(last->flags & GW_VIRTIO_DESC_WRITE) || last->bytes < 1)
        return -EPROTO;
    gw_guestmem_read(&head, gw_machine_memory_at(b->machine, first->gpa, sizeof(head)), sizeof(head));
    all->free = r->next;
    if (++all->under_way > all->most)
        all->most = all->under_way;
    memcpy(r->chain.desc, chain->desc, chain->count * sizeof(chain->desc[0]));
    r->chain.count = chain->count;
    r->queue = queue;
    r->id = id;
    r->type = head.type;
    r->desc = r->done = r->written = 0;
    begin(r, head.sector);
    return 0;
}

/* ---- all of them --------------------------------------------------------------------------------------------------- */

bool gw_virtio_requests_room(const struct gw_virtio_blk *b)
{
    return b->requests->free != NULL;
}

unsigned gw_virtio_requests_under_way(const struct gw_virtio_blk *b)
{
    return b->requests->under_way;
}

unsigned gw_virtio_requests_most(const struct gw_virtio_blk *b)
{
    return b->requests->most;
}

void gw_virtio_requests_wait(struct gw_virtio_blk *b, int fd)
{
    gw_queue_wait_or(b->requests->queue, fd);
}

int gw_virtio_requests_settle(struct gw_virtio_blk *b, struct gw_error *err)
{
    struct gw_virtio_requests *all = b->requests;
    int r = 0;

    if (all->queue)
        gw_queue_drain(all->queue);
    if (all->unflushed) {
        r = b->disk.ops->flush(b->disk.opaque, err);
        all->unflushed = r < 0;
        if (r < 0)
            gw_context(err, "disk %s: flush", b->id);
    }
    return r;
}

int gw_virtio_requests_new(struct gw_virtio_blk *b, struct gw_error *err)
{
    const struct gw_queue_config config = {.depth = GW_VIRTIO_REQUESTS, .threads = POOL_THREADS};
    struct gw_virtio_requests *all = calloc(1, sizeof(*all));
    int r = 0;

    b->requests = all;
    if (all)
        all->buffers = aligned_alloc(BUFFER_ALIGN, GW_VIRTIO_REQUESTS * PIECE_BYTES);
    if (!all || !all->buffers)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (block device)");
    for (unsigned i = GW_VIRTIO_REQUESTS; i-- > 0;) {
        struct request *request = &all->request[i];

        request->blk = b;
        request->piece.iov_base = all->buffers + i * PIECE_BYTES;
        request->next = all->free;
        all->free = request;
    }
    if (b->disk.image)
        r = gw_queue_new(b->disk.image, &config, &all->queue, err);
    return r;
}

void gw_virtio_requests_free(struct gw_virtio_blk *b)
{
    if (!b->requests)
        return;
    gw_queue_free(b->requests->queue);
    free(b->requests->buffers);
    free(b->requests);
    b->requests = NULL;
}
