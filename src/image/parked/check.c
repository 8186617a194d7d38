/* SPDX-License-Identifier: MIT
 *
 * Checks what reading all pages does not cover: parts of unknown kinds, and that frames without pages are contiguous
 * too.
 */
#include "image/parked/reader.h"

#define CHUNK_BYTES (256u << 10)

static int check_part(struct gw_parked *p, const struct gw_parked_part *part, uint8_t *chunk, struct gw_error *err)
{
    uint32_t is = 0;

    for (uint64_t done = 0, n; done < part->bytes; done += n) {
        int r;

        n = GW_MIN(part->bytes - done, CHUNK_BYTES);
        r = gw_parked_pread(p, part->at + done, chunk, n, err);
        if (r < 0)
            return r;
        is = gw_crc32c(is, chunk, n);
    }
    if (is != part->crc)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "%s, %" PRIu64 " bytes at byte %" PRIu64 ": its checksum is 0x%08x and should be 0x%08x",
                       gw_parked_part_name(part->kind), part->bytes, part->at, is, part->crc);
    return 0;
}

int gw_parked_check(struct gw_image *image, struct gw_error *err)
{
    struct gw_parked *p = image->own;
    GW_AUTOFREE uint8_t *chunk = malloc(CHUNK_BYTES);
    int r = chunk ? 0 : gw_nomem(err, "checking");

    for (uint32_t i = 0; i < p->frames_groups && r >= 0; i++) {
        uint32_t last = GW_MIN((i + 1) * GW_PARKED_GROUP_FRAMES, p->frame_count) - 1;
        struct gw_parked_extent x;

        r = gw_parked_find_frame(p, last, &x, err);
    }
    for (uint32_t i = 0; i < p->trailer.part_count && r >= 0; i++)
        r = check_part(p, &p->trailer.parts[i], chunk, err);
    if (r < 0)
        gw_context(err, "%s", p->name);
    return r;
}
