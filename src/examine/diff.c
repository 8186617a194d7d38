/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "godwit/examine.h"
#include "base/sized.h"
#include "examine/devices.h"
#include "base/crc32c.h"
#include "examine/sweep.h"
#include "state/values.h"

#define SHOWN_BYTES 16u    /* bytes shown of a buffer that differs */
#define DEVICES_MAX 16384u /* limit, because each device is searched for among all devices of the other image */

struct diff {
    struct gw_image *a, *b;
    const struct gw_diff_options *options;
    struct gw_diff_counts counts;
    struct gw_difference run; /* the current run of differing pages; bytes 0: none */
    const char *device;       /* the device whose values are compared */
    bool nomem;
};

static void tell(struct diff *d, const struct gw_difference *one)
{
    if (d->options->found)
        d->options->found(d->options->opaque, one);
}

static int which(struct diff *d, bool second, int r, struct gw_error *err)
{
    if (r != -ENOMEM && r != -ECANCELED)
        gw_context(err, second ? "the second one" : "the first one");
    return r;
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void head(struct diff *d, const char *what, const char *a, const char *b)
{
    struct gw_difference one = {.kind = GW_DIFFERENCE_MACHINE, .where = what, .path = "", .a = a, .b = b};

    if (a == b || (a && b && !strcmp(a, b)))
        return;
    d->counts.heads++;
    tell(d, &one);
}

static const char *uuid_text(const struct gw_image *image, char text[40])
{
    char *p = text;

    if (!image->has_uuid)
        return NULL;
    for (unsigned i = 0; i < 16; i++)
        p += sprintf(p, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", image->uuid[i]);
    return text;
}

static void configuration_text(const struct gw_image *image, char text[40])
{
    struct gw_wire_head kept;
    struct gw_out out;

    gw_image_head(image, &kept);
    gw_out_memory(&out);
    gw_head_put(&out, &kept);
    snprintf(text, 40, "%zu bytes, crc32c %08x", (size_t)out.offset, gw_crc32c(0, out.begin, out.offset));
    gw_out_free(&out);
}

/* NULL: none. */
static const char *others_text(const struct gw_image *image, char text[40])
{
    const struct gw_image_others *o = &image->others;

    snprintf(text, 40, "%zu bytes, crc32c %08x", o->bytes, o->count ? gw_crc32c(0, o->data, o->bytes) : 0);
    return o->count ? text : NULL;
}

static void diff_heads(struct diff *d)
{
    uint64_t before = d->counts.heads;
    char a[40], b[40];

    head(d, "live sections that are not known", others_text(d->a, a), others_text(d->b, b));

    head(d, "machine", *d->a->machine ? d->a->machine : NULL, *d->b->machine ? d->b->machine : NULL);
    head(d, "UUID", uuid_text(d->a, a), uuid_text(d->b, b));
    snprintf(a, sizeof a, "%u", d->a->page_bytes);
    snprintf(b, sizeof b, "%u", d->b->page_bytes);
    head(d, "page size", a, b);
    /* Differences in unknown or omitted parts of the head. */
    if (d->counts.heads == before && d->a->head && d->b->head) {
        configuration_text(d->a, a);
        configuration_text(d->b, b);
        head(d, "configuration", a, b);
    }
}

/* ---- RAM --------------------------------------------------------------------------------------------------------- */

static void flush(struct diff *d)
{
    if (!d->run.bytes)
        return;
    d->counts.ranges++;
    tell(d, &d->run);
    d->run.bytes = 0;
}

static void add_page(struct diff *d, const char *block, uint64_t offset, const uint8_t *a, const uint8_t *b,
                     uint32_t page_bytes)
{
    struct gw_difference *run = &d->run;
    uint32_t at = 0;

    d->counts.pages++;
    if (run->bytes && run->where == block && run->offset + run->bytes == offset) {
        run->bytes += page_bytes;
        return;
    }
    flush(d);
    while (a[at] == b[at])
        at++;
    *run = (struct gw_difference){.kind = GW_DIFFERENCE_PAGES,
                                  .where = block,
                                  .path = "",
                                  .offset = offset,
                                  .bytes = page_bytes,
                                  .first = offset + at};
    run->sample_bytes = GW_MIN(page_bytes - at, GW_DIFFERENCE_SAMPLE);
    memcpy(run->sample_a, a + at, run->sample_bytes);
    memcpy(run->sample_b, b + at, run->sample_bytes);
}

/* Compares chunks of the same range. */
static int diff_chunk(struct diff *d, struct gw_sweep *a, struct gw_sweep *b, struct gw_error *err)
{
    uint32_t page = d->a->page_bytes;
    int r = gw_sweep_next(b, err);

    if (r < 0)
        return which(d, true, r, err);
    if (!a->any && !b->any)
        return 0;
    r = gw_sweep_read(a, err);
    if (r < 0)
        return which(d, false, r, err);
    r = gw_sweep_read(b, err);
    if (r < 0)
        return which(d, true, r, err);
    if (!memcmp(a->data, b->data, (size_t)(a->count * page)))
        return 0;
    for (uint64_t i = 0; i < a->count; i++)
        if (memcmp(a->data + i * page, b->data + i * page, page) != 0)
            add_page(d, d->a->blocks[a->block].name, (a->first + i) * page, a->data + i * page, b->data + i * page,
                     page);
    return 0;
}

static int diff_block(struct diff *d, struct gw_sweep *a, unsigned block_a, struct gw_sweep *b, unsigned block_b,
                      struct gw_error *err)
{
    uint64_t common = GW_MIN(d->a->blocks[block_a].pages, d->b->blocks[block_b].pages);
    int r;

    a->beside_block = block_b;
    b->beside_block = block_a;
    gw_sweep_range(a, block_a, 0, common);
    gw_sweep_range(b, block_b, 0, common);
    while ((r = gw_sweep_next(a, err)) > 0) {
        r = diff_chunk(d, a, b, err);
        if (r < 0)
            return r;
    }
    flush(d);
    return r < 0 ? which(d, false, r, err) : 0;
}

static int find_block(const struct gw_image *image, const char *name)
{
    for (unsigned i = 0; image->blocks && i < image->block_count; i++)
        if (!strcmp(image->blocks[i].name, name))
            return (int)i;
    return -1;
}

/* NULL: that image has no such block. */
static void block_differs(struct diff *d, const struct gw_image_block *a, const struct gw_image_block *b)
{
    struct gw_difference one = {.kind = GW_DIFFERENCE_BLOCK, .where = a ? a->name : b->name, .path = ""};
    char text_a[40], text_b[40];

    snprintf(text_a, sizeof text_a, "%" PRIu64 " bytes", a ? a->used_bytes : 0);
    snprintf(text_b, sizeof text_b, "%" PRIu64 " bytes", b ? b->used_bytes : 0);
    one.a = a ? text_a : NULL;
    one.b = b ? text_b : NULL;
    d->counts.blocks++;
    tell(d, &one);
}

static int diff_ram(struct diff *d, struct gw_error *err)
{
    const struct gw_diff_options *o = d->options;
    struct gw_sweep a = {0}, b = {0};
    int r = 0;

    for (unsigned i = 0; i < d->a->block_count; i++) {
        int k = find_block(d->b, d->a->blocks[i].name);

        if (k < 0 || d->a->blocks[i].used_bytes != d->b->blocks[k].used_bytes)
            block_differs(d, &d->a->blocks[i], k < 0 ? NULL : &d->b->blocks[k]);
    }
    for (unsigned i = 0; i < d->b->block_count; i++)
        if (find_block(d->a, d->b->blocks[i].name) < 0)
            block_differs(d, NULL, &d->b->blocks[i]);
    if (d->a->page_bytes != d->b->page_bytes)
        return 0;
    r = gw_sweep_init(&a, d->a, gw_image_ram_bytes(d->a), o->progress, o->opaque, err);
    if (r >= 0)
        r = gw_sweep_init(&b, d->b, 0, NULL, NULL, err);
    a.beside = d->b;
    b.beside = d->a;
    for (unsigned i = 0; i < d->a->block_count && r >= 0; i++) {
        int k = find_block(d->b, d->a->blocks[i].name);

        if (k >= 0)
            r = diff_block(d, &a, i, &b, (unsigned)k, err);
    }
    gw_sweep_close(&a);
    gw_sweep_close(&b);
    return r;
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static void print_bytes(struct gw_text *t, const uint8_t *p, uint64_t bytes)
{
    for (uint64_t i = 0; i < GW_MIN(bytes, SHOWN_BYTES); i++)
        gw_text_printf(t, "%02x", p[i]);
    if (bytes > SHOWN_BYTES)
        gw_text_printf(t, "...");
}

static void print_value(struct gw_text *t, const struct gw_value *v)
{
    uint64_t number = 0;

    if (v->count == 1 && v->bytes <= 8 && !strncmp(v->type, "uint", 4)) {
        for (uint64_t i = 0; i < v->bytes; i++)
            number = number << 8 | v->data[i];
        gw_text_printf(t, "0x%" PRIx64, number);
    } else if (v->count == 1 && v->bytes <= SHOWN_BYTES) {
        gw_value_print(t, v, false);
    } else {
        print_bytes(t, v->data, v->bytes * v->count);
    }
}

/* Reports the first differing byte of two buffers of equal length, and the bytes after it. */
static void buffer_differs(struct diff *d, const char *path, const uint8_t *a, const uint8_t *b, uint64_t bytes)
{
    struct gw_difference one = {.kind = GW_DIFFERENCE_VALUE, .where = d->device};
    struct gw_text where = {0}, ta = {0}, tb = {0};
    uint64_t at = 0;

    while (at < bytes && a[at] == b[at])
        at++;
    gw_text_printf(&where, "%s%sbyte 0x%" PRIx64, path, *path ? " " : "", at);
    print_bytes(&ta, a + at, bytes - at);
    print_bytes(&tb, b + at, bytes - at);
    d->nomem |= where.failed || ta.failed || tb.failed;
    if (!d->nomem) {
        one.path = where.data;
        one.a = ta.data;
        one.b = tb.data;
        tell(d, &one);
    }
    gw_text_free(&where);
    gw_text_free(&ta);
    gw_text_free(&tb);
}

static void on_value(void *opaque, const char *path, const struct gw_value *a, const struct gw_value *b)
{
    struct diff *d = opaque;
    struct gw_difference one = {.kind = GW_DIFFERENCE_VALUE, .where = d->device, .path = path};
    struct gw_text ta = {0}, tb = {0};

    d->counts.values++;
    if (a && b && a->bytes == b->bytes && a->count == 1 && b->count == 1 && a->bytes > SHOWN_BYTES) {
        buffer_differs(d, path, a->data, b->data, a->bytes);
        return;
    }
    if (a)
        print_value(&ta, a);
    if (b)
        print_value(&tb, b);
    d->nomem |= ta.failed || tb.failed;
    if (!d->nomem) {
        one.a = a ? ta.data : NULL;
        one.b = b ? tb.data : NULL;
        tell(d, &one);
    }
    gw_text_free(&ta);
    gw_text_free(&tb);
}

static void device_differs(struct diff *d, const char *label, const char *a, const char *b)
{
    struct gw_difference one = {.kind = GW_DIFFERENCE_DEVICE, .where = label, .path = "", .a = a, .b = b};

    d->counts.devices++;
    tell(d, &one);
}

static int diff_bodies(struct diff *d, const struct gw_image_device *a, const struct gw_image_device *b,
                       struct gw_error *err)
{
    bool same = a->body_bytes == b->body_bytes && !memcmp(a->body, b->body, (size_t)a->body_bytes);
    char ta[48], tb[48];

    if (a->state && b->state) /* equal bodies may have different descriptions */
        return gw_values_diff(a->state, a->body, (size_t)a->body_bytes, b->state, b->body, (size_t)b->body_bytes,
                              on_value, d, err);
    if (same)
        return 0;
    if (a->body_bytes == b->body_bytes) {
        d->counts.values++;
        buffer_differs(d, "", a->body, b->body, a->body_bytes);
        return 0;
    }
    snprintf(ta, sizeof ta, "%" PRIu64 " bytes", a->body_bytes);
    snprintf(tb, sizeof tb, "%" PRIu64 " bytes", b->body_bytes);
    device_differs(d, a->label, ta, tb);
    return 0;
}

static const struct gw_image_device *find_device(const struct gw_image_devices *list, const char *label)
{
    for (unsigned i = 0; i < list->count; i++)
        if (!strcmp(list->list[i].label, label))
            return &list->list[i];
    return NULL;
}

static int diff_lists(struct diff *d, const struct gw_image_devices *a, const struct gw_image_devices *b,
                      struct gw_error *err)
{
    char ta[32], tb[32];
    int r = 0;

    for (unsigned i = 0; i < a->count && r >= 0; i++) {
        const struct gw_image_device *x = &a->list[i], *y = find_device(b, x->label);

        snprintf(ta, sizeof ta, "version %u", x->version);
        snprintf(tb, sizeof tb, "version %u", y ? y->version : 0);
        d->device = x->label;
        if (!y || x->version != y->version)
            device_differs(d, x->label, ta, y ? tb : NULL);
        if (y)
            r = diff_bodies(d, x, y, err);
        if (r < 0)
            gw_context(err, "device %s", x->label);
    }
    for (unsigned i = 0; i < b->count && r >= 0; i++) {
        if (find_device(a, b->list[i].label))
            continue;
        snprintf(tb, sizeof tb, "version %u", b->list[i].version);
        device_differs(d, b->list[i].label, NULL, tb);
    }
    return d->nomem ? gw_nomem(err, "differences") : r;
}

static int diff_devices(struct diff *d, struct gw_error *err)
{
    struct gw_image_devices a = {0}, b = {0};
    int r = gw_image_devices_read(d->a, &a, err);

    if (r < 0)
        return which(d, false, r, err);
    r = gw_image_devices_read(d->b, &b, err);
    if (r < 0)
        which(d, true, r, err);
    else if (a.count > DEVICES_MAX || b.count > DEVICES_MAX)
        r = gw_fail(err, -E2BIG, GW_BLAME_PEER, "%u and %u devices are more than can be compared (%u)", a.count,
                    b.count, DEVICES_MAX);
    else
        r = diff_lists(d, &a, &b, err);
    gw_image_devices_close(&a);
    gw_image_devices_close(&b);
    return r;
}

int gw_image_diff_sized(struct gw_image *a, struct gw_image *b, const struct gw_diff_options *options,
                        size_t options_bytes, struct gw_diff_counts *ret_counts, size_t counts_bytes,
                        struct gw_error *err)
{
    struct gw_diff_options own;
    struct diff d = {.a = a, .b = b, .options = &own};
    int r = gw_sized_in(&own, sizeof own, options, options_bytes, 1, "struct gw_diff_options", err);

    if (r >= 0) {
        diff_heads(&d);
        r = diff_ram(&d, err);
    }
    if (r >= 0)
        r = diff_devices(&d, err);
    gw_sized_out(ret_counts, counts_bytes, &d.counts, sizeof d.counts);
    return r < 0 ? r : 0;
}
