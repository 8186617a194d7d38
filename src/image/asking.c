/* SPDX-License-Identifier: MIT */
#include "image/asking.h"

#include "godwit/clock.h"

#define ASK_NS (100 * GW_NS_PER_MS)

struct channel {
    struct gw_channel channel; /* first */
    struct gw_channel *inner;
    struct gw_asking *asking;
};

bool gw_asking_step(void *asking, uint64_t done_bytes, uint64_t total_bytes)
{
    struct gw_asking *a = asking;

    a->done_bytes = done_bytes;
    a->total_bytes = total_bytes;
    return a->progress && a->progress(a->opaque, done_bytes, total_bytes);
}

bool gw_asking_again(void *asking)
{
    struct gw_asking *a = asking;

    return gw_asking_step(a, a->done_bytes, a->total_bytes);
}

static ssize_t asking_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct channel *c = (struct channel *)ch;
    struct gw_error slow = GW_ERROR_INIT;
    ssize_t done;

    while ((done = gw_channel_writev(c->inner, iov, n, &slow)) == -ETIMEDOUT) {
        if (gw_asking_again(c->asking))
            return gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "cancelled");
        slow = (struct gw_error)GW_ERROR_INIT;
    }
    if (done < 0 && err)
        *err = slow;
    return done;
}

static void asking_shutdown(struct gw_channel *ch)
{
    gw_channel_shutdown(((struct channel *)ch)->inner);
}

static int asking_close(struct gw_channel *ch, struct gw_error *err)
{
    return gw_channel_close(((struct channel *)ch)->inner, err);
}

static void asking_free(struct gw_channel *ch)
{
    gw_channel_free(((struct channel *)ch)->inner);
    free(ch);
}

static const struct gw_channel_ops ops = {
    .kind = "asking", .writev = asking_writev, .shutdown = asking_shutdown, .close = asking_close, .free = asking_free};

int gw_asking_channel(struct gw_asking *asking, struct gw_channel *take_inner, struct gw_channel **ret_channel, struct gw_error *err)
{
    struct channel *c = calloc(1, sizeof *c);

    if (!c) {
        gw_channel_free(take_inner);
        return gw_nomem(err, "channel");
    }
    gw_channel_init(&c->channel, &ops, 0, take_inner->name);
    gw_channel_set_timeout(take_inner, ASK_NS);
    c->inner = take_inner;
    c->asking = asking;
    *ret_channel = &c->channel;
    return 0;
}
