/* SPDX-License-Identifier: MIT
 *
 * stream_put: writes the parts of an image that are not RAM as a stream. They are the same in a stream and in a
 * mapped-ram file.
 */
#ifndef GW_STREAM_PUT_H
#define GW_STREAM_PUT_H

#include "channel/writer.h"
#include "image/image.h"

/* Header, configuration, devices that came before the RAM's START, and the START up to its block list. */
void gw_stream_put_begin(const struct gw_image *image, bool mapped, struct gw_writer *w);
/* After the block list: the rest of the START, and the devices that came after it. */
void gw_stream_put_listed(const struct gw_image *image, struct gw_writer *w);
/* Begins a PART of the RAM; ends the open one, if any. */
void gw_stream_put_part(const struct gw_image *image, struct gw_writer *w);
void gw_stream_put_part_end(const struct gw_image *image, struct gw_writer *w);
/* The RAM's END, which is empty, the devices, EOF and the description. */
void gw_stream_put_end(const struct gw_image *image, struct gw_writer *w);

#endif
