/* SPDX-License-Identifier: MIT
 *
 * crc32c: the CRC of Castagnoli (iSCSI, RFC 3720 B.4): polynomial 0x1edc6f41, bits reflected, initial and final
 * inversion; the CRC of "123456789" is 0xe3069283. Detects every burst of up to 32 bits, and all but one in 2^32 of
 * other errors.
 *
 * The fastest variant that the CPU can run is picked at each call.
 *
 * Threads: any; everything is constant.
 */
#ifndef GW_CRC32C_H
#define GW_CRC32C_H

#include "base/base.h"

struct gw_crc32c {
    const char *name; /* "sse4.2 lanes", "sse4.2", "armv8", "portable" */
    uint32_t (*of)(uint32_t crc, const void *bytes, size_t count);
};

/* The CRC of the bytes whose CRC is `crc` (0: none), followed by these bytes. */
uint32_t gw_crc32c(uint32_t crc, const void *bytes, size_t count);
/* All variants that this machine can run, for tests and benches: i from 0, the best first; NULL at the end. The last one
 * is the portable one, with which the others are compared. */
const struct gw_crc32c *gw_crc32c_variant(unsigned i);

#endif
