/* SPDX-License-Identifier: MIT
 *
 * reader: a channel bound to a cursor (base/cursor.h, whose functions take a reader too), or memory.
 *
 * Reads ahead no more than `readahead` bytes past what was asked for, so that what follows can be read straight to its
 * place (gw_reader_direct) without a copy.
 *
 * Threads: one owner.
 */
#ifndef GW_READER_H
#define GW_READER_H

#include "base/cursor.h"
#include "godwit/channel.h"

#define GW_READER_CAP      GW_IN_LOOK
#define GW_READER_LOOK_MAX (4u << 20) /* the most that can be looked at in one piece; buf grows to it */

struct gw_reader {
    struct gw_in in;            /* the first member */
    struct gw_channel *channel; /* NULL: memory */
    size_t readahead;
    uint8_t *buf;  /* ours; NULL for memory */
    size_t cap;    /* its bytes: GW_READER_CAP, or what was looked at */
    uint8_t *back; /* bytes that were given back (unread); while they last, in.data points here */
};

/* The channel stays the caller's. */
int gw_reader_init(struct gw_reader *r, struct gw_channel *channel, struct gw_error *err);
/* base: stream offset of the first byte, for messages. */
void gw_reader_init_memory(struct gw_reader *r, const void *data, size_t bytes, uint64_t base);
void gw_reader_close(struct gw_reader *r); /* also twice, and after a failed init */

#define gw_reader_fail(r, code, err, ...)      gw_in_fail(&(r)->in, code, err, __VA_ARGS__)
#define gw_reader_offset(r)                    gw_in_offset(&(r)->in)
#define gw_reader_buffered(r)                  gw_in_buffered(&(r)->in)
#define gw_reader_need(r, n, ret, err)         gw_in_need(&(r)->in, n, ret, err) /* n: at most GW_READER_LOOK_MAX */
#define gw_reader_try(r, n, ret, ret_got, err) gw_in_try(&(r)->in, n, ret, ret_got, err)
#define gw_reader_skip(r, n)                   gw_in_skip(&(r)->in, n)

/* Over a seekable channel: the next byte is the one that stands at `at` in the file. Offsets of the reader go on as if what
 * lies in between had been read. */
int gw_reader_seek(struct gw_reader *r, uint64_t at, struct gw_error *err);
/* Where in the file the next byte stands. */
int gw_reader_tell(struct gw_reader *r, uint64_t *ret_at, struct gw_error *err);

/* Fills the vectors: first from the buffer (copied), the rest straight from the channel. One or more calls of the
 * transport until all is there. The array is consumed. After a failure some of the memory may have been written. */
int gw_reader_direct(struct gw_reader *r, struct iovec *iov, int n, struct gw_error *err);

/* The same for one body, and with the same call of the transport up to `readahead` bytes of what follows. */
int gw_reader_direct_ahead(struct gw_reader *r, void *dst, size_t n, struct gw_error *err);

/* Reads once, whatever comes, up to the whole of the vectors; nothing may be buffered. At least one byte, or -ENODATA.
 * The vectors stay as they are. For reading ahead of what is known; see unread. */
ssize_t gw_reader_scatter(struct gw_reader *r, const struct iovec *iov, int n, struct gw_error *err);
/* Gives back the last `bytes` bytes of a scatter, which lie in these vectors: they will be read again. */
int gw_reader_unread(struct gw_reader *r, const struct iovec *iov, int n, size_t bytes, struct gw_error *err);

#endif
