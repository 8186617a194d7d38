/* SPDX-License-Identifier: MIT
 *
 * ready: what is checked of a machine before it is written in any format.
 */
#ifndef GW_IMAGE_FILES_READY_H
#define GW_IMAGE_FILES_READY_H

#include "image/image.h"

/* -EBADMSG: it is not whole, and the format cannot tell. Of a machine that libvirt stopped it is said in the stream whether it
 * runs, where the format has no other place for it. path: for messages. */
int gw_image_ready(struct gw_image *image, const char *path, enum gw_image_format format, struct gw_error *err);

#endif
