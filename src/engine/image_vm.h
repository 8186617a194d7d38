/* SPDX-License-Identifier: MIT
 *
 * image_vm: a machine that stands for an image: devices that nobody here knows are carried as the bytes that they are.
 *
 * On a destination everything is accepted and kept (gw_devices_image), on a source everything goes out as it came. RAM
 * goes through the same pipeline as any machine's (gw_guest_at_rest).
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_IMAGE_VM_H
#define GW_ENGINE_IMAGE_VM_H

#include "engine/vm.h"
#include "image/image.h"
#include "wire/section.h"

struct gw_image_guest {
    struct gw_vm *vm;
    struct gw_image *image;
    int (*park)(void *opaque, struct gw_error *err);
    void *opaque;
    /* destination */
    unsigned early_devices; /* sections of the set-up */
    struct gw_section_head other[15]; /* live sections that are not known; with ram a scan can have no more */
    unsigned other_count, last_other; /* the last: of which something came */
    /* source */
    unsigned *of_block; /* image's number of each RAM block; NULL: RAM is in memory */
};

/* The source's pages have so many bits. Before there are any RAM blocks. */
void gw_guest_set_page(struct gw_vm *vm, unsigned bits);
/* A RAM block that lies at `host`; with GW_RAM_ELSEWHERE host is NULL. */
int gw_guest_add_ram(struct gw_vm *vm, const char *name, uint64_t used_bytes, void *host, unsigned flags,
                     struct gw_error *err);

#endif
