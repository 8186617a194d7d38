/* SPDX-License-Identifier: MIT
 *
 * endian: big-endian values at any address.
 */
#ifndef GW_ENDIAN_H
#define GW_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define be8toh(v) (v)
#define htobe8(v) (v)

#define GW_ENDIAN_(bits)                                                                                               \
    static inline uint##bits##_t gw_load_be##bits(const void *p)                                                       \
    {                                                                                                                  \
        uint##bits##_t v;                                                                                              \
                                                                                                                       \
        memcpy(&v, p, sizeof v);                                                                                       \
        return be##bits##toh(v);                                                                                       \
    }                                                                                                                  \
    static inline void gw_store_be##bits(void *p, uint##bits##_t v)                                                    \
    {                                                                                                                  \
        v = htobe##bits(v);                                                                                            \
        memcpy(p, &v, sizeof v);                                                                                       \
    }
GW_ENDIAN_(8)
GW_ENDIAN_(16)
GW_ENDIAN_(32)
GW_ENDIAN_(64)
#undef GW_ENDIAN_

#endif
