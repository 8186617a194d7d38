/* SPDX-License-Identifier: MIT
 *
 * far_out: a machine at rest is written to a server (held.h), in any format.
 *
 * A format that can be written to bytes that may go on behind it (gw_image_format_ops.write_bytes) goes there at once.
 * Of others, which are read as files, a file without a name is written first. That says how large it is before anything
 * of the export is touched; what of the export is behind it becomes zeros, which readers of these formats pass over.
 */
#ifndef GW_IMAGE_FILES_FAR_OUT_H
#define GW_IMAGE_FILES_FAR_OUT_H

#include "image/bytes.h"
#include "image/image.h"

/* -EINVAL: what the options ask for does not tell where it ends. -ENOSPC: it has no room there. */
int gw_far_write(struct gw_image *image, const struct gw_image_format_ops *format,
                 const struct gw_image_write_options *options, struct gw_bytes *to, struct gw_error *err);

#endif
