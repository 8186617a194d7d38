/* SPDX-License-Identifier: MIT */
#include "image/stream/file.h"

#ifdef GW_HAVE_ZLIB
#include <zlib.h>
#endif

struct cursor {
    const uint8_t *p;
    uint32_t at, end;
};

/* One or two bytes of seven bits. */
static bool get_length(struct cursor *c, uint32_t *ret)
{
    uint8_t a, b;

    if (c->at == c->end)
        return false;
    a = c->p[c->at++];
    *ret = a & 0x7f;
    if (!(a & 0x80))
        return true;
    if (c->at == c->end)
        return false;
    b = c->p[c->at++];
    *ret |= (uint32_t)b << 7;
    return !(b & 0x80);
}

int gw_coded_xbzrle(uint8_t *page, uint32_t page_bytes, const uint8_t *coded, uint32_t bytes, struct gw_error *err)
{
    struct cursor c = {coded, 0, bytes};
    uint32_t at = 0, n;

    if (!bytes)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "an empty difference");
    while (c.at < c.end) {
        uint32_t begin = c.at;

        if (!get_length(&c, &n) || (!n && begin) || n > page_bytes - at)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte %u of the difference is no length of what stays", begin);
        at += n;
        begin = c.at;
        if (!get_length(&c, &n) || !n || n > page_bytes - at || n > c.end - c.at)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "byte %u of the difference is no length of what is new", begin);
        memcpy(page + at, c.p + c.at, n);
        at += n;
        c.at += n;
    }
    return 0;
}

#ifdef GW_HAVE_ZLIB

struct gw_inflate {
    z_stream z;
};

int gw_coded_inflate(struct gw_inflate **state, uint8_t *page, uint32_t page_bytes, const uint8_t *coded,
                     uint32_t bytes, struct gw_error *err)
{
    struct gw_inflate *f = *state;
    int r;

    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f || inflateInit(&f->z) != Z_OK) {
            free(f);
            return gw_nomem(err, "decompression");
        }
        *state = f;
    }
    if (inflateReset(&f->z) != Z_OK)
        return gw_nomem(err, "decompression");
    f->z.next_in = (Bytef *)coded;
    f->z.avail_in = bytes;
    f->z.next_out = page;
    f->z.avail_out = page_bytes;
    r = inflate(&f->z, Z_FINISH);
    if (r == Z_MEM_ERROR)
        return gw_nomem(err, "decompression");
    if (r != Z_STREAM_END || f->z.avail_out || f->z.avail_in)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%u compressed bytes are not one page (%s)", bytes,
                       f->z.msg        ? f->z.msg
                       : f->z.avail_in ? "too many"
                                       : "too few");
    return 0;
}

void gw_coded_inflate_free(struct gw_inflate *state)
{
    if (state)
        inflateEnd(&state->z);
    free(state);
}

#else

int gw_coded_inflate(struct gw_inflate **state, uint8_t *page, uint32_t page_bytes, const uint8_t *coded,
                     uint32_t bytes, struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "pages are compressed, and this godwit was built without zlib");
}

void gw_coded_inflate_free(struct gw_inflate *state)
{
}

#endif
