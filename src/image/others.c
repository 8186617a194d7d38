/* SPDX-License-Identifier: MIT */
#include "image/others.h"

#include "base/cursor.h"
#include "image/image.h"
#include "wire/numbers.h"

#define RUNS_MAX 65536u

enum gw_image_place gw_image_place(const struct gw_image_progress *p, uint8_t element)
{
    if (p->ended)
        return GW_PLACE_LATE;
    if (element == GW_ELEMENT_END)
        return GW_PLACE_ENDING;
    if (p->begun)
        return GW_PLACE_ITERATE;
    return p->listed ? GW_PLACE_SETUP : GW_PLACE_FIRST;
}

static int check(const struct gw_image *image, const struct gw_image_other *o, struct gw_error *err)
{
    const struct gw_image_others *all = &image->others;
    const struct gw_image_other *last = all->count ? &all->list[all->count - 1] : NULL;
    bool setup = o->place == GW_PLACE_SETUP;

    if (o->place >= GW_PLACES || !o->bytes || (last && o->place < last->place) ||
        (last && o->place == last->place && o->early_at < last->early_at) || (o->place > GW_PLACE_SETUP && o->early_at) ||
        o->early_at > (setup ? image->early_bytes : image->early_before) || (setup && o->early_at < image->early_before))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a live section cannot follow there (position %u after %u)", o->place,
                       last ? last->place : 0);
    return all->count < RUNS_MAX ? 0 : gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %u live sections", RUNS_MAX);
}

static int add_run(struct gw_image *image, const struct gw_image_other *o, struct gw_error *err)
{
    struct gw_image_others *all = &image->others;
    struct gw_image_other *last = all->count ? &all->list[all->count - 1] : NULL, *grown;
    int r = check(image, o, err);

    if (r < 0)
        return r;
    if (last && last->place == o->place && last->early_at == o->early_at) {
        last->bytes += o->bytes;
        return 0;
    }
    grown = realloc(all->list, (all->count + 1) * sizeof *grown);
    if (!grown)
        return gw_nomem(err, "live sections");
    all->list = grown;
    atomic_store(&all->any, true);
    grown[all->count++] = *o;
    return 0;
}

int gw_image_add_early(struct gw_image *image, bool listed, const void *data, size_t bytes, struct gw_error *err)
{
    uint8_t *grown = realloc(image->early, GW_MAX(image->early_bytes + bytes, 1u));

    if (!grown)
        return gw_nomem(err, "device sections");
    image->early = grown;
    if (bytes)
        memcpy(grown + image->early_bytes, data, bytes);
    image->early_bytes += bytes;
    image->early_before += listed ? 0 : bytes;
    return 0;
}

int gw_image_add_other(struct gw_image *image, enum gw_image_place place, const void *data, size_t bytes,
                       struct gw_error *err)
{
    struct gw_image_others *all = &image->others;
    struct gw_image_other o = {.place = (uint8_t)place, .bytes = bytes,
                               .early_at = place <= GW_PLACE_SETUP ? image->early_bytes : 0};

    if (bytes > all->cap - all->bytes) {
        size_t cap = GW_MAX(all->cap * 2, all->bytes + bytes);
        uint8_t *grown = realloc(all->data, cap);

        if (!grown)
            return gw_nomem(err, "live sections");
        all->data = grown;
        all->cap = cap;
    }
    if (bytes)
        memcpy(all->data + all->bytes, data, bytes);
    all->bytes += bytes;
    return add_run(image, &o, err);
}

void gw_image_put_setup(const struct gw_image *image, bool listed, struct gw_out *out)
{
    const struct gw_image_others *all = &image->others;
    size_t at = listed ? image->early_before : 0, end = listed ? image->early_bytes : image->early_before, from = 0;

    for (unsigned i = 0; i < all->count; i++) {
        const struct gw_image_other *o = &all->list[i];

        if (o->place == (listed ? GW_PLACE_SETUP : GW_PLACE_FIRST)) {
            if (o->early_at > at)
                gw_put_bytes(out, image->early + at, o->early_at - at);
            at = o->early_at;
            gw_put_bytes(out, all->data + from, o->bytes);
        }
        from += o->bytes;
    }
    if (end > at)
        gw_put_bytes(out, image->early + at, end - at);
}

void gw_image_put_others(const struct gw_image *image, enum gw_image_place place, struct gw_out *out)
{
    const struct gw_image_others *all = &image->others;
    size_t from = 0;

    for (unsigned i = 0; i < all->count; i++) {
        if (all->list[i].place == place)
            gw_put_bytes(out, all->data + from, all->list[i].bytes);
        from += all->list[i].bytes;
    }
}

void gw_image_pack_others(const struct gw_image *image, struct gw_out *out)
{
    const struct gw_image_others *all = &image->others;

    if (!all->count)
        return;
    gw_put_u32(out, all->count);
    for (unsigned i = 0; i < all->count; i++) {
        gw_put_u8(out, all->list[i].place);
        gw_put_u64(out, all->list[i].early_at);
        gw_put_u64(out, all->list[i].bytes);
    }
    gw_put_bytes(out, all->data, all->bytes);
}

int gw_image_unpack_others(struct gw_image *image, const uint8_t *data, size_t bytes, struct gw_error *err)
{
    struct gw_image_others *all = &image->others;
    uint64_t sum = 0;
    uint32_t count;
    struct gw_in in;
    int r;

    gw_in_memory(&in, data, bytes, 0);
    r = gw_get_u32(&in, &count, err);
    for (uint32_t i = 0; i < count && r >= 0; i++) {
        struct gw_image_other o;

        r = gw_get_u8(&in, &o.place, err);
        if (r >= 0)
            r = gw_get_u64(&in, &o.early_at, err);
        if (r >= 0)
            r = gw_get_u64(&in, &o.bytes, err);
        if (r >= 0 && gw_add_overflows(sum, o.bytes, &sum))
            r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the live sections' lengths add up to more than 2^64 bytes");
        if (r >= 0)
            r = add_run(image, &o, err);
    }
    if (r >= 0 && (!count || sum != gw_in_buffered(&in)))
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the live sections should have %" PRIu64 " bytes together, but %zu are there", sum,
                    gw_in_buffered(&in));
    if (r >= 0 && !(all->data = malloc(sum)))
        r = gw_nomem(err, "live sections");
    if (r < 0)
        return r == -ENODATA ? -EPROTO : r;
    memcpy(all->data, in.data + in.pos, sum);
    all->bytes = all->cap = sum;
    return 0;
}

void gw_image_clear_others(struct gw_image *image)
{
    free(image->others.list);
    free(image->others.data);
    image->others.list = NULL;
    image->others.data = NULL;
    image->others.count = 0;
    image->others.bytes = image->others.cap = 0;
    atomic_store(&image->others.any, false);
}
