/* SPDX-License-Identifier: MIT */
#include "examine/inspect.h"

#include <stdio.h>

#include "state/values.h"
#include "wire/names.h"

struct gw_human gw_inspect_human(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    struct gw_human h;
    unsigned u = 0;
    double v = (double)bytes;

    while (v >= 1024 && u + 1 < GW_ARRAY_LEN(units)) {
        v /= 1024;
        u++;
    }
    if (!u || bytes == (uint64_t)v << 10 * u)
        snprintf(h.text, sizeof h.text, "%" PRIu64 " %s", (uint64_t)v, units[u]);
    else
        snprintf(h.text, sizeof h.text, "%.1f %s", v, units[u]);
    return h;
}

static struct gw_human human(uint64_t bytes)
{
    return gw_inspect_human(bytes);
}

static void put_source(const struct gw_inspect *in, struct gw_text *t)
{
    struct gw_inspect_source s;

    gw_inspect_source(in, &s);
    gw_text_printf(t, "  written by    %s", s.program ? s.program : "QEMU or godwit (it cannot be determined which)");
    if (*s.at_least || *s.before)
        gw_text_printf(t, "%s", s.program && !strcmp(s.program, "QEMU") ? "" : "; it looks like QEMU");
    if (*s.at_least)
        gw_text_printf(t, " %s or later", s.at_least);
    if (*s.before)
        gw_text_printf(t, "%s before %s", *s.at_least ? "," : "", s.before);
    gw_text_printf(t, "\n");
    for (unsigned i = 0; i < s.because_count; i++)
        gw_text_printf(t, "                  %s\n", s.because[i]);
}

static void put_container(const struct gw_inspect_container *c, struct gw_text *t)
{
    if (c->kind && !strcmp(c->kind, "libvirt"))
        gw_text_printf(t, "  file          a libvirt save image, the guest was %s\n", c->was_running ? "running" : "paused");
    else if (c->kind)
        gw_text_printf(t, "  file          a %s machine, shown as the stream that it would be\n", c->kind);
    if (c->lacking_bytes)
        gw_text_printf(t, "  not whole     %s of its memory never came (%" PRIu64 " bytes, shown as zeros): its source was lost\n",
                       human(c->lacking_bytes).text, c->lacking_bytes);
    if (c->lacking_bytes)
        gw_text_printf(t, "                `godwit salvage` makes it whole, with what the source has kept\n");
    if (c->program)
        gw_text_printf(t, "  compressed    with %s; offsets are those of the stream before\n", c->program);
}

static void put_head(const struct gw_inspect *in, const char *title, struct gw_text *t)
{
    gw_text_printf(t, "%s: ", title ? title : "stream");
    if (!in->has_head) {
        gw_text_printf(t, "no migration stream\n");
        return;
    }
    gw_text_printf(t, "%s stream, %s", gw_inspect_kind(in), human(in->bytes).text);
    if (in->bytes >= 1024)
        gw_text_printf(t, " (%" PRIu64 " bytes)", in->bytes);
    gw_text_printf(t, "%s\n", in->error.code ? " up to where it breaks off" : "");
    put_container(&in->container, t);
    gw_text_printf(t, "  machine       %s\n", *in->head->machine ? in->head->machine : "not told");
    put_source(in, t);
    if (*in->run_state)
        gw_text_printf(t, "  run state     %s\n", in->run_state);
    if (in->head->has_uuid) {
        gw_text_printf(t, "  uuid          ");
        for (unsigned i = 0; i < 16; i++)
            gw_text_printf(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", in->head->uuid[i]);
        gw_text_printf(t, "\n");
    }
    if (in->head->capability_count) {
        gw_text_printf(t, "  capabilities ");
        for (unsigned i = 0; i < in->head->capability_count; i++)
            gw_text_printf(t, " %s", in->head->capabilities[i]);
        gw_text_printf(t, "\n");
    }
    if (gw_head_page_bytes(in->head) != 4096)
        gw_text_printf(t, "  page          %u bytes\n", gw_head_page_bytes(in->head));
    if (in->checkpoints)
        gw_text_printf(t, "  checkpoints   %u\n", in->checkpoints);
}

static void put_run(const struct gw_inspect_run *run, struct gw_text *t)
{
    gw_text_printf(t, "  %12" PRIu64 "  %12" PRIu64 "  %s", run->at, run->bytes, run->packaged ? "  " : "");
    if (run->checkpoint)
        gw_text_printf(t, "#%u ", run->checkpoint);
    if (run->element == GW_ELEMENT_COMMAND)
        gw_text_printf(t, "command %s", gw_wire_command(run->command)->name);
    else if (run->element == GW_ELEMENT_EOF)
        gw_text_printf(t, "EOF");
    else if (run->element == GW_ELEMENT_VMDESC)
        gw_text_printf(t, "description");
    else
        gw_text_printf(t, "%-5s %s", gw_wire_element(run->element), run->name);
    if (run->name && run->instance)
        gw_text_printf(t, "/%u", run->instance);
    if (run->element == GW_ELEMENT_FULL || run->element == GW_ELEMENT_START)
        gw_text_printf(t, " v%u", run->version);
    if (run->element == GW_ELEMENT_COMMAND && run->command == GW_COMMAND_PING)
        gw_text_printf(t, " %" PRIu64, run->value);
    if (run->count > 1)
        gw_text_printf(t, " x%" PRIu64, run->count);
    if (run->unknown)
        gw_text_printf(t, " (not known)");
    gw_text_printf(t, "\n");
}

static void put_sections(const struct gw_inspect *in, struct gw_text *t)
{
    gw_text_printf(t, "\nelements\n  %12s  %12s  what\n", "offset", "bytes");
    if (in->container.head_bytes)
        gw_text_printf(t, "  %12d  %12" PRIu64 "  head of the file\n", 0, in->container.head_bytes);
    if (in->has_head)
        gw_text_printf(t, "  %12" PRIu64 "  %12" PRIu64 "  head\n", in->container.head_bytes, in->head->bytes);
    for (size_t i = 0; i < in->run_count; i++)
        put_run(&in->runs[i], t);
    if (in->unlisted)
        gw_text_printf(t, "  and %" PRIu64 " more\n", in->unlisted);
}

static void put_ram(const struct gw_inspect *in, struct gw_text *t)
{
    static const char *const kinds[GW_SCAN_PAGE_KINDS] = {"zero", "plain", "xbzrle", "compressed", "mapped"};
    uint64_t total[GW_SCAN_PAGE_KINDS] = {0}, all = 0;
    bool tracked = true, again = false;

    gw_text_printf(t, "\nram\n");
    if (!in->block_count) {
        gw_text_printf(t, "  none\n");
        return;
    }
    for (unsigned i = 0; i < in->block_count; i++) {
        for (unsigned k = 0; k < GW_SCAN_PAGE_KINDS; k++) {
            total[k] += in->blocks[i].pages[k];
            all += in->blocks[i].pages[k];
        }
        tracked &= in->blocks[i].seen != NULL;
        again |= in->blocks[i].again > 0;
    }
    gw_text_printf(t, "  %-32s %10s", "block", "size");
    for (unsigned k = 0; k < GW_SCAN_PAGE_KINDS; k++)
        if (total[k])
            gw_text_printf(t, " %10s", kinds[k]);
    gw_text_printf(t, "%s\n", again ? " sent again" : "");
    for (unsigned i = 0; i < in->block_count; i++) {
        const struct gw_inspect_block *b = &in->blocks[i];

        gw_text_printf(t, "  %-32s %10s", b->block->name, human(b->block->used_bytes).text);
        for (unsigned k = 0; k < GW_SCAN_PAGE_KINDS; k++)
            if (total[k])
                gw_text_printf(t, " %10" PRIu64, b->pages[k]);
        if (again)
            gw_text_printf(t, " %10" PRIu64, b->again);
        if (b->block->has_gpa)
            gw_text_printf(t, "  at 0x%" PRIx64, b->block->gpa);
        if (b->block->host_page_bytes)
            gw_text_printf(t, "  on pages of %s", human(b->block->host_page_bytes).text);
        if (b->block->mapped)
            gw_text_printf(t, "  at byte %" PRIu64, b->block->pages_at);
        gw_text_printf(t, "\n");
    }
    if (!tracked)
        gw_text_printf(t, "  so much RAM that pages sent again are not counted\n");
    if (in->multifd)
        gw_text_printf(t, "  multifd: most pages went over other channels\n");
    else if (!all)
        gw_text_printf(t, "  this stream has no pages\n");
    if (in->pages.pages)
        gw_text_printf(t, "  contents: %" PRIu64 " pages with data, %s%" PRIu64 " of them different, %" PRIu64
                          " the same as one before, %" PRIu64 " zeros; %.1f bits per byte\n",
                       in->pages.pages, in->pages.full ? "at least " : "", in->pages.distinct, in->pages.duplicate,
                       in->pages.zero, gw_pages_entropy(&in->pages));
}

static void put_disks(const struct gw_inspect *in, struct gw_text *t)
{
    if (in->disk_count)
        gw_text_printf(t, "\ndisks (chunks of 1 MiB)\n");
    for (unsigned i = 0; i < in->disk_count; i++)
        gw_text_printf(t, "  %-32s %" PRIu64 " with data, %" PRIu64 " zero\n", in->disks[i].name, in->disks[i].data,
                       in->disks[i].zero);
    if (in->bitmap_count)
        gw_text_printf(t, "\ndirty bitmaps\n");
    for (unsigned i = 0; i < in->bitmap_count; i++) {
        const struct gw_inspect_bitmap *b = &in->bitmaps[i];

        gw_text_printf(t, "  %s/%s: one bit for %u bytes, %s%s, %" PRIu64 " chunks, %s\n", b->node, b->name,
                       b->granularity_bytes, b->flags & 1 ? "enabled" : "disabled", b->flags & 2 ? ", persistent" : "",
                       b->chunks, b->complete ? "complete" : "not complete");
    }
}

static void put_causes(const struct gw_inspect *in, struct gw_text *t)
{
    static const char *const names[] = {
#define F(name, json, text) text,
        GW_INSPECT_CAUSES(F)
#undef F
    };

    gw_text_printf(t, "\nwhere the bytes go\n");
    for (unsigned i = 0; i < GW_SPENT_COUNT; i++)
        if (in->cause[i])
            gw_text_printf(t, "  %12" PRIu64 "  %5.1f%%  %s\n", in->cause[i],
                           in->bytes ? 100.0 * (double)in->cause[i] / (double)in->bytes : 0, names[i]);
}

struct values {
    struct gw_text *t;
    bool all;
    uint64_t zero;
};

static int put_value(void *opaque, const struct gw_value *v)
{
    struct values *values = opaque;
    uint64_t i = 0, n = v->bytes * v->count;

    while (!values->all && i < n && !v->data[i])
        i++;
    if (i == n) {
        values->zero++;
        return 0;
    }
    gw_text_printf(values->t, "    %s = ", v->path);
    gw_value_print(values->t, v, false);
    gw_text_printf(values->t, "\n");
    return 0;
}

static void put_device(const struct gw_inspect_device *d, bool all, struct gw_text *t)
{
    struct values values = {t, all, 0};
    struct gw_error err = GW_ERROR_INIT;

    gw_text_printf(t, "  %s/%u version %u, %" PRIu64 " bytes at %" PRIu64 "%s\n", d->name, d->instance, d->version,
                   d->body_bytes, d->at, d->state ? "" : ", not described");
    if (d->state && gw_values_walk(d->state, d->body, (size_t)d->body_bytes, put_value, &values, &err) < 0)
        gw_text_printf(t, "    not readable: %s\n", err.text);
    if (values.zero)
        gw_text_printf(t, "    and %" PRIu64 " that %s zero\n", values.zero, values.zero == 1 ? "is" : "are");
}

static void put_devices(const struct gw_inspect *in, const char *only, struct gw_text *t)
{
    gw_text_printf(t, "\ndevices\n");
    for (size_t i = 0; i < in->device_count; i++)
        if (!only || gw_inspect_matches(&in->devices[i], only))
            put_device(&in->devices[i], only != NULL, t);
    if (!in->device_count)
        gw_text_printf(t, "  none\n");
}

void gw_inspect_text(const struct gw_inspect *in, const struct gw_inspect_options *o, struct gw_text *t)
{
    bool all = !o->ram && !o->device;

    put_head(in, o->title, t);
    if (!in->has_head)
        return;
    if (all)
        put_sections(in, t);
    if (all || o->ram)
        put_ram(in, t);
    if (all) {
        put_disks(in, t);
        put_causes(in, t);
    }
    if (all || o->device)
        put_devices(in, o->device, t);
}
