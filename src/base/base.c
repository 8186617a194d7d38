/* SPDX-License-Identifier: MIT */
#include "base/base.h"

bool gw_strcopy(char *dst, size_t size, const char *src)
{
    size_t n = strlen(src);

    if (n >= size) {
        memcpy(dst, src, size - 1);
        dst[size - 1] = 0;
        return false;
    }
    memcpy(dst, src, n + 1);
    return true;
}
