/* SPDX-License-Identifier: MIT
 *
 * cursor: reads values from bytes (gw_in) and appends values to bytes (gw_out), with every bound checked.
 *
 * A cursor works on memory or on a channel: struct gw_reader and struct gw_writer (channel/) begin with one and
 * bind a channel to it. Each gw_get_* and gw_put_* function takes a pointer to either.
 *
 * In:  every get function checks that the bytes are there, and fails with the offset. The first error sticks.
 *      -ENODATA, blame CHANNEL: the bytes ended too early.
 * Out: put functions return nothing. The first error sticks: gw_out_error returns it. Bytes are counted for the cause
 * that is set; offsets count all bytes.
 *
 * Threads: one owner.
 */
#ifndef GW_BASE_CURSOR_H
#define GW_BASE_CURSOR_H

#include "base/base.h"
#include "base/endian.h"
#include "godwit/stats.h"

struct gw_reader;
struct gw_writer;

/* ---- in ---------------------------------------------------------------------------------------------------------- */

#define GW_IN_LOOK 65536u /* every binding can make so many contiguous bytes available */

struct gw_in;
struct gw_in_ops {
    /* Reads until n contiguous bytes are available, or no more come. A failure, except for a wrong n, sticks:
     * gw_in_stuck. */
    int (*refill)(struct gw_in *in, size_t n, struct gw_error *err);
    /* Reads n bytes to their place without a copy in between. */
    int (*direct)(struct gw_in *in, void *dst, size_t n, struct gw_error *err);
};

struct gw_in {
    const uint8_t *data; /* bytes [pos, end) are available */
    size_t pos, end;
    uint64_t base; /* offset of data[0] */
    int failed;    /* code of `error`, the first error */
    struct gw_error error;
    const char *what;            /* what is being read, for messages: "section header"; may be NULL */
    const struct gw_in_ops *ops; /* NULL: memory */
};

#define GW_IN(in) _Generic((in), struct gw_reader * : (struct gw_in *)(in), struct gw_in * : (in))

/* base: offset of the first byte, for messages. */
void gw_in_memory(struct gw_in *in, const void *data, size_t bytes, uint64_t base);
/* The caller has found the bytes invalid: this becomes the sticky error, blame PEER. Returns code. */
int gw_in_fail(struct gw_in *in, int code, struct gw_error *err, const char *fmt, ...) GW_PRINTF(4, 5);
/* in->error becomes the sticky error. Returns its code. */
int gw_in_stuck(struct gw_in *in, struct gw_error *err);
/* The bytes have ended, `wanted` more were needed. Returns -ENODATA. */
int gw_in_ended(struct gw_in *in, uint64_t wanted, struct gw_error *err);
/* Makes n bytes (at most GW_IN_LOOK, or the limit of the binding) available at *ret without taking them; at the end
 * fewer, *ret_got. Valid until the next call. */
int gw_in_try(struct gw_in *in, size_t n, const uint8_t **ret, size_t *ret_got, struct gw_error *err);
/* gw_in_need when the bytes are not available yet. */
int gw_in_wait(struct gw_in *in, size_t n, const uint8_t **ret, struct gw_error *err);

static inline uint64_t gw_in_offset(const struct gw_in *in)
{
    return in->base + in->pos;
}

static inline size_t gw_in_buffered(const struct gw_in *in)
{
    return in->end - in->pos;
}

/* Like try, but -ENODATA if there are fewer. */
static inline int gw_in_need(struct gw_in *in, size_t n, const uint8_t **ret, struct gw_error *err)
{
    if (in->failed || n > gw_in_buffered(in))
        return gw_in_wait(in, n, ret, err);
    *ret = in->data + in->pos;
    return 0;
}

/* Takes bytes that need has made available. */
static inline void gw_in_skip(struct gw_in *in, size_t n)
{
    in->pos += GW_MIN(n, gw_in_buffered(in));
}

#define GW_GET_(bits)                                                                                                  \
    static inline int gw_get_u##bits(struct gw_in *in, uint##bits##_t *ret, struct gw_error *err)                      \
    {                                                                                                                  \
        const uint8_t *p;                                                                                              \
        int e = gw_in_need(in, bits / 8, &p, err);                                                                     \
                                                                                                                       \
        if (e < 0)                                                                                                     \
            return e;                                                                                                  \
        *ret = gw_load_be##bits(p);                                                                                    \
        in->pos += bits / 8;                                                                                           \
        return 0;                                                                                                      \
    }
GW_GET_(8)
GW_GET_(16)
GW_GET_(32)
GW_GET_(64)
#undef GW_GET_

int gw_get_bytes(struct gw_in *in, void *dst, size_t n, struct gw_error *err);
int gw_get_discard(struct gw_in *in, uint64_t n, struct gw_error *err);
/* Reads n bytes into memory that grows as they arrive, since n comes from the peer and is not trusted. The caller frees it. */
int gw_get_all(struct gw_in *in, uint64_t n, uint8_t **ret, struct gw_error *err);
/* str8: 1..255 bytes, no NUL inside, else -EPROTO with blame PEER; dst has 256. */
int gw_get_str8(struct gw_in *in, char *dst, struct gw_error *err);
/* str8 of printable ASCII. */
int gw_get_name(struct gw_in *in, char *dst, struct gw_error *err);
/* -EPROTO: the text, which began at byte `at`, has an unprintable byte. */
int gw_in_printable(struct gw_in *in, const char *text, uint64_t at, struct gw_error *err);

#define gw_get_u8(in, ret, err)       gw_get_u8(GW_IN(in), ret, err)
#define gw_get_u16(in, ret, err)      gw_get_u16(GW_IN(in), ret, err)
#define gw_get_u32(in, ret, err)      gw_get_u32(GW_IN(in), ret, err)
#define gw_get_u64(in, ret, err)      gw_get_u64(GW_IN(in), ret, err)
#define gw_get_bytes(in, dst, n, err) gw_get_bytes(GW_IN(in), dst, n, err)
#define gw_get_discard(in, n, err)    gw_get_discard(GW_IN(in), n, err)
#define gw_get_all(in, n, ret, err)   gw_get_all(GW_IN(in), n, ret, err)
#define gw_get_str8(in, dst, err)     gw_get_str8(GW_IN(in), dst, err)

/* ---- out --------------------------------------------------------------------------------------------------------- */

struct gw_out;
struct gw_out_ops {
    /* Makes out->room at least n (at most GW_IN_LOOK); false: failed, the error is kept. */
    bool (*more)(struct gw_out *out, size_t n);
    void (*ref)(struct gw_out *out, const void *bytes, size_t n);
};

struct gw_out {
    uint8_t *begin, *at; /* begin of the buffer; position of the next byte */
    size_t room;         /* bytes that fit at `at` */
    uint64_t offset;     /* bytes written so far */
    enum gw_cause cause;
    uint64_t by[GW_CAUSE_COUNT];
    struct gw_error error; /* the first error */
    const struct gw_out_ops *ops;
};

#define GW_OUT(out) _Generic((out), struct gw_writer * : (struct gw_out *)(out), struct gw_out * : (out))

/* Writes to memory that grows and is freed by gw_out_free; gw_out_take passes it to the caller, and leaves the cursor
 * empty. */
void gw_out_memory(struct gw_out *out);
/* Writes to this memory; -EMSGSIZE when it is full. */
void gw_out_fixed(struct gw_out *out, void *bytes, size_t size);
void *gw_out_take(struct gw_out *out, size_t *ret_bytes);
void gw_out_free(struct gw_out *out);
/* The first error of all puts, or 0. */
int gw_out_error(const struct gw_out *out, struct gw_error *err);

static inline const uint8_t *gw_out_data(const struct gw_out *out, size_t *ret_bytes)
{
    *ret_bytes = (size_t)(out->at - out->begin);
    return out->begin;
}

static inline void gw_out_count(struct gw_out *out, size_t n)
{
    out->offset += n;
    out->by[out->cause] += n;
}

/* Where the caller writes n bytes (at most GW_IN_LOOK); they count as written. NULL after an error. */
static inline uint8_t *gw_out_room(struct gw_out *out, size_t n)
{
    uint8_t *p;

    if (n > out->room && !out->ops->more(out, n))
        return NULL;
    p = out->at;
    out->at += n;
    out->room -= n;
    gw_out_count(out, n);
    return p;
}

#define GW_PUT_(bits)                                                                                                  \
    static inline void gw_put_u##bits(struct gw_out *out, uint##bits##_t v)                                            \
    {                                                                                                                  \
        uint8_t *p = gw_out_room(out, bits / 8);                                                                       \
                                                                                                                       \
        if (p)                                                                                                         \
            gw_store_be##bits(p, v);                                                                                   \
    }
GW_PUT_(8)
GW_PUT_(16)
GW_PUT_(32)
GW_PUT_(64)
#undef GW_PUT_

void gw_put_bytes(struct gw_out *out, const void *bytes, size_t n);
void gw_put_str8(struct gw_out *out, const char *s); /* 1..255 bytes, else -EINVAL: never writes what get refuses */
/* Not copied: the memory must stay until the next flush (its contents may change: the guest writes on, and dirty
 * tracking finds that). Over memory it is copied. */
static inline void gw_put_ref(struct gw_out *out, const void *bytes, size_t n)
{
    out->ops->ref(out, bytes, n);
}

#define gw_put_u8(out, v)           gw_put_u8(GW_OUT(out), v)
#define gw_put_u16(out, v)          gw_put_u16(GW_OUT(out), v)
#define gw_put_u32(out, v)          gw_put_u32(GW_OUT(out), v)
#define gw_put_u64(out, v)          gw_put_u64(GW_OUT(out), v)
#define gw_put_bytes(out, bytes, n) gw_put_bytes(GW_OUT(out), bytes, n)
#define gw_put_str8(out, s)         gw_put_str8(GW_OUT(out), s)
#define gw_put_ref(out, bytes, n)   gw_put_ref(GW_OUT(out), bytes, n)

#endif
