/* SPDX-License-Identifier: MIT
 *
 * guest: a machine that stands for an image: devices that nobody here knows are carried as the bytes that they are.
 *
 * What the registry is for other machines gw_devices_image is for these: on a destination everything is taken and kept,
 * on a source everything goes out as it came. RAM goes through the same pipeline; `fetch` puts pages of a file where the
 * pipeline looks for them, just before it does.
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_GUEST_H
#define GW_ENGINE_GUEST_H

#include "engine/fetch.h"
#include "engine/vm.h"

struct gw_image_guest {
    struct gw_vm *vm;
    struct gw_image *image;
    int (*park)(void *opaque, struct gw_error *err);
    void *opaque;
    unsigned early_devices; /* destination: sections of the set-up */
    /* source */
    unsigned *of_block; /* image's number of each RAM block; NULL: RAM is in memory */
    struct gw_fetch *fetch;
};

/* A RAM block that lies at `host`. */
int gw_guest_add_ram(struct gw_vm *vm, const char *name, uint64_t used_bytes, void *host, unsigned flags,
                     struct gw_error *err);

#endif
