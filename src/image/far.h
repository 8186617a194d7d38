/* SPDX-License-Identifier: MIT
 *
 * far: opens a machine at rest on an NBD server (nbd.h).
 *
 * A format with random access (gw_image_format_ops.open_bytes) is read on the server. Any other is first copied into an
 * unnamed file, in large concurrent pieces; it would have to be read as a whole anyway.
 */
#ifndef GW_IMAGE_FAR_H
#define GW_IMAGE_FAR_H

#include "image/bytes.h"
#include "image/image.h"

/* Either *ret_format and *ret_bytes are set, or *ret_fd is the copy. */
int gw_far_open(const char *uri, const char *temporary_folder, const struct gw_image_format_ops **ret_format,
                struct gw_bytes **ret_bytes, int *ret_fd, struct gw_error *err);

#endif
