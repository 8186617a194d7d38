/* SPDX-License-Identifier: MIT
 *
 * image_vm: the machine of an image: its devices are not known here, and are carried as bytes.
 *
 * A destination accepts and keeps everything (gw_devices_image), a source sends everything as it was received. RAM
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
    /* live sections that this program does not know; besides ram, a scan cannot hold more */
    struct gw_section_head other[15];
    unsigned other_count, last_other; /* last_other: the index of the section of the last element that came */
    /* source */
    unsigned *of_block; /* the image's number of each RAM block; NULL: RAM is in memory */
};

/* Page size of the source, as a number of bits. Call it before RAM blocks are added. */
void gw_guest_set_page(struct gw_vm *vm, unsigned bits);
/* Adds a RAM block at `host`; with GW_RAM_ELSEWHERE host is NULL. */
int gw_guest_add_ram(struct gw_vm *vm, const char *name, uint64_t used_bytes, void *host, unsigned flags,
                     struct gw_error *err);

#endif
