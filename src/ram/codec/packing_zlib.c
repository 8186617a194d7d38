/* SPDX-License-Identifier: MIT */
#include "ram/codec/packing.h"

#ifdef GW_HAVE_ZLIB

#include <zlib.h>

struct packing {
    struct gw_packing packing;
    z_stream z;
    bool in, begun;
    int level, wanted; /* wanted: from the next packet on */
    uint8_t copy[1u << 16]; /* of a page of any size */
};

static struct packing *of(struct gw_packing *p)
{
    return GW_CONTAINER(p, struct packing, packing);
}

static int pack(struct gw_packing *packing, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst,
                size_t room, size_t *ret_bytes, struct gw_error *err)
{
    struct packing *p = of(packing);

    p->z.next_out = dst;
    p->z.avail_out = (uInt)room;
    p->z.avail_in = 0;
    if (p->wanted != p->level && deflateParams(&p->z, p->wanted, Z_DEFAULT_STRATEGY) == Z_STREAM_ERROR)
        return gw_fail(err, -EIO, GW_BLAME_LOCAL, "zlib: level %d: no such level", p->wanted);
    p->level = p->wanted;
    for (unsigned i = 0; i < n; i++) {
        int r;

        memcpy(p->copy, page[i], page_bytes);
        p->z.next_in = p->copy;
        p->z.avail_in = page_bytes;
        r = deflate(&p->z, i + 1 == n ? Z_SYNC_FLUSH : Z_NO_FLUSH);
        if (r != Z_OK)
            return gw_fail(err, -EIO, GW_BLAME_LOCAL, "zlib: deflate: %d", r);
        if (p->z.avail_in || !p->z.avail_out) /* a flush is complete only when there is room left */
            return gw_fail(err, -EMSGSIZE, GW_BLAME_LOCAL, "zlib: %u pages need more than %zu bytes", n, room);
    }
    *ret_bytes = room - p->z.avail_out;
    return 0;
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
                           p->z.msg ? p->z.msg : "its contents are not whole");
    }
    /* The flush's own bytes are left; nothing may come of them. */
    p->z.next_out = &more;
    p->z.avail_out = 1;
    r = inflate(&p->z, Z_SYNC_FLUSH);
    if ((r != Z_OK && r != Z_BUF_ERROR) || p->z.avail_in || !p->z.avail_out)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "zlib: %zu bytes are not just %u pages%s%s", bytes, n,
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
    p->begun = false;
}

static int reset(struct gw_packing *packing, struct gw_error *err)
{
    struct packing *p = of(packing);
    int r;

    end(p);
    p->z = (z_stream){0};
    r = p->in ? inflateInit(&p->z) : deflateInit(&p->z, p->level);
    p->begun = r == Z_OK;
    return p->begun ? 0 : gw_nomem(err, "zlib");
}

static struct gw_packing *packing_free(struct gw_packing *packing)
{
    end(of(packing));
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
