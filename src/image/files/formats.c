/* SPDX-License-Identifier: MIT
 *
 * The formats of machines at rest, in the order in which they are probed: a format that can be contained in another one
 * comes later.
 */
#include "base/endian.h"
#include "image/image.h"
#include "image/libvirt/libvirt.h"
#include "wire/numbers.h"

static bool is_stream(const uint8_t *head, size_t bytes)
{
    return bytes >= 4 && gw_load_be32(head) == GW_WIRE_MAGIC;
}

static bool is_parked(const uint8_t *head, size_t bytes)
{
    return bytes >= 8 && !memcmp(head, GW_PARKED_MAGIC, 8);
}

const struct gw_image_format_ops gw_image_formats[] = {
    {.format = GW_IMAGE_MEMORY, .name = "memory"},
    {.format = GW_IMAGE_PARKED,
     .name = "parked",
     .recognise = is_parked,
     .open = gw_parked_open,
     .open_bytes = gw_parked_open_bytes,
     .check = gw_parked_check_options,
     .write = gw_parked_write,
     .write_bytes = gw_parked_write_bytes,
     .pipe = true},
    {.format = GW_IMAGE_STREAM,
     .name = "stream",
     .recognise = is_stream,
     .open = gw_stream_open,
     .check = gw_stream_check_options,
     .write = gw_stream_write,
     .pipe = true},
    {.format = GW_IMAGE_MAPPED_RAM,
     .name = "mapped-ram",
     .check = gw_mapped_check_options,
     .write = gw_mapped_write}, /* opened by the row of the stream format */
    {.format = GW_IMAGE_LIBVIRT,
     .name = "libvirt",
     .recognise = gw_libvirt_recognise,
     .open = gw_libvirt_open,
     .check = gw_libvirt_check_options,
     .write = gw_libvirt_write},
};
const unsigned gw_image_format_count = GW_ARRAY_LEN(gw_image_formats);
