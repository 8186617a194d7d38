/* SPDX-License-Identifier: MIT */
#include "channel/reader.h"

#include "channel/iov.h"

static int refill(struct gw_in *in, size_t n, struct gw_error *err);

static int direct(struct gw_in *in, void *dst, size_t n, struct gw_error *err)
{
    struct iovec iov = {dst, n};

    return gw_reader_direct(GW_CONTAINER(in, struct gw_reader, in), &iov, 1, err);
}

int gw_reader_init(struct gw_reader *r, struct gw_channel *channel, struct gw_error *err)
{
    static const struct gw_in_ops ops = {.refill = refill, .direct = direct};

    *r = (struct gw_reader){.in.ops = &ops, .channel = channel, .readahead = GW_READER_CAP, .cap = GW_READER_CAP};
    r->buf = malloc(GW_READER_CAP);
    if (!r->buf)
        return gw_nomem(err, "stream reader");
    r->in.data = r->buf;
    return 0;
}

void gw_reader_init_memory(struct gw_reader *r, const void *data, size_t bytes, uint64_t base)
{
    *r = (struct gw_reader){.channel = NULL};
    gw_in_memory(&r->in, data, bytes, base);
}

void gw_reader_close(struct gw_reader *r)
{
    free(r->buf);
    free(r->back);
    r->buf = r->back = NULL;
    r->in.data = NULL;
    r->in.pos = r->in.end = 0;
}

static ssize_t channel_readv(struct gw_reader *r, const struct iovec *iov, int n, struct gw_error *err)
{
    ssize_t got = gw_channel_readv(r->channel, iov, n, &r->in.error);

    if (got >= 0)
        return got;
    /* A transport that returns a failure without filling in the error still ends the stream. */
    r->in.error.code = (int)got;
    gw_context(&r->in.error, "reading at byte %" PRIu64, r->in.base + r->in.end);
    return gw_in_stuck(&r->in, err);
}

/* Makes room for n contiguous bytes. */
static int grow(struct gw_reader *r, size_t n, struct gw_error *err)
{
    size_t cap = GW_MIN(GW_MAX(r->cap * 2, n), GW_READER_LOOK_MAX);
    uint8_t *grown = n > r->cap ? realloc(r->buf, cap) : r->buf;

    if (!grown) {
        gw_nomem(&r->in.error, "stream reader");
        return gw_in_stuck(&r->in, err);
    }
    if (r->in.data == r->buf)
        r->in.data = grown;
    r->cap = n > r->cap ? cap : r->cap;
    r->buf = grown;
    return 0;
}

/* Reads more into the buffer, until it has at least n bytes or the stream ends. */
static int refill(struct gw_in *in, size_t n, struct gw_error *err)
{
    struct gw_reader *r = GW_CONTAINER(in, struct gw_reader, in);
    int e;

    if (n > GW_READER_LOOK_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%zu bytes cannot be peeked at in one piece", n);
    e = grow(r, n, err);
    if (e < 0)
        return e;
    if (r->back) {
        /* The bytes returned by unread may be more than the buffer can hold; the n requested bytes never are. */
        size_t left = gw_reader_buffered(r);

        memcpy(r->buf, r->in.data + r->in.pos, left);
        r->in.base += r->in.pos;
        r->in.pos = 0;
        r->in.end = left;
        free(r->back);
        r->back = NULL;
        r->in.data = r->buf;
    }
    if (r->in.pos == r->in.end) {
        r->in.base += r->in.pos;
        r->in.pos = r->in.end = 0;
    } else if (r->in.pos + n > r->cap) {
        memmove(r->buf, r->buf + r->in.pos, gw_reader_buffered(r));
        r->in.base += r->in.pos;
        r->in.end -= r->in.pos;
        r->in.pos = 0;
    }
    while (gw_reader_buffered(r) < n) {
        size_t want = n - gw_reader_buffered(r), room = r->cap - r->in.end;
        struct iovec iov = {r->buf + r->in.end, GW_MIN(room, want + GW_MIN(r->readahead, GW_READER_CAP))};
        ssize_t got = channel_readv(r, &iov, 1, err);

        if (got < 0)
            return (int)got;
        if (got == 0)
            return 0;
        r->in.end += (size_t)got;
    }
    return 0;
}

int gw_reader_direct(struct gw_reader *r, struct iovec *iov, int n, struct gw_error *err)
{
    int i = gw_iov_advance(iov, n, 0, 0);

    if (r->in.failed)
        return gw_in_stuck(&r->in, err);
    while (i < n && gw_reader_buffered(r)) {
        size_t take = GW_MIN(iov[i].iov_len, gw_reader_buffered(r));

        memcpy(iov[i].iov_base, r->in.data + r->in.pos, take);
        r->in.pos += take;
        i = gw_iov_advance(iov, n, i, take);
    }
    while (i < n) {
        ssize_t got = r->channel ? channel_readv(r, iov + i, n - i, err) : 0;

        if (got < 0)
            return (int)got;
        if (got == 0) {
            return gw_in_ended(&r->in, gw_iov_bytes(iov + i, n - i), err);
        }
        r->in.base += (uint64_t)got; /* the buffer is empty here */
        i = gw_iov_advance(iov, n, i, (size_t)got);
    }
    return 0;
}

int gw_reader_direct_ahead(struct gw_reader *r, void *dst, size_t n, struct gw_error *err)
{
    uint8_t *to = dst;

    while (n) {
        size_t have = gw_reader_buffered(r);
        struct iovec iov[2] = {{to, n}, {r->buf, GW_MIN(r->readahead, GW_READER_CAP)}};
        ssize_t got;
        int e;

        if (have || !r->channel || !r->readahead || r->in.failed) {
            iov[0].iov_len = have ? GW_MIN(n, have) : n;
            got = (ssize_t)iov[0].iov_len;
            e = gw_reader_direct(r, iov, 1, err);
            if (e < 0)
                return e;
        } else {
            got = gw_reader_scatter(r, iov, 2, err);
            if (got < 0)
                return (int)got;
        }
        if ((size_t)got > n) {
            /* Bytes that came after the body are in the buffer now. */
            free(r->back);
            r->back = NULL;
            r->in.data = r->buf;
            r->in.base = r->in.base + r->in.pos - ((size_t)got - n);
            r->in.pos = 0;
            r->in.end = (size_t)got - n;
            return 0;
        }
        to += got;
        n -= (size_t)got;
    }
    return 0;
}

ssize_t gw_reader_scatter(struct gw_reader *r, const struct iovec *iov, int n, struct gw_error *err)
{
    ssize_t got;

    if (r->in.failed)
        return gw_in_stuck(&r->in, err);
    if (gw_reader_buffered(r) || !r->channel)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "reading ahead at byte %" PRIu64 " is not possible",
                       gw_reader_offset(r));
    got = channel_readv(r, iov, n, err);
    if (got == 0) {
        return gw_in_ended(&r->in, 1, err);
    }
    if (got > 0)
        r->in.base += (uint64_t)got;
    return got;
}

int gw_reader_unread(struct gw_reader *r, const struct iovec *iov, int n, size_t bytes, struct gw_error *err)
{
    uint8_t *p = malloc(GW_MAX(bytes, 1));
    size_t left = bytes, at = 0;

    if (!p) {
        gw_nomem(&r->in.error, "stream reader");
        return gw_in_stuck(&r->in, err);
    }
    for (int i = 0; i < n && left; i++) {
        size_t take = GW_MIN(left, iov[i].iov_len);

        memcpy(p + at, iov[i].iov_base, take);
        at += take;
        left -= take;
    }
    free(r->back);
    r->back = p;
    r->in.data = p;
    r->in.base = r->in.base + r->in.pos - bytes;
    r->in.pos = 0;
    r->in.end = bytes;
    return 0;
}

int gw_reader_tell(struct gw_reader *r, uint64_t *ret_at, struct gw_error *err)
{
    int e = r->in.failed ? gw_in_stuck(&r->in, err) : gw_channel_tell(r->channel, ret_at, err);

    if (e >= 0)
        *ret_at -= gw_reader_buffered(r);
    return e;
}

int gw_reader_seek(struct gw_reader *r, uint64_t at, struct gw_error *err)
{
    uint64_t here;
    int e = gw_reader_tell(r, &here, err);

    if (e >= 0)
        e = gw_channel_seek(r->channel, at, err);
    if (e < 0)
        return e;
    free(r->back);
    r->back = NULL;
    r->in.data = r->buf;
    r->in.base = gw_reader_offset(r) + (at - here);
    r->in.pos = r->in.end = 0;
    return 0;
}
