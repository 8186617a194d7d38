/* SPDX-License-Identifier: MIT
 *
 * packing: multifd-compression: zlib and zstd as plugs of the packet layout (ram/page/packing.h).
 *
 * The packer copies each page before it is coded: the guest may write it meanwhile.
 */
#ifndef GW_CODEC_PACKING_H
#define GW_CODEC_PACKING_H

#include "ram/page/packing.h"

/* Whether this build has its library. */
bool gw_packing_known(enum gw_packet_coding coding);
/* level: of a packer; in: an unpacker is made. -ENOTSUP: this build cannot. */
int gw_packing_zlib_new(bool in, int level, struct gw_packing **ret, struct gw_error *err);
int gw_packing_zstd_new(bool in, int level, struct gw_packing **ret, struct gw_error *err);

#endif
