/* SPDX-License-Identifier: MIT
 *
 * Channels that feed a session and that store the bytes it writes.
 */
#include "rig.h"

#include "../unit/state/zoo.h"

/* ---- a channel that feeds -----------------------------------------------------------------------------------------
 */

struct feed {
    struct gw_channel channel;
    const uint8_t *data;
    size_t bytes, at;
    enum rig_split split;
    struct zoo_rng rng;
    struct rig_bytes *said;
};

static ssize_t keep_bytes(struct rig_bytes *to, const struct iovec *iov, int n, size_t limit)
{
    size_t left = limit;

    for (int i = 0; i < n && left; i++) {
        size_t take = GW_MIN(left, iov[i].iov_len);

        if (to && to->bytes + take > to->cap) {
            to->cap = (to->bytes + take) * 2;
            to->data = realloc(to->data, to->cap);
        }
        if (to && take) {
            memcpy(to->data + to->bytes, iov[i].iov_base, take);
            to->bytes += take;
        }
        left -= take;
    }
    return (ssize_t)(limit - left);
}

static ssize_t feed_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct feed *f = (struct feed *)ch;
    size_t limit = f->split == RIG_WHOLE ? SIZE_MAX : f->split == RIG_BYTES ? 1 : 1 + zoo_random(&f->rng) % 600;
    size_t done = 0;

    limit = GW_MIN(limit, f->bytes - f->at);
    for (int i = 0; i < n && done < limit; i++) {
        size_t take = GW_MIN(iov[i].iov_len, limit - done);

        memcpy(iov[i].iov_base, f->data + f->at, take);
        f->at += take;
        done += take;
    }
    return (ssize_t)done;
}

static ssize_t feed_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return keep_bytes(((struct feed *)ch)->said, iov, n, SIZE_MAX);
}

static void nothing(struct gw_channel *ch)
{
}

static void feed_free(struct gw_channel *ch)
{
    free(ch);
}

int rig_feed(const uint8_t *data, size_t bytes, enum rig_split split, uint64_t seed, struct rig_bytes *said,
             struct gw_channel **ret, struct gw_error *err)
{
    static const struct gw_channel_ops ops = {
        .kind = "feed", .readv = feed_readv, .writev = feed_writev, .shutdown = nothing, .free = feed_free};
    struct feed *f = calloc(1, sizeof *f);

    if (!f)
        return gw_nomem(err, "feed");
    gw_channel_init(&f->channel, &ops, GW_CHANNEL_DUPLEX, "feed:");
    f->data = data;
    f->bytes = bytes;
    f->split = split;
    f->rng.s = seed;
    f->said = said;
    *ret = &f->channel;
    return 0;
}

/* ---- channels that keep -------------------------------------------------------------------------------------------
 */

struct keep {
    struct gw_channel channel;
    struct gw_channel *under;
    struct rig_bytes *to;
};

static ssize_t keep_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct keep *k = (struct keep *)ch;
    size_t limit = SIZE_MAX;

    if (k->under) {
        ssize_t done = gw_channel_writev(k->under, iov, n, err);

        if (done <= 0)
            return done;
        limit = (size_t)done;
    }
    return keep_bytes(k->to, iov, n, limit);
}

static ssize_t keep_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct keep *k = (struct keep *)ch;

    return k->under ? gw_channel_readv(k->under, iov, n, err)
                    : gw_fail(err, -EBADF, GW_BLAME_CALLER, "nothing to read here");
}

static void keep_shutdown(struct gw_channel *ch)
{
    struct keep *k = (struct keep *)ch;

    if (k->under)
        gw_channel_shutdown(k->under);
}

static void keep_free(struct gw_channel *ch)
{
    struct keep *k = (struct keep *)ch;

    gw_channel_free(k->under);
    free(k);
}

static int keep_new(struct gw_channel *under, struct rig_bytes *to, struct gw_channel **ret, struct gw_error *err)
{
    static const struct gw_channel_ops ops = {
        .kind = "keep", .readv = keep_readv, .writev = keep_writev, .shutdown = keep_shutdown, .free = keep_free};
    struct keep *k = calloc(1, sizeof *k);

    if (!k)
        return gw_nomem(err, "keep");
    gw_channel_init(&k->channel, &ops, under ? GW_CHANNEL_DUPLEX : 0, "keep:");
    k->under = under;
    k->to = to;
    *ret = &k->channel;
    return 0;
}

int rig_keep(struct rig_bytes *to, struct gw_channel **ret, struct gw_error *err)
{
    return keep_new(NULL, to, ret, err);
}

int rig_tap(struct gw_channel *under, struct rig_bytes *to, struct gw_channel **ret, struct gw_error *err)
{
    return keep_new(under, to, ret, err);
}
