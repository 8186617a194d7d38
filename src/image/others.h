/* SPDX-License-Identifier: MIT
 *
 * others: unknown live sections (scan/unknown.c) of an image: their elements as in the stream, in their order, and
 * their place between RAM and devices. An image has only the final contents of RAM, so elements that came among its
 * PARTs are placed after all of them (docs/decisions/order-of-live-sections.md).
 */
#ifndef GW_IMAGE_OTHERS_H
#define GW_IMAGE_OTHERS_H

#include <stdatomic.h>

#include "base/base.h"

struct gw_image;
struct gw_out;

enum gw_image_place {
    GW_PLACE_FIRST,   /* before the RAM's START */
    GW_PLACE_SETUP,   /* after it, before its first PART */
    GW_PLACE_ITERATE, /* among its PARTs or after them, before the machine was stopped */
    GW_PLACE_ENDING,  /* before the RAM's END */
    GW_PLACE_LATE,    /* after it, before the devices */
    GW_PLACES
};

struct gw_image_other {
    uint8_t place;
    uint64_t early_at; /* FIRST, SETUP: bytes of the early devices that came before it */
    uint64_t bytes;
};

struct gw_image_others {
    struct gw_image_other *list; /* runs of elements; by place, then early_at */
    unsigned count;
    uint8_t *data;               /* of all runs */
    size_t bytes, cap;
    atomic_bool any; /* whether there are any; may be read on any thread */
};

/* The parts of the stream seen so far, which determine the place of the next element. */
struct gw_image_progress {
    bool listed, begun, ended; /* the RAM's START, its first PART or END, its END */
};
enum gw_image_place gw_image_place(const struct gw_image_progress *p, uint8_t element);
/* Appends devices of the set-up. */
int gw_image_add_early(struct gw_image *image, bool listed, const void *data, size_t bytes, struct gw_error *err);
/* Appends an element. -EPROTO: this order is not allowed. */
int gw_image_add_other(struct gw_image *image, enum gw_image_place place, const void *data, size_t bytes,
                       struct gw_error *err);
/* Writes the set-up before the RAM's START or, if `listed`, after it: early devices and others. */
void gw_image_put_setup(const struct gw_image *image, bool listed, struct gw_out *out);
/* Writes the others of a later place. */
void gw_image_put_others(const struct gw_image *image, enum gw_image_place place, struct gw_out *out);
/* All of them as bytes (docs/formats/parked.md, part 14); none: no bytes. */
void gw_image_pack_others(const struct gw_image *image, struct gw_out *out);
int gw_image_unpack_others(struct gw_image *image, const uint8_t *data, size_t bytes, struct gw_error *err);
void gw_image_clear_others(struct gw_image *image);

#endif
