/* SPDX-License-Identifier: MIT
 *
 * Reads compressed clusters. The last unpacked one is kept, because a cluster is often read in parts.
 */
#include "disk/node/qcow2_inner.h"

#ifdef GW_HAVE_ZLIB
#include <zlib.h>

/* 0: exactly to_bytes were unpacked. */
static int inflate_raw(const void *from, size_t from_bytes, void *to, size_t to_bytes)
{
    z_stream z = {
        .next_in = (Bytef *)(uintptr_t)from, .avail_in = (uInt)from_bytes, .next_out = to, .avail_out = (uInt)to_bytes};

    if (inflateInit2(&z, -15) != Z_OK)
        return -ENOMEM;
    inflate(&z, Z_FINISH); /* bytes after the stream in its last sector are ignored */
    inflateEnd(&z);
    return z.avail_out ? -EPROTO : 0;
}
#else
static int inflate_raw(const void *from, size_t from_bytes, void *to, size_t to_bytes)
{
    return -ENOTSUP;
}
#endif

#ifdef GW_HAVE_ZSTD
#include <zstd.h>

static int inflate_zstd(const void *from, size_t from_bytes, void *to, size_t to_bytes)
{
    ZSTD_inBuffer in = {from, from_bytes, 0};
    ZSTD_outBuffer out = {to, to_bytes, 0};
    ZSTD_DCtx *context = ZSTD_createDCtx();

    if (!context)
        return -ENOMEM;
    while (out.pos < out.size) {
        size_t in_before = in.pos, out_before = out.pos;

        if (ZSTD_isError(ZSTD_decompressStream(context, &out, &in)) || (in.pos == in_before && out.pos == out_before))
            break;
    }
    ZSTD_freeDCtx(context);
    return out.pos < out.size ? -EPROTO : 0;
}
#else
static int inflate_zstd(const void *from, size_t from_bytes, void *to, size_t to_bytes)
{
    return -ENOTSUP;
}
#endif

int gw_qcow2_inflate(bool zstd, const void *from, size_t from_bytes, void *to, size_t to_bytes)
{
    return zstd ? inflate_zstd(from, from_bytes, to, to_bytes) : inflate_raw(from, from_bytes, to, to_bytes);
}

void gw_qcow2_unpack_forget(struct gw_qcow2 *q)
{
    pthread_mutex_lock(&q->packed_lock);
    q->packed_entry = 0;
    pthread_mutex_unlock(&q->packed_lock);
}

/* Reads at most a cluster: a longer compressed cluster would have been stored uncompressed. The number of sectors may
 * be larger by one. */
static int unpack(struct gw_qcow2 *q, uint64_t entry, struct gw_error *err)
{
    unsigned x = 62 - (q->h.cluster_bits - 8);
    uint64_t from = entry & ((1ull << x) - 1) & ((1ull << 56) - 1);
    uint64_t bytes = (((entry & (GW_QCOW2_PACKED - 1)) >> x) + 1) * 512 - (from & 511);
    int r;

    if (!q->packed) {
        q->packed = malloc(q->cluster_bytes);
        q->packed_from = malloc(2 * (size_t)q->cluster_bytes + 512);
    }
    if (!q->packed || !q->packed_from)
        return gw_nomem(err, "compressed cluster");
    bytes = GW_MIN(bytes, 2 * (uint64_t)q->cluster_bytes + 512);
    q->packed_entry = 0;
    r = gw_qcow2_get(q, q->packed_from, bytes, from, err);
    if (r < 0)
        return r;
    r = gw_qcow2_inflate(q->h.compression == 1, q->packed_from, bytes, q->packed, q->cluster_bytes);
    if (r == -ENOTSUP)
        return gw_fail(err, r, GW_BLAME_LOCAL, "%s: it has compressed clusters, and this build has no %s", q->node.name,
                       q->h.compression ? "zstd" : "zlib");
    if (r == -ENOMEM)
        return gw_nomem(err, "compressed cluster");
    if (r < 0)
        return gw_qcow2_bad(q, err, "the compressed cluster at offset %" PRIu64 " is damaged", from);
    q->packed_entry = entry;
    return 0;
}

int gw_qcow2_unpack(struct gw_qcow2 *q, uint64_t entry, void *to, uint64_t bytes, uint64_t in, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&q->packed_lock);
    if (q->packed_entry != entry)
        r = unpack(q, entry, err);
    if (r >= 0)
        memcpy(to, q->packed + in, bytes);
    pthread_mutex_unlock(&q->packed_lock);
    return r;
}
