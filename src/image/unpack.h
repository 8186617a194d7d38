/* SPDX-License-Identifier: MIT
 *
 * unpack: files that must be made readable in any order first, programs that compress and decompress, temporary files.
 *
 * The programs are gzip, bzip2, xz, lzop and zstd, from /usr/bin or /bin, whatever PATH and the rest of the environment say.
 * They run with the file as their standard input or output.
 */
#ifndef GW_IMAGE_UNPACK_H
#define GW_IMAGE_UNPACK_H

#include <sys/types.h>

#include "base/base.h"
#include "godwit/channel.h"

#define GW_UNPACK_HEAD 16u /* bytes that gw_compression wants to see */

/* The program whose format begins with these bytes; NULL: none that is known. */
const char *gw_compression(const uint8_t *head, size_t bytes);
/* Whether there is one of this name. */
bool gw_compression_known(const char *program);

/* A program at work on one end of a pipe. */
struct gw_filter {
    const char *program;
    pid_t child;
    int pipe; /* what it wrote, or what it is to read; -1 once closed */
    int said; /* its standard error */
    bool unpacks;
    bool (*stop)(void *opaque); /* called now and then while its end is waited for; true: it is ended. NULL: it is waited for however long */
    void *opaque;
};
/* Decompresses what fd has from its position on; compresses to where fd stands. fd stays the caller's, its position
 * moves. level 0: the usual; -EINVAL: the program has no such level. */
int gw_filter_decompress(struct gw_filter *f, const char *program, int fd, struct gw_error *err);
int gw_filter_compress(struct gw_filter *f, const char *program, int level, int fd, struct gw_error *err);
/* Whether the program is there and takes this level: it compresses nothing. */
int gw_filter_try(const char *program, int level, struct gw_error *err);
/* Closes the pipe, waits for the program, and says whether it did its work; r: what its user came to, which is told
 * unless the program's failure explains it. -EPROTO: what it was to unpack is damaged. With r -ECANCELED the program is ended at once.
 * Once for each filter that was started. */
int gw_filter_end(struct gw_filter *f, int r, struct gw_error *err);

struct gw_zero; /* ram/page/zero.h */

/* A file without a name. folder: NULL: /var/tmp, as in what follows. */
int gw_temporary(const char *folder, int *ret_fd, struct gw_error *err);
int gw_pwrite_all(int fd, const void *data, size_t bytes, uint64_t at, struct gw_error *err);
/* The same into a file of holes: zeros are left out. */
int gw_pwrite_sparse(int fd, const void *data, size_t bytes, uint64_t at, const struct gw_zero *zero, struct gw_error *err);
/* All of the range, which is in the file. what: is read, for messages. */
int gw_pread_all(int fd, void *dst, size_t bytes, uint64_t at, const char *what, struct gw_error *err);
/* All that comes from `from` up to its end to a file that ends at `at`; zeros become holes. */
int gw_copy_sparse(int from, int to, uint64_t at, struct gw_error *err);
/* As much as there is, up to a full buffer; 0 at the end. */
ssize_t gw_read_full(int fd, void *buf, size_t bytes, struct gw_error *err);

/* What fd has, plain and in a file that can be read in any order: fd itself, or a temporary file. Takes fd, also when
 * it fails. Plain is what is no format of a compression program. */
int gw_image_unpack(int fd, const char *name, const char *folder, int *ret_fd, struct gw_error *err);
/* What fd has from its position on, decompressed by this program. Takes fd. */
int gw_image_unpack_with(int fd, const char *program, const char *folder, int *ret_fd, struct gw_error *err);

#endif
