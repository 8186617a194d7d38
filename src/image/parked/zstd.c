/* SPDX-License-Identifier: MIT
 *
 * zstd for parked files; where the library was not there to build with, the words that say so.
 */
#include "image/parked/parked.h"

#ifdef GW_HAVE_ZSTD

#include <zstd.h>

struct gw_packer {
    ZSTD_CCtx *context;
};

struct gw_unpacker {
    ZSTD_DCtx *context;
};

bool gw_pack_known(void)
{
    return true;
}

int gw_packer_new(int level, struct gw_packer **ret, struct gw_error *err)
{
    struct gw_packer *p = calloc(1, sizeof *p);

    if (p)
        p->context = ZSTD_createCCtx();
    if (!p || !p->context || ZSTD_isError(ZSTD_CCtx_setParameter(p->context, ZSTD_c_compressionLevel, level))) {
        gw_packer_free(p);
        return gw_nomem(err, "zstd");
    }
    *ret = p;
    return 0;
}

void gw_packer_free(struct gw_packer *p)
{
    if (p)
        ZSTD_freeCCtx(p->context);
    free(p);
}

size_t gw_packer_pack(struct gw_packer *p, const void *src, size_t bytes, void *dst, size_t room)
{
    size_t n = ZSTD_compress2(p->context, dst, room, src, bytes);

    return ZSTD_isError(n) ? 0 : n;
}

int gw_unpacker_new(struct gw_unpacker **ret, struct gw_error *err)
{
    struct gw_unpacker *u = calloc(1, sizeof *u);

    if (u)
        u->context = ZSTD_createDCtx();
    if (!u || !u->context) {
        gw_unpacker_free(u);
        return gw_nomem(err, "zstd");
    }
    *ret = u;
    return 0;
}

void gw_unpacker_free(struct gw_unpacker *u)
{
    if (u)
        ZSTD_freeDCtx(u->context);
    free(u);
}

bool gw_unpacker_unpack(struct gw_unpacker *u, const void *src, size_t stored, void *dst, size_t bytes)
{
    return ZSTD_decompressDCtx(u->context, dst, bytes, src, stored) == bytes;
}

#else

bool gw_pack_known(void)
{
    return false;
}

static int unknown(struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "godwit was built without zstd");
}

int gw_packer_new(int level, struct gw_packer **ret, struct gw_error *err)
{
    return unknown(err);
}

void gw_packer_free(struct gw_packer *p)
{
}

size_t gw_packer_pack(struct gw_packer *p, const void *src, size_t bytes, void *dst, size_t room)
{
    return 0;
}

int gw_unpacker_new(struct gw_unpacker **ret, struct gw_error *err)
{
    return unknown(err);
}

void gw_unpacker_free(struct gw_unpacker *u)
{
}

bool gw_unpacker_unpack(struct gw_unpacker *u, const void *src, size_t stored, void *dst, size_t bytes)
{
    return false;
}

#endif
