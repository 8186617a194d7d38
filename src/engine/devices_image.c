/* SPDX-License-Identifier: MIT */
#include "base/endian.h"
#include "engine/image_vm.h"
#include "engine/head.h"
#include "engine/plan.h"
#include "scan/parts.h"
#include "image/parked/stage.h"
#include "ram/ram.h"

/* ---- destination --------------------------------------------------------------------------------------------------
 */

static int begin(struct gw_vm *vm, const struct gw_wire_head *head, struct gw_error *err)
{
    struct gw_image *image = vm->image;

    if (image->block_count || image->devices)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the image has a machine already");
    gw_strcopy(vm->machine, sizeof vm->machine, head->machine);
    vm->has_uuid = head->has_uuid;
    memcpy(vm->uuid, head->uuid, 16);
    gw_guest_set_page(vm, gw_head_page_bits(head));
    return gw_image_keep_head(image, head, err);
}

/* Sections found by the scan, joined again as they were. */
struct collected {
    struct gw_writer w;
    const struct gw_scan *scan;
    bool has_ram; /* the section ram has begun; its number is ram_id */
    uint32_t ram_id;
};

static int collect(void *opaque, const struct gw_scan_section *s)
{
    struct collected *c = opaque;

    gw_scan_put_section(c->scan, s, &c->w.out);
    return 0;
}

static const struct gw_scan_visitor visitor = {.section = collect};

/* The scan has read EOF and the description too: its tail holds the description, unless there is none. */
static int keep_description(struct gw_image *image, const struct gw_scan *s, struct gw_error *err)
{
    size_t eof = image->devices_bytes;
    uint32_t n;

    if (!s->tree)
        return 0;
    /* Only sections come before EOF, so the joined sections are as long as what was read. */
    if (s->tail_bytes < eof + 6 || s->tail[eof] != GW_ELEMENT_EOF || s->tail[eof + 1] != GW_ELEMENT_VMDESC)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "there is something between the device sections that is none of them");
    n = gw_load_be32(s->tail + eof + 2);
    image->description = malloc(GW_MAX(n, 1u));
    if (!image->description)
        return gw_nomem(err, "description of the devices");
    memcpy(image->description, s->tail + eof + 6, n);
    image->description_bytes = n;
    return 0;
}

static int get_early(struct gw_vm *vm, struct gw_devices_get *g, struct gw_scan *s, struct collected *c,
                     struct gw_error *err)
{
    bool done = false;
    int e = gw_scan_early(s, &done, err);

    if (e >= 0 && !done)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "device sections at byte %" PRIu64 " are not followed by the RAM section",
                    gw_reader_offset(g->reader));
    if (e >= 0)
        e = gw_writer_flush(&c->w, err);
    if (e >= 0) {
        size_t bytes;
        const uint8_t *data = gw_writer_data(&c->w, &bytes);

        e = gw_image_add_early(vm->image, c->has_ram, data, bytes, err);
    }
    vm->image->guest->early_devices += s->early;
    return e;
}

/* Sections after the RAM: they extend up to the end of the stream. */
static int get_late(struct gw_vm *vm, struct gw_devices_get *g, struct gw_scan *s, struct collected *c,
                    struct gw_error *err)
{
    struct gw_image *image = vm->image;
    int e;

    /* If nothing comes for a while, and what has come may be everything, the source sends no description. */
    if (g->channel)
        gw_channel_set_timeout(g->channel, g->description_wait_ns);
    if (g->channel && g->timeout_ns)
        s->silences = (unsigned)GW_MIN(gw_div_up(g->timeout_ns, g->description_wait_ns), 1u << 30);
    s->early = image->guest->early_devices;
    e = gw_scan_tail(s, err);
    if (e >= 0)
        e = gw_writer_flush(&c->w, err);
    if (e < 0)
        return e;
    image->devices = gw_writer_take(&c->w, &image->devices_bytes);
    image->ram_id = vm->ram_section_id = c->has_ram ? c->ram_id : 0;
    g->ended = true;
    return keep_description(image, s, err);
}

/* A package has no description: where its sections end is found from the grammar alone. */
static int get_packaged(struct gw_vm *vm, struct gw_devices_get *g, struct gw_scan *s, struct gw_error *err)
{
    struct gw_image *image = vm->image;
    GW_AUTOFREE struct gw_scan_found *list = NULL;
    size_t bytes = gw_reader_buffered(g->reader), count = 0, end = 0, n;
    const uint8_t *data;
    int e = gw_reader_need(g->reader, bytes, &data, err);

    if (e >= 0)
        e = gw_scan_find(s, data, bytes, GW_SCAN_TO_END, &list, &count, &end, err);
    if (e == -E2BIG)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %u device sections", GW_SCAN_FOUND_MAX);
    if (e < 0)
        return e;
    for (n = 0, end = 0; n < count && list[n].element == GW_ELEMENT_FULL; n++)
        end = list[n].end;
    if (image->devices)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "more device sections follow behind a command");
    image->devices = malloc(end);
    if (!image->devices)
        return gw_nomem(err, "device sections");
    memcpy(image->devices, data, end);
    image->devices_bytes = end;
    if (!g->section(g->opaque, "ram", &image->ram_id))
        image->ram_id = 0;
    vm->ram_section_id = image->ram_id;
    gw_reader_skip(g->reader, end);
    return gw_image_describe(image, err);
}

/* Starts a scan at the position where the session's reader is. */
static void begin_scan(struct gw_vm *vm, struct gw_devices_get *g, struct gw_scan *s, struct collected *c)
{
    struct gw_image_guest *guest = vm->image->guest;

    gw_scan_init(s, g->reader, &visitor, c);
    s->page_bytes = vm->image->page_bytes;
    s->footers = vm->image->footers; /* of an early device: all but old machine types have footers */
    s->live = true;
    c->scan = s;
    c->has_ram = g->section && g->section(g->opaque, "ram", &c->ram_id);
    if (c->has_ram)
        s->bound[s->bound_count++] =
            (struct gw_section_head){.id = c->ram_id, .name = "ram", .version = GW_RAM_SECTION_VERSION};
    for (unsigned i = 0; i < guest->other_count; i++)
        s->bound[s->bound_count++] = guest->other[i];
    if (guest->other_count) {
        gw_strcopy(s->guessed, sizeof s->guessed, guest->other[guest->last_other].name);
        s->guessed_id = guest->other[guest->last_other].id;
    }
}

static int get(struct gw_vm *vm, struct gw_devices_get *g, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(g->reader);
    struct collected c = {0};
    struct gw_scan s;
    int e = gw_writer_init_memory(&c.w, err);

    if (e < 0)
        return e;
    begin_scan(vm, g, &s, &c);
    e = g->packaged ? get_packaged(vm, g, &s, err) : g->early ? get_early(vm, g, &s, &c, err) : get_late(vm, g, &s, &c, err);
    gw_scan_close(&s);
    gw_writer_close(&c.w);
    g->touched = e >= 0;
    if (e < 0)
        gw_context(err, "device sections from byte %" PRIu64 " on", at);
    return e;
}

/* The head may not contain the page size. */
static int ram_begins(struct gw_vm *vm, struct gw_devices_get *g, uint32_t id, struct gw_error *err)
{
    struct collected c = {0};
    struct gw_scan s;
    unsigned bits;
    int e;

    /* With multifd the main stream contains no pages, and it continues only when the page channels are read: assume the
     * usual page size. */
    if (vm->image->head->page_bits || gw_plan_pages_by(vm->options) == GW_PAGES_BY_CHANNELS)
        return 0;
    begin_scan(vm, g, &s, &c);
    e = gw_scan_page_size(&s, id, &bits, err);
    gw_scan_close(&s);
    if (e >= 0)
        gw_guest_set_page(vm, bits);
    return e;
}

static int bind_other(struct gw_image_guest *guest, uint8_t element, struct gw_section_head *head, struct gw_error *err)
{
    unsigned i = 0;

    if (element != GW_ELEMENT_START) {
        while (i < guest->other_count && guest->other[i].id != head->id)
            i++;
        *head = guest->other[i];
        guest->last_other = i;
        return 0;
    }
    if (gw_scan_is_known(head->name))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "live section %s cannot be kept in a file", head->name);
    if (guest->other_count == GW_ARRAY_LEN(guest->other))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "live section %s: at most %u that are not known can be "
                       "kept", head->name, guest->other_count);
    guest->last_other = guest->other_count;
    guest->other[guest->other_count++] = *head;
    return 0;
}

static int unknown(struct gw_vm *vm, struct gw_devices_get *g, uint8_t element, const struct gw_section_head *head,
                   const struct gw_image_progress *seen, struct gw_error *err)
{
    struct gw_section_head b = *head;
    struct collected c = {0};
    struct gw_scan_section section = {.element = element};
    uint8_t *body = NULL;
    const uint8_t *data;
    struct gw_scan s;
    size_t bytes = 0;
    int e = bind_other(vm->image->guest, element, &b, err);

    if (e >= 0)
        e = gw_writer_init_memory(&c.w, err);
    if (e < 0)
        return e;
    begin_scan(vm, g, &s, &c);
    e = gw_scan_unknown(&s, &b, &body, &bytes, err);
    if (e >= 0) {
        section.id = b.id;
        section.name = b.name;
        section.instance = b.instance;
        section.version = b.version;
        section.body = body;
        section.body_bytes = bytes;
        collect(&c, &section);
        e = gw_writer_flush(&c.w, err);
    }
    data = gw_writer_data(&c.w, &bytes);
    if (e >= 0)
        e = gw_image_add_other(vm->image, gw_image_place(seen, element), data, bytes, err);
    free(body);
    gw_scan_close(&s);
    gw_writer_close(&c.w);
    return e;
}

static void forget(struct gw_vm *vm)
{
    gw_ram_clear(&vm->ram);
    gw_stage_forget(vm->image->stage);
    gw_memory_forget(vm->image);
    vm->image->guest->early_devices = 0;
    vm->image->guest->other_count = 0;
}

/* Discards what was written and not committed. */
static void settle(struct gw_vm *vm)
{
    gw_stage_forget(vm->image->stage);
}

/* ---- source -------------------------------------------------------------------------------------------------------
 */

static int put(struct gw_vm *vm, enum gw_devices_place place, struct gw_writer *w, struct gw_vmdesc *desc,
               struct gw_error *err)
{
    const struct gw_image *image = vm->image;

    switch (place) {
    case GW_DEVICES_FIRST:
    case GW_DEVICES_EARLY:
        gw_image_put_setup(image, place == GW_DEVICES_EARLY, &w->out);
        break;
    case GW_DEVICES_PARTS:
        gw_image_put_others(image, GW_PLACE_ITERATE, &w->out);
        break;
    case GW_DEVICES_ENDS:
        gw_image_put_others(image, GW_PLACE_ENDING, &w->out);
        break;
    case GW_DEVICES_LATE:
        gw_image_put_others(image, GW_PLACE_LATE, &w->out);
        gw_put_bytes(w, image->devices, image->devices_bytes);
        break;
    }
    return 0;
}

static int describe(struct gw_vm *vm, struct gw_vmdesc *desc, const char **ret_text, size_t *ret_bytes,
                    struct gw_error *err)
{
    *ret_text = vm->image->description;
    *ret_bytes = vm->image->description_bytes;
    return 0;
}

const struct gw_devices_ops gw_devices_image = {
    .put = put,
    .describe = describe,
    .begin = begin,
    .get = get,
    .ram_begins = ram_begins,
    .unknown = unknown,
    .forget = forget,
    .settle = settle,
};
