/* SPDX-License-Identifier: MIT */
#include "image/stream/put.h"

#include "wire/command.h"
#include "wire/profile.h"
#include "wire/ram_list.h"
#include "wire/ram_record.h"
#include "wire/section.h"

static void put_head(const struct gw_image *image, bool mapped, struct gw_writer *w)
{
    struct gw_wire_head head;

    gw_image_head(image, &head);
    if (mapped)
        gw_head_add_capability(&head, "mapped-ram");
    gw_head_put(&w->out, &head);
}

void gw_stream_put_begin(const struct gw_image *image, bool mapped, struct gw_writer *w)
{
    struct gw_section_head ram = {.id = image->ram_id, .version = GW_RAM_SECTION_VERSION, .name = "ram"};
    uint64_t total = 0;

    put_head(image, mapped, w);
    gw_image_put_setup(image, false, &w->out);
    gw_section_put_head(&w->out, GW_ELEMENT_START, &ram);
    for (unsigned i = 0; i < image->block_count; i++)
        total += image->blocks[i].used_bytes;
    gw_ram_list_put_total(&w->out, total);
}

void gw_stream_put_part_end(const struct gw_image *image, struct gw_writer *w)
{
    gw_ram_put_end(&w->out);
    if (image->footers)
        gw_section_put_footer(&w->out, image->ram_id);
}

void gw_stream_put_listed(const struct gw_image *image, struct gw_writer *w)
{
    gw_stream_put_part_end(image, w);
    gw_image_put_setup(image, true, &w->out);
}

void gw_stream_put_part(const struct gw_image *image, struct gw_writer *w)
{
    gw_section_put_part(&w->out, GW_ELEMENT_PART, image->ram_id);
}

void gw_stream_put_end(const struct gw_image *image, struct gw_writer *w)
{
    gw_image_put_others(image, GW_PLACE_ITERATE, &w->out);
    /* A source with such a machine type announces the end of the RAM; a peer that does not know that has no such
     * type. */
    if (gw_wire_profile_of_machine(image->machine)->switchover_start)
        gw_command_put(&w->out, GW_COMMAND_SWITCHOVER_START, NULL, 0);
    gw_image_put_others(image, GW_PLACE_ENDING, &w->out);
    gw_section_put_part(&w->out, GW_ELEMENT_END, image->ram_id);
    gw_stream_put_part_end(image, w);
    gw_image_put_others(image, GW_PLACE_LATE, &w->out);
    gw_put_bytes(w, image->devices, image->devices_bytes);
    gw_put_u8(w, GW_ELEMENT_EOF);
    gw_wire_put_vmdesc(&w->out, image->description, image->description_bytes);
}
