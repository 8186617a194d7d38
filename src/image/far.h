/* SPDX-License-Identifier: MIT
 *
 * far: a machine at rest that an NBD server has (nbd.h).
 *
 * A format that is read at an offset (gw_image_format_ops.open_bytes) stays there. Of one that is not, all is copied into a file
 * without a name first, in large pieces that are under way at once; it would have to be read as a whole anyway.
 */
#ifndef GW_IMAGE_FAR_H
#define GW_IMAGE_FAR_H

#include "image/bytes.h"
#include "image/image.h"

/* Either *ret_format and *ret_bytes are set, or *ret_fd is the copy. */
int gw_far_open(const char *uri, const char *temporary_folder, const struct gw_image_format_ops **ret_format,
                struct gw_bytes **ret_bytes, int *ret_fd, struct gw_error *err);

#endif
