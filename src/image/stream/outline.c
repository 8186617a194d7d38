/* SPDX-License-Identifier: MIT */
#include "image/stream/outline.h"

#include "wire/ram_record.h"
#include "wire/section.h"

#define PART_HEAD_BYTES   5u
#define RECORD_HEAD_BYTES 8u

void gw_stream_outline_chunk(struct gw_stream_outline *o, const struct gw_image *image, unsigned block, unsigned zeros,
                             unsigned plain)
{
    uint64_t name = o->block == block + 1 ? 0 : 1 + strlen(image->blocks[block].name);
    uint64_t zero_bytes = (uint64_t)zeros * (RECORD_HEAD_BYTES + 1) + (zeros ? name : 0);
    uint64_t heads = (uint64_t)plain * RECORD_HEAD_BYTES + (zeros ? 0 : name);
    uint64_t all = zero_bytes + heads + (uint64_t)plain * image->page_bytes;

    o->frame_bytes = PART_HEAD_BYTES + RECORD_HEAD_BYTES + (image->footers ? GW_FOOTER_BYTES : 0);
    if (!o->parts || o->used > GW_STREAM_PART_BYTES) {
        o->parts++;
        o->bytes += o->frame_bytes;
        o->used = PART_HEAD_BYTES;
    }
    o->used += all;
    o->bytes += all;
    o->plain_heads += heads;
    o->zero_bytes += zero_bytes;
    o->block = block + 1;
}
