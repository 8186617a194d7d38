/* SPDX-License-Identifier: MIT */
#include "ram/codec/swift_deflate.h"

#ifdef GW_HAVE_LIBISAL

#include <isa-l/igzip_lib.h>

/* Matches and literals that are collected for one block with codes of its own. Few, since neighbouring pages have
 * different contents. Measured with the benches' `mixed` pages: with half or twice as many the output is larger. */
#define TOKENS 4096

struct gw_swift_deflate {
    struct isal_zstream z;
    uint8_t level[ISAL_DEF_LVL2_REQ + ISAL_DEF_LVL2_TOKEN_SIZE * TOKENS];
};

bool gw_swift_deflate_known(void)
{
    return true;
}

void gw_swift_deflate_reset(struct gw_swift_deflate *s)
{
    isal_deflate_init(&s->z);
    s->z.level = 2;
    s->z.level_buf = s->level;
    s->z.level_buf_size = sizeof s->level;
    s->z.gzip_flag = IGZIP_DEFLATE;
}

struct gw_swift_deflate *gw_swift_deflate_new(void)
{
    struct gw_swift_deflate *s = calloc(1, sizeof *s);

    if (s)
        gw_swift_deflate_reset(s);
    return s;
}

bool gw_swift_deflate_put(struct gw_swift_deflate *s, const uint8_t *src, uint32_t bytes, bool flush, uint8_t **dst, size_t *room)
{
    uint32_t had = (uint32_t)GW_MIN(*room, (size_t)UINT32_MAX);
    bool ok;

    s->z.next_in = (uint8_t *)src;
    s->z.avail_in = bytes;
    s->z.next_out = *dst;
    s->z.avail_out = had;
    s->z.flush = flush ? SYNC_FLUSH : NO_FLUSH;
    /* A flush is complete only if room is left. */
    ok = isal_deflate(&s->z) == COMP_OK && !s->z.avail_in && s->z.avail_out;
    *dst = s->z.next_out;
    *room -= had - s->z.avail_out;
    return ok;
}

void gw_swift_deflate_free(struct gw_swift_deflate *s)
{
    free(s);
}

#else

bool gw_swift_deflate_known(void)
{
    return false;
}

struct gw_swift_deflate *gw_swift_deflate_new(void)
{
    return NULL;
}

void gw_swift_deflate_reset(struct gw_swift_deflate *s)
{
}

bool gw_swift_deflate_put(struct gw_swift_deflate *s, const uint8_t *src, uint32_t bytes, bool flush, uint8_t **dst, size_t *room)
{
    return false;
}

void gw_swift_deflate_free(struct gw_swift_deflate *s)
{
}

#endif
