/* SPDX-License-Identifier: MIT */
#include "image/parked/append.h"

void gw_append_begin(struct gw_append *a, struct gw_spool *spool, size_t piece_bytes, uint8_t *piece, uint64_t at,
                     size_t fill)
{
    *a = (struct gw_append){.spool = spool, .piece_bytes = piece_bytes, .piece = piece, .at = at, .fill = fill};
}

int gw_append_put(struct gw_append *a, const void *src, size_t bytes, struct gw_error *err)
{
    const uint8_t *from = src;

    while (bytes) {
        size_t n = GW_MIN(bytes, a->piece_bytes - a->fill);

        if (!a->piece && !(a->piece = gw_spool_room(a->spool)))
            return gw_spool_flush(a->spool, err);
        memcpy(a->piece + a->fill, from, n);
        a->fill += n;
        from += n;
        bytes -= n;
        if (a->fill == a->piece_bytes) {
            gw_spool_put(a->spool, a->at, a->piece_bytes);
            a->piece = NULL;
            a->at += a->piece_bytes;
            a->fill = 0;
        }
    }
    return 0;
}

int gw_append_end(struct gw_append *a, struct gw_error *err)
{
    size_t n = (a->fill + GW_SPOOL_ALIGN - 1) & ~(size_t)(GW_SPOOL_ALIGN - 1);

    if (n) {
        memset(a->piece + a->fill, 0, n - a->fill);
        gw_spool_put(a->spool, a->at, n);
    }
    a->piece = NULL;
    a->fill = 0;
    return gw_spool_flush(a->spool, err);
}
