/* SPDX-License-Identifier: MIT
 *
 * writer: values become a stream's bytes. Over a channel, or into a growing buffer.
 *
 * Small values are copied into a staging buffer; bodies given by gw_put_ref are referenced until the next flush and go
 * to the transport straight from where they are, hundreds in one call. The writer flushes by itself when the vectors or
 * the staging buffer are full, or when flush_bytes are waiting. Errors stick: put functions return nothing, the next
 * flush tells the first error.
 *
 * Accounting: what is put counts for the cause that is set. Offsets count bytes put, flushed or not. With an account,
 * each flush books there what was put since the last one, also when it fails.
 *
 * Threads: one owner.
 */
#ifndef GW_WRITER_H
#define GW_WRITER_H

#include "base/base.h"
#include "channel/account.h"
#include "godwit/channel.h"
#include "godwit/stats.h"

#define GW_WRITER_VECTORS 1024
#define GW_WRITER_STAGE   65536

struct gw_writer {
    struct gw_channel *channel; /* NULL: memory */
    struct iovec *iov;
    int iovs;
    uint8_t *stage;             /* channel: GW_WRITER_STAGE bytes; memory: the whole output, growing */
    size_t staged, stage_cap;
    uint64_t offset;            /* bytes put so far */
    uint64_t queued;            /* of these, not yet flushed */
    enum gw_cause cause;
    uint64_t by[GW_CAUSE_COUNT];     /* put so far; the sum is offset */
    uint64_t booked[GW_CAUSE_COUNT]; /* of these, in the account */
    struct gw_account *account;      /* shared by any number of writers; borrowed. NULL: none */
    uint64_t flush_bytes;       /* flush when so much waits; 0: when something is full. For pacing: channel/pace.h */
    struct gw_error error;      /* the first one */
    void (*flushed)(void *opaque, uint64_t bytes); /* after each flush that wrote something; may be NULL */
    void *opaque;
};

int gw_writer_init(struct gw_writer *w, struct gw_channel *channel, struct gw_error *err);
int gw_writer_init_memory(struct gw_writer *w, struct gw_error *err);
void gw_writer_close(struct gw_writer *w); /* also twice, and after a failed init; does not flush */
/* Memory only: the bytes so far; the writer keeps them. */
static inline const uint8_t *gw_writer_data(const struct gw_writer *w, size_t *ret_bytes)
{
    *ret_bytes = w->staged;
    return w->stage;
}
/* Memory only: takes the bytes away, malloc'ed; the writer is empty then. */
void *gw_writer_take(struct gw_writer *w, size_t *ret_bytes);

static inline uint64_t gw_writer_offset(const struct gw_writer *w)
{
    return w->offset;
}

static inline enum gw_cause gw_writer_cause(struct gw_writer *w, enum gw_cause cause)
{
    enum gw_cause old = w->cause;

    w->cause = cause;
    return old;
}

void gw_put_u8(struct gw_writer *w, uint8_t v);
void gw_put_u16(struct gw_writer *w, uint16_t v);
void gw_put_u32(struct gw_writer *w, uint32_t v);
void gw_put_u64(struct gw_writer *w, uint64_t v);
void gw_put_bytes(struct gw_writer *w, const void *bytes, size_t n);
void gw_put_str8(struct gw_writer *w, const char *s); /* 1..255 bytes, else -EINVAL: nothing is put that get refuses */
/* Not copied: must stay until the next flush (contents may change: a guest writes on, dirty tracking sees it). Over
 * memory it is copied. */
void gw_put_ref(struct gw_writer *w, const void *bytes, size_t n);

/* The first error of all puts since init, or of this flush. Over memory nothing moves, but the error is told. */
int gw_writer_flush(struct gw_writer *w, struct gw_error *err);

#endif
