/* SPDX-License-Identifier: MIT
 *
 * packing: multifd-compression: zlib and zstd as plugs of the packet layout (ram/page/packing.h).
 *
 * The packer copies each page before it compresses it: the guest may write it meanwhile.
 */
#ifndef GW_CODEC_PACKING_H
#define GW_CODEC_PACKING_H

#include "ram/page/packing.h"

/* Whether this build has its library. */
bool gw_packing_known(enum gw_packet_coding coding);
/* Limit for the memory that a peer can make all unpackers of a session allocate: each stream sets the size of its
 * window. */
#define GW_PACKING_KEPT_BYTES (512u << 20)

/* level: of a packer. in: makes an unpacker, one of `count` in its session. -ENOTSUP: not in this build. */
int gw_packing_zlib_new(bool in, int level, struct gw_packing **ret, struct gw_error *err);
int gw_packing_zstd_new(bool in, int level, unsigned count, struct gw_packing **ret, struct gw_error *err);
/* The largest window for each of so many unpackers, as a power of two. */
unsigned gw_packing_window_bits(unsigned count);

#endif
