/* SPDX-License-Identifier: MIT */
#include "engine/image_vm.h"
#include "image/parked/stage.h"
#include "image/source.h"
#include "ram/source/dirty.h"
#include "ram/store/direct.h"
#include "ram/store/landed.h"
#include "wire/numbers.h"

/* The memory of an image that was received into this process is sent from there. */
static int source(struct gw_vm *vm, bool holes, struct gw_source **ret, struct gw_error *err)
{
    struct gw_image_guest *g = vm->image->guest;

    return g->of_block ? gw_source_image_new(vm->image, &vm->ram, g->of_block, vm->image->readers, ret, err)
                       : gw_guest_here.source(vm, holes, ret, err);
}

static int adopt(void *opaque, const char *name, uint64_t used_bytes, struct gw_error *err)
{
    struct gw_vm *vm = opaque;
    uint8_t *host;
    int r = gw_memory_add_block(vm->image, name, used_bytes, &host, err);

    return r < 0 ? r : gw_guest_add_ram(vm, name, used_bytes, host, GW_RAM_FRESH, err);
}

static int landed_map(void *opaque, struct gw_ram_block *b, uint64_t **ret_map, struct gw_error *err)
{
    struct gw_vm *vm = opaque;

    return gw_stage_block(vm->image->stage, b->host, b->pages, ret_map, err);
}

/* The store is memory. Meanwhile a stage writes the file: `landed` marks the pages that have arrived for it. */
static int store(struct gw_vm *vm, struct gw_store **ret, struct gw_error *err)
{
    int r = gw_store_direct_new(&vm->ram, ret, err);

    if (r >= 0 && gw_memory_is_file(vm->image))
        gw_store_direct_set_room(*ret, gw_memory_room, vm->image);
    return r >= 0 && vm->image->stage ? gw_store_landed_new(*ret, landed_map, vm, ret, err) : r;
}

static int park(struct gw_vm *vm, struct gw_error *err)
{
    struct gw_image_guest *g = vm->image->guest;
    int r;

    gw_image_lacks_nothing(vm->image);
    r = g->park ? g->park(g->opaque, err) : 0;

    return r < 0 && err && !err->code ? gw_fail(err, r, GW_BLAME_EMBEDDER, "parking: %s", strerror(-r)) : r;
}

/* The head may not contain the page size. */
static int advised(struct gw_vm *vm, uint64_t page_bytes, struct gw_error *err)
{
    if (page_bytes < 1u << GW_PAGE_BITS_MIN || page_bytes > 1u << GW_PAGE_BITS_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "target pages of 0x%" PRIx64 " bytes are not supported", page_bytes);
    if (!vm->image->head->page_bits)
        gw_guest_set_page(vm, (unsigned)__builtin_ctzll(page_bytes));
    return 0;
}

/* The image has the blocks of the vm, in the same order. */
static int lacks(struct gw_vm *vm, const struct gw_ram_block *b, uint64_t *take_received, struct gw_error *err)
{
    return gw_image_lacks(vm->image, b->index, take_received, err);
}

static int can_snapshot(struct gw_vm *vm, struct gw_error *err)
{
    return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "this machine rests in a file and does not run: send or convert the file");
}

static int snapshot(struct gw_vm *vm, const struct gw_cancel *cancel, struct gw_source **ret, struct gw_error *err)
{
    return can_snapshot(vm, err);
}

static void abandon(struct gw_vm *vm)
{
    gw_memory_abandon(vm->image);
}

const struct gw_guest_ops gw_guest_at_rest = {
    .at_rest = true, .source = source, .snapshot = snapshot, .can_snapshot = can_snapshot, .store = store, .adopt = adopt, .park = park, .lacks = lacks, .advised = advised, .abandon = abandon};
