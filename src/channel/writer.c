/* SPDX-License-Identifier: MIT */
#include "channel/writer.h"

static uint64_t queued(const struct gw_writer *w)
{
    return w->out.offset - w->flushed_offset;
}

/* The staged bytes after the last vector become a vector. */
static void close_piece(struct gw_writer *w)
{
    if (w->out.at > w->piece)
        w->iov[w->iovs++] = (struct iovec){w->piece, (size_t)(w->out.at - w->piece)};
    w->piece = w->out.at;
}

static bool more(struct gw_out *out, size_t n)
{
    struct gw_writer *w = GW_CONTAINER(out, struct gw_writer, out);
    size_t left = (size_t)(out->begin + GW_WRITER_STAGE - out->at);

    if (out->error.code)
        return false;
    if (left < n || (w->flush_bytes && queued(w) >= w->flush_bytes)) {
        if (gw_writer_flush(w, NULL) < 0)
            return false;
        left = GW_WRITER_STAGE;
    }
    /* Called again when flush_bytes are buffered. */
    out->room = w->flush_bytes ? GW_MIN(left, GW_MAX(n, w->flush_bytes - queued(w))) : left;
    return true;
}

static void ref(struct gw_out *out, const void *bytes, size_t n)
{
    struct gw_writer *w = GW_CONTAINER(out, struct gw_writer, out);

    if (out->error.code || !n)
        return;
    /* Vectors for the staged bytes, for this body, and for bytes staged after it. */
    if ((w->iovs + 3 > GW_WRITER_VECTORS || (w->flush_bytes && queued(w) >= w->flush_bytes)) &&
        gw_writer_flush(w, NULL) < 0)
        return;
    close_piece(w);
    w->iov[w->iovs++] = (struct iovec){(void *)bytes, n};
    gw_out_count(out, n);
    if (w->flush_bytes)
        out->room = 0;
}

int gw_writer_init(struct gw_writer *w, struct gw_channel *channel, struct gw_error *err)
{
    static const struct gw_out_ops ops = {.more = more, .ref = ref};

    *w = (struct gw_writer){.out.ops = &ops, .channel = channel};
    w->out.begin = w->out.at = w->piece = malloc(GW_WRITER_STAGE);
    w->iov = malloc(GW_WRITER_VECTORS * sizeof *w->iov);
    if (!w->piece || !w->iov) {
        gw_writer_close(w);
        return gw_nomem(err, "stream writer");
    }
    return 0;
}

int gw_writer_init_memory(struct gw_writer *w, struct gw_error *err)
{
    *w = (struct gw_writer){.channel = NULL};
    gw_out_memory(&w->out);
    return 0;
}

void gw_writer_close(struct gw_writer *w)
{
    w->zerocopy = gw_zerocopy_free(w->zerocopy);
    gw_out_free(&w->out);
    free(w->iov);
    w->iov = NULL;
}

int gw_writer_zerocopy(struct gw_writer *w, struct gw_error *err)
{
    return gw_zerocopy_new(w->channel, &w->zerocopy, err);
}

static void book(struct gw_writer *w)
{
    for (int i = 0; w->account && i < GW_CAUSE_COUNT; i++) {
        if (w->out.by[i] != w->booked[i])
            gw_account_add(w->account, (enum gw_cause)i, w->out.by[i] - w->booked[i]);
        w->booked[i] = w->out.by[i];
    }
}

int gw_writer_flush(struct gw_writer *w, struct gw_error *err)
{
    struct gw_out *out = &w->out;

    book(w);
    if (!w->channel)
        return gw_out_error(out, err);
    close_piece(w);
    if (!out->error.code && w->iovs) {
        int r = w->zerocopy
                    ? gw_zerocopy_send(w->zerocopy, w->iov, w->iovs, out->begin, GW_WRITER_STAGE, &out->error)
                    : gw_channel_writev_full(w->channel, w->iov, w->iovs, &out->error);

        if (r < 0) {
            /* A transport that returns a failure without filling in the error still ends the stream. */
            out->error.code = r;
            gw_context(&out->error, "writing at byte %" PRIu64, w->flushed_offset);
        } else if (w->flushed) {
            w->flushed(w->opaque, queued(w));
        }
    }
    w->iovs = 0;
    out->at = w->piece = out->begin;
    out->room = 0;
    w->flushed_offset = out->offset;
    return gw_out_error(out, err);
}

/* A failed wait ends the stream. */
static int waited(struct gw_writer *w, int r, struct gw_error *err)
{
    if (r < 0) {
        w->out.error.code = r;
        gw_context(&w->out.error, "waiting for what was written up to byte %" PRIu64, w->flushed_offset);
    }
    return gw_out_error(&w->out, err);
}

int gw_writer_await(struct gw_writer *w, uint64_t offset, struct gw_error *err)
{
    int r = gw_writer_flush(w, err);

    return r < 0 || !w->zerocopy ? r : waited(w, gw_zerocopy_wait(w->zerocopy, offset, &w->out.error), err);
}

int gw_writer_settle(struct gw_writer *w, struct gw_error *err)
{
    int r = gw_writer_flush(w, err);

    return r < 0 || !w->zerocopy ? r : waited(w, gw_zerocopy_settle(w->zerocopy, &w->out.error), err);
}

void gw_writer_place(struct gw_writer *w, struct iovec *iov, int n, uint64_t bytes, uint64_t at)
{
    struct gw_out *out = &w->out;
    int r;

    if (gw_writer_flush(w, NULL) < 0)
        return;
    r = gw_channel_pwritev_full(w->channel, iov, n, at, &out->error);
    if (r < 0) {
        out->error.code = r;
        gw_context(&out->error, "writing at byte %" PRIu64 " of the file", at);
        return;
    }
    gw_out_count(out, bytes);
    book(w);
    w->flushed_offset = out->offset;
    if (w->flushed)
        w->flushed(w->opaque, bytes);
}

int gw_writer_tell(struct gw_writer *w, uint64_t *ret_at, struct gw_error *err)
{
    int r = gw_writer_flush(w, err);

    return r < 0 ? r : gw_channel_tell(w->channel, ret_at, err);
}

int gw_writer_seek(struct gw_writer *w, uint64_t at, struct gw_error *err)
{
    int r = gw_writer_flush(w, err);

    return r < 0 ? r : gw_channel_seek(w->channel, at, err);
}
