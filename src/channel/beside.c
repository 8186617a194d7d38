/* SPDX-License-Identifier: MIT */
#include "channel/beside.h"

#include "base/base.h"
#include "channel/cancel.h"
#include "channel/transport.h"

struct beside {
    struct gw_channel channel;
    struct gw_channel *of;
    int stopped;
};

static struct beside *of(struct gw_channel *ch)
{
    return (struct beside *)ch;
}

static int check(struct gw_channel *ch, struct gw_error *err)
{
    return __atomic_load_n(&of(ch)->stopped, __ATOMIC_RELAXED) ? gw_fail_canceled(err) : 0;
}

static ssize_t stream(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "only positioned I/O is possible here");
}

static ssize_t beside_preadv(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset, struct gw_error *err)
{
    int r = check(ch, err);

    return r < 0 ? r : of(ch)->of->ops->preadv(of(ch)->of, iov, n, offset, err);
}

static ssize_t beside_pwritev(struct gw_channel *ch, const struct iovec *iov, int n, uint64_t offset,
                              struct gw_error *err)
{
    int r = check(ch, err);

    return r < 0 ? r : of(ch)->of->ops->pwritev(of(ch)->of, iov, n, offset, err);
}

static void beside_shutdown(struct gw_channel *ch)
{
    __atomic_store_n(&of(ch)->stopped, 1, __ATOMIC_RELAXED);
}

static void beside_free(struct gw_channel *ch)
{
    free(ch);
}

static const struct gw_channel_ops ops = {
    .kind = "beside",
    .readv = stream,
    .writev = stream,
    .preadv = beside_preadv,
    .pwritev = beside_pwritev,
    .shutdown = beside_shutdown,
    .free = beside_free,
};

int gw_channel_beside(struct gw_channel *ch, bool direct, struct gw_channel **ret_channel, struct gw_error *err)
{
    int r = direct ? gw_file_direct(ch, ret_channel, err) : 0;
    struct beside *b;

    if (r)
        return r;
    b = calloc(1, sizeof *b);
    if (!b)
        return gw_nomem(err, "channel");
    gw_channel_init(&b->channel, &ops, GW_CHANNEL_SEEKABLE, ch->name);
    b->of = ch;
    *ret_channel = &b->channel;
    return 0;
}
