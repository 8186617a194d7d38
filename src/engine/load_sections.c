/* SPDX-License-Identifier: MIT */
#include "engine/load.h"

#include "image/image.h"
#include "wire/names.h"
#include "wire/numbers.h"
#include "wire/section.h"

#define MAX_SECTIONS 4096u

static struct gw_bound *find(struct gw_recv *r, uint32_t id)
{
    for (unsigned i = 0; i < r->bounds; i++)
        if (r->bound[i].id == id && !r->bound[i].unnumbered)
            return &r->bound[i];
    return NULL;
}

static int bind(struct gw_recv *r, const struct gw_section_head *h, struct gw_live *live, uint64_t at,
                struct gw_error *err)
{
    if (find(r, h->id))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "section %u (%s/%u) at byte %" PRIu64 ": another section has this id", h->id,
                       h->name, h->instance, at);
    if (r->bounds >= MAX_SECTIONS)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %u sections", MAX_SECTIONS);
    if (!(r->bounds & (r->bounds - 1))) {
        struct gw_bound *grown = realloc(r->bound, GW_MAX(r->bounds * 2, 1) * sizeof *grown);

        if (!grown)
            return gw_nomem(err, "list of sections");
        r->bound = grown;
    }
    r->bound[r->bounds++] = (struct gw_bound){.id = h->id, .live = live};
    return 0;
}

static struct gw_live *find_live(struct gw_recv *r, const char *idstr)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (!strcmp(r->plan.live[i]->ops->id, idstr))
            return r->plan.live[i];
    return NULL;
}

static int bind_device(void *opaque, const struct gw_section_head *h, uint64_t at, struct gw_error *err)
{
    gw_trace_element_get(&((struct gw_recv *)opaque)->session.vm->trace, at, gw_wire_element(GW_ELEMENT_FULL), h->name);
    return bind(opaque, h, NULL, at, err);
}

/* A section has ended. The first one of a machine of an image shows whether sections have footers. */
static int end_section(struct gw_recv *r, uint32_t id, const char *name, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    const uint8_t *p = NULL;
    int e = 0;

    if (vm->guest->at_rest && !r->footers_seen) {
        e = gw_reader_need(&r->reader, 1, &p, err);
        if (e < 0)
            return e;
        vm->image->footers = *p == GW_ELEMENT_FOOTER;
        vm->without = vm->image->footers ? 0 : GW_STREAM_FOOTERS;
        r->footers_seen = true;
    }
    return vm->without & GW_STREAM_FOOTERS ? 0 : gw_section_get_footer(&r->reader.in, id, name, err);
}

bool gw_recv_live_section(void *recv, const char *name, uint32_t *ret_id)
{
    const struct gw_recv *r = recv;

    for (unsigned i = 0; i < r->bounds; i++) {
        if (!r->bound[i].live || strcmp(r->bound[i].live->ops->id, name))
            continue;
        *ret_id = r->bound[i].id;
        return true;
    }
    return false;
}

struct gw_devices_get gw_load_devices(struct gw_recv *r)
{
    return (struct gw_devices_get){.reader = &r->reader,
                                   .channel = r->channel,
                                   .description_wait_ns = r->vmdesc_wait_ns,
                                   .timeout_ns = r->timeout_ns,
                                   .bind = bind_device,
                                   .section = gw_recv_live_section,
                                   .opaque = r};
}

/* An element of a live section that this program does not know. h: complete for a START, else only the number. */
static int unknown(struct gw_recv *r, uint8_t element, const struct gw_section_head *h, uint64_t at, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    struct gw_image_progress seen = {0};
    struct gw_devices_get g = gw_load_devices(r);
    int e = element == GW_ELEMENT_START ? bind(r, h, NULL, at, err) : 0;

    if (element == GW_ELEMENT_START && e >= 0)
        r->bound[r->bounds - 1].unknown = true;
    for (unsigned i = 0; i < r->bounds; i++) {
        seen.listed |= r->bound[i].live != NULL; /* this program knows only the RAM of such a machine */
        seen.begun |= r->bound[i].live && r->bound[i].begun;
        seen.ended |= r->bound[i].live && r->bound[i].ended;
    }
    if (e >= 0)
        e = vm->devices->unknown(vm, &g, element, h, &seen, err);
    if (e >= 0)
        e = end_section(r, h->id, "which is not known here", err);
    if (e < 0)
        gw_context(err, "live section %u at byte %" PRIu64, h->id, at);
    return e;
}

int gw_load_start(struct gw_recv *r, uint64_t at, struct gw_error *err)
{
    struct gw_section_head h;
    struct gw_live *live;
    struct gw_vm *vm = r->session.vm;
    struct gw_devices_get g;
    int e = gw_section_get_head(&r->reader.in, &h, err);

    if (e < 0) {
        gw_context(err, "head of the section at byte %" PRIu64, at);
        return e;
    }
    gw_trace_element_get(&r->session.vm->trace, at, gw_wire_element(GW_ELEMENT_START), h.name);
    live = find_live(r, h.name);
    for (unsigned i = 0; live && i < r->bounds; i++)
        if (r->bound[i].live == live)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "section %s at byte %" PRIu64 " was started before", h.name,
                           at);
    if (!live && vm->devices->unknown)
        return unknown(r, GW_ELEMENT_START, &h, at, err);
    if (!live || h.instance)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "section %s/%u at byte %" PRIu64 " (START): this machine has no such live state", h.name,
                       h.instance, at);
    if (h.version != live->ops->version)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "section %s at byte %" PRIu64 " has version %u, %u is known",
                       h.name, at, h.version, live->ops->version);
    e = bind(r, &h, live, at, err);
    if (e < 0)
        return e;
    e = gw_load_heard(r, err);
    if (e < 0)
        return e;
    live->touched = false;
    g = gw_load_devices(r);
    e = vm->devices->ram_begins && !strcmp(h.name, "ram") ? vm->devices->ram_begins(vm, &g, h.id, err) : 0;
    if (e >= 0)
        e = live->ops->load_setup(live, err);
    if (e >= 0)
        e = live->ops->load(live, GW_SECTION_START, &r->reader, err);
    r->touched |= live->touched;
    if (e >= 0)
        e = end_section(r, h.id, h.name, err);
    if (e < 0)
        gw_context(err, "section %s/%u at byte %" PRIu64, h.name, h.instance, at);
    return e;
}

int gw_load_part(struct gw_recv *r, enum gw_section_kind kind, uint64_t at, struct gw_error *err)
{
    struct gw_bound *b;
    uint32_t id;
    int e = gw_get_u32(&r->reader, &id, err);

    if (e < 0) {
        gw_context(err, "head of the section at byte %" PRIu64, at);
        return e;
    }
    b = find(r, id);
    for (unsigned i = 0; !b && i < r->bounds; i++)
        if (r->bound[i].unnumbered) {
            b = &r->bound[i];
            b->id = id;
            b->unnumbered = false;
        }
    if (b && b->unknown && !b->ended) {
        b->ended = kind == GW_SECTION_END;
        return unknown(r, (uint8_t)kind, &(struct gw_section_head){.id = id}, at, err);
    }
    gw_trace_element_get(&r->session.vm->trace, at, gw_wire_element((uint8_t)kind), b && b->live ? b->live->ops->id : "?");
    if (!b || !b->live)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s section at byte %" PRIu64 ": section %u was never started",
                       gw_wire_element((uint8_t)kind), at, id);
    if (b->ended && !r->postcopy.only_bitmaps) /* QEMU sends the END of RAM twice then */
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s section at byte %" PRIu64 ": %u (%s) has ended before",
                       gw_wire_element((uint8_t)kind), at, id, b->live->ops->id);
    b->begun = true;
    b->ended = kind == GW_SECTION_END;
    e = b->live->ops->load(b->live, kind, &r->reader, err);
    r->touched |= b->live->touched;
    if (e >= 0)
        e = end_section(r, id, b->live->ops->id, err);
    if (e < 0)
        gw_context(err, "section %s (%s) at byte %" PRIu64, b->live->ops->id, gw_wire_element((uint8_t)kind), at);
    return e;
}
