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
/* What a peer may make all unpackers of a session keep: windows, which the stream of each asks for. */
#define GW_PACKING_KEPT_BYTES (512u << 20)

/* level: of a packer; in: an unpacker is made, one of `count` in its session. -ENOTSUP: this build cannot. */
int gw_packing_zlib_new(bool in, int level, struct gw_packing **ret, struct gw_error *err);
int gw_packing_zstd_new(bool in, int level, unsigned count, struct gw_packing **ret, struct gw_error *err);
/* The largest window of one of so many unpackers, as a power of two. */
unsigned gw_packing_window_bits(unsigned count);

#endif
