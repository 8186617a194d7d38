/* SPDX-License-Identifier: MIT
 *
 * reader: a channel bound to a cursor (base/cursor.h, whose functions take a reader too), or memory.
 *
 * Reads at most `readahead` bytes more than requested, so that later bytes can be read directly to their place
 * (gw_reader_direct) without a copy.
 *
 * Threads: one owner.
 */
#ifndef GW_READER_H
#define GW_READER_H

#include "base/cursor.h"
#include "godwit/channel.h"

#define GW_READER_CAP      GW_IN_LOOK
#define GW_READER_LOOK_MAX (4u << 20) /* the maximum size of gw_reader_need; buf grows to it */

struct gw_reader {
    struct gw_in in;            /* must be the first member */
    struct gw_channel *channel; /* NULL: memory */
    size_t readahead;
    uint8_t *buf;  /* owned; NULL for memory */
    size_t cap;    /* size of buf: GW_READER_CAP, or the largest size of gw_reader_need so far */
    uint8_t *back; /* bytes returned by unread; while there are any, in.data points here */
};

/* The channel is borrowed. */
int gw_reader_init(struct gw_reader *r, struct gw_channel *channel, struct gw_error *err);
/* base: stream offset of the first byte, for messages. */
void gw_reader_init_memory(struct gw_reader *r, const void *data, size_t bytes, uint64_t base);
void gw_reader_close(struct gw_reader *r); /* may be called twice, and after a failed init */

#define gw_reader_fail(r, code, err, ...)      gw_in_fail(&(r)->in, code, err, __VA_ARGS__)
#define gw_reader_offset(r)                    gw_in_offset(&(r)->in)
#define gw_reader_buffered(r)                  gw_in_buffered(&(r)->in)
#define gw_reader_need(r, n, ret, err)         gw_in_need(&(r)->in, n, ret, err) /* n: at most GW_READER_LOOK_MAX */
#define gw_reader_try(r, n, ret, ret_got, err) gw_in_try(&(r)->in, n, ret, ret_got, err)
#define gw_reader_skip(r, n)                   gw_in_skip(&(r)->in, n)

/* For a seekable channel: the next byte is read from `at` in the file. The reader's offset continues as if the bytes in
 * between had been read. */
int gw_reader_seek(struct gw_reader *r, uint64_t at, struct gw_error *err);
/* Position in the file of the next byte. */
int gw_reader_tell(struct gw_reader *r, uint64_t *ret_at, struct gw_error *err);

/* Fills the vectors: first from the buffer (copied), the rest directly from the channel, with as many calls of the
 * transport as needed. The array is consumed. After a failure some of the memory may have been written. */
int gw_reader_direct(struct gw_reader *r, struct iovec *iov, int n, struct gw_error *err);

/* The same for one body; the same call of the transport also reads up to `readahead` bytes of what follows. */
int gw_reader_direct_ahead(struct gw_reader *r, void *dst, size_t n, struct gw_error *err);

/* Reads once, as many bytes as come, at most all vectors; nothing may be buffered. Returns at least one byte, or
 * -ENODATA. The vectors are not changed. For predictions; see unread. */
ssize_t gw_reader_scatter(struct gw_reader *r, const struct iovec *iov, int n, struct gw_error *err);
/* Returns the last `bytes` bytes of a scatter, which are in these vectors, to the reader: they will be read again. */
int gw_reader_unread(struct gw_reader *r, const struct iovec *iov, int n, size_t bytes, struct gw_error *err);

#endif
