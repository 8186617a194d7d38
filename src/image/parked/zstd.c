/* SPDX-License-Identifier: MIT
 *
 * zstd for parked files; in a build without the library, functions that return the error.
 */
#include "image/parked/parked.h"

#ifdef GW_HAVE_ZSTD

#include <zstd.h>

struct gw_dictionary {
    ZSTD_CDict *pack;
    ZSTD_DDict *unpack;
};

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

static int make_dictionary(const uint8_t *data, size_t bytes, int level, struct gw_dictionary **ret, struct gw_error *err)
{
    struct gw_dictionary *d = calloc(1, sizeof *d);

    if (d && level)
        d->pack = ZSTD_createCDict(data, bytes, level);
    else if (d)
        d->unpack = ZSTD_createDDict(data, bytes);
    if (!d || (!d->pack && !d->unpack)) {
        gw_dictionary_free(d);
        return gw_nomem(err, "zstd dictionary");
    }
    *ret = d;
    return 0;
}

void gw_dictionary_free(struct gw_dictionary *d)
{
    if (!d)
        return;
    ZSTD_freeCDict(d->pack);
    ZSTD_freeDDict(d->unpack);
    free(d);
}

int gw_packer_new(int level, const struct gw_dictionary *dictionary, struct gw_packer **ret, struct gw_error *err)
{
    struct gw_packer *p = calloc(1, sizeof *p);
    bool made;

    if (p)
        p->context = ZSTD_createCCtx();
    made = p && p->context && !ZSTD_isError(ZSTD_CCtx_setParameter(p->context, ZSTD_c_compressionLevel, level));
    if (made && dictionary) {
        made = !ZSTD_isError(ZSTD_CCtx_refCDict(p->context, dictionary->pack));
        /* ZSTD_c_forceAttachDict = 1: a frame uses the dictionary's tables in place. Otherwise each frame would first
         * copy them, which takes longer than packing it. A zstd without this parameter copies. */
        ZSTD_CCtx_setParameter(p->context, ZSTD_c_experimentalParam4, 1);
    }
    if (!made) {
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

int gw_unpacker_new(const struct gw_dictionary *dictionary, struct gw_unpacker **ret, struct gw_error *err)
{
    struct gw_unpacker *u = calloc(1, sizeof *u);

    if (u)
        u->context = ZSTD_createDCtx();
    if (!u || !u->context || (dictionary && ZSTD_isError(ZSTD_DCtx_refDDict(u->context, dictionary->unpack)))) {
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

static int make_dictionary(const uint8_t *data, size_t bytes, int level, struct gw_dictionary **ret, struct gw_error *err)
{
    return unknown(err);
}

void gw_dictionary_free(struct gw_dictionary *d)
{
}

int gw_packer_new(int level, const struct gw_dictionary *dictionary, struct gw_packer **ret, struct gw_error *err)
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

int gw_unpacker_new(const struct gw_dictionary *dictionary, struct gw_unpacker **ret, struct gw_error *err)
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

int gw_dictionary_new(const uint8_t *data, size_t bytes, int level, struct gw_dictionary **ret, struct gw_error *err)
{
    static const uint8_t zeros[GW_PARKED_DICTIONARY_ZEROS];

    if (bytes <= sizeof zeros || bytes > GW_PARKED_DICTIONARY_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a dictionary of %zu bytes", bytes);
    /* Data that begins with zstd's dictionary magic would not be used as plain content. */
    if (memcmp(data, zeros, sizeof zeros))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it does not begin with %zu zeros", sizeof zeros);
    return make_dictionary(data, bytes, level, ret, err);
}
