/* SPDX-License-Identifier: MIT
 *
 * packing: what the contents of a packet become on their way, and back: the plug of the packet layout (ram/layout/packet.h).
 *
 * One stream of coded bytes goes over all packets of a channel; each packet ends where all that was put in can be taken
 * out. So pack and unpack must see every packet of one channel, in order.
 *
 * Threads: one owner, the lane's layout.
 */
#ifndef GW_PAGE_PACKING_H
#define GW_PAGE_PACKING_H

#include "base/base.h"
#include "wire/packet.h"

struct gw_packing {
    enum gw_packet_coding coding;
    /* n pages, which may be written to meanwhile, become *ret_bytes at dst. At most room bytes, else -EMSGSIZE. 0 bytes: they are to
     * go as they are (only a packing that has `sent`). */
    int (*pack)(struct gw_packing *p, const uint8_t *const *page, unsigned n, uint32_t page_bytes, uint8_t *dst,
                size_t room, size_t *ret_bytes, struct gw_error *err);
    /* All of src becomes exactly n pages. Trusts nothing: else -EPROTO with blame PEER, and the pages are undefined. */
    int (*unpack)(struct gw_packing *p, const uint8_t *src, size_t bytes, uint8_t *const *page, unsigned n,
                  uint32_t page_bytes, struct gw_error *err);
    /* A packer: with the next packet this level begins, which is another one or the same. NULL: it cannot. */
    int (*set_level)(struct gw_packing *p, int level, struct gw_error *err);
    /* NULL: nothing to do. The packet that was packed last has been written. */
    void (*sent)(struct gw_packing *p);
    /* Back to as it was made: a new stream. */
    int (*reset)(struct gw_packing *p, struct gw_error *err);
    struct gw_packing *(*free)(struct gw_packing *p);
};

#endif
