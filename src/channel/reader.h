/* SPDX-License-Identifier: MIT
 *
 * reader: a stream's bytes as bounded values. Over a channel or over memory.
 *
 * Every get function checks that the bytes are there and fails with the offset. Errors stick: once a reader has failed
 * it stays failed, with the first error. -ENODATA, blame CHANNEL: the stream ended too early.
 *
 * Reads ahead no more than `readahead` bytes past what was asked for, so that what follows can be read straight to its
 * place (gw_reader_direct) without a copy.
 *
 * Threads: one owner.
 */
#ifndef GW_READER_H
#define GW_READER_H

#include "base/base.h"
#include "godwit/channel.h"

#define GW_READER_CAP      65536
#define GW_READER_LOOK_MAX (4u << 20) /* the most that can be looked at in one piece; buf grows to it */

struct gw_reader {
    struct gw_channel *channel; /* NULL: memory */
    const uint8_t *data;        /* buffered bytes [pos, end) */
    size_t pos, end;
    uint64_t base;              /* stream offset of data[0] */
    size_t readahead;
    uint8_t *buf;               /* ours; NULL for memory */
    size_t cap;                 /* its bytes: GW_READER_CAP, or what was looked at */
    uint8_t *back;              /* bytes that were given back (unread); while they last, data points here */
    int failed;                 /* code of error: the first one, which stays */
    struct gw_error error;
    const char *what;           /* what is being read, for messages: "section header"; may be NULL */
};

/* The channel stays the caller's. */
int gw_reader_init(struct gw_reader *r, struct gw_channel *channel, struct gw_error *err);
/* base: stream offset of the first byte, for messages. */
void gw_reader_init_memory(struct gw_reader *r, const void *data, size_t bytes, uint64_t base);
void gw_reader_close(struct gw_reader *r); /* also twice, and after a failed init */
/* What the caller found wrong with the bytes becomes the reader's sticky error. Returns code. */
int gw_reader_fail(struct gw_reader *r, int code, struct gw_error *err, const char *fmt, ...) GW_PRINTF(4, 5);

static inline uint64_t gw_reader_offset(const struct gw_reader *r)
{
    return r->base + r->pos;
}

static inline size_t gw_reader_buffered(const struct gw_reader *r)
{
    return r->end - r->pos;
}

/* Makes n (at most GW_READER_LOOK_MAX, or all of the memory) bytes available at *ret without taking them; valid until the
 * next call. -ENODATA at the end of the stream. */
int gw_reader_need(struct gw_reader *r, size_t n, const uint8_t **ret, struct gw_error *err);
/* Like need, but 0 with *ret_got < n at the end of the stream. */
int gw_reader_try(struct gw_reader *r, size_t n, const uint8_t **ret, size_t *ret_got, struct gw_error *err);
void gw_reader_skip(struct gw_reader *r, size_t n); /* bytes that need() has shown */

int gw_get_u8(struct gw_reader *r, uint8_t *ret, struct gw_error *err);
int gw_get_u16(struct gw_reader *r, uint16_t *ret, struct gw_error *err);
int gw_get_u32(struct gw_reader *r, uint32_t *ret, struct gw_error *err);
int gw_get_u64(struct gw_reader *r, uint64_t *ret, struct gw_error *err);
int gw_get_bytes(struct gw_reader *r, void *dst, size_t n, struct gw_error *err);
int gw_get_discard(struct gw_reader *r, uint64_t n, struct gw_error *err);
/* str8: 1..255 bytes, no NUL inside, else -EPROTO with blame PEER; dst has 256. */
int gw_get_str8(struct gw_reader *r, char *dst, struct gw_error *err);

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
