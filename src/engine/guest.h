/* SPDX-License-Identifier: MIT
 *
 * guest: where a machine's pages come from and go to, what its head must have, and what it means for it to arrive.
 *
 *     gw_guest_here     its memory is in this process, and it runs here
 *     gw_guest_at_rest  it stands for an image (image_vm.h): it rests, and is parked when it arrives
 *
 * A vm has one of them from its making on (vm->guest); sessions ask no further. What it has besides memory is a matter
 * of its devices (devices.h).
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

/* What a store does when somebody waits for a page that has not come. By a thread of the store's. */
struct gw_guest_asks {
    void (*ask)(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes);
    /* It cannot hear any more of who waits. */
    void (*failed)(void *opaque, const struct gw_error *error);
    void *opaque;
    struct gw_blocktime *blocktime; /* is told who waits, and for how long; NULL: that is not measured */
};

struct gw_guest_ops {
    /* It stands for a machine of any kind. A destination accepts what comes, and learns from the stream what that has; a
     * source loses nothing by waiting, so one that hears no answer does not take its machine back. */
    bool at_rest;

    /* Source: where pages come from. holes: it may tell zeros without reading them. */
    int (*source)(struct gw_vm *vm, bool holes, struct gw_source **ret, struct gw_error *err);

    /* Source of a background snapshot: the pages as they are at the next sync (ram/source/protect.h). cancel ends its waits. */
    int (*snapshot)(struct gw_vm *vm, const struct gw_cancel *cancel, struct gw_source **ret, struct gw_error *err);
    /* Whether there can be one. Any thread, while no session runs. */
    int (*can_snapshot)(struct gw_vm *vm, struct gw_error *err);

    /* Destination: where pages go to. */
    int (*store)(struct gw_vm *vm, struct gw_store **ret, struct gw_error *err);
    /* The same where pages may follow while the machine runs. NULL: nobody waits for a page, and `store` will do. */
    int (*store_following)(struct gw_vm *vm, const struct gw_guest_asks *asks, struct gw_store **ret, struct gw_error *err);
    /* Destination: makes a RAM block that is listed; opaque is the vm (ram_config.adopt). NULL: the machine has its
     * own. */
    int (*adopt)(void *opaque, const char *name, uint64_t used_bytes, struct gw_error *err);
    /* The source's target pages have this size, as it says where postcopy may follow. NULL: that is seen elsewhere. */
    int (*advised)(struct gw_vm *vm, uint64_t page_bytes, struct gw_error *err);
    /* Everything has arrived and is put where it will rest. NULL: the machine runs here instead. */
    int (*park)(struct gw_vm *vm, struct gw_error *err);
    /* Of a machine that is to be parked the source is gone, and pages of this block are lost with it. received: those that came;
     * taken. NULL where park is. */
    int (*lacks)(struct gw_vm *vm, const struct gw_ram_block *b, uint64_t *take_received, struct gw_error *err);
    /* While park runs, on another thread: its result is not wanted any more, and it fails soon. NULL where park is. */
    void (*abandon)(struct gw_vm *vm);
};

extern const struct gw_guest_ops gw_guest_here, gw_guest_at_rest;

#endif
