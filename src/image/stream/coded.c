/* SPDX-License-Identifier: MIT */
#include "image/stream/file.h"

#ifdef GW_HAVE_ZLIB
#include <zlib.h>

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
