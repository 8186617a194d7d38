/* SPDX-License-Identifier: MIT
 *
 * Frames on their way into a parked file: one thread fills them and takes them back in the same order, several
 * compress.
 *
 *     while (!(room = gw_pack_room(p)))
 *         write what gw_pack_take(p) gives
 *     fill room; gw_pack_put(p, bytes)
 *
 * Memory: for each thread two frames as they are and as they become, and what zstd needs.
 * Threads: one owner; those that compress are the object's own.
 */
#ifndef GW_IMAGE_PARKED_PACK_H
#define GW_IMAGE_PARKED_PACK_H

#include "image/parked/parked.h"

struct gw_pack;

struct gw_packed {
    const uint8_t *data;
    uint32_t bytes, raw_bytes, crc; /* bytes == raw_bytes: not compressed */
};

/* Whether zstd could not compress the page, judged from some of its bytes. bytes: a power of two from 1 KiB. */
bool gw_pack_noise(const uint8_t *page, size_t bytes);
/* threads: 0: one per processor. level: of zstd; 0: nothing is compressed. dictionary: as gw_packer_new. */
int gw_pack_new(unsigned threads, int level, const struct gw_dictionary *dictionary, uint32_t page_bytes,
                uint32_t frame_pages, struct gw_pack **ret, struct gw_error *err);
void gw_pack_free(struct gw_pack *p);
/* The buffer of the next frame, aligned to 64, the same until it is put; NULL: all are filled, take one. */
uint8_t *gw_pack_room(struct gw_pack *p);
void gw_pack_put(struct gw_pack *p, uint32_t bytes);
/* Waits for the oldest frame that was put; false: there is none. Valid until the next call. */
bool gw_pack_take(struct gw_pack *p, struct gw_packed *ret);

#endif
