/* SPDX-License-Identifier: MIT */
#include "godwit/channel.h"

#include "base/sized.h"
#include "channel/iov.h"

int gw_channel_init_sized(struct gw_channel *ch, const struct gw_channel_ops *ops, size_t ops_bytes, unsigned features,
                          const char *name, struct gw_error *err)
{
    struct gw_channel_ops own;
    int r = gw_sized_in(&own, sizeof own, ops, ops_bytes, GW_SIZED_UNTIL(struct gw_channel_ops, free),
                        "struct gw_channel_ops", err);

    *ch = (struct gw_channel){0};
    if (r < 0)
        return r;
    ch->ops = ops;
    ch->ops_bytes = ops_bytes;
    ch->features = features;
    gw_strcopy(ch->name, sizeof ch->name, name);
    return 0;
}

static ssize_t moved(struct gw_channel *ch, uint64_t *counter, ssize_t n, struct gw_error *err)
{
    if (n > 0)
        __atomic_fetch_add(counter, (uint64_t)n, __ATOMIC_RELAXED);
    else if (n < 0)
        gw_context(err, "%s", ch->name);
    return n;
}

ssize_t gw_channel_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return moved(ch, &ch->bytes_in, ch->ops->readv(ch, iov, GW_MIN(n, GW_IOV_MAX), err), err);
}

ssize_t gw_channel_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return moved(ch, &ch->bytes_out, ch->ops->writev(ch, iov, GW_MIN(n, GW_IOV_MAX), err), err);
}

ssize_t gw_channel_peek(struct gw_channel *ch, void *buf, size_t n, struct gw_error *err)
{
    ssize_t r;

    if (!(ch->features & GW_CHANNEL_PEEK))
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%s: the transport cannot peek at its first bytes", ch->name);
    r = ch->ops->peek(ch, buf, n, err);
    if (r < 0)
        gw_context(err, "%s", ch->name);
    return r;
}

int gw_channel_writev_full(struct gw_channel *ch, struct iovec *iov, int n, struct gw_error *err)
{
    int i = gw_iov_advance(iov, n, 0, 0);

    while (i < n) {
        ssize_t done = gw_channel_writev(ch, iov + i, n - i, err);

        if (done < 0)
            return (int)done;
        if (done == 0)
            return gw_fail(err, -EIO, GW_BLAME_CHANNEL, "%s: the transport accepts no more bytes", ch->name);
        i = gw_iov_advance(iov, n, i, (size_t)done);
    }
    return 0;
}

int gw_channel_write_full(struct gw_channel *ch, const void *buf, size_t bytes, struct gw_error *err)
{
    struct iovec iov = {(void *)buf, bytes};

    return gw_channel_writev_full(ch, &iov, 1, err);
}

int gw_channel_readv_full(struct gw_channel *ch, struct iovec *iov, int n, struct gw_error *err)
{
    int i = gw_iov_advance(iov, n, 0, 0);
    uint64_t wanted = gw_iov_bytes(iov, n), got = 0;

    while (i < n) {
        ssize_t done = gw_channel_readv(ch, iov + i, n - i, err);

        if (done < 0)
            return (int)done;
        if (done == 0)
            return gw_fail(err, -ENODATA, GW_BLAME_CHANNEL, "%s: ended after %" PRIu64 " of %" PRIu64 " bytes",
                           ch->name, got, wanted);
        got += (uint64_t)done;
        i = gw_iov_advance(iov, n, i, (size_t)done);
    }
    return 0;
}

int gw_channel_read_full(struct gw_channel *ch, void *buf, size_t bytes, struct gw_error *err)
{
    struct iovec iov = {buf, bytes};

    return gw_channel_readv_full(ch, &iov, 1, err);
}

static int check_seekable(const struct gw_channel *ch, struct gw_error *err)
{
    return ch->features & GW_CHANNEL_SEEKABLE ? 0
                                              : gw_fail(err, -ESPIPE, GW_BLAME_CALLER, "%s is not seekable", ch->name);
}

static int positioned(struct gw_channel *ch, struct iovec *iov, int n, uint64_t offset, bool write, struct gw_error *err)
{
    int i = gw_iov_advance(iov, n, 0, 0), r = check_seekable(ch, err);

    while (r >= 0 && i < n) {
        int count = GW_MIN(n - i, GW_IOV_MAX);
        ssize_t done = write ? moved(ch, &ch->bytes_out, ch->ops->pwritev(ch, iov + i, count, offset, err), err)
                             : moved(ch, &ch->bytes_in, ch->ops->preadv(ch, iov + i, count, offset, err), err);

        if (done < 0)
            return (int)done;
        if (done == 0 && write)
            return gw_fail(err, -EIO, GW_BLAME_CHANNEL, "%s: the transport accepts no more bytes", ch->name);
        if (done == 0)
            return gw_fail(err, -ENODATA, GW_BLAME_CHANNEL, "%s: ends at byte %" PRIu64 ", %" PRIu64 " more bytes needed",
                           ch->name, offset, gw_iov_bytes(iov + i, n - i));
        i = gw_iov_advance(iov, n, i, (size_t)done);
        offset += (uint64_t)done;
    }
    return r;
}

int gw_channel_preadv_full(struct gw_channel *ch, struct iovec *iov, int n, uint64_t offset, struct gw_error *err)
{
    return positioned(ch, iov, n, offset, false, err);
}

int gw_channel_pwritev_full(struct gw_channel *ch, struct iovec *iov, int n, uint64_t offset, struct gw_error *err)
{
    return positioned(ch, iov, n, offset, true, err);
}

int gw_channel_pread_full(struct gw_channel *ch, void *buf, size_t bytes, uint64_t offset, struct gw_error *err)
{
    return positioned(ch, &(struct iovec){buf, bytes}, 1, offset, false, err);
}

int gw_channel_pwrite_full(struct gw_channel *ch, const void *buf, size_t bytes, uint64_t offset, struct gw_error *err)
{
    return positioned(ch, &(struct iovec){(void *)buf, bytes}, 1, offset, true, err);
}

int gw_channel_seek(struct gw_channel *ch, uint64_t offset, struct gw_error *err)
{
    int r = check_seekable(ch, err);

    if (r < 0)
        return r;
    r = ch->ops->seek(ch, offset, err);
    if (r < 0)
        gw_context(err, "%s", ch->name);
    return r;
}

int gw_channel_tell(struct gw_channel *ch, uint64_t *ret_offset, struct gw_error *err)
{
    bool can = ch->ops_bytes >= GW_SIZED_UNTIL(struct gw_channel_ops, tell) && ch->ops->tell;
    int r = check_seekable(ch, err);

    if (r < 0)
        return r;
    if (!can)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "%s does not tell its position", ch->name);
    r = ch->ops->tell(ch, ret_offset, err);
    if (r < 0)
        gw_context(err, "%s", ch->name);
    return r;
}

int gw_channel_sync(struct gw_channel *ch, struct gw_error *err)
{
    int r = ch->ops->sync ? ch->ops->sync(ch, err) : 0;

    if (r < 0)
        gw_context(err, "%s", ch->name);
    return r;
}

void gw_channel_set_timeout(struct gw_channel *ch, uint64_t timeout_ns)
{
    __atomic_store_n(&ch->timeout_ns, timeout_ns, __ATOMIC_RELAXED);
}

void gw_channel_bytes(const struct gw_channel *ch, uint64_t *ret_in, uint64_t *ret_out)
{
    *ret_in = __atomic_load_n(&ch->bytes_in, __ATOMIC_RELAXED);
    *ret_out = __atomic_load_n(&ch->bytes_out, __ATOMIC_RELAXED);
}

void gw_channel_prompt(struct gw_channel *ch)
{
    if (ch->ops_bytes >= GW_SIZED_UNTIL(struct gw_channel_ops, prompt) && ch->ops->prompt)
        ch->ops->prompt(ch);
}

uint64_t gw_channel_queued(struct gw_channel *ch)
{
    return ch->ops->queued ? ch->ops->queued(ch) : 0;
}

bool gw_channel_peer_gone(struct gw_channel *ch)
{
    return ch->ops->gone && ch->ops->gone(ch);
}

void gw_channel_shutdown(struct gw_channel *ch)
{
    ch->ops->shutdown(ch);
}

int gw_channel_close(struct gw_channel *ch, struct gw_error *err)
{
    int r = ch->ops->close ? ch->ops->close(ch, err) : 0;

    if (r < 0)
        gw_context(err, "%s", ch->name);
    return r;
}

struct gw_channel *gw_channel_free(struct gw_channel *ch)
{
    if (ch)
        ch->ops->free(ch);
    return NULL;
}
