/* SPDX-License-Identifier: MIT
 *
 * far_out: writes a machine at rest to a server (held.h), in any format.
 *
 * A format whose data may be followed by other bytes (gw_image_format_ops.write_bytes) is written to the server
 * directly. Any other is first written to an unnamed file, so its size is known before the export is changed; the rest
 * of the export becomes zeros, which readers of these formats ignore.
 */
#ifndef GW_IMAGE_FILES_FAR_OUT_H
#define GW_IMAGE_FILES_FAR_OUT_H

#include "image/bytes.h"
#include "image/image.h"

/* -EINVAL: a reader could not tell where the chosen format ends. -ENOSPC: the export is too small. */
int gw_far_write(struct gw_image *image, const struct gw_image_format_ops *format,
                 const struct gw_image_write_options *options, struct gw_bytes *to, struct gw_error *err);

#endif
