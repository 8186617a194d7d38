/* SPDX-License-Identifier: MIT
 *
 * devices: the device sections of an image as a list, each with its description if there is one.
 */
#ifndef GW_IMAGE_DEVICES_H
#define GW_IMAGE_DEVICES_H

#include "image/image.h"
#include "state/vmdesc_read.h"

struct gw_image_device {
    const char *name;
    char label[272]; /* "cpu/0" */
    uint32_t instance, version, id;
    const uint8_t *body;
    uint64_t body_bytes;
    const struct gw_vmdesc_state *state; /* NULL: the structure of the state is not known */
    bool early;
};

struct gw_image_devices {
    struct gw_image_device *list;
    unsigned count;
    struct gw_vmdesc_tree *tree; /* NULL: no description */
    struct gw_arena names;
};

/* Borrows the image's data. -EPROTO: not device sections, or not those of the description. */
int gw_image_devices_read(const struct gw_image *image, struct gw_image_devices *ret, struct gw_error *err);
void gw_image_devices_close(struct gw_image_devices *d);

#endif
