/* SPDX-License-Identifier: MIT
 *
 * ready: checks of a machine before it is written in any format.
 */
#ifndef GW_IMAGE_FILES_READY_H
#define GW_IMAGE_FILES_READY_H

#include "image/image.h"

/* -EBADMSG: the machine is incomplete, and the format cannot record that. If libvirt stopped the machine, and the
 * format has no other place for the earlier run state, that state is put into the stream. path: for messages. */
int gw_image_ready(struct gw_image *image, const char *path, enum gw_image_format format, struct gw_error *err);

#endif
