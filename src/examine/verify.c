/* SPDX-License-Identifier: MIT */
#include "godwit/examine.h"
#include "base/sized.h"
#include "examine/devices.h"
#include "examine/sweep.h"
#include "image/once.h"
#include "state/values.h"

/* This many ranges are narrowed down to pages; further ones are reported as whole chunks. Otherwise a file that is
 * damaged everywhere would take one read per page. */
#define NARROWED_MAX 256u

struct verify {
    struct gw_image *image;
    const struct gw_verify_options *options;
    struct gw_verify_counts counts;
    unsigned narrowed;
    /* Adjacent pages that fail for the same reason are collected in one range. */
    bool pending;
    unsigned block;
    uint64_t offset, bytes;
    char why[GW_ERROR_TEXT];
};

static void tell(struct verify *v, const struct gw_verify_fault *fault)
{
    v->counts.faults++;
    if (v->options->found)
        v->options->found(v->options->opaque, fault);
}

static bool is_fault(int code)
{
    return code == -EPROTO || code == -EIO || code == -ENODATA;
}

/* ---- RAM --------------------------------------------------------------------------------------------------------- */

static void flush(struct verify *v)
{
    struct gw_verify_fault fault = {.part = "RAM", .offset = v->offset, .bytes = v->bytes, .what = v->why};

    if (!v->pending)
        return;
    fault.name = v->image->blocks[v->block].name;
    v->pending = false;
    v->narrowed++;
    tell(v, &fault);
}

static void broken_pages(struct verify *v, unsigned block, uint64_t first, uint64_t count, const char *why)
{
    uint64_t page = v->image->page_bytes, offset = first * page;

    if (v->pending && v->block == block && v->offset + v->bytes == offset && !strcmp(v->why, why)) {
        v->bytes += count * page;
        return;
    }
    flush(v);
    v->pending = true;
    v->block = block;
    v->offset = offset;
    v->bytes = count * page;
    gw_strcopy(v->why, sizeof v->why, why);
}

/* A chunk cannot be read: finds which of its pages fail. */
static int narrow(struct verify *v, struct gw_sweep *s, const struct gw_error *why, struct gw_error *err)
{
    uint64_t failed = 0;

    if (v->narrowed >= NARROWED_MAX) {
        broken_pages(v, s->block, s->first, s->count, why->text);
        return 0;
    }
    for (uint64_t i = 0; i < s->count; i++) {
        struct gw_error page = GW_ERROR_INIT;
        int r = s->kinds[i] ? gw_image_pages(s->image, s->block, s->first + i, 1, s->data, &page) : 0;

        if (r < 0 && !is_fault(r)) {
            if (err)
                *err = page;
            return r;
        }
        failed += r < 0;
        if (r < 0)
            broken_pages(v, s->block, s->first + i, 1, page.text);
    }
    if (!failed) /* it fails only as a whole */
        broken_pages(v, s->block, s->first, s->count, why->text);
    return 0;
}

static int verify_block(struct verify *v, struct gw_sweep *s, unsigned block, struct gw_error *err)
{
    int r;

    gw_sweep_block(s, block);
    while ((r = gw_sweep_next(s, err)) > 0) {
        struct gw_error why = GW_ERROR_INIT;

        for (uint64_t i = 0; i < s->count; i++)
            v->counts.data_pages += s->kinds[i] != 0;
        if (!s->any)
            continue;
        r = gw_sweep_read(s, &why);
        if (is_fault(r)) {
            r = narrow(v, s, &why, err);
        } else if (r < 0 && err) {
            *err = why;
        }
        if (r < 0)
            return r;
    }
    flush(v);
    return r;
}

/* Whether all of a block can be read. */
static int read_block(struct gw_sweep *s, unsigned block, struct gw_error *err)
{
    int r;

    gw_sweep_block(s, block);
    while ((r = gw_sweep_next(s, err)) > 0)
        if (s->any && (r = gw_sweep_read(s, err)) < 0)
            break;
    return r;
}

/* Sweeps each block. first_only: the first fault ends the sweep and is not reported. */
static int sweep_ram(struct verify *v, struct gw_image *image, bool first_only, struct gw_error *err)
{
    const struct gw_verify_options *o = v->options;
    struct gw_sweep s;
    int r = gw_sweep_init(&s, image, gw_image_ram_bytes(image), o->progress, o->opaque, err);

    for (unsigned i = 0; i < image->block_count && r >= 0; i++) {
        v->counts.blocks++;
        v->counts.pages += image->blocks[i].pages;
        r = first_only ? read_block(&s, i, err) : verify_block(v, &s, i, err);
        if (is_fault(r) && err && !first_only) { /* not even the kinds of pages can be read */
            struct gw_verify_fault fault = {"RAM", image->blocks[i].name, 0, image->blocks[i].used_bytes, err->text};

            flush(v);
            tell(v, &fault);
            *err = (struct gw_error)GW_ERROR_INIT;
            r = 0;
        }
    }
    gw_sweep_close(&s);
    return r;
}

static int verify_ram(struct verify *v, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    struct gw_image *once = NULL;
    uint64_t filled;
    int r;

    if (v->image->ops->numbers) {
        r = gw_once_new(v->image, &once, &filled, err);
        if (r >= 0)
            r = sweep_ram(v, once, true, &why);
        gw_once_free(once);
        if (r >= 0)
            v->counts.data_pages = filled;
        else if (why.code && !is_fault(r) && err)
            *err = why;
        if (!is_fault(r))
            return r;
        v->counts.blocks = v->counts.pages = 0; /* there is a fault: find all places that it affects */
    }
    return sweep_ram(v, v->image, false, err);
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static int look(void *opaque, const struct gw_value *value)
{
    return 0;
}

static int verify_devices(struct verify *v, struct gw_error *err)
{
    struct gw_image_devices devices = {0};
    struct gw_error why = GW_ERROR_INIT;
    int r = gw_image_devices_read(v->image, &devices, &why);

    if (is_fault(r)) {
        struct gw_verify_fault fault = {.part = "devices", .name = "", .what = why.text};

        tell(v, &fault);
        return 0;
    }
    if (r < 0) {
        if (err)
            *err = why;
        return r;
    }
    for (unsigned i = 0; i < devices.count && r >= 0; i++) {
        const struct gw_image_device *d = &devices.list[i];

        v->counts.devices++;
        v->counts.undescribed += !d->state;
        if (!d->state)
            continue;
        r = gw_values_walk(d->state, d->body, (size_t)d->body_bytes, look, NULL, &why);
        if (is_fault(r)) {
            struct gw_verify_fault fault = {.part = "device", .name = d->label, .what = why.text};

            tell(v, &fault);
            r = 0;
        } else if (r < 0 && err) {
            *err = why;
        }
    }
    gw_image_devices_close(&devices);
    return r;
}

static int file_fault(struct verify *v, int r, const struct gw_error *why, struct gw_error *err)
{
    struct gw_verify_fault fault = {.part = "file", .name = "", .what = why->text};

    if (is_fault(r)) {
        tell(v, &fault);
        return 0;
    }
    if (r < 0 && err)
        *err = *why;
    return r;
}

/* A volume may be larger than the machine saved into it. A file may not, except for zeros (of its last block, or of a
 * volume it was copied from), unless it records itself where the machine ends. */
static int verify_behind(struct verify *v, struct gw_error *err)
{
    struct gw_behind behind = {0};
    int r = v->image->ops->behind ? v->image->ops->behind(v->image, &behind, err) : 0;

    v->counts.behind_at = behind.at;
    v->counts.behind_bytes = behind.bytes;
    v->counts.behind_other = behind.other;
    v->counts.behind_other_at = behind.other_at;
    if (r >= 0 && behind.other && !behind.roomy)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER,
                    "data follows the end of the machine at byte %" PRIu64 ", from byte %" PRIu64
                    " on: the file was longer before, or another one was appended",
                    behind.at, behind.other_at);
    return r;
}

/* Checks bytes that belong to no page and no device. */
static int verify_file(struct verify *v, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    int r = v->image->ops->check ? v->image->ops->check(v->image, &why) : 0;

    if (r >= 0)
        r = verify_behind(v, &why);
    return file_fault(v, r, &why, err);
}

int gw_image_verify_sized(struct gw_image *image, const struct gw_verify_options *options, size_t options_bytes,
                          struct gw_verify_counts *ret_counts, size_t counts_bytes, struct gw_error *err)
{
    struct gw_verify_options own;
    struct gw_error local = GW_ERROR_INIT;
    struct verify v = {.image = image, .options = &own};
    int r = gw_sized_in(&own, sizeof own, options, options_bytes, 1, "struct gw_verify_options", err);

    if (!err)
        err = &local;
    if (r >= 0)
        r = verify_devices(&v, err);
    if (r >= 0)
        r = verify_ram(&v, err);
    if (r >= 0 && !v.counts.faults) /* else the error was found already */
        r = verify_file(&v, err);
    gw_sized_out(ret_counts, counts_bytes, &v.counts, sizeof v.counts);
    return r < 0 ? r : 0;
}
