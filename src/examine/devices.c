/* SPDX-License-Identifier: MIT */
#include "examine/devices.h"

#include <stdio.h>

#include "scan/parts.h"

static struct gw_image_device *add(struct gw_image_devices *d, const char *name, uint32_t instance)
{
    struct gw_image_device *one = &d->list[d->count++];

    *one = (struct gw_image_device){.name = name, .instance = instance};
    snprintf(one->label, sizeof one->label, "%s/%u", name, instance);
    return one;
}

static int room(struct gw_image_devices *d, size_t more, struct gw_error *err)
{
    struct gw_image_device *grown = realloc(d->list, (d->count + more + 1) * sizeof *grown);

    if (!grown)
        return gw_nomem(err, "device sections");
    d->list = grown;
    return 0;
}

/* Finds the sections by the grammar alone, as there is no description. */
static int read_forward(const uint8_t *data, size_t bytes, const struct gw_image *image, bool early,
                        struct gw_image_devices *d, struct gw_error *err)
{
    GW_AUTOFREE struct gw_scan_found *list = NULL;
    size_t count = 0, end = 0;
    struct gw_scan_search all = {.data = data, .bytes = bytes, .footers = image->footers, .goal = GW_SCAN_TO_END};
    int r;

    if (!bytes)
        return 0;
    r = gw_scan_forward(&all, &list, &count, &end, err);
    if (r == -E2BIG)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %u device sections", GW_SCAN_FOUND_MAX);
    if (r >= 0)
        r = room(d, count, err);
    for (size_t i = 0; r >= 0 && i < count; i++) {
        struct gw_image_device *one;
        char *name;

        if (list[i].element != GW_ELEMENT_FULL)
            continue;
        name = gw_arena_take(&d->names, list[i].name_bytes + 1u);
        if (!name)
            return gw_nomem(err, "device sections");
        memcpy(name, data + list[i].name, list[i].name_bytes);
        name[list[i].name_bytes] = 0;
        one = add(d, name, list[i].instance);
        one->version = list[i].version;
        one->id = list[i].id;
        one->body = data + list[i].body;
        one->body_bytes = list[i].body_bytes;
        one->early = early;
    }
    return r < 0 ? r : 0;
}

/* Assigns the description of devices of the set-up. */
static int describe_early(struct gw_image_devices *d, struct gw_error *err)
{
    for (unsigned i = 0; i < d->count; i++) {
        const struct gw_vmdesc_device *from = &d->tree->devices[i];

        if (strcmp(from->name, d->list[i].name) != 0 || from->instance != d->list[i].instance ||
            from->state.bytes != d->list[i].body_bytes)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "the description has device %s/%u of %" PRIu64 " bytes where %s of %" PRIu64 " bytes is",
                           from->name, from->instance, from->state.bytes, d->list[i].label, d->list[i].body_bytes);
        d->list[i].state = &from->state;
    }
    return 0;
}

static int read_described(const struct gw_image *image, struct gw_image_devices *d, struct gw_error *err)
{
    unsigned early = d->count;
    GW_AUTOFREE struct gw_vmdesc_section *at = NULL;
    struct gw_vmdesc_tree late;
    size_t begin;
    int r;

    if (d->tree->device_count < early)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the description has %u devices, %u came in the set-up",
                       d->tree->device_count, early);
    r = describe_early(d, err);
    if (r < 0)
        return r;
    late = *d->tree;
    late.devices += early;
    late.device_count -= early;
    at = calloc(GW_MAX(late.device_count, 1u), sizeof *at);
    if (!at)
        return gw_nomem(err, "device sections");
    r = gw_vmdesc_locate(&late, image->devices, image->devices_bytes, image->footers, NULL, at, err);
    begin = late.device_count ? at[0].start : image->devices_bytes;
    if (r >= 0 && begin)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "the description lacks the first %zu bytes of devices", begin);
    if (r >= 0)
        r = room(d, late.device_count, err);
    for (uint32_t i = 0; r >= 0 && i < late.device_count; i++) {
        struct gw_image_device *one = add(d, late.devices[i].name, late.devices[i].instance);

        one->version = at[i].version;
        one->id = at[i].section_id;
        one->body = image->devices + at[i].body;
        one->body_bytes = at[i].body_bytes;
        one->state = gw_vmdesc_state_of(&late.devices[i], &at[i]);
    }
    return r < 0 ? r : 0;
}

int gw_image_devices_read(const struct gw_image *image, struct gw_image_devices *ret, struct gw_error *err)
{
    struct gw_image_devices d = {0};
    int r = read_forward(image->early, image->early_bytes, image, true, &d, err);

    if (r >= 0 && image->description_bytes) {
        r = gw_vmdesc_parse(image->description, image->description_bytes, &d.tree, err);
        if (r >= 0)
            r = read_described(image, &d, err);
    } else if (r >= 0) {
        r = read_forward(image->devices, image->devices_bytes, image, false, &d, err);
    }
    if (r < 0)
        gw_image_devices_close(&d);
    else
        *ret = d;
    return r;
}

void gw_image_devices_close(struct gw_image_devices *d)
{
    free(d->list);
    gw_vmdesc_tree_free(d->tree);
    gw_arena_free(&d->names);
    *d = (struct gw_image_devices){0};
}
