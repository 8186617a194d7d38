/* SPDX-License-Identifier: MIT */
#include "channel/writer.h"

#include "base/endian.h"

int gw_writer_init(struct gw_writer *w, struct gw_channel *channel, struct gw_error *err)
{
    *w = (struct gw_writer){.channel = channel, .stage_cap = GW_WRITER_STAGE};
    w->stage = malloc(w->stage_cap);
    w->iov = malloc(GW_WRITER_VECTORS * sizeof *w->iov);
    if (!w->stage || !w->iov) {
        gw_writer_close(w);
        return gw_nomem(err, "stream writer");
    }
    return 0;
}

int gw_writer_init_memory(struct gw_writer *w, struct gw_error *err)
{
    *w = (struct gw_writer){.channel = NULL};
    return 0;
}

void gw_writer_close(struct gw_writer *w)
{
    free(w->stage);
    free(w->iov);
    w->stage = NULL;
    w->iov = NULL;
    w->staged = w->stage_cap = 0;
}

void *gw_writer_take(struct gw_writer *w, size_t *ret_bytes)
{
    void *p = w->stage;

    *ret_bytes = w->staged;
    w->stage = NULL;
    w->staged = w->stage_cap = 0;
    return p;
}

static void book(struct gw_writer *w)
{
    for (int i = 0; w->account && i < GW_CAUSE_COUNT; i++) {
        if (w->by[i] != w->booked[i])
            gw_account_add(w->account, (enum gw_cause)i, w->by[i] - w->booked[i]);
        w->booked[i] = w->by[i];
    }
}

int gw_writer_flush(struct gw_writer *w, struct gw_error *err)
{
    book(w);
    if (!w->error.code && w->channel && w->iovs) {
        uint64_t bytes = w->queued;
        int r = gw_channel_writev_full(w->channel, w->iov, w->iovs, &w->error);

        if (r < 0) {
            /* A transport that does not fill in the error still ends the stream. */
            w->error.code = r;
            gw_context(&w->error, "writing at byte %" PRIu64, w->offset - bytes);
        } else if (w->flushed) {
            w->flushed(w->opaque, bytes);
        }
    }
    if (w->channel) {
        w->iovs = 0;
        w->staged = 0;
    }
    w->queued = 0;
    if (w->error.code) {
        if (err)
            *err = w->error;
        return w->error.code;
    }
    return 0;
}

static void count(struct gw_writer *w, size_t n)
{
    w->offset += n;
    w->queued += n;
    w->by[w->cause] += n;
}

/* Where n bytes may be written next. NULL after an error. */
static uint8_t *room(struct gw_writer *w, size_t n)
{
    uint8_t *p;

    if (w->error.code)
        return NULL;
    if (w->flush_bytes && w->queued >= w->flush_bytes && gw_writer_flush(w, NULL) < 0)
        return NULL;
    if (!w->channel) {
        if (w->staged + n > w->stage_cap) {
            size_t cap = GW_MAX(GW_MAX(w->stage_cap * 2, 4096), w->staged + n);
            uint8_t *grown = realloc(w->stage, cap);

            if (!grown) {
                gw_nomem(&w->error, "stream buffer");
                return NULL;
            }
            w->stage = grown;
            w->stage_cap = cap;
        }
    } else if (w->staged + n > w->stage_cap || w->iovs + 1 >= GW_WRITER_VECTORS) {
        if (gw_writer_flush(w, NULL) < 0)
            return NULL;
    }
    p = w->stage + w->staged;
    if (w->channel) {
        struct iovec *last = w->iovs ? &w->iov[w->iovs - 1] : NULL;

        if (last && (uint8_t *)last->iov_base + last->iov_len == p)
            last->iov_len += n;
        else
            w->iov[w->iovs++] = (struct iovec){p, n};
    }
    w->staged += n;
    count(w, n);
    return p;
}

void gw_put_u8(struct gw_writer *w, uint8_t v)
{
    uint8_t *p = room(w, 1);

    if (p)
        *p = v;
}

void gw_put_u16(struct gw_writer *w, uint16_t v)
{
    uint8_t *p = room(w, 2);

    if (p)
        gw_store_be16(p, v);
}

void gw_put_u32(struct gw_writer *w, uint32_t v)
{
    uint8_t *p = room(w, 4);

    if (p)
        gw_store_be32(p, v);
}

void gw_put_u64(struct gw_writer *w, uint64_t v)
{
    uint8_t *p = room(w, 8);

    if (p)
        gw_store_be64(p, v);
}

void gw_put_bytes(struct gw_writer *w, const void *bytes, size_t n)
{
    const uint8_t *from = bytes;

    while (n) {
        size_t part = w->channel ? GW_MIN(n, GW_WRITER_STAGE) : n;
        uint8_t *p = room(w, part);

        if (!p)
            return;
        memcpy(p, from, part);
        from += part;
        n -= part;
    }
}

void gw_put_str8(struct gw_writer *w, const char *s)
{
    size_t n = strlen(s);

    if (!n || n > 255) {
        if (!w->error.code)
            gw_fail(&w->error, -EINVAL, GW_BLAME_CALLER, "a name of %zu bytes at byte %" PRIu64, n, w->offset);
        return;
    }
    gw_put_u8(w, (uint8_t)n);
    gw_put_bytes(w, s, n);
}

void gw_put_ref(struct gw_writer *w, const void *bytes, size_t n)
{
    if (!w->channel) {
        gw_put_bytes(w, bytes, n);
        return;
    }
    if (w->error.code || !n)
        return;
    if ((w->iovs >= GW_WRITER_VECTORS || (w->flush_bytes && w->queued >= w->flush_bytes)) &&
        gw_writer_flush(w, NULL) < 0)
        return;
    w->iov[w->iovs++] = (struct iovec){(void *)bytes, n};
    count(w, n);
}
