/* SPDX-License-Identifier: MIT
 *
 * vmdesc: the JSON text that describes the device sections of a stream (wire-format.md 3.3), written while they are
 * encoded. The internal interface: the encoder opens the device, the visitor adds its fields.
 */
#ifndef GW_VMDESC_H
#define GW_VMDESC_H

#include "state/text.h"

struct gw_vmdesc {
    struct gw_text text;
    unsigned mute; /* > 0: elements of an array that array_len already describes */
    bool started;  /* the array "devices" is open */
    bool finished;
    uint32_t page_bytes;
};

/* NULL: no text is to be written, because there is no description, or it is muted. */
struct gw_text *gw_vmdesc_text(struct gw_vmdesc *desc);
void gw_vmdesc_device(struct gw_vmdesc *desc, const char *id, uint32_t instance);
void gw_vmdesc_device_end(struct gw_vmdesc *desc);

#endif
