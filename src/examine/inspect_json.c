/* SPDX-License-Identifier: MIT */
#include "examine/inspect.h"

#include <stdio.h>

#include "state/values.h"
#include "wire/names.h"

static const char *const kinds[GW_SCAN_PAGE_KINDS] = {"zero", "plain", "xbzrle", "compressed", "mapped"};

static void put_source(const struct gw_inspect *in, struct gw_text *t)
{
    struct gw_inspect_source source;

    gw_inspect_source(in, &source);
    gw_text_open(t, "source", '{');
    gw_text_string(t, "program", source.program ? source.program : "unknown");
    if (*source.at_least)
        gw_text_string(t, "at_least", source.at_least);
    if (*source.before)
        gw_text_string(t, "before", source.before);
    gw_text_open(t, "because", '[');
    for (unsigned i = 0; i < source.because_count; i++)
        gw_text_string(t, NULL, source.because[i]);
    gw_text_close(t, ']');
    gw_text_close(t, '}');
}

static void put_head(const struct gw_inspect *in, struct gw_text *t)
{
    char uuid[33];

    gw_text_int(t, "bytes", in->bytes);
    gw_text_bool(t, "complete", !in->error.code);
    if (in->error.code)
        gw_text_string(t, "error", in->error.text);
    if (in->container.kind)
        gw_text_string(t, "file", in->container.kind);
    if (in->container.kind && !strcmp(in->container.kind, "libvirt"))
        gw_text_bool(t, "was_running", in->container.was_running);
    if (in->container.lacking_bytes)
        gw_text_int(t, "lacking_bytes", in->container.lacking_bytes);
    if (in->container.program)
        gw_text_string(t, "compressed", in->container.program);
    if (!in->has_head)
        return;
    gw_text_string(t, "kind", gw_inspect_kind(in));
    if (*in->head->machine)
        gw_text_string(t, "machine", in->head->machine);
    gw_text_int(t, "page_bytes", gw_head_page_bytes(in->head));
    gw_text_open(t, "capabilities", '[');
    for (unsigned i = 0; i < in->head->capability_count; i++)
        gw_text_string(t, NULL, in->head->capabilities[i]);
    gw_text_close(t, ']');
    if (in->head->has_uuid) {
        for (unsigned i = 0; i < 16; i++) {
            uuid[2 * i] = "0123456789abcdef"[in->head->uuid[i] >> 4];
            uuid[2 * i + 1] = "0123456789abcdef"[in->head->uuid[i] & 15];
        }
        uuid[32] = 0;
        gw_text_string(t, "uuid", uuid);
    }
    if (*in->run_state)
        gw_text_string(t, "run_state", in->run_state);
    put_source(in, t);
}

static void put_sections(const struct gw_inspect *in, struct gw_text *t)
{
    gw_text_open(t, "elements", '[');
    for (size_t i = 0; i < in->run_count; i++) {
        const struct gw_inspect_run *run = &in->runs[i];

        gw_text_open(t, NULL, '{');
        gw_text_string(t, "element", gw_wire_element(run->element));
        gw_text_int(t, "offset", run->at);
        gw_text_int(t, "bytes", run->bytes);
        if (run->count > 1)
            gw_text_int(t, "count", run->count);
        if (run->name) {
            gw_text_string(t, "name", run->name);
            gw_text_int(t, "instance", run->instance);
            gw_text_int(t, "version", run->version);
            gw_text_int(t, "id", run->id);
            if (run->unknown)
                gw_text_bool(t, "known", false);
        }
        if (run->element == GW_ELEMENT_COMMAND) {
            gw_text_string(t, "command", gw_wire_command(run->command)->name);
            if (run->command == GW_COMMAND_PING)
                gw_text_int(t, "value", run->value);
        }
        if (run->packaged)
            gw_text_bool(t, "packaged", true);
        if (run->checkpoint)
            gw_text_int(t, "checkpoint", run->checkpoint);
        gw_text_close(t, '}');
    }
    gw_text_close(t, ']');
    if (in->unlisted)
        gw_text_int(t, "elements_not_listed", in->unlisted);
}

static void put_block(const struct gw_inspect *in, const struct gw_inspect_block *b, struct gw_text *t)
{
    gw_text_open(t, NULL, '{');
    gw_text_string(t, "name", b->block->name);
    gw_text_int(t, "bytes", b->block->used_bytes);
    if (b->block->host_page_bytes)
        gw_text_int(t, "host_page_bytes", b->block->host_page_bytes);
    if (b->block->has_gpa)
        gw_text_int(t, "guest_address", b->block->gpa);
    if (b->block->mapped) {
        gw_text_int(t, "bitmap_offset", b->block->bitmap_at);
        gw_text_int(t, "pages_offset", b->block->pages_at);
    }
    gw_text_open(t, "pages", '{');
    for (unsigned i = 0; i < GW_SCAN_PAGE_KINDS; i++)
        gw_text_int(t, kinds[i], b->pages[i]);
    gw_text_close(t, '}');
    if (b->seen)
        gw_text_int(t, "sent_again", b->again);
    gw_text_close(t, '}');
}

static void put_ram(const struct gw_inspect *in, struct gw_text *t)
{
    char number[32];

    gw_text_open(t, "ram", '{');
    gw_text_open(t, "blocks", '[');
    for (unsigned i = 0; i < in->block_count; i++)
        put_block(in, &in->blocks[i], t);
    gw_text_close(t, ']');
    gw_text_bool(t, "multifd", in->multifd);
    gw_text_open(t, "contents", '{');
    gw_text_int(t, "pages", in->pages.pages);
    gw_text_int(t, "zero", in->pages.zero);
    gw_text_int(t, "distinct", in->pages.distinct);
    gw_text_int(t, "duplicate", in->pages.duplicate);
    gw_text_bool(t, "all_compared", !in->pages.full);
    snprintf(number, sizeof number, "%.3f", gw_pages_entropy(&in->pages));
    gw_text_raw(t, "entropy_bits_per_byte", number);
    gw_text_close(t, '}');
    gw_text_close(t, '}');
}

static void put_disks(const struct gw_inspect *in, struct gw_text *t)
{
    if (in->disk_count) {
        gw_text_open(t, "disks", '[');
        for (unsigned i = 0; i < in->disk_count; i++) {
            gw_text_open(t, NULL, '{');
            gw_text_string(t, "name", in->disks[i].name);
            gw_text_int(t, "data_chunks", in->disks[i].data);
            gw_text_int(t, "zero_chunks", in->disks[i].zero);
            gw_text_close(t, '}');
        }
        gw_text_close(t, ']');
    }
    if (!in->bitmap_count)
        return;
    gw_text_open(t, "dirty_bitmaps", '[');
    for (unsigned i = 0; i < in->bitmap_count; i++) {
        const struct gw_inspect_bitmap *b = &in->bitmaps[i];

        gw_text_open(t, NULL, '{');
        gw_text_string(t, "node", b->node);
        gw_text_string(t, "name", b->name);
        gw_text_int(t, "granularity_bytes", b->granularity_bytes);
        gw_text_bool(t, "enabled", b->flags & 1);
        gw_text_bool(t, "persistent", b->flags & 2);
        gw_text_int(t, "chunks", b->chunks);
        gw_text_bool(t, "complete", b->complete);
        gw_text_close(t, '}');
    }
    gw_text_close(t, ']');
}

static void put_device(const struct gw_inspect_device *d, struct gw_text *t)
{
    struct gw_error err = GW_ERROR_INIT;
    size_t open;

    gw_text_open(t, NULL, '{');
    gw_text_string(t, "name", d->name);
    gw_text_int(t, "instance", d->instance);
    gw_text_int(t, "version", d->version);
    gw_text_int(t, "offset", d->at);
    gw_text_int(t, "bytes", d->body_bytes);
    if (d->state) {
        open = t->bytes;
        gw_text_open(t, "values", '{');
        if (gw_values_print(t, d->state, d->body, (size_t)d->body_bytes, true, "", &err) < 0 && !t->failed) {
            t->bytes = open; /* drop an incomplete list */
            t->data[open] = 0;
            gw_text_string(t, "error", err.text);
        } else {
            gw_text_close(t, '}');
        }
    }
    gw_text_close(t, '}');
}

static void put_devices(const struct gw_inspect *in, const char *only, struct gw_text *t)
{
    gw_text_open(t, "devices", '[');
    for (size_t i = 0; i < in->device_count; i++)
        if (!only || gw_inspect_matches(&in->devices[i], only))
            put_device(&in->devices[i], t);
    gw_text_close(t, ']');
}

static void put_causes(const struct gw_inspect *in, struct gw_text *t)
{
    static const char *const names[] = {
#define F(name, json, text) json,
        GW_INSPECT_CAUSES(F)
#undef F
    };

    gw_text_open(t, "bytes_by_cause", '{');
    for (unsigned i = 0; i < GW_SPENT_COUNT; i++)
        if (in->cause[i])
            gw_text_int(t, names[i], in->cause[i]);
    gw_text_close(t, '}');
}

void gw_inspect_json(const struct gw_inspect *in, const struct gw_inspect_options *o, struct gw_text *t)
{
    bool all = !o->ram && !o->device;

    gw_text_open(t, NULL, '{');
    put_head(in, t);
    if (all) {
        put_sections(in, t);
        put_causes(in, t);
        put_disks(in, t);
    }
    if (all || o->ram)
        put_ram(in, t);
    if (all || o->device)
        put_devices(in, o->device, t);
    gw_text_close(t, '}');
    gw_text_add(t, "\n", 1);
}
