/* SPDX-License-Identifier: MIT
 *
 * codec: converts one device's body between memory and the stream.
 */
#ifndef GW_STATE_CODEC_H
#define GW_STATE_CODEC_H

#include "channel/reader.h"
#include "channel/writer.h"
#include "state/vmdesc.h"
#include "state/walk.h"

/* Writes the body. desc: gets the members of the description (vmsd_name ...), in the object that is open; may be NULL.
 * Errors of the writer stick there and are not returned here. After an error the bytes written are useless. */
int gw_state_encode(const struct gw_state *st, void *device, struct gw_writer *w, struct gw_vmdesc *desc,
                    struct gw_error *err);

/* -EPROTO: a body of this version cannot be read. */
int gw_state_version_check(const struct gw_state *st, uint32_t version, struct gw_error *err);

/* Reads a body that was written as `version`. On failure the device is unchanged. */
int gw_state_decode(const struct gw_state *st, uint32_t version, void *device, struct gw_reader *r,
                    struct gw_error *err);

#endif
