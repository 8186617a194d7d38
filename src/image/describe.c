/* SPDX-License-Identifier: MIT
 *
 * A description of the devices for a machine that came without one, as in postcopy: it gives the offset and size of
 * each section, in the form that QEMU uses for devices that it cannot describe. A destination QEMU waits for a
 * description.
 */
#include "image/image.h"
#include "scan/parts.h"
#include "state/registry.h"
#include "state/vmdesc.h"

static void describe_section(struct gw_vmdesc *desc, const uint8_t *data, const struct gw_scan_found *f)
{
    struct gw_text *t = gw_vmdesc_text(desc);
    char name[256];

    memcpy(name, data + f->name, f->name_bytes);
    name[f->name_bytes] = 0;
    gw_vmdesc_device(desc, name, f->instance);
    gw_text_int(t, "version", f->version);
    gw_text_int(t, "size", f->body_bytes);
    gw_text_open(t, "fields", '[');
    gw_text_open(t, NULL, '{');
    gw_text_string(t, "name", "data");
    gw_text_int(t, "size", f->body_bytes);
    gw_text_string(t, "type", "buffer");
    gw_text_close(t, '}');
    gw_text_close(t, ']');
    gw_vmdesc_device_end(desc);
}

static int describe_all(const struct gw_image *image, struct gw_vmdesc *desc, const uint8_t *data, size_t bytes, struct gw_error *err)
{
    const struct gw_scan_search what = {.data = data, .bytes = bytes, .footers = image->footers, .goal = GW_SCAN_TO_END,
                                        .page_bytes = image->page_bytes};
    GW_AUTOFREE struct gw_scan_found *list = NULL;
    size_t count = 0, end = 0;
    int r = bytes ? gw_scan_forward(&what, &list, &count, &end, err) : 0;

    for (size_t i = 0; r >= 0 && i < count; i++)
        describe_section(desc, data, &list[i]);
    return r;
}

int gw_image_describe(struct gw_image *image, struct gw_error *err)
{
    struct gw_vmdesc *desc = NULL;
    const char *text;
    size_t bytes;
    int r = gw_vmdesc_new(image->page_bytes, &desc, err);

    if (r >= 0)
        r = describe_all(image, desc, image->early, image->early_bytes, err);
    if (r >= 0)
        r = describe_all(image, desc, image->devices, image->devices_bytes, err);
    if (r >= 0)
        r = gw_vmdesc_finish(desc, &text, &bytes, err);
    if (r >= 0) {
        free(image->description);
        image->description = malloc(bytes);
        image->description_bytes = image->description ? bytes : 0;
        if (image->description)
            memcpy(image->description, text, bytes);
        else
            r = gw_nomem(err, "description of the devices");
    }
    gw_vmdesc_free(desc);
    return r;
}
