/* SPDX-License-Identifier: MIT */
#include "engine/image_vm.h"

#include "ram/ram.h"
#include "ram/source/prefer.h"

int gw_guest_add_ram(struct gw_vm *vm, const char *name, uint64_t used_bytes, void *host, unsigned flags,
                     struct gw_error *err)
{
    struct gw_ram_desc desc = {.name = name, .host = host, .used_bytes = used_bytes, .flags = flags};

    /* The guest's addresses are not known: any will do, but each block needs its own. */
    for (unsigned i = 0; i < vm->ram.count; i++)
        desc.gpa = GW_MAX(desc.gpa, vm->ram.blocks[i]->gpa + vm->ram.blocks[i]->max_bytes);
    return gw_ram_add(&vm->ram, &desc, err);
}

void gw_guest_set_page(struct gw_vm *vm, unsigned bits)
{
    vm->ram.page_bits = vm->image->page_bits = bits;
    vm->ram.page_bytes = vm->image->page_bytes = 1u << bits;
}

static int never(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool not_running(void *opaque)
{
    return false;
}

/* A machine of an image does not run. `park` is called when it arrives. */
static const struct gw_vm_ops resting = {GW_SIZED(struct gw_vm_ops), .stop = never, .start = never, .running = not_running};

static void free_guest(struct gw_image *image)
{
    struct gw_image_guest *g = image->guest;

    gw_vm_free(g->vm);
    free(g->of_block);
    free(g);
    image->guest = NULL;
    image->free_guest = NULL;
}

static int fill(struct gw_image_guest *g, struct gw_error *err)
{
    struct gw_image *image = g->image;
    bool memory = image->format == GW_IMAGE_MEMORY;
    int r = 0;

    if (!memory) {
        g->of_block = calloc(GW_MAX(image->block_count, 1u), sizeof *g->of_block);
        if (!g->of_block)
            return gw_nomem(err, "guest");
    }
    for (unsigned i = 0; r >= 0 && i < image->block_count; i++) {
        const struct gw_image_block *b = &image->blocks[i];

        if (!b->used_bytes)
            continue;
        if (!memory)
            g->of_block[g->vm->ram.count] = i;
        r = gw_guest_add_ram(g->vm, b->name, b->used_bytes, gw_memory_host(image, i), memory ? 0 : GW_RAM_ELSEWHERE,
                             err);
    }
    return r;
}

int gw_image_vm(struct gw_image *image, int (*park)(void *opaque, struct gw_error *err), void *opaque,
                struct gw_vm **ret_vm, struct gw_error *err)
{
    /* it does not run: nothing writes to it */
    static const struct gw_tracker_config tracker = {.kind = GW_TRACKER_EXPLICIT};
    struct gw_vm_config config = {
        .machine = image->machine, .page_bytes = image->page_bytes, .ops = &resting};
    struct gw_image_guest *g;
    int r;

    if (image->received && !image->awaits)
        return gw_fail(err, -EBADMSG, GW_BLAME_CALLER, "the machine is incomplete: 0x%" PRIx64 " bytes of its memory are "
                       "missing", gw_image_lacking(image));
    if (image->guest) {
        image->guest->park = park;
        image->guest->opaque = opaque;
        *ret_vm = image->guest->vm;
        return 0;
    }
    if (!image->machine[0]) /* the stream had no configuration section */
        config.machine = "without a name";
    g = calloc(1, sizeof *g);
    if (!g)
        return gw_nomem(err, "guest");
    *g = (struct gw_image_guest){.image = image, .park = park, .opaque = opaque};
    image->guest = g;
    image->free_guest = free_guest;
    memcpy(config.uuid, image->uuid, 16);
    r = gw_vm_new(&config, &g->vm, err);
    if (r >= 0)
        r = fill(g, err);
    if (r >= 0)
        r = gw_vm_set_tracker(g->vm, &tracker, err);
    /* The usual limit protects a guest that runs at the same time; here none does. */
    if (r >= 0)
        r = gw_options_set_parameter(g->vm->options, "max-bandwidth", "0", err);
    if (r < 0) {
        free_guest(image);
        return r;
    }
    gw_strcopy(g->vm->machine, sizeof g->vm->machine, image->machine);
    g->vm->without = image->footers ? 0 : GW_STREAM_FOOTERS;
    g->vm->image = image;
    g->vm->guest = &gw_guest_at_rest;
    g->vm->devices = &gw_devices_image;
    if (image->devices)
        g->vm->ram_section_id = image->ram_id;
    *ret_vm = g->vm;
    return 0;
}

int gw_vm_prefer(struct gw_vm *vm, const struct gw_working_set *set, uint64_t *ret_dropped, struct gw_error *err)
{
    if (set && (!vm->image || !vm->image->guest->of_block))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "only a machine that rests in a file can be sent by a working set");
    if (set && set->page_bytes && set->page_bytes != vm->ram.page_bytes)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the working set is of pages of %u bytes, and this machine's have %u",
                       set->page_bytes, vm->ram.page_bytes);
    vm->prefer = set;
    if (set && ret_dropped)
        *ret_dropped = gw_prefer_dropped(&vm->ram, set);
    return 0;
}

void gw_vm_record(struct gw_vm *vm, struct gw_working_set *set)
{
    vm->record = set;
}
