/* SPDX-License-Identifier: MIT
 *
 * base: small helpers used everywhere.
 */
#ifndef GW_BASE_H
#define GW_BASE_H

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "godwit/error.h"

#define GW_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define GW_CLEANUP(fn)  __attribute__((cleanup(fn)))
#define GW_UNUSED       __attribute__((unused))
#define GW_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define GW_MAX(a, b)    ((a) > (b) ? (a) : (b))
#define GW_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define GW_KIB 1024ull
#define GW_MIB (1024ull * 1024)
#define GW_GIB (1024ull * 1024 * 1024)
#define GW_NS_PER_S  1000000000ull
#define GW_NS_PER_MS 1000000ull

/* For adding and multiplying sizes from outside; true: overflow. */
#define gw_add_overflows(a, b, ret) __builtin_add_overflow(a, b, ret)
#define gw_mul_overflows(a, b, ret) __builtin_mul_overflow(a, b, ret)

static inline uint64_t gw_div_up(uint64_t n, uint64_t d)
{
    return n / d + (n % d != 0);
}

/* 0 if a or b is 0. */
static inline double gw_ratio(uint64_t a, uint64_t b)
{
    return a && b ? (double)a / (double)b : 0;
}

static inline bool gw_is_pow2(uint64_t n)
{
    return n && !(n & (n - 1));
}

static inline void gw_free_ptr(void *p)
{
    free(*(void **)p);
}

static inline void gw_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

#define GW_AUTOFREE GW_CLEANUP(gw_free_ptr)
#define GW_AUTOFD   GW_CLEANUP(gw_close_fd)

/* snprintf that always terminates; returns whether it fitted. */
bool gw_strcopy(char *dst, size_t size, const char *src);

#define gw_nomem(err, what) gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (%s)", what)

#endif
