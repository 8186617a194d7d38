/* SPDX-License-Identifier: MIT
 *
 * packing: compresses the contents of a packet, and decompresses them: the plug of the packet layout
 * (ram/layout/packet.h).
 *
 * One compressed stream covers all packets of a channel; each packet ends with a flush, so that all of its contents can
 * be decompressed. So pack and unpack must process every packet of a channel, in order.
 *
 * Threads: one owner, the lane's layout.
 */
#ifndef GW_PAGE_PACKING_H
#define GW_PAGE_PACKING_H

#include "base/base.h"
#include "wire/packet.h"

struct gw_packing {
    enum gw_packet_coding coding;
    /* Compresses n pages, which may be written to meanwhile, to *ret_bytes at dst. -EMSGSIZE: more than `room` bytes. 0
     * bytes: send them uncompressed (only a packing that has `sent`). */
    int (*pack)(struct gw_packing *p, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst,
                size_t room, size_t *ret_bytes, struct gw_error *err);
    /* Decompresses all of src to exactly n pages. Trusts nothing: otherwise -EPROTO with blame PEER, and the pages are
     * undefined. */
    int (*unpack)(struct gw_packing *p, const uint8_t *src, size_t bytes, uint8_t *const *page, unsigned n,
                  uint32_t page_bytes, struct gw_error *err);
    /* Of a packer: this level takes effect with the next packet. NULL: the level cannot be changed. */
    int (*set_level)(struct gw_packing *p, int level, struct gw_error *err);
    /* The last packet was written. May be NULL. */
    void (*sent)(struct gw_packing *p);
    /* Restores the state after creation: a new stream begins. */
    int (*reset)(struct gw_packing *p, struct gw_error *err);
    struct gw_packing *(*free)(struct gw_packing *p);
};

#endif
