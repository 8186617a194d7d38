/* SPDX-License-Identifier: MIT
 *
 * unpack: makes files readable at any offset, runs programs that compress and decompress, and creates temporary files.
 *
 * The programs are gzip, bzip2, xz, lzop and zstd, from /usr/bin or /bin, whatever PATH and the rest of the environment say.
 * They run with the file as their standard input or output.
 */
#ifndef GW_IMAGE_UNPACK_H
#define GW_IMAGE_UNPACK_H

#include <sys/types.h>

#include "base/base.h"
#include "godwit/channel.h"

struct gw_feed; /* image/feed.h */

#define GW_UNPACK_HEAD 16u /* bytes that gw_compression needs */

/* The program whose format begins with these bytes; NULL: unknown format. */
const char *gw_compression(const uint8_t *head, size_t bytes);
/* Whether a program of this name is supported. */
bool gw_compression_known(const char *program);

/* A running program with one end of a pipe. */
struct gw_filter {
    const char *program;
    pid_t child;
    int pipe; /* its output, or its input; -1 once closed */
    int said; /* its standard error */
    struct gw_feed *feed; /* what gives it its input; NULL: it reads the file itself */
    bool unpacks;
    bool (*stop)(void *opaque); /* called now and then while waiting for its end; true: the program is ended. NULL: waits without
                                 * limit */
    void *opaque;
};
/* Decompresses from fd's position on; compresses to fd's position. fd stays the caller's until the end; its position moves. Bytes behind the
 * compressed stream are ignored: in a volume they are zeros or older contents. level 0: the default; -EINVAL: the program has no
 * such level. */
int gw_filter_decompress(struct gw_filter *f, const char *program, int fd, struct gw_error *err);
int gw_filter_compress(struct gw_filter *f, const char *program, int level, int fd, struct gw_error *err);
/* Whether the program is installed and supports this level; nothing is compressed. */
int gw_filter_try(const char *program, int level, struct gw_error *err);
/* Closes the pipe, waits for the program, and returns whether it succeeded. r: the caller's own result, which is
 * returned unless the program's failure explains it. -EPROTO: the compressed data is damaged. With r -ECANCELED the
 * program is ended at once. To be called once for each filter that was started. */
int gw_filter_end(struct gw_filter *f, int r, struct gw_error *err);

struct gw_zero; /* ram/page/zero.h */

/* Creates an unnamed file. folder NULL: /var/tmp; so in the functions below. */
int gw_temporary(const char *folder, int *ret_fd, struct gw_error *err);
int gw_pwrite_all(int fd, const void *data, size_t bytes, uint64_t at, struct gw_error *err);
/* Writes all bytes into a sparse file: zeros are left out. */
int gw_pwrite_sparse(int fd, const void *data, size_t bytes, uint64_t at, const struct gw_zero *zero, struct gw_error *err);
/* Reads the whole range, which must be in the file. what: for messages. */
int gw_pread_all(int fd, void *dst, size_t bytes, uint64_t at, const char *what, struct gw_error *err);
/* Appends the rest of `from` to a file that ends at `at`; zeros become holes. */
int gw_copy_sparse(int from, int to, uint64_t at, struct gw_error *err);
/* Reads until the buffer is full or the end is reached; 0 at the end. */
ssize_t gw_read_full(int fd, void *buf, size_t bytes, struct gw_error *err);

/* Returns the uncompressed contents in a file that can be read at any offset: fd itself, or a temporary file. Takes fd,
 * also on failure. Data in no known compression format counts as uncompressed. */
int gw_image_unpack(int fd, const char *name, const char *folder, int *ret_fd, struct gw_error *err);
/* The data from fd's position on, decompressed by this program. Takes fd. */
int gw_image_unpack_with(int fd, const char *program, const char *folder, int *ret_fd, struct gw_error *err);

#endif
