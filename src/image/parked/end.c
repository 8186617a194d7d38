/* SPDX-License-Identifier: MIT
 *
 * Where a parked file ends inside its container: a volume, an export or a padded copy is larger than the file.
 */
#include "image/parked/reader.h"

#define PADDING_BYTES (64u << 10) /* zeros that a copy to whole blocks may add */
#define CHUNK_BYTES   (1u << 20)

static bool ends_at(const uint8_t *trailer, uint64_t end)
{
    struct gw_parked_trailer t;

    return gw_parked_get_trailer(trailer, end, &t, NULL) >= 0;
}

/* The file, or a trailer with zeros behind it, reaches to the end of the container. 0: neither. */
static uint64_t find_last(struct gw_parked *p)
{
    uint64_t size = p->bytes->size, from = size - GW_MIN(size, PADDING_BYTES + GW_PARKED_TRAILER_BYTES);
    GW_AUTOFREE uint8_t *tail = malloc(size - from + 1);

    if (!tail || gw_parked_pread(p, from, tail, size - from, NULL) < 0)
        return 0;
    for (uint64_t at = size - from; at >= GW_PARKED_TRAILER_BYTES; at--) {
        if (ends_at(tail + at - GW_PARKED_TRAILER_BYTES, from + at))
            return from + at;
        if (tail[at - 1])
            break;
    }
    return 0;
}

/* The first trailer in the container that gives its own place as that of the file's end. Reads as much as the file has. 0: there is
 * none. */
static uint64_t find_first(struct gw_parked *p)
{
    uint64_t size = p->bytes->size;
    GW_AUTOFREE uint8_t *chunk = malloc(CHUNK_BYTES);

    for (uint64_t at = 0; chunk && at + GW_PARKED_TRAILER_BYTES <= size; at += CHUNK_BYTES - GW_PARKED_TRAILER_BYTES + 1) {
        size_t n = (size_t)GW_MIN(CHUNK_BYTES, size - at);
        const uint8_t *from = chunk, *last;

        if (gw_parked_pread(p, at, chunk, n, NULL) < 0)
            return 0;
        last = chunk + n - GW_PARKED_TRAILER_BYTES;
        while (from <= last && (from = memmem(from, (size_t)(last - from) + 8, GW_PARKED_TRAILER_MAGIC, 8))) {
            uint64_t end = at + (uint64_t)(from - chunk) + GW_PARKED_TRAILER_BYTES;

            if (ends_at(from, end))
                return end;
            from++;
        }
    }
    return 0;
}

uint64_t gw_parked_find_end(struct gw_parked *p, const uint8_t header[GW_PARKED_HEADER_BYTES])
{
    uint64_t end, frames_end;

    if (gw_parked_header_end(header, p->bytes->size, &end, &frames_end)) {
        gw_bytes_ahead(p->bytes, frames_end, end - frames_end);
        return end;
    }
    /* The header does not say it in files of older versions, and in those that were written into a pipe. */
    if (memcmp(header, GW_PARKED_MAGIC, 8) || gw_load_be32(header + 12) & GW_PARKED_NEEDS_END)
        return p->bytes->size;
    end = find_last(p);
    end = end ? end : find_first(p);
    return end ? end : p->bytes->size;
}

int gw_parked_behind(struct gw_image *image, struct gw_behind *ret, struct gw_error *err)
{
    const struct gw_parked *p = image->own;

    int r = 0;

    *ret = (struct gw_behind){0};
    if (p->bytes->fd >= 0)
        r = gw_behind_look(p->bytes->fd, p->trailer.file_bytes, ret, err);
    ret->roomy |= p->trailer.needs & GW_PARKED_NEEDS_END;
    return r;
}
