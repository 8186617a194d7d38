/* SPDX-License-Identifier: MIT
 *
 * writer: a channel bound to a cursor (base/cursor.h, whose functions take a writer too), or a growing buffer.
 *
 * Small values are copied into a staging buffer; bodies passed to gw_put_ref are referenced until the next flush, and
 * the transport sends them from their place, hundreds in one call. The writer flushes by itself when the vectors or the
 * staging buffer are full, or when flush_bytes are buffered. Errors stick: put functions return nothing, the next flush
 * returns the first error.
 *
 * With an account, each flush adds the bytes since the last one to it, even if the flush fails.
 *
 * With gw_writer_zerocopy bodies are sent without a copy, and are referenced until the kernel has released them.
 *
 * Threads: one owner.
 */
#ifndef GW_WRITER_H
#define GW_WRITER_H

#include "base/cursor.h"
#include "channel/account.h"
#include "channel/zerocopy.h"
#include "godwit/channel.h"

#define GW_WRITER_VECTORS 1024
#define GW_WRITER_STAGE   GW_IN_LOOK

struct gw_writer {
    struct gw_out out;          /* must be the first member; over a channel GW_WRITER_STAGE bytes begin at out.begin */
    struct gw_channel *channel; /* NULL: memory */
    struct iovec *iov;
    int iovs;
    uint8_t *piece;          /* beginning of staged bytes that are in no vector yet */
    uint64_t flushed_offset; /* bytes after this offset are buffered */
    /* flush when so many bytes are buffered; 0: when a buffer is full. For pacing: channel/pace.h */
    uint64_t flush_bytes;
    uint64_t booked[GW_CAUSE_COUNT]; /* the part of out.by that is in the account */
    struct gw_account *account;      /* shared by any number of writers; borrowed. NULL: none */
    void (*flushed)(void *opaque, uint64_t bytes); /* called after each flush that wrote something; may be NULL */
    void *opaque;
    struct gw_zerocopy *zerocopy; /* NULL: the channel copies bodies */
};

int gw_writer_init(struct gw_writer *w, struct gw_channel *channel, struct gw_error *err);
int gw_writer_init_memory(struct gw_writer *w, struct gw_error *err);
void gw_writer_close(struct gw_writer *w); /* may be called twice, and after a failed init; does not flush */
/* For a seekable channel. Flushes, then writes the vectors, `bytes` bytes in all, to this position of the file at once;
 * the bytes count as put. The array is consumed. */
void gw_writer_place(struct gw_writer *w, struct iovec *iov, int n, uint64_t bytes, uint64_t at);
/* The file offset of the next byte of the stream. tell: returns it after a flush; seek: changes it. */
int gw_writer_tell(struct gw_writer *w, uint64_t *ret_at, struct gw_error *err);
int gw_writer_seek(struct gw_writer *w, uint64_t at, struct gw_error *err);
/* The first error of all puts since init, or of this flush. Over memory nothing is flushed, but the error is
 * returned. */
int gw_writer_flush(struct gw_writer *w, struct gw_error *err);

/* From now on bodies are not copied. Call before anything is put. */
int gw_writer_zerocopy(struct gw_writer *w, struct gw_error *err);
/* Flushes and waits until no body is referenced any more. await: in front of this offset; settle: at all. */
int gw_writer_await(struct gw_writer *w, uint64_t offset, struct gw_error *err);
int gw_writer_settle(struct gw_writer *w, struct gw_error *err);

/* All bytes before this offset were passed on, and are not referenced any more. Also after an error, which is
 * permanent. */
static inline uint64_t gw_writer_passed(const struct gw_writer *w)
{
    if (!w->channel || w->out.error.code)
        return w->out.offset;
    return w->zerocopy ? gw_zerocopy_released(w->zerocopy) : w->flushed_offset;
}

/* Memory only: the bytes so far; taken away, malloc'ed. */
#define gw_writer_data(w, ret_bytes) gw_out_data(&(w)->out, ret_bytes)
#define gw_writer_take(w, ret_bytes) gw_out_take(&(w)->out, ret_bytes)
#define gw_writer_offset(w)          ((w)->out.offset)

static inline enum gw_cause gw_writer_cause(struct gw_writer *w, enum gw_cause cause)
{
    enum gw_cause old = w->out.cause;

    w->out.cause = cause;
    return old;
}

#endif
