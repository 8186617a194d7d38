/* SPDX-License-Identifier: MIT
 *
 * bytes: the storage that a machine at rest is read from, or on a server also written to: bytes at an offset.
 *
 *     file (bytes.c), server (nbd.c)  --gw_bytes_ops-->  formats
 *
 * Threads: any number of threads may read at once, or write different ranges. Data does not change while it is read.
 */
#ifndef GW_IMAGE_BYTES_H
#define GW_IMAGE_BYTES_H

#include <sys/uio.h>

#include "base/base.h"

struct gw_bytes;

#define GW_BYTES_RANGES 4u /* ranges read at once, at most */

struct gw_bytes_range {
    uint8_t *dst;
    size_t bytes;
    uint64_t at;
};

struct gw_bytes_ops {
    /* Reads the whole range into vectors, which it modifies. The range is in [0, size). -EPROTO: the bytes are not
     * there. NULL: `read` does. */
    int (*readv)(struct gw_bytes *b, struct iovec *iov, unsigned count, uint64_t at, struct gw_error *err);
    /* The same into one buffer. */
    int (*read)(struct gw_bytes *b, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err);
    /* Optional. Reads several ranges at once. */
    int (*read_all)(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err);
    /* Optional. A hint: small pieces of the range will be read soon. */
    void (*ahead)(struct gw_bytes *b, uint64_t at, uint64_t bytes);
    /* For bytes that can be written: writes a range, which is in [0, size) and aligned to `align` except at the end;
     * writes zeros; flushes all writes to stable storage. After an error the contents of the range are unknown. */
    int (*write)(struct gw_bytes *b, const uint8_t *src, size_t bytes, uint64_t at, struct gw_error *err);
    int (*zero)(struct gw_bytes *b, uint64_t at, uint64_t bytes, struct gw_error *err);
    int (*flush)(struct gw_bytes *b, struct gw_error *err);
    void (*free)(struct gw_bytes *b);
};

struct gw_bytes {
    const struct gw_bytes_ops *ops;
    uint64_t size;
    int fd;         /* descriptor of a local file; -1: it is not a local file */
    unsigned depth; /* useful number of concurrent reads; 0: one per processor */
    bool writes, flushes; /* server: whether it accepts writes and flushes */
    uint32_t align;       /* server: alignment of writes */
};

/* A regular file or a block device. Takes fd, also when it fails. */
int gw_bytes_file_new(int take_fd, struct gw_bytes **ret, struct gw_error *err);
/* -EPROTO: the bytes are not there. */
int gw_bytes_readv(struct gw_bytes *b, struct iovec *iov, unsigned count, uint64_t at, struct gw_error *err);
int gw_bytes_read(struct gw_bytes *b, void *dst, size_t bytes, uint64_t at, struct gw_error *err);
/* Reads up to GW_BYTES_RANGES ranges; one after the other if the backend has no read_all. */
int gw_bytes_read_all(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err);
void gw_bytes_ahead(struct gw_bytes *b, uint64_t at, uint64_t bytes);
/* Copies all bytes into an unnamed file, in which zeros are holes. *ret_fd: -1 on failure. Frees the bytes, also
 * then. */
int gw_bytes_unpack(struct gw_bytes *take, const char *temporary_folder, int *ret_fd, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_bytes *gw_bytes_free(struct gw_bytes *b);

#endif
