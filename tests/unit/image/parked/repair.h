/* SPDX-License-Identifier: MIT
 *
 * Makes the checksums of a damaged parked file right again, so that what they protect is looked at: for tests of what a
 * hostile file may say, and for the fuzzer. What is not where it should be is left alone.
 */
#ifndef PARKED_REPAIR_H
#define PARKED_REPAIR_H

#include "image/parked/parked.h"

struct repair_part {
    uint8_t *entry, *data;
    uint64_t bytes;
    uint32_t flags;
};

static struct repair_part repair_find(uint8_t *file, size_t size, uint32_t kind)
{
    uint8_t *trailer = file + size - GW_PARKED_TRAILER_BYTES;
    uint32_t count = GW_MIN(gw_load_be32(trailer + 56), GW_PARKED_PARTS_MAX);
    struct repair_part part = {0};

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *entry = trailer + GW_PARKED_PARTS_AT + i * GW_PARKED_PART_BYTES;
        uint64_t at = gw_load_be64(entry + 8), bytes = gw_load_be64(entry + 16);

        if (gw_load_be32(entry) == kind && at <= size && bytes <= size - at)
            part = (struct repair_part){entry, file + at, bytes, gw_load_be32(entry + 4)};
    }
    return part;
}

static void repair(uint8_t *file, size_t size)
{
    uint8_t *trailer = file + size - GW_PARKED_TRAILER_BYTES;
    struct gw_parked_trailer head;
    struct repair_part directory, table;

    if (size < GW_PARKED_HEADER_BYTES + GW_PARKED_TRAILER_BYTES)
        return;
    directory = repair_find(file, size, GW_PARKED_PAGE_DIRECTORY);
    table = repair_find(file, size, GW_PARKED_PAGES);
    for (uint64_t i = 0, at = 0;
         !directory.flags && directory.data && table.data && i + GW_PARKED_PAGE_ENTRY <= directory.bytes;
         i += GW_PARKED_PAGE_ENTRY) {
        uint64_t n = GW_MIN(gw_load_be32(directory.data + i), table.bytes - at);

        gw_store_be32(directory.data + i + 4, gw_crc32c(0, table.data + at, n));
        at += n;
    }
    directory = repair_find(file, size, GW_PARKED_FRAME_DIRECTORY);
    table = repair_find(file, size, GW_PARKED_FRAMES);
    for (uint64_t i = 0, at = GW_PARKED_HEADER_BYTES; table.data && i + GW_PARKED_FRAME_ENTRY <= table.bytes;
         i += GW_PARKED_FRAME_ENTRY) {
        uint64_t n = gw_load_be32(table.data + i);

        if (n <= size - at)
            gw_store_be32(table.data + i + 4, gw_crc32c(0, file + at, n));
        at = GW_MIN(at + n, size);
    }
    for (uint64_t i = 0, at = 0;
         !directory.flags && directory.data && table.data && i + GW_PARKED_FRAMES_ENTRY <= directory.bytes;
         i += GW_PARKED_FRAMES_ENTRY) {
        uint64_t n = GW_MIN(GW_PARKED_GROUP_FRAMES * GW_PARKED_FRAME_ENTRY, table.bytes - at);

        gw_store_be32(directory.data + i + 8, gw_crc32c(0, table.data + at, n));
        at += n;
    }
    for (uint32_t kind = GW_PARKED_HEAD; kind < GW_PARKED_PART_KINDS; kind++) {
        struct repair_part part = repair_find(file, size, kind);

        if (part.entry)
            gw_store_be32(part.entry + 32, gw_crc32c(0, part.data, part.bytes));
    }
    gw_store_be32(trailer + GW_PARKED_TRAILER_BYTES - 4, gw_crc32c(0, trailer, GW_PARKED_TRAILER_BYTES - 4));
    head = (struct gw_parked_trailer){
        .needs = gw_load_be32(trailer + 12),
        .may = gw_load_be32(trailer + 16),
        .page_bytes = gw_load_be32(trailer + 20),
        .frame_pages = gw_load_be32(trailer + 24),
        .file_bytes = gw_load_be64(trailer + 32),
        .frames_end = gw_load_be64(trailer + 40),
    };
    gw_parked_put_header(file, &head);
}

#endif
