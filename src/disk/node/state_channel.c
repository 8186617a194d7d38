/* SPDX-License-Identifier: MIT */
#include "disk/node/state_channel.h"

#include "base/base.h"

#define PIECE_BYTES (1u << 20)

struct state_channel {
    struct gw_channel ch; /* the first member */
    struct gw_node *node;
    unsigned snapshot;
    atomic_bool shut;
    uint64_t at, end;  /* at: offset of the piece in the state; end: for reading, the end of the state */
    size_t done, have; /* bytes of the piece. Reading: consumed ones of those read. Writing: have waits to be written */
    uint8_t piece[PIECE_BYTES];
};

static struct state_channel *of(struct gw_channel *ch)
{
    return (struct state_channel *)ch;
}

static int check(struct state_channel *s, struct gw_error *err)
{
    return atomic_load(&s->shut) ? gw_fail(err, -ECANCELED, GW_BLAME_CHANNEL, "%s: shut down", s->ch.name) : 0;
}

static int put_piece(struct state_channel *s, struct gw_error *err)
{
    int r = s->have ? gw_qcow2_state_write(s->node, s->piece, s->have, s->at, err) : 0;

    if (r < 0) {
        gw_context(err, "writing the state of the machine at byte %" PRIu64, s->at);
        return r;
    }
    s->at += s->have;
    s->have = 0;
    return 0;
}

static ssize_t state_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct state_channel *s = of(ch);
    ssize_t taken = 0;

    for (int i = 0; i < n; i++)
        for (size_t from = 0; from < iov[i].iov_len;) {
            size_t room = PIECE_BYTES - s->have, bytes = GW_MIN(room, iov[i].iov_len - from);
            int r = check(s, err);

            if (r >= 0 && !bytes) {
                r = put_piece(s, err);
                bytes = GW_MIN(PIECE_BYTES, iov[i].iov_len - from);
            }
            if (r < 0)
                return r;
            memcpy(s->piece + s->have, (const char *)iov[i].iov_base + from, bytes);
            s->have += bytes;
            from += bytes;
            taken += (ssize_t)bytes;
        }
    return taken;
}

static int get_piece(struct state_channel *s, struct gw_error *err)
{
    size_t bytes;
    int r;

    s->at += s->have;
    s->have = s->done = 0;
    bytes = (size_t)GW_MIN(PIECE_BYTES, s->end - s->at);
    r = bytes ? gw_qcow2_snapshot_state_read(s->node, s->snapshot, s->piece, bytes, s->at, err) : 0;
    if (r < 0) {
        gw_context(err, "reading the state of the machine at byte %" PRIu64, s->at);
        return r;
    }
    s->have = bytes;
    return 0;
}

static ssize_t state_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct state_channel *s = of(ch);
    int r = check(s, err);
    ssize_t given = 0;

    if (r >= 0 && s->done == s->have)
        r = get_piece(s, err);
    if (r < 0)
        return r;
    for (int i = 0; i < n && s->done < s->have; i++) {
        size_t bytes = GW_MIN(iov[i].iov_len, s->have - s->done);

        memcpy(iov[i].iov_base, s->piece + s->done, bytes);
        s->done += bytes;
        given += (ssize_t)bytes;
    }
    return given;
}

static ssize_t no_writev(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return gw_fail(err, -EBADF, GW_BLAME_CALLER, "%s: a snapshot is only read", ch->name);
}

static ssize_t no_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    return gw_fail(err, -EBADF, GW_BLAME_CALLER, "%s: the state is only written", ch->name);
}

static void state_shutdown(struct gw_channel *ch)
{
    atomic_store(&of(ch)->shut, true);
}

static int state_close(struct gw_channel *ch, struct gw_error *err)
{
    int r = put_piece(of(ch), err);

    return r < 0 ? r : gw_node_flush(of(ch)->node, err);
}

static void state_free(struct gw_channel *ch)
{
    free(ch);
}

static int make(struct gw_node *n, const struct gw_channel_ops *ops, struct state_channel **ret, struct gw_error *err)
{
    struct state_channel *s = calloc(1, sizeof *s);

    if (!s)
        return gw_nomem(err, "state channel");
    gw_channel_init(&s->ch, ops, 0, n->name);
    s->node = n;
    *ret = s;
    return 0;
}

int gw_state_channel_out(struct gw_node *n, struct gw_channel **ret, struct gw_error *err)
{
    static const struct gw_channel_ops ops = {.kind = "snapshot", .readv = no_readv, .writev = state_writev,
                                              .shutdown = state_shutdown, .close = state_close, .free = state_free};
    struct state_channel *s = NULL;
    int r = make(n, &ops, &s, err);

    if (r >= 0)
        *ret = &s->ch;
    return r;
}

int gw_state_channel_in(struct gw_node *n, unsigned snapshot, struct gw_channel **ret, struct gw_error *err)
{
    static const struct gw_channel_ops ops = {.kind = "snapshot", .readv = state_readv, .writev = no_writev,
                                              .shutdown = state_shutdown, .free = state_free};
    const struct gw_qcow2_snapshot *list;
    unsigned count = gw_qcow2_snapshots(n, &list);
    struct state_channel *s = NULL;
    int r;

    if (snapshot >= count)
        return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "%s: there is no snapshot %u, it has %u", n->name, snapshot, count);
    r = make(n, &ops, &s, err);
    if (r < 0)
        return r;
    s->snapshot = snapshot;
    s->end = list[snapshot].state_bytes;
    *ret = &s->ch;
    return 0;
}
