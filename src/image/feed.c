/* SPDX-License-Identifier: MIT */
#include "image/feed.h"
#include "base/thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define BUFFER_BYTES (256u << 10)
#define PIPE_BYTES   (1 << 20)

#define FRAME_MAGIC     0xfd2fb528u
#define SKIPPABLE_MAGIC 0x184d2a50u /* and the 15 behind it */

enum { BLOCK_RAW, BLOCK_RLE, BLOCK_COMPRESSED, BLOCK_RESERVED };

struct gw_feed {
    pthread_t thread;
    int from, to;
    bool ended;  /* of the file */
    int failure; /* errno of a read */
    size_t at, end;
    uint8_t buffer[BUFFER_BYTES];
};

/* At least so many bytes lie at `at`. false: the file ends before. */
static bool need(struct gw_feed *f, size_t bytes)
{
    while (f->end - f->at < bytes && !f->ended && !f->failure) {
        ssize_t n;

        memmove(f->buffer, f->buffer + f->at, f->end - f->at);
        f->end -= f->at;
        f->at = 0;
        n = read(f->from, f->buffer + f->end, BUFFER_BYTES - f->end);
        if (n < 0 && errno != EINTR)
            f->failure = errno;
        f->ended = n == 0;
        f->end += (size_t)GW_MAX(n, (ssize_t)0);
    }
    return f->end - f->at >= bytes;
}

/* false: the file ends, or nobody reads the pipe any more. */
static bool pass(struct gw_feed *f, uint64_t bytes)
{
    while (bytes && need(f, 1)) {
        size_t some = (size_t)GW_MIN(bytes, f->end - f->at);
        ssize_t n = write(f->to, f->buffer + f->at, some);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        f->at += (size_t)n;
        bytes -= (uint64_t)n;
    }
    return !bytes;
}

static uint32_t le(const uint8_t *p, unsigned bytes)
{
    uint32_t v = 0;

    for (unsigned i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

/* How many bytes follow the magic up to the first block, by the first of them. */
static unsigned head_bytes(uint8_t descriptor)
{
    static const uint8_t id[] = {0, 1, 2, 4}, size[] = {0, 2, 4, 8};
    bool single = descriptor >> 5 & 1;
    unsigned content = descriptor >> 6;

    return 1 + !single + id[descriptor & 3] + (single && !content ? 1 : size[content]);
}

static bool pass_blocks(struct gw_feed *f)
{
    bool last = false;

    while (!last) {
        uint32_t head, bytes, type;

        if (!need(f, 3))
            return pass(f, UINT64_MAX);
        head = le(f->buffer + f->at, 3);
        last = head & 1;
        type = head >> 1 & 3;
        bytes = type == BLOCK_RLE ? 1 : head >> 3;
        if (type == BLOCK_RESERVED)
            return pass(f, UINT64_MAX);
        if (!pass(f, 3ull + bytes))
            return false;
    }
    return true;
}

static bool at_skippable(struct gw_feed *f)
{
    return need(f, 8) && (le(f->buffer + f->at, 4) & ~15u) == SKIPPABLE_MAGIC;
}

static bool at_frame(struct gw_feed *f)
{
    return need(f, 5) && le(f->buffer + f->at, 4) == FRAME_MAGIC;
}

/* false: there is no other one. */
static bool pass_frame(struct gw_feed *f)
{
    bool checksum;

    if (at_skippable(f))
        return pass(f, 8ull + le(f->buffer + f->at + 4, 4));
    if (!at_frame(f))
        return false;
    checksum = f->buffer[f->at + 4] >> 2 & 1;
    return pass(f, 4u + head_bytes(f->buffer[f->at + 4])) && pass_blocks(f) && pass(f, checksum ? 4 : 0);
}

static void *run(void *opaque)
{
    struct gw_feed *f = opaque;

    if (!at_skippable(f) && !at_frame(f))
        pass(f, UINT64_MAX);
    while (pass_frame(f))
        ;
    gw_close_fd(&f->to);
    return NULL;
}

int gw_feed_start(int fd, int to, struct gw_feed **ret, struct gw_error *err)
{
    struct gw_feed *f = malloc(sizeof *f);
    int r;

    if (!f) {
        gw_close_fd(&to);
        return gw_nomem(err, "frames of a compressed file");
    }
    f->from = fd;
    f->to = to;
    f->ended = false;
    f->failure = 0;
    f->at = f->end = 0;
    (void)fcntl(to, F_SETPIPE_SZ, PIPE_BYTES); /* less will do */
    r = gw_thread_start(&f->thread, run, f, err);
    if (r < 0) {
        gw_close_fd(&f->to);
        free(f);
        return r;
    }
    *ret = f;
    return 0;
}

int gw_feed_end(struct gw_feed *f, struct gw_error *err)
{
    int failure;

    if (!f)
        return 0;
    pthread_join(f->thread, NULL);
    failure = f->failure;
    free(f);
    return failure ? gw_fail(err, -EIO, GW_BLAME_LOCAL, "reading: %s", strerror(failure)) : 0;
}
