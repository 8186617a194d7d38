/* SPDX-License-Identifier: MIT */
#include "base/cursor.h"

/* ---- in ---------------------------------------------------------------------------------------------------------- */

void gw_in_memory(struct gw_in *in, const void *data, size_t bytes, uint64_t base)
{
    in->data = data ? data : "";
    in->pos = 0;
    in->end = bytes;
    in->base = base;
    /* its text is not cleared: cursors are also made for single values, so this must be cheap */
    in->failed = in->error.code = 0;
    in->what = NULL;
    in->ops = NULL;
}

int gw_in_stuck(struct gw_in *in, struct gw_error *err)
{
    in->failed = in->error.code;
    if (err)
        *err = in->error;
    return in->failed;
}

int gw_in_fail(struct gw_in *in, int code, struct gw_error *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    gw_failv(&in->error, code, GW_BLAME_PEER, fmt, ap);
    va_end(ap);
    return gw_in_stuck(in, err);
}

int gw_in_ended(struct gw_in *in, uint64_t wanted, struct gw_error *err)
{
    gw_fail(&in->error, -ENODATA, GW_BLAME_CHANNEL,
            "stream ended at byte %" PRIu64 "%s%s (%" PRIu64 " more bytes needed)", in->base + in->end,
            in->what ? " inside " : "", in->what ? in->what : "", wanted);
    return gw_in_stuck(in, err);
}

int gw_in_try(struct gw_in *in, size_t n, const uint8_t **ret, size_t *ret_got, struct gw_error *err)
{
    int e = 0;

    if (in->failed)
        return gw_in_stuck(in, err);
    if (in->ops && n > gw_in_buffered(in))
        e = in->ops->refill(in, n, err);
    if (e < 0)
        return e;
    *ret = in->data + in->pos;
    *ret_got = GW_MIN(n, gw_in_buffered(in));
    return 0;
}

int gw_in_wait(struct gw_in *in, size_t n, const uint8_t **ret, struct gw_error *err)
{
    const uint8_t *p = NULL;
    size_t got = 0;
    int e = gw_in_try(in, n, &p, &got, err);

    if (e)
        return e;
    if (got < n)
        return gw_in_ended(in, n - got, err);
    *ret = p;
    return 0;
}

int(gw_get_bytes)(struct gw_in *in, void *dst, size_t n, struct gw_error *err)
{
    const uint8_t *p;
    int e;

    if (n > GW_IN_LOOK && in->ops)
        return in->ops->direct(in, dst, n, err);
    e = gw_in_need(in, n, &p, err);
    if (e)
        return e;
    if (n)
        memcpy(dst, p, n);
    in->pos += n;
    return 0;
}

int(gw_get_discard)(struct gw_in *in, uint64_t n, struct gw_error *err)
{
    while (n) {
        size_t take = (size_t)GW_MIN(n, GW_IN_LOOK / 2);
        const uint8_t *p;
        int e = gw_in_need(in, take, &p, err);

        if (e)
            return e;
        in->pos += take;
        n -= take;
    }
    return 0;
}

int(gw_get_all)(struct gw_in *in, uint64_t n, uint8_t **ret, struct gw_error *err)
{
    uint8_t *all = NULL;
    uint64_t have = 0;

    while (have < n) {
        uint64_t take = GW_MIN(n - have, GW_MAX(have, (uint64_t)GW_IN_LOOK));
        uint8_t *grown = realloc(all, (size_t)(have + take));
        int e;

        if (!grown) {
            free(all);
            return gw_nomem(err, "contents of the stream");
        }
        all = grown;
        e = gw_get_bytes(in, all + have, (size_t)take, err);
        if (e < 0) {
            free(all);
            return e;
        }
        have += take;
    }
    *ret = all;
    return 0;
}

int(gw_get_str8)(struct gw_in *in, char *dst, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    uint8_t n;
    int e = gw_get_u8(in, &n, err);

    if (e)
        return e;
    if (!n)
        return gw_in_fail(in, -EPROTO, err, "empty name at byte %" PRIu64, at);
    e = gw_get_bytes(in, dst, n, err);
    if (e < 0)
        return e;
    dst[n] = 0;
    if (memchr(dst, 0, n))
        return gw_in_fail(in, -EPROTO, err, "name at byte %" PRIu64 " has a NUL inside", at);
    return 0;
}

int gw_in_printable(struct gw_in *in, const char *text, uint64_t at, struct gw_error *err)
{
    for (const char *p = text; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            return gw_in_fail(in, -EPROTO, err, "the name at byte %" PRIu64 " has a byte 0x%02x in it", at,
                              (uint8_t)*p);
    return 0;
}

int gw_get_name(struct gw_in *in, char *dst, struct gw_error *err)
{
    uint64_t at = gw_in_offset(in);
    int e = gw_get_str8(in, dst, err);

    return e < 0 ? e : gw_in_printable(in, dst, at, err);
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

static bool grow(struct gw_out *out, size_t n)
{
    size_t used = (size_t)(out->at - out->begin), cap = GW_MAX(GW_MAX((used + out->room) * 2, 4096), used + n);
    uint8_t *grown = out->error.code ? NULL : realloc(out->begin, cap);

    if (!grown) {
        if (!out->error.code)
            gw_nomem(&out->error, "stream buffer");
        return false;
    }
    out->begin = grown;
    out->at = grown + used;
    out->room = cap - used;
    return true;
}

static void copy(struct gw_out *out, const void *bytes, size_t n)
{
    gw_put_bytes(out, bytes, n);
}

void gw_out_memory(struct gw_out *out)
{
    static const struct gw_out_ops ops = {.more = grow, .ref = copy};

    *out = (struct gw_out){.ops = &ops};
}

static bool full(struct gw_out *out, size_t n)
{
    if (!out->error.code)
        gw_fail(&out->error, -EMSGSIZE, GW_BLAME_CALLER, "%zu bytes do not fit, %zu are left", n, out->room);
    return false;
}

void gw_out_fixed(struct gw_out *out, void *bytes, size_t size)
{
    static const struct gw_out_ops ops = {.more = full, .ref = copy};

    *out = (struct gw_out){.begin = bytes, .at = bytes, .room = size, .ops = &ops};
}

void gw_out_free(struct gw_out *out)
{
    free(out->begin);
    out->begin = out->at = NULL;
    out->room = 0;
}

void *gw_out_take(struct gw_out *out, size_t *ret_bytes)
{
    void *p = out->begin;

    *ret_bytes = (size_t)(out->at - out->begin);
    out->begin = out->at = NULL;
    out->room = 0;
    return p;
}

int gw_out_error(const struct gw_out *out, struct gw_error *err)
{
    if (out->error.code && err)
        *err = out->error;
    return out->error.code;
}

void(gw_put_bytes)(struct gw_out *out, const void *bytes, size_t n)
{
    const uint8_t *from = bytes;

    while (n && !out->error.code) {
        size_t part = GW_MIN(n, GW_IN_LOOK);
        uint8_t *p = gw_out_room(out, part);

        if (!p)
            return;
        memcpy(p, from, part);
        from += part;
        n -= part;
    }
}

void(gw_put_str8)(struct gw_out *out, const char *s)
{
    size_t n = strlen(s);

    if (!n || n > 255) {
        if (!out->error.code)
            gw_fail(&out->error, -EINVAL, GW_BLAME_CALLER, "a name of %zu bytes at byte %" PRIu64, n, out->offset);
        out->room = 0;
        return;
    }
    gw_put_u8(out, (uint8_t)n);
    gw_put_bytes(out, s, n);
}
