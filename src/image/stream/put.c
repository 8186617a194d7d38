/* SPDX-License-Identifier: MIT */
#include "image/stream/put.h"

#include <stdio.h>

#include "wire/numbers.h"

static void put_subsection(struct gw_writer *w, const char *name)
{
    gw_put_u8(w, GW_ELEMENT_SUBSECTION);
    gw_put_str8(w, name);
    gw_put_u32(w, 1);
}

static void put_configuration(const struct gw_image *image, bool mapped, struct gw_writer *w)
{
    if (!*image->machine)
        return;
    gw_put_u8(w, GW_ELEMENT_CONFIGURATION);
    gw_put_u32(w, (uint32_t)strlen(image->machine));
    gw_put_bytes(w, image->machine, strlen(image->machine));
    if (image->page_bytes != 4096) {
        put_subsection(w, "configuration/target-page-bits");
        gw_put_u32(w, image->page_bits);
    }
    if (mapped) {
        put_subsection(w, "configuration/capabilities");
        gw_put_u32(w, 1);
        gw_put_str8(w, "mapped-ram");
    }
    if (image->has_uuid) {
        put_subsection(w, "configuration/uuid");
        gw_put_bytes(w, image->uuid, sizeof image->uuid);
    }
}

void gw_stream_put_begin(const struct gw_image *image, bool mapped, struct gw_writer *w)
{
    uint64_t total = 0;

    gw_put_u32(w, GW_WIRE_MAGIC);
    gw_put_u32(w, GW_WIRE_VERSION);
    put_configuration(image, mapped, w);
    gw_put_bytes(w, image->early, image->early_before);
    gw_put_u8(w, GW_ELEMENT_START);
    gw_put_u32(w, image->ram_id);
    gw_put_str8(w, "ram");
    gw_put_u32(w, 0);
    gw_put_u32(w, GW_RAM_SECTION_VERSION);
    for (unsigned i = 0; i < image->block_count; i++)
        total += image->blocks[i].used_bytes;
    gw_put_u64(w, total | GW_RAMF_MEM_SIZE);
}

static void put_footer(const struct gw_image *image, struct gw_writer *w)
{
    if (!image->footers)
        return;
    gw_put_u8(w, GW_ELEMENT_FOOTER);
    gw_put_u32(w, image->ram_id);
}

void gw_stream_put_part_end(const struct gw_image *image, struct gw_writer *w)
{
    gw_put_u64(w, GW_RAMF_EOS);
    put_footer(image, w);
}

void gw_stream_put_listed(const struct gw_image *image, struct gw_writer *w)
{
    size_t before = image->early_before;

    gw_stream_put_part_end(image, w);
    if (image->early_bytes > before)
        gw_put_bytes(w, image->early + before, image->early_bytes - before);
}

void gw_stream_put_part(const struct gw_image *image, struct gw_writer *w)
{
    gw_put_u8(w, GW_ELEMENT_PART);
    gw_put_u32(w, image->ram_id);
}

/* A source of such a machine announces the end of the RAM. It is asked for by nobody; one that would not know the
 * command has no such machine. */
static bool announces(const struct gw_image *image)
{
    const char *dash = strrchr(image->machine, '-');
    unsigned major, minor;
    int n = 0;

    return dash && sscanf(dash, "-%3u.%3u%n", &major, &minor, &n) == 2 && !dash[n] && major >= 10;
}

void gw_stream_put_end(const struct gw_image *image, struct gw_writer *w)
{
    if (announces(image)) {
        gw_put_u8(w, GW_ELEMENT_COMMAND);
        gw_put_u16(w, GW_COMMAND_SWITCHOVER_START);
        gw_put_u16(w, 0);
    }
    gw_put_u8(w, GW_ELEMENT_END);
    gw_put_u32(w, image->ram_id);
    gw_stream_put_part_end(image, w);
    gw_put_bytes(w, image->devices, image->devices_bytes);
    gw_put_u8(w, GW_ELEMENT_EOF);
    if (!image->description_bytes)
        return;
    gw_put_u8(w, GW_ELEMENT_VMDESC);
    gw_put_u32(w, (uint32_t)image->description_bytes);
    gw_put_bytes(w, image->description, image->description_bytes);
}
