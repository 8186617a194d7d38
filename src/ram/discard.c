/* SPDX-License-Identifier: MIT */
#include "base/endian.h"
#include "ram/live.h"
#include "wire/numbers.h"

#define RANGES 12 /* ranges in one command; docs/wire-format.md 10.3 */

/* u8 version | u8 n, name of n bytes, u8 0 | (u64 start, u64 length) each */
struct discard {
    uint8_t payload[2 + 256 + 1 + RANGES * 16];
    unsigned bytes, ranges, head;
};

static void name(struct discard *d, const struct gw_ram_block *b)
{
    unsigned n = (unsigned)strlen(b->name);

    d->payload[0] = 0;
    d->payload[1] = (uint8_t)n;
    memcpy(&d->payload[2], b->name, n + 1);
    d->head = d->bytes = 2 + n + 1;
    d->ranges = 0;
}

static void flush(struct discard *d, struct gw_commands *c)
{
    if (d->ranges)
        c->put(c, GW_COMMAND_POSTCOPY_RAM_DISCARD, d->payload, (uint16_t)d->bytes);
    d->bytes = d->head;
    d->ranges = 0;
}

void gw_ram_discard(const struct gw_ram *ram, struct gw_source *source, struct gw_commands *c)
{
    for (unsigned i = 0; i < ram->count; i++) {
        const struct gw_ram_block *b = ram->blocks[i];
        uint64_t first, end = 0;
        struct discard d;

        name(&d, b);
        while (source->due(source, b, end, &first, &end)) {
            gw_store_be64(&d.payload[d.bytes], first << ram->page_bits);
            gw_store_be64(&d.payload[d.bytes + 8], (end - first) << ram->page_bits);
            d.bytes += 16;
            if (++d.ranges == RANGES)
                flush(&d, c);
        }
        flush(&d, c);
    }
}
