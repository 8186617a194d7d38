/* SPDX-License-Identifier: MIT */
#include "engine/vm.h"

static int put(struct gw_vm *vm, enum gw_devices_place place, struct gw_writer *w, struct gw_vmdesc *desc,
               struct gw_error *err)
{
    bool footers = !(vm->without & GW_STREAM_FOOTERS);

    return place == GW_DEVICES_EARLY || place == GW_DEVICES_LATE
               ? gw_registry_save(vm->registry, place == GW_DEVICES_EARLY, footers, w, desc, err)
               : 0;
}

static int describe(struct gw_vm *vm, struct gw_vmdesc *desc, const char **ret_text, size_t *ret_bytes,
                    struct gw_error *err)
{
    if (!(vm->without & GW_STREAM_DESCRIPTION))
        return gw_vmdesc_finish(desc, ret_text, ret_bytes, err);
    *ret_bytes = 0;
    return 0;
}

static int begin(struct gw_vm *vm, const struct gw_wire_head *head, struct gw_error *err)
{
    gw_registry_load_begin(vm->registry);
    return 0;
}

static int get(struct gw_vm *vm, struct gw_devices_get *g, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(g->reader);
    struct gw_section_head h;
    int e;

    gw_reader_skip(g->reader, 1);
    e = gw_section_get_head(&g->reader->in, &h, err);
    if (e < 0) {
        gw_context(err, "head of the section at byte %" PRIu64, at);
        return e;
    }
    e = g->bind ? g->bind(g->opaque, &h, at, err) : 0;
    if (e < 0)
        return e;
    if (!gw_registry_knows(vm->registry, h.name, h.instance))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "section %s/%u at byte %" PRIu64 " (FULL): this machine has no such device", h.name, h.instance,
                       at);
    /* The load of a described device changes everything or nothing. */
    g->touched = !gw_registry_described(vm->registry, h.name, h.instance);
    e = gw_registry_load(vm->registry, h.name, h.instance, h.version, g->reader, err);
    g->touched |= e >= 0;
    if (e >= 0 && !(vm->without & GW_STREAM_FOOTERS))
        e = gw_section_get_footer(&g->reader->in, h.id, h.name, err);
    if (e < 0)
        gw_context(err, "section %s/%u at byte %" PRIu64, h.name, h.instance, at);
    return e;
}

static int complete(struct gw_vm *vm, struct gw_error *err)
{
    return gw_registry_load_end(vm->registry, err);
}

/* Devices that were loaded may be loaded again from the next source. */
static void forget(struct gw_vm *vm)
{
}

static void settle(struct gw_vm *vm)
{
}

const struct gw_devices_ops gw_devices_registry = {
    .put = put,
    .describe = describe,
    .begin = begin,
    .get = get,
    .complete = complete,
    .forget = forget,
    .settle = settle,
};
