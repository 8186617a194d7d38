/* SPDX-License-Identifier: MIT
 *
 * bytes: what a machine at rest is read from, or on a server written to: bytes at an offset, wherever they are.
 *
 *     file (bytes.c), server (nbd.c)  --gw_bytes_ops-->  formats
 *
 * Threads: reads may be made by any number at once, and writes of different ranges. What is read does not change meanwhile.
 */
#ifndef GW_IMAGE_BYTES_H
#define GW_IMAGE_BYTES_H

#include <sys/uio.h>

#include "base/base.h"

struct gw_bytes;

#define GW_BYTES_RANGES 4u /* that are read at once, at most */

struct gw_bytes_range {
    uint8_t *dst;
    size_t bytes;
    uint64_t at;
};

struct gw_bytes_ops {
    /* All of it, to vectors, which are used up. The range is in [0, size). -EPROTO: the bytes are not there. NULL: `read` does. */
    int (*readv)(struct gw_bytes *b, struct iovec *iov, unsigned count, uint64_t at, struct gw_error *err);
    /* The same to one place. */
    int (*read)(struct gw_bytes *b, uint8_t *dst, size_t bytes, uint64_t at, struct gw_error *err);
    /* Optional. The same of several ranges that are under way together. */
    int (*read_all)(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err);
    /* Optional. The range is wanted soon, in small pieces. */
    void (*ahead)(struct gw_bytes *b, uint64_t at, uint64_t bytes);
    /* Of what can be written: all of the range, which is in [0, size) and at multiples of `align`, but for the end; zeros; and all of
     * that to where a crash does not take it. After an error it is not known what is there. */
    int (*write)(struct gw_bytes *b, const uint8_t *src, size_t bytes, uint64_t at, struct gw_error *err);
    int (*zero)(struct gw_bytes *b, uint64_t at, uint64_t bytes, struct gw_error *err);
    int (*flush)(struct gw_bytes *b, struct gw_error *err);
    void (*free)(struct gw_bytes *b);
};

struct gw_bytes {
    const struct gw_bytes_ops *ops;
    uint64_t size;
    int fd;         /* of a file of this host; -1: it is none */
    unsigned depth; /* so many reads under way at once are worth while; 0: one for each processor */
    bool writes, flushes; /* of a server: it lets us */
    uint32_t align;       /* of a server: of what is written */
};

/* A regular file or a block device. Takes fd, also when it fails. */
int gw_bytes_file_new(int take_fd, struct gw_bytes **ret, struct gw_error *err);
/* -EPROTO: they are not there. */
int gw_bytes_readv(struct gw_bytes *b, struct iovec *iov, unsigned count, uint64_t at, struct gw_error *err);
int gw_bytes_read(struct gw_bytes *b, void *dst, size_t bytes, uint64_t at, struct gw_error *err);
/* Up to GW_BYTES_RANGES of them; one after the other where bytes cannot do better. */
int gw_bytes_read_all(struct gw_bytes *b, const struct gw_bytes_range *range, unsigned count, struct gw_error *err);
void gw_bytes_ahead(struct gw_bytes *b, uint64_t at, uint64_t bytes);
/* A copy of them in a file without a name; zeros are holes in it. *ret_fd: -1 on failure. Frees the bytes, also then. */
int gw_bytes_unpack(struct gw_bytes *take, const char *temporary_folder, int *ret_fd, struct gw_error *err);
/* Takes NULL, returns NULL. */
struct gw_bytes *gw_bytes_free(struct gw_bytes *b);

#endif
