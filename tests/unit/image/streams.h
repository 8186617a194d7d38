/* SPDX-License-Identifier: MIT
 *
 * streams: the captures that are whole main streams, inflated; and channels that give bytes in small pieces.
 */
#ifndef TEST_STREAMS_H
#define TEST_STREAMS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>

#include "base/base.h"
#include "godwit/channel.h"

/* Sorted out by hand from captures/README.md: all but return paths, multifd and preempt channels, and recovery. */
#define STREAM(name, devices, described) {name, devices, described}
static const struct stream_expected {
    const char *name;
    unsigned devices;
    bool described;
} streams[] = {
    STREAM("background-snapshot-4M-10.0.bin", 2, true),
    STREAM("background-snapshot-4M-7.2.bin", 2, true),
    STREAM("block-microvm-7.2.bin.gz", 15, true),
    STREAM("block-zeroblocks-microvm-7.2.bin.gz", 15, true),
    STREAM("colo-7.2.src2dst.bin", 2, true),
    STREAM("compress-microvm-7.2.bin", 14, true),
    STREAM("dirty-bitmaps-alias-postcopy-10.0.bin", 2, true),
    STREAM("dirty-bitmaps-postcopy-only-10.0.bin", 2, false),
    STREAM("dirty-bitmaps-precopy-10.0.bin.gz", 2, true),
    STREAM("dirty-bitmaps-precopy-7.2.bin.gz", 2, true),
    STREAM("dirty-bitmaps-with-postcopy-ram-7.2.src2dst.bin", 2, false),
    STREAM("ignore-shared-10.0.bin", 2, true),
    STREAM("ignore-shared-7.2.bin", 2, true),
    STREAM("mapped-ram-10.0.bin.gz", 2, true),
    STREAM("mapped-ram-multifd-10.0.bin.gz", 2, true),
    STREAM("multifd-10.0-to-7.2.main.src2dst.bin", 2, true),
    STREAM("multifd-10.0.main.src2dst.bin", 2, true),
    STREAM("multifd-7.2.main.src2dst.bin", 2, true),
    STREAM("multifd-legacyzero-10.0.main.src2dst.bin", 2, true),
    STREAM("multifd-zlib-10.0.main.src2dst.bin", 2, true),
    STREAM("multifd-zlib-7.2.main.src2dst.bin", 2, true),
    STREAM("multifd-zstd-10.0.main.src2dst.bin", 2, true),
    STREAM("multifd-zstd-7.2.main.src2dst.bin", 2, true),
    STREAM("postcopy-10.0.main.src2dst.bin", 2, false),
    STREAM("postcopy-7.2.main.src2dst.bin", 2, false),
    STREAM("postcopy-preempt-10.0.main.src2dst.bin.gz", 2, false),
    STREAM("postcopy-preempt-7.2.main.src2dst.bin", 2, false),
    STREAM("precopy-microvm-10.0.bin.gz", 14, true),
    STREAM("precopy-microvm-7.2.bin.gz", 14, true),
    STREAM("precopy-none-10.0.bin", 2, true),
    STREAM("precopy-none-7.2.bin", 2, true),
    STREAM("precopy-pc-10.0.bin.gz", 30, true),
    STREAM("precopy-pc-7.2.bin.gz", 30, true),
    STREAM("precopy-rp-10.0-to-7.2.main.src2dst.bin", 2, true),
    STREAM("precopy-rp-10.0.main.src2dst.bin", 2, true),
    STREAM("precopy-rp-7.2.main.src2dst.bin", 2, true),
    STREAM("stopped-source-64k-10.0.bin", 2, true),
    STREAM("stopped-source-64k-7.2.bin", 2, true),
    STREAM("switchover-ack-10.0.main.src2dst.bin", 2, true),
    STREAM("validate-uuid-10.0.bin", 2, true),
    STREAM("validate-uuid-7.2.bin", 2, true),
    STREAM("xbzrle-microvm-10.0.bin", 14, true),
    STREAM("xbzrle-microvm-7.2.bin", 14, true),
};

struct bytes {
    uint8_t *data;
    size_t bytes;
};

/* Plain files pass through. */
static inline struct bytes stream_load(const char *name)
{
    struct bytes b = {malloc(16 << 20), 0};
    char path[512];
    gzFile f;
    int n;

    snprintf(path, sizeof path, GOLDEN_DIR "/captures/%s", name);
    f = gzopen(path, "rb");
    if (!f || !b.data) {
        fprintf(stderr, "no %s\n", path);
        abort();
    }
    while ((n = gzread(f, b.data + b.bytes, 65536)) > 0)
        b.bytes += (size_t)n;
    gzclose(f);
    return b;
}

/* A channel over memory; at most `piece` bytes a read. */
struct trickle {
    struct gw_channel channel;
    const uint8_t *data;
    size_t bytes, at, piece;
};

static inline ssize_t trickle_readv(struct gw_channel *ch, const struct iovec *iov, int n, struct gw_error *err)
{
    struct trickle *t = (struct trickle *)ch;
    size_t take = GW_MIN(GW_MIN(t->piece, iov[0].iov_len), t->bytes - t->at);

    memcpy(iov[0].iov_base, t->data + t->at, take);
    t->at += take;
    return (ssize_t)take;
}

static const struct gw_channel_ops trickle_ops = {.kind = "test", .readv = trickle_readv};

static inline void trickle_init(struct trickle *t, const uint8_t *data, size_t bytes, size_t piece)
{
    *t = (struct trickle){.data = data, .bytes = bytes, .piece = piece};
    gw_channel_init(&t->channel, &trickle_ops, 0, "test");
}

#endif
