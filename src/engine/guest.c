/* SPDX-License-Identifier: MIT */
#include "engine/guest.h"

#include <sys/mman.h>

#include "base/endian.h"
#include "engine/head.h"
#include "image/scan_parts.h"
#include "ram/ram.h"

/* ---- destination --------------------------------------------------------------------------------------------------
 */

int gw_guest_learn(struct gw_vm *vm, const struct gw_head *head, struct gw_error *err)
{
    struct gw_image *image = vm->image;

    if (image->block_count || image->devices)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the image has a machine already");
    gw_strcopy(vm->machine, sizeof vm->machine, head->machine);
    gw_strcopy(image->machine, sizeof image->machine, head->machine);
    image->has_uuid = vm->has_uuid = head->has_uuid;
    memcpy(image->uuid, head->uuid, 16);
    memcpy(vm->uuid, head->uuid, 16);
    return 0;
}

static int add_ram(struct gw_vm *vm, const char *name, uint64_t used_bytes, void *host, unsigned flags,
                   struct gw_error *err)
{
    struct gw_ram_desc desc = {.name = name, .host = host, .used_bytes = used_bytes, .flags = flags};

    /* Where the guest sees it is not known: anywhere will do, but not twice. */
    for (unsigned i = 0; i < vm->ram.count; i++)
        desc.gpa = GW_MAX(desc.gpa, vm->ram.blocks[i]->gpa + vm->ram.blocks[i]->max_bytes);
    return gw_ram_add(&vm->ram, &desc, err);
}

int gw_guest_adopt(void *opaque, const char *name, uint64_t used_bytes, struct gw_error *err)
{
    struct gw_vm *vm = opaque;
    uint8_t *host;
    int r = gw_memory_add_block(vm->image, name, used_bytes, &host, err);

    return r < 0 ? r : add_ram(vm, name, used_bytes, host, GW_RAM_FRESH, err);
}

/* A section found by the scan, put together again as it was. */
struct collected {
    struct gw_writer w;
    bool footers;
};

static int collect(void *opaque, const struct gw_scan_section *s)
{
    struct collected *c = opaque;

    gw_put_u8(&c->w, s->element);
    gw_put_u32(&c->w, s->id);
    gw_put_str8(&c->w, s->name);
    gw_put_u32(&c->w, s->instance);
    gw_put_u32(&c->w, s->version);
    gw_put_bytes(&c->w, s->body, s->body_bytes);
    if (c->footers) {
        gw_put_u8(&c->w, GW_ELEMENT_FOOTER);
        gw_put_u32(&c->w, s->id);
    }
    return 0;
}

static const struct gw_scan_visitor visitor = {.section = collect};

/* The scan read EOF and the description too: it has them in its tail, or not at all. */
static int keep_description(struct gw_image *image, const struct gw_scan *s, struct gw_error *err)
{
    size_t eof = image->devices_bytes;
    uint32_t n;

    if (!s->tree)
        return 0;
    /* Nothing but sections stands before EOF, so what was put together is as long as what was read. */
    if (s->tail_bytes < eof + 6 || s->tail[eof] != GW_ELEMENT_EOF || s->tail[eof + 1] != GW_ELEMENT_VMDESC)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "something else stands between the device sections");
    n = gw_load_be32(s->tail + eof + 2);
    image->description = malloc(GW_MAX(n, 1u));
    if (!image->description)
        return gw_nomem(err, "description of the devices");
    memcpy(image->description, s->tail + eof + 6, n);
    image->description_bytes = n;
    return 0;
}

/* More of them, behind those that are there. */
static int keep_early(struct gw_image *image, struct gw_writer *w, bool before, struct gw_error *err)
{
    size_t bytes;
    GW_AUTOFREE uint8_t *more = gw_writer_take(w, &bytes);
    uint8_t *grown = realloc(image->early, GW_MAX(image->early_bytes + bytes, 1u));

    if (!grown)
        return gw_nomem(err, "device sections");
    memcpy(grown + image->early_bytes, more, bytes);
    image->early = grown;
    image->early_bytes += bytes;
    image->early_before += before ? bytes : 0;
    return 0;
}

int gw_guest_get_devices(struct gw_vm *vm, struct gw_reader *r, bool early, const uint32_t *ram_id, bool *ret_end,
                         struct gw_error *err)
{
    struct gw_image *image = vm->image;
    struct collected c = {.footers = image->footers};
    struct gw_scan s;
    bool done = false;
    int e = gw_writer_init_memory(&c.w, err);

    if (e < 0)
        return e;
    gw_scan_init(&s, r, &visitor, &c);
    s.page_bytes = image->page_bytes;
    s.footers = image->footers;
    s.live = true;
    *ret_end = !early;
    if (ram_id)
        s.bound[s.bound_count++] = (struct gw_scan_bound){.id = *ram_id, .name = "ram", .version = GW_RAM_SECTION_VERSION};
    if (early) {
        e = gw_scan_early(&s, &done, err);
        if (e >= 0 && !done)
            e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "device sections at byte %" PRIu64 ", and no RAM behind them",
                        gw_reader_offset(r));
    } else {
        s.early = image->guest->early_devices;
        e = gw_scan_tail(&s, err);
    }
    if (e >= 0)
        e = gw_writer_flush(&c.w, err);
    if (e >= 0 && early) {
        e = keep_early(image, &c.w, !ram_id, err);
        image->guest->early_devices += s.early;
    } else if (e >= 0) {
        image->devices = gw_writer_take(&c.w, &image->devices_bytes);
        image->ram_id = vm->ram_section_id = ram_id ? *ram_id : 0;
        e = keep_description(image, &s, err);
    }
    gw_scan_close(&s);
    gw_writer_close(&c.w);
    return e;
}

void gw_guest_forget(struct gw_vm *vm)
{
    gw_ram_clear(&vm->ram);
    gw_memory_forget(vm->image);
    vm->image->guest->early_devices = 0;
}

int gw_guest_park(struct gw_vm *vm, struct gw_error *err)
{
    struct gw_image_guest *g = vm->image->guest;
    int r = g->park ? g->park(g->opaque, err) : 0;

    return r < 0 && err && !err->code ? gw_fail(err, r, GW_BLAME_EMBEDDER, "parking: %s", strerror(-r)) : r;
}

/* ---- source -------------------------------------------------------------------------------------------------------
 */

void gw_guest_put(const struct gw_vm *vm, enum gw_guest_place place, struct gw_writer *w)
{
    const struct gw_image *image = vm->image;
    size_t before = image->early_before;

    switch (place) {
    case GW_GUEST_FIRST:
        gw_put_bytes(w, image->early, before);
        break;
    case GW_GUEST_EARLY:
        if (image->early_bytes > before)
            gw_put_bytes(w, image->early + before, image->early_bytes - before);
        break;
    case GW_GUEST_LATE:
        gw_put_bytes(w, image->devices, image->devices_bytes);
        break;
    }
}

struct gw_codec *gw_guest_fetch(const struct gw_vm *vm)
{
    return vm->image->guest->fetch ? gw_fetch_codec(vm->image->guest->fetch) : NULL;
}

/* ---- the vm -------------------------------------------------------------------------------------------------------
 */

static int never(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool not_running(void *opaque)
{
    return false;
}

/* It rests. What it means for it to arrive is `park`. */
static const struct gw_vm_ops resting = {.stop = never, .start = never, .running = not_running};

static void free_guest(struct gw_image *image)
{
    struct gw_image_guest *g = image->guest;

    gw_fetch_free(g->fetch);
    for (unsigned i = 0; g->vm && g->of_block && i < g->vm->ram.count; i++)
        munmap(g->vm->ram.blocks[i]->host, g->vm->ram.blocks[i]->max_bytes);
    gw_vm_free(g->vm);
    free(g->of_block);
    free(g);
    image->guest = NULL;
    image->free_guest = NULL;
}

/* RAM of a file: blocks need an address each; nothing is ever there. */
static int reserve(struct gw_image_guest *g, unsigned block, struct gw_error *err)
{
    const struct gw_image_block *b = &g->image->blocks[block];
    void *p = mmap(NULL, b->used_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int r;

    if (p == MAP_FAILED)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "RAM block %s: 0x%" PRIx64 " bytes of address space: %s", b->name,
                       b->used_bytes, strerror(errno));
    g->of_block[g->vm->ram.count] = block;
    r = add_ram(g->vm, b->name, b->used_bytes, p, 0, err);
    if (r < 0)
        munmap(p, b->used_bytes);
    return r;
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
        r = memory ? add_ram(g->vm, b->name, b->used_bytes, gw_memory_host(image, i), 0, err) : reserve(g, i, err);
    }
    return r < 0 || memory ? r : gw_fetch_new(image, &g->vm->ram, g->of_block, &g->fetch, err);
}

int gw_image_vm(struct gw_image *image, int (*park)(void *opaque, struct gw_error *err), void *opaque,
                struct gw_vm **ret_vm, struct gw_error *err)
{
    static const struct gw_tracker_config tracker = {.kind = GW_TRACKER_EXPLICIT}; /* it rests: nobody writes */
    struct gw_vm_config config = {
        .machine = image->machine[0] ? image->machine : "none", .page_bytes = image->page_bytes, .ops = &resting};
    struct gw_image_guest *g;
    int r;

    if (image->guest) {
        image->guest->park = park;
        image->guest->opaque = opaque;
        *ret_vm = image->guest->vm;
        return 0;
    }
    if (!image->footers)
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "%s: sections of machine types up to 2.3 have no footers; such "
                       "machines are not sent",
                       image->machine);
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
    /* The usual limit is there for the sake of a guest that runs beside it. */
    if (r >= 0)
        r = gw_options_set_parameter(g->vm->options, "max-bandwidth", "0", err);
    if (r < 0) {
        free_guest(image);
        return r;
    }
    g->vm->image = image;
    if (image->devices)
        g->vm->ram_section_id = image->ram_id;
    *ret_vm = g->vm;
    return 0;
}
