/* SPDX-License-Identifier: MIT
 *
 * iov: arithmetic on vectors.
 */
#ifndef GW_CHANNEL_IOV_H
#define GW_CHANNEL_IOV_H

#include <sys/uio.h>

#include "base/base.h"

/* Vectors in one call of a transport, at most: Linux's limit. */
#define GW_IOV_MAX 1024

/* Advances by n bytes, from vector i on, and past empty ones; returns the index of the first that is not finished. */
static inline int gw_iov_advance(struct iovec *iov, int count, int i, size_t n)
{
    while (i < count && n >= iov[i].iov_len)
        n -= iov[i++].iov_len;
    if (n && i < count) {
        iov[i].iov_base = (char *)iov[i].iov_base + n;
        iov[i].iov_len -= n;
    }
    return i;
}

static inline uint64_t gw_iov_bytes(const struct iovec *iov, int count)
{
    uint64_t sum = 0;

    for (int i = 0; i < count; i++)
        sum += iov[i].iov_len;
    return sum;
}

/* Copies the vectors with the first max_bytes (at least 1); returns their number, without empty ones. dst has room for
 * `count`. */
static inline int gw_iov_clip(struct iovec *dst, const struct iovec *src, int count, uint64_t max_bytes)
{
    int n = 0;

    for (int i = 0; i < count && max_bytes; i++) {
        if (!src[i].iov_len)
            continue;
        dst[n] = src[i];
        dst[n].iov_len = (size_t)GW_MIN((uint64_t)dst[n].iov_len, max_bytes);
        max_bytes -= dst[n++].iov_len;
    }
    return n;
}

#endif
