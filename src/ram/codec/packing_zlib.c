/* SPDX-License-Identifier: MIT */
#include "ram/codec/packing.h"

#ifdef GW_HAVE_ZLIB

#include "ram/codec/swift_deflate.h"

#include <zlib.h>

/* The stream's head: a window of 32 KiB, no dictionary (RFC 1950). After it come raw deflate blocks without an end,
 * made by one of two compressors. Each of them begins anew at the end of a packet when it takes over, so its blocks
 * never refer to the output of the other. */
static const uint8_t head[] = {0x78, 0x01};
#define SWIFT_LEVEL 1 /* swift_deflate does this level, zlib the higher ones */
#define RAW_WINDOW  (-15)
#define MEM_LEVEL   8 /* zlib's default */

struct packing {
    struct gw_packing packing;
    z_stream z;
    struct gw_swift_deflate *swift; /* of a packer; NULL: not in this build */
    bool in, begun, headed;
    int level, wanted; /* wanted: takes effect with the next packet */
    uint8_t copy[1u << 16]; /* of one page, of any size */
};

static struct packing *of(struct gw_packing *p)
{
    return GW_CONTAINER(p, struct packing, packing);
}

static bool is_swift(const struct packing *p, int level)
{
    return p->swift && level == SWIFT_LEVEL;
}

/* Changes from the level of the last packet to the wanted one. */
static int change_level(struct packing *p, struct gw_error *err)
{
    int r = Z_OK;

    if (p->wanted == p->level)
        return 0;
    if (is_swift(p, p->wanted))
        gw_swift_deflate_reset(p->swift);
    else if (is_swift(p, p->level) && deflateReset(&p->z) != Z_OK)
        r = Z_STREAM_ERROR;
    if (r == Z_OK && !is_swift(p, p->wanted))
        r = deflateParams(&p->z, p->wanted, Z_DEFAULT_STRATEGY);
    if (r == Z_STREAM_ERROR)
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "zlib: there is no level %d", p->wanted);
    p->level = p->wanted;
    return 0;
}

static int pack_page(struct packing *p, uint32_t page_bytes, bool last, struct gw_error *err)
{
    int r;

    if (!p->z.avail_out)
        return -EMSGSIZE;
    if (is_swift(p, p->level)) {
        size_t room = p->z.avail_out;
        bool ok = gw_swift_deflate_put(p->swift, p->copy, page_bytes, last, &p->z.next_out, &room);

        p->z.avail_out = (uInt)room;
        return ok ? 0 : -EMSGSIZE;
    }
    p->z.next_in = p->copy;
    p->z.avail_in = page_bytes;
    r = deflate(&p->z, last ? Z_SYNC_FLUSH : Z_NO_FLUSH);
    if (r != Z_OK)
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "zlib: deflate: %d", r);
    return p->z.avail_in || !p->z.avail_out ? -EMSGSIZE : 0; /* a flush is complete only if room is left */
}

static int pack(struct gw_packing *packing, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst,
                size_t room, size_t *ret_bytes, struct gw_error *err)
{
    struct packing *p = of(packing);
    size_t begin = p->headed ? 0 : sizeof head;
    int r;

    if (room < begin)
        goto full;
    memcpy(dst, head, begin);
    p->z.next_out = dst + begin;
    p->z.avail_out = (uInt)(room - begin);
    p->z.avail_in = 0;
    r = change_level(p, err);
    for (unsigned i = 0; i < n && !r; i++) {
        memcpy(p->copy, page[i], page_bytes);
        r = pack_page(p, page_bytes, i + 1 == n, err);
    }
    if (r == -EMSGSIZE)
        goto full;
    if (r < 0)
        return r;
    p->headed = true;
    *ret_bytes = room - p->z.avail_out;
    return 0;

full:
    return gw_fail(err, -EMSGSIZE, GW_BLAME_LOCAL, "zlib: %u compressed pages need more than %zu bytes", n, room);
}

static int unpack(struct gw_packing *packing, const uint8_t *src, size_t bytes, uint8_t *const *page, unsigned n,
                  uint32_t page_bytes, struct gw_error *err)
{
    struct packing *p = of(packing);
    uint8_t more;
    int r = Z_OK;

    p->z.next_in = (Bytef *)src;
    p->z.avail_in = (uInt)bytes;
    for (unsigned i = 0; i < n; i++) {
        p->z.next_out = page[i];
        p->z.avail_out = page_bytes;
        r = inflate(&p->z, Z_SYNC_FLUSH);
        if ((r != Z_OK && r != Z_BUF_ERROR) || p->z.avail_out)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "zlib: page %u of %u: %s", i, n,
                           p->z.msg ? p->z.msg : "its contents end too early");
    }
    /* The bytes of the flush are left; they must produce no output. */
    p->z.next_out = &more;
    p->z.avail_out = 1;
    r = inflate(&p->z, Z_SYNC_FLUSH);
    if ((r != Z_OK && r != Z_BUF_ERROR) || p->z.avail_in || !p->z.avail_out)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "zlib: %zu bytes are not exactly %u compressed pages%s%s", bytes, n,
                       p->z.msg ? ": " : "", p->z.msg ? p->z.msg : "");
    return 0;
}

static int set_level(struct gw_packing *packing, int level, struct gw_error *err)
{
    of(packing)->wanted = level;
    return 0;
}

static void end(struct packing *p)
{
    if (p->begun)
        p->in ? inflateEnd(&p->z) : deflateEnd(&p->z);
    p->begun = p->headed = false;
}

static int reset(struct gw_packing *packing, struct gw_error *err)
{
    struct packing *p = of(packing);
    int r;

    end(p);
    p->z = (z_stream){0};
    r = p->in ? inflateInit(&p->z) : deflateInit2(&p->z, p->level, Z_DEFLATED, RAW_WINDOW, MEM_LEVEL, Z_DEFAULT_STRATEGY);
    if (p->swift)
        gw_swift_deflate_reset(p->swift);
    p->begun = r == Z_OK;
    return p->begun ? 0 : gw_nomem(err, "zlib");
}

static struct gw_packing *packing_free(struct gw_packing *packing)
{
    end(of(packing));
    gw_swift_deflate_free(of(packing)->swift);
    free(of(packing));
    return NULL;
}

int gw_packing_zlib_new(bool in, int level, struct gw_packing **ret, struct gw_error *err)
{
    struct packing *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return gw_nomem(err, "zlib");
    p->packing = (struct gw_packing){
        .coding = GW_PACKET_ZLIB, .pack = pack, .unpack = unpack, .set_level = set_level, .reset = reset, .free = packing_free};
    p->in = in;
    p->level = p->wanted = level;
    p->swift = in ? NULL : gw_swift_deflate_new();
    if (!in && gw_swift_deflate_known() && !p->swift) {
        packing_free(&p->packing);
        return gw_nomem(err, "zlib");
    }
    r = reset(&p->packing, err);
    if (r < 0) {
        packing_free(&p->packing);
        return r;
    }
    *ret = &p->packing;
    return 0;
}

#else

int gw_packing_zlib_new(bool in, int level, struct gw_packing **ret, struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "multifd-compression zlib: this build of godwit has no zlib");
}

#endif
