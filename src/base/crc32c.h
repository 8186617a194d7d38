/* SPDX-License-Identifier: MIT
 *
 * crc32c: the CRC of Castagnoli (iSCSI, RFC 3720 B.4): polynomial 0x1edc6f41, bits reflected, start and end inverted;
 * of "123456789" it is 0xe3069283. Finds every burst of up to 32 bits, and all but one in 2^32 of other damage.
 *
 * Threads: all of this is const.
 */
#ifndef GW_CRC32C_H
#define GW_CRC32C_H

#include "base/base.h"

/* Of the bytes that had `crc` (0: none) and these after them. */
uint32_t gw_crc32c(uint32_t crc, const void *bytes, size_t count);
/* The same without the CPU's help: what other machines run, and what a test compares with. */
uint32_t gw_crc32c_portable(uint32_t crc, const void *bytes, size_t count);

#endif
