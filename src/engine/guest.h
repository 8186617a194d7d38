/* SPDX-License-Identifier: MIT
 *
 * guest: a machine that stands for an image: devices that nobody here knows are carried as the bytes that they are.
 *
 * What the registry is for other machines this is for those with vm->image: on a destination everything is taken and
 * kept, on a source everything goes out as it came. RAM goes through the same pipeline; `fetch` puts pages of a file
 * where the pipeline looks for them, just before it does.
 *
 * Threads: the session's.
 */
#ifndef GW_ENGINE_GUEST_H
#define GW_ENGINE_GUEST_H

#include "engine/fetch.h"
#include "engine/vm.h"

struct gw_head;

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

/* ---- destination ---- */
int gw_guest_learn(struct gw_vm *vm, const struct gw_head *head, struct gw_error *err);
/* ram_config.adopt; opaque is the vm. */
int gw_guest_adopt(void *opaque, const char *name, uint64_t used_bytes, struct gw_error *err);
/* Sections of the set-up (early), or all behind the RAM with EOF and the description. The reader stands on the type byte
 * of the first. ram_id: of the RAM's START; NULL: it has not come yet. *ret_end: EOF was read. */
int gw_guest_get_devices(struct gw_vm *vm, struct gw_reader *r, bool early, const uint32_t *ram_id, bool *ret_end,
                         struct gw_error *err);
/* Back to empty: the source has gone before it changed anything that counts. */
void gw_guest_forget(struct gw_vm *vm);
/* Everything has arrived. */
int gw_guest_park(struct gw_vm *vm, struct gw_error *err);

/* ---- source ---- */
enum gw_guest_place {
    GW_GUEST_FIRST, /* before the START of the RAM */
    GW_GUEST_EARLY, /* behind it, before its contents */
    GW_GUEST_LATE,  /* behind them */
};
void gw_guest_put(const struct gw_vm *vm, enum gw_guest_place place, struct gw_writer *w);
/* NULL: pages are where the pipeline looks anyway. */
struct gw_codec *gw_guest_fetch(const struct gw_vm *vm);

#endif
