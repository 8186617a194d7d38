/* SPDX-License-Identifier: MIT
 *
 * xbzrle_reference: the rules of xbzrle_delta.h written byte by byte, to compare with. Also used by fuzz_xbzrle.c.
 */
#ifndef TEST_XBZRLE_REFERENCE_H
#define TEST_XBZRLE_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint32_t reference_number(uint8_t *out, uint32_t n)
{
    out[0] = (uint8_t)(n & 0x7f);
    if (n < 0x80)
        return 1;
    out[0] |= 0x80;
    out[1] = (uint8_t)(n >> 7);
    return 2;
}

/* out: room for 2 * bytes. Returns the length; -1: it has a changed run that cannot be written. */
static inline int64_t reference_encode(const uint8_t *old, const uint8_t *new, uint32_t bytes, uint8_t *out)
{
    uint32_t n = 0, done = 0, i, start;
    bool *changed = calloc(bytes + 3, sizeof *changed);
    int64_t r = -1;

    for (i = 0; i < bytes; i++)
        changed[i] = old[i] != new[i];
    for (i = 0; i + 2 < bytes; i++)
        if (old[i] != new[i] &&
            (old[i + 2] != new[i + 2] || (i + 3 < bytes && old[i + 3] != new[i + 3] && !changed[i + 1])))
            changed[i + 1] = changed[i + 2] = true;
    for (i = 0; i < bytes; i++) {
        if (!changed[i])
            continue;
        for (start = i; changed[i]; i++)
            ;
        if (i - start > 0x3fff)
            goto out;
        while (start - done > 0x3fff) {
            uint32_t same = start - done - 2 < 0x3fff ? start - done - 2 : 0x3fff;

            n += reference_number(out + n, same);
            n += reference_number(out + n, 1);
            out[n++] = new[done + same];
            done += same + 1;
        }
        n += reference_number(out + n, start - done);
        n += reference_number(out + n, i - start);
        memcpy(out + n, new + start, i - start);
        n += i - start;
        done = i;
    }
    r = n;
out:
    free(changed);
    return r;
}

/* Whether it is well formed; changes the page. */
static inline bool reference_decode(const uint8_t *in, uint32_t n, uint8_t *page, uint32_t bytes)
{
    uint32_t i = 0, at = 0;

    if (n == 0 || n > bytes)
        return false;
    while (i < n)
        for (unsigned half = 0; half < 2; half++) {
            bool first = i == 0;
            uint32_t v;

            if (n - i < 2)
                return false;
            v = in[i] & 0x7f;
            if (in[i++] & 0x80) {
                if (in[i] & 0x80)
                    return false;
                v |= (uint32_t)in[i++] << 7;
            }
            if ((v == 0 && !first) || v > bytes - at)
                return false;
            for (uint32_t k = 0; half && k < v; k++) {
                if (i == n)
                    return false;
                page[at + k] = in[i++];
            }
            at += v;
        }
    return true;
}

#endif
