/* SPDX-License-Identifier: MIT
 *
 * The section before the RAM, big endian: u64 address, u64 bytes of the memory, u64 bytes of a piece, u32 node, u64
 * bytes plugged in, and a bit for each piece in words of 64 bits.
 */
#include "examine/physical/plugged.h"

#include "base/endian.h"

#define HEAD 36u

/* Length of the name up to and including the last '/'; 0: it has none. */
static size_t path_bytes(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? (size_t)(slash - name) + 1 : 0;
}

static bool same_path(const char *a, const char *b)
{
    size_t n = path_bytes(a);

    return n && n == path_bytes(b) && !memcmp(a, b, n);
}

/* Finds the device's only block. */
static bool find_block(const struct gw_image *image, const char *device, unsigned *ret)
{
    unsigned found = 0;

    for (unsigned i = 0; i < image->block_count; i++) {
        if (!same_path(image->blocks[i].name, device))
            continue;
        *ret = i;
        found++;
    }
    return found == 1;
}

bool gw_plugged_read(const struct gw_image *image, const struct gw_image_device *device, struct gw_plugged *ret)
{
    const uint8_t *p = device->body;
    uint64_t bytes, end;
    struct gw_plugged g;

    if (strcmp(device->name + path_bytes(device->name), "virtio-mem-device-early") != 0 || device->body_bytes < HEAD ||
        !find_block(image, device->name, &g.block))
        return false;
    g.address = gw_load_be64(p);
    bytes = gw_load_be64(p + 8);
    g.piece_bytes = gw_load_be64(p + 16);
    g.bits = p + HEAD;
    if (!gw_is_pow2(g.piece_bytes) || g.piece_bytes % image->page_bytes || bytes % g.piece_bytes ||
        bytes != image->blocks[g.block].used_bytes || gw_add_overflows(g.address, bytes, &end))
        return false;
    g.pieces = bytes / g.piece_bytes;
    if (device->body_bytes != HEAD + gw_div_up(g.pieces, 64) * 8)
        return false;
    *ret = g;
    return true;
}

bool gw_plugged_has(const struct gw_plugged *p, uint64_t piece)
{
    return gw_load_be64(p->bits + piece / 64 * 8) >> piece % 64 & 1;
}

bool gw_plugged_is(const struct gw_image_devices *devices, const char *block)
{
    static const char *const kinds[] = {"virtio-mem", "virtio-pmem"};

    for (unsigned i = 0; i < devices->count; i++) {
        const char *name = devices->list[i].name;

        for (size_t k = 0; k < GW_ARRAY_LEN(kinds); k++)
            if (same_path(name, block) && !strcmp(name + path_bytes(name), kinds[k]))
                return true;
    }
    return false;
}
