/* SPDX-License-Identifier: MIT
 *
 * stream_put: what is not RAM of an image, as a stream has it. All but the pages is the same in a stream and in a
 * mapped-ram file.
 */
#ifndef GW_STREAM_PUT_H
#define GW_STREAM_PUT_H

#include "channel/writer.h"
#include "image/image.h"

/* Header, configuration, devices that came before the RAM's START, and that up to its list. */
void gw_stream_put_begin(const struct gw_image *image, bool mapped, struct gw_writer *w);
/* Up to here the list stands; the rest of the START, and devices that came behind it. */
void gw_stream_put_listed(const struct gw_image *image, struct gw_writer *w);
/* A PART of the RAM is opened; what is open is closed. */
void gw_stream_put_part(const struct gw_image *image, struct gw_writer *w);
void gw_stream_put_part_end(const struct gw_image *image, struct gw_writer *w);
/* The RAM's END, which is empty, the devices, EOF and the description. */
void gw_stream_put_end(const struct gw_image *image, struct gw_writer *w);

#endif
