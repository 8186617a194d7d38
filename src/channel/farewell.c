/* SPDX-License-Identifier: MIT */
#include "channel/farewell.h"

#include <inttypes.h>

#include "base/base.h"

#define MOST_BYTES (128u << 20) /* bytes that are read at most: a description and more */
#define LOOK_NS    (5 * GW_NS_PER_MS)

int gw_channel_farewell(struct gw_channel *ch, const struct gw_clock *clock, uint64_t deadline_ns, struct gw_error *err)
{
    struct gw_error local = GW_ERROR_INIT;
    char unread[16384];
    uint64_t t, left;
    ssize_t n = 1;

    for (uint64_t bytes = 0; n > 0 && bytes < MOST_BYTES && (t = gw_now_ns(clock)) < deadline_ns;
         bytes += (uint64_t)n) {
        gw_channel_set_timeout(ch, deadline_ns - t);
        n = gw_channel_readv(ch, &(struct iovec){unread, sizeof unread}, 1, &local);
    }
    /* A close does not show which bytes were received before it: an acknowledgement may still be under way, or a
     * reset. */
    while ((left = gw_channel_queued(ch)) && n == 0 && (t = gw_now_ns(clock)) < deadline_ns)
        clock->sleep_ns(clock->opaque, GW_MIN(deadline_ns - t, LOOK_NS));
    if (n < 0 && n != -ETIMEDOUT) {
        if (err)
            *err = local;
        return (int)n;
    }
    if (left)
        return gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL,
                       "%s: the other side has not acknowledged the last %" PRIu64 " bytes", ch->name, left);
    return n == 0;
}
