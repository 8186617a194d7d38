/* SPDX-License-Identifier: MIT
 *
 * guest: where a machine's pages come from and go to, what its head must contain, and what happens when it arrives.
 *
 *     gw_guest_here     its memory is in this process, and it runs here
 *     gw_guest_at_rest  an image (image_vm.h): it does not run, and is parked when it arrives
 *
 * A vm gets one of them when it is created (vm->guest); sessions use nothing else. Everything besides memory belongs to
 * its devices (devices.h).
 *
 * Threads: the session's, where nothing else is said.
 */
#ifndef GW_ENGINE_GUEST_H
#define GW_ENGINE_GUEST_H

#include "base/base.h"

struct gw_cancel;
struct gw_ram_block;
struct gw_vm;
struct gw_source;
struct gw_store;

struct gw_blocktime;

/* Calls of a store when a thread waits for a page that has not come. On a thread of the store. */
struct gw_guest_asks {
    void (*ask)(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes);
    /* The store cannot learn any more which threads wait. */
    void (*failed)(void *opaque, const struct gw_error *error);
    void *opaque;
    struct gw_blocktime *blocktime; /* records which threads wait and for how long; NULL: not measured */
};

struct gw_guest_ops {
    /* A machine of an image, of any kind. The destination accepts every stream and learns from it what the machine has.
     * A source loses nothing by waiting, so it does not take its machine back when no answer comes. */
    bool at_rest;

    /* Source: where pages come from. holes: it may report pages as zero without reading them. */
    int (*source)(struct gw_vm *vm, bool holes, struct gw_source **ret, struct gw_error *err);

    /* Source of a background snapshot: the pages as they are at the next sync (ram/source/protect.h). cancel ends its
     * waits. */
    int (*snapshot)(struct gw_vm *vm, const struct gw_cancel *cancel, struct gw_source **ret, struct gw_error *err);
    /* Whether `snapshot` can work on this host. Any thread, while no session runs. */
    int (*can_snapshot)(struct gw_vm *vm, struct gw_error *err);

    /* Destination: where pages go to. */
    int (*store)(struct gw_vm *vm, struct gw_store **ret, struct gw_error *err);
    /* Like `store`, for pages that follow while the machine runs. NULL: no thread waits for pages, and `store` is
     * used. */
    int (*store_following)(struct gw_vm *vm, const struct gw_guest_asks *asks, struct gw_store **ret, struct gw_error *err);
    /* Destination: creates a RAM block that the source lists; opaque is the vm (ram_config.adopt). NULL: the machine
     * has its own blocks. */
    int (*adopt)(void *opaque, const char *name, uint64_t used_bytes, struct gw_error *err);
    /* The size of the source's target pages, from its ADVISE. NULL: it is checked elsewhere. */
    int (*advised)(struct gw_vm *vm, uint64_t page_bytes, struct gw_error *err);
    /* Everything has arrived: writes the machine to where it is kept. NULL: the machine runs here instead. */
    int (*park)(struct gw_vm *vm, struct gw_error *err);
    /* The source is lost before the machine was complete: pages of this block that are not in received will never come.
     * Takes received. NULL where park is. */
    int (*lacks)(struct gw_vm *vm, const struct gw_ram_block *b, uint64_t *take_received, struct gw_error *err);
    /* Called on another thread while park runs: its result is not needed any more, and it fails soon. NULL where park
     * is. */
    void (*abandon)(struct gw_vm *vm);
};

extern const struct gw_guest_ops gw_guest_here, gw_guest_at_rest;

#endif
