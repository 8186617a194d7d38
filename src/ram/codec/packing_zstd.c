/* SPDX-License-Identifier: MIT */
#include "ram/codec/packing.h"

bool gw_packing_known(enum gw_packet_coding coding)
{
    switch (coding) {
#ifdef GW_HAVE_ZLIB
    case GW_PACKET_ZLIB:
#endif
#ifdef GW_HAVE_ZSTD
    case GW_PACKET_ZSTD:
#endif
    case GW_PACKET_PLAIN:
        return true;
    default:
        return false;
    }
}

/* Level 20 needs 32 MiB. */
#define WINDOW_BITS 25u

unsigned gw_packing_window_bits(unsigned count)
{
    unsigned bits = WINDOW_BITS;

    while (((uint64_t)count << bits) > GW_PACKING_KEPT_BYTES)
        bits--;
    return bits;
}

#ifdef GW_HAVE_ZSTD

#include <zstd.h>
#include <zstd_errors.h>

struct packing {
    struct gw_packing packing;
    ZSTD_CCtx *out;
    int level, wanted; /* wanted: takes effect with the next packet */
    ZSTD_DCtx *in;
    unsigned window_bits; /* the maximum */
    uint8_t copy[1u << 16]; /* of one page, of any size */
};

static struct packing *of(struct gw_packing *p)
{
    return GW_CONTAINER(p, struct packing, packing);
}

/* A frame has one level: ends this frame, in front of the next packet's data. */
static int change_level(struct packing *p, ZSTD_outBuffer *to, struct gw_error *err)
{
    ZSTD_inBuffer nothing = {0};
    size_t left = ZSTD_compressStream2(p->out, to, &nothing, ZSTD_e_end);

    if (!ZSTD_isError(left) && !left)
        left = ZSTD_CCtx_setParameter(p->out, ZSTD_c_compressionLevel, p->wanted);
    if (ZSTD_isError(left))
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "zstd: level %d: %s", p->wanted, ZSTD_getErrorName(left));
    p->level = p->wanted;
    return 0;
}

static int set_level(struct gw_packing *packing, int level, struct gw_error *err)
{
    of(packing)->wanted = level;
    return 0;
}

static int pack(struct gw_packing *packing, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst,
                size_t room, size_t *ret_bytes, struct gw_error *err)
{
    struct packing *p = of(packing);
    ZSTD_outBuffer to = {dst, room, 0};
    int r = p->wanted != p->level ? change_level(p, &to, err) : 0;

    if (r < 0)
        return r;
    for (unsigned i = 0; i < n; i++) {
        ZSTD_inBuffer from = {p->copy, page_bytes, 0};
        bool last = i + 1 == n;
        size_t left;

        memcpy(p->copy, page[i], page_bytes);
        do {
            left = ZSTD_compressStream2(p->out, &to, &from, last ? ZSTD_e_flush : ZSTD_e_continue);
            if (ZSTD_isError(left))
                return gw_fail(err, -EIO, GW_BLAME_LOCAL, "zstd: %s", ZSTD_getErrorName(left));
        } while (to.pos < room && (from.pos < page_bytes || (last && left)));
        if (from.pos < page_bytes || (last && left))
            return gw_fail(err, -EMSGSIZE, GW_BLAME_LOCAL, "zstd: %u compressed pages need more than %zu bytes", n, room);
    }
    *ret_bytes = to.pos;
    return 0;
}

/* Decompresses into `to` as far as the input allows. */
static int more(struct packing *p, ZSTD_outBuffer *to, ZSTD_inBuffer *from, struct gw_error *err)
{
    for (;;) {
        size_t had_out = to->pos, had_in = from->pos, r = ZSTD_decompressStream(p->in, to, from);

        if (ZSTD_isError(r) && ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "zstd: it asks for more than %u MiB of memory, which each of so many channels may have here: a lower "
                           "multifd-zstd-level at the source needs less, and fewer multifd-channels may have more",
                           1u << (p->window_bits - 20));
        if (ZSTD_isError(r))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "zstd: %s", ZSTD_getErrorName(r));
        if (to->pos == to->size || (to->pos == had_out && from->pos == had_in))
            return 0;
    }
}

static int unpack(struct gw_packing *packing, const uint8_t *src, size_t bytes, uint8_t *const *page, unsigned n,
                  uint32_t page_bytes, struct gw_error *err)
{
    ZSTD_inBuffer from = {src, bytes, 0};
    uint8_t byte;
    ZSTD_outBuffer behind = {&byte, 1, 0};
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < n; i++) {
        ZSTD_outBuffer to = {page[i], page_bytes, 0};

        r = more(of(packing), &to, &from, err);
        if (r >= 0 && to.pos < page_bytes)
            r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "zstd: page %u of %u: its contents end too early", i, n);
    }
    if (r >= 0)
        r = more(of(packing), &behind, &from, err);
    if (r >= 0 && (behind.pos || from.pos < bytes))
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "zstd: %zu bytes are not exactly %u compressed pages", bytes, n);
    return r;
}

static int reset(struct gw_packing *packing, struct gw_error *err)
{
    struct packing *p = of(packing);

    if (p->out)
        ZSTD_CCtx_reset(p->out, ZSTD_reset_session_only);
    if (p->in)
        ZSTD_DCtx_reset(p->in, ZSTD_reset_session_only);
    return 0;
}

static struct gw_packing *packing_free(struct gw_packing *packing)
{
    ZSTD_freeCCtx(of(packing)->out);
    ZSTD_freeDCtx(of(packing)->in);
    free(of(packing));
    return NULL;
}

int gw_packing_zstd_new(bool in, int level, unsigned count, struct gw_packing **ret, struct gw_error *err)
{
    struct packing *p = calloc(1, sizeof *p);
    size_t r = 0;

    if (!p)
        return gw_nomem(err, "zstd");
    p->packing = (struct gw_packing){
        .coding = GW_PACKET_ZSTD, .pack = pack, .unpack = unpack, .set_level = set_level, .reset = reset, .free = packing_free};
    p->level = p->wanted = level;
    if (in) {
        p->in = ZSTD_createDCtx();
        p->window_bits = gw_packing_window_bits(count);
        r = p->in ? ZSTD_DCtx_setParameter(p->in, ZSTD_d_windowLogMax, (int)p->window_bits) : 0;
    } else {
        p->out = ZSTD_createCCtx();
        r = p->out ? ZSTD_CCtx_setParameter(p->out, ZSTD_c_compressionLevel, level) : 0;
    }
    if ((!p->in && !p->out) || ZSTD_isError(r)) {
        packing_free(&p->packing);
        return gw_nomem(err, "zstd");
    }
    *ret = &p->packing;
    return 0;
}

#else

int gw_packing_zstd_new(bool in, int level, unsigned count, struct gw_packing **ret, struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "multifd-compression zstd: this build of godwit has no zstd");
}

#endif
