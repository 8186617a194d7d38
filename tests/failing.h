/* SPDX-License-Identifier: MIT
 *
 * failing: allocations that fail. For programs that are linked with
 * --wrap=malloc,--wrap=calloc,--wrap=realloc; included once in each.
 *
 * The program says which fail: its own `fails`, or, with FAILING_COUNTDOWN defined, the countdown-th of a thread.
 */
#ifndef FAILING_H
#define FAILING_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);

#ifdef FAILING_COUNTDOWN
static __thread unsigned countdown; /* 0: all succeed; n: the n-th from now fails */

static bool fails(void)
{
    return countdown && --countdown == 0;
}
#else
static bool fails(void);
#endif

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
    return fails() ? NULL : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

/* How many names a folder has: what was there before must be there after. */
static inline unsigned entries(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

#endif
