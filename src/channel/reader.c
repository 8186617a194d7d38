/* SPDX-License-Identifier: MIT */
#include "channel/reader.h"

#include "base/endian.h"
#include "channel/iov.h"

int gw_reader_init(struct gw_reader *r, struct gw_channel *channel, struct gw_error *err)
{
    *r = (struct gw_reader){.channel = channel, .readahead = GW_READER_CAP, .cap = GW_READER_CAP};
    r->buf = malloc(GW_READER_CAP);
    if (!r->buf)
        return gw_nomem(err, "stream reader");
    r->data = r->buf;
    return 0;
}

void gw_reader_init_memory(struct gw_reader *r, const void *data, size_t bytes, uint64_t base)
{
    *r = (struct gw_reader){.data = data ? data : "", .end = bytes, .base = base};
}

void gw_reader_close(struct gw_reader *r)
{
    free(r->buf);
    free(r->back);
    r->buf = r->back = NULL;
    r->data = NULL;
    r->pos = r->end = 0;
}

/* What is in r->error is the reader's end. */
static int stuck(struct gw_reader *r, struct gw_error *err)
{
    r->failed = r->error.code;
    if (err)
        *err = r->error;
    return r->failed;
}

int gw_reader_fail(struct gw_reader *r, int code, struct gw_error *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    gw_failv(&r->error, code, GW_BLAME_PEER, fmt, ap);
    va_end(ap);
    return stuck(r, err);
}

static void ended(struct gw_reader *r, uint64_t wanted, struct gw_error *err)
{
    gw_fail(&r->error, -ENODATA, GW_BLAME_CHANNEL,
            "stream ended at byte %" PRIu64 "%s%s (%" PRIu64 " more bytes needed)", r->base + r->end,
            r->what ? " inside " : "", r->what ? r->what : "", wanted);
    stuck(r, err);
}

static ssize_t channel_readv(struct gw_reader *r, const struct iovec *iov, int n, struct gw_error *err)
{
    ssize_t got = gw_channel_readv(r->channel, iov, n, &r->error);

    if (got >= 0)
        return got;
    /* A transport that does not fill in the error still ends the stream. */
    r->error.code = (int)got;
    gw_context(&r->error, "reading at byte %" PRIu64, r->base + r->end);
    return stuck(r, err);
}

/* Room for n bytes in one piece. */
static int grow(struct gw_reader *r, size_t n, struct gw_error *err)
{
    size_t cap = GW_MIN(GW_MAX(r->cap * 2, n), GW_READER_LOOK_MAX);
    uint8_t *grown = n > r->cap ? realloc(r->buf, cap) : r->buf;

    if (!grown) {
        gw_nomem(&r->error, "stream reader");
        return stuck(r, err);
    }
    if (r->data == r->buf)
        r->data = grown;
    r->cap = n > r->cap ? cap : r->cap;
    r->buf = grown;
    return 0;
}

/* Reads more behind what is buffered, until at least n bytes are there or the stream ends. */
static int fill(struct gw_reader *r, size_t n, struct gw_error *err)
{
    int e;

    if (!r->channel || gw_reader_buffered(r) >= n)
        return 0;
    e = grow(r, n, err);
    if (e < 0)
        return e;
    if (r->back) {
        /* What was given back may be more than the buffer holds; the asked for n bytes never are. */
        size_t left = gw_reader_buffered(r);

        memcpy(r->buf, r->data + r->pos, left);
        r->base += r->pos;
        r->pos = 0;
        r->end = left;
        free(r->back);
        r->back = NULL;
        r->data = r->buf;
    }
    if (r->pos == r->end) {
        r->base += r->pos;
        r->pos = r->end = 0;
    } else if (r->pos + n > r->cap) {
        memmove(r->buf, r->buf + r->pos, gw_reader_buffered(r));
        r->base += r->pos;
        r->end -= r->pos;
        r->pos = 0;
    }
    while (gw_reader_buffered(r) < n) {
        size_t want = n - gw_reader_buffered(r), room = r->cap - r->end;
        struct iovec iov = {r->buf + r->end, GW_MIN(room, want + GW_MIN(r->readahead, GW_READER_CAP))};
        ssize_t got = channel_readv(r, &iov, 1, err);

        if (got < 0)
            return (int)got;
        if (got == 0)
            return 0;
        r->end += (size_t)got;
    }
    return 0;
}

int gw_reader_try(struct gw_reader *r, size_t n, const uint8_t **ret, size_t *ret_got, struct gw_error *err)
{
    int e;

    if (r->failed)
        return stuck(r, err);
    if (r->channel && n > GW_READER_LOOK_MAX)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%zu bytes cannot be looked at in one piece", n);
    e = fill(r, n, err);
    if (e < 0)
        return e;
    *ret = r->data + r->pos;
    *ret_got = GW_MIN(n, gw_reader_buffered(r));
    return 0;
}

int gw_reader_need(struct gw_reader *r, size_t n, const uint8_t **ret, struct gw_error *err)
{
    const uint8_t *p = NULL;
    size_t got = 0;
    int e = gw_reader_try(r, n, &p, &got, err);

    if (e)
        return e;
    if (got < n) {
        ended(r, n - got, err);
        return -ENODATA;
    }
    *ret = p;
    return 0;
}

void gw_reader_skip(struct gw_reader *r, size_t n)
{
    r->pos += GW_MIN(n, gw_reader_buffered(r));
}

int gw_get_u8(struct gw_reader *r, uint8_t *ret, struct gw_error *err)
{
    const uint8_t *p;
    int e = gw_reader_need(r, 1, &p, err);

    if (e)
        return e;
    *ret = *p;
    r->pos += 1;
    return 0;
}

#define GET(bits)                                                                                                      \
    int gw_get_u##bits(struct gw_reader *r, uint##bits##_t *ret, struct gw_error *err)                                 \
    {                                                                                                                  \
        const uint8_t *p;                                                                                              \
        int e = gw_reader_need(r, bits / 8, &p, err);                                                                  \
                                                                                                                       \
        if (e)                                                                                                         \
            return e;                                                                                                  \
        *ret = gw_load_be##bits(p);                                                                                    \
        r->pos += bits / 8;                                                                                            \
        return 0;                                                                                                      \
    }
GET(16)
GET(32)
GET(64)

int gw_reader_direct(struct gw_reader *r, struct iovec *iov, int n, struct gw_error *err)
{
    int i = gw_iov_advance(iov, n, 0, 0);

    if (r->failed)
        return stuck(r, err);
    while (i < n && gw_reader_buffered(r)) {
        size_t take = GW_MIN(iov[i].iov_len, gw_reader_buffered(r));

        memcpy(iov[i].iov_base, r->data + r->pos, take);
        r->pos += take;
        i = gw_iov_advance(iov, n, i, take);
    }
    while (i < n) {
        ssize_t got = r->channel ? channel_readv(r, iov + i, n - i, err) : 0;

        if (got < 0)
            return (int)got;
        if (got == 0) {
            ended(r, gw_iov_bytes(iov + i, n - i), err);
            return -ENODATA;
        }
        r->base += (uint64_t)got; /* the buffer is empty here */
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

        if (have || !r->channel || !r->readahead || r->failed) {
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
            /* What came behind the body is the buffer now. */
            free(r->back);
            r->back = NULL;
            r->data = r->buf;
            r->base = r->base + r->pos - ((size_t)got - n);
            r->pos = 0;
            r->end = (size_t)got - n;
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

    if (r->failed)
        return stuck(r, err);
    if (gw_reader_buffered(r) || !r->channel)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "reading ahead at byte %" PRIu64 " is not possible",
                       gw_reader_offset(r));
    got = channel_readv(r, iov, n, err);
    if (got == 0) {
        ended(r, 1, err);
        return -ENODATA;
    }
    if (got > 0)
        r->base += (uint64_t)got;
    return got;
}

int gw_reader_unread(struct gw_reader *r, const struct iovec *iov, int n, size_t bytes, struct gw_error *err)
{
    uint8_t *p = malloc(GW_MAX(bytes, 1));
    size_t left = bytes, at = 0;

    if (!p) {
        gw_nomem(&r->error, "stream reader");
        return stuck(r, err);
    }
    for (int i = 0; i < n && left; i++) {
        size_t take = GW_MIN(left, iov[i].iov_len);

        memcpy(p + at, iov[i].iov_base, take);
        at += take;
        left -= take;
    }
    free(r->back);
    r->back = p;
    r->data = p;
    r->base = r->base + r->pos - bytes;
    r->pos = 0;
    r->end = bytes;
    return 0;
}

int gw_get_bytes(struct gw_reader *r, void *dst, size_t n, struct gw_error *err)
{
    struct iovec iov = {dst, n};

    if (n <= GW_READER_CAP) {
        const uint8_t *p;
        int e = gw_reader_need(r, n, &p, err);

        if (e)
            return e;
        if (n)
            memcpy(dst, p, n);
        r->pos += n;
        return 0;
    }
    return gw_reader_direct(r, &iov, 1, err);
}

int gw_get_discard(struct gw_reader *r, uint64_t n, struct gw_error *err)
{
    while (n) {
        size_t take = (size_t)GW_MIN(n, GW_READER_CAP / 2);
        const uint8_t *p;
        int e = gw_reader_need(r, take, &p, err);

        if (e)
            return e;
        r->pos += take;
        n -= take;
    }
    return 0;
}

int gw_get_str8(struct gw_reader *r, char *dst, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(r);
    uint8_t n;
    int e = gw_get_u8(r, &n, err);

    if (e)
        return e;
    if (!n)
        return gw_reader_fail(r, -EPROTO, err, "empty name at byte %" PRIu64, at);
    e = gw_get_bytes(r, dst, n, err);
    if (e < 0)
        return e;
    dst[n] = 0;
    if (memchr(dst, 0, n))
        return gw_reader_fail(r, -EPROTO, err, "name at byte %" PRIu64 " has a NUL inside", at);
    return 0;
}
