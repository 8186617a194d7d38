/* SPDX-License-Identifier: MIT */
#include "state/vmdesc.h"

#include "state/registry.h"

int gw_vmdesc_new(uint32_t page_bytes, struct gw_vmdesc **ret_desc, struct gw_error *err)
{
    struct gw_vmdesc *desc = calloc(1, sizeof *desc);

    if (!desc)
        return gw_nomem(err, "state description");
    desc->page_bytes = page_bytes;
    gw_text_open(&desc->text, NULL, '{');
    *ret_desc = desc;
    return 0;
}

struct gw_vmdesc *gw_vmdesc_free(struct gw_vmdesc *desc)
{
    if (desc) {
        gw_text_free(&desc->text);
        free(desc);
    }
    return NULL;
}

void gw_vmdesc_configuration(struct gw_vmdesc *desc, const char *machine, const char *const *capabilities,
                             const uint8_t *uuid)
{
    struct gw_text *t = &desc->text;
    unsigned count = 0;

    if (desc->started)
        return;
    gw_text_open(t, "configuration", '{');
    gw_text_string(t, "vmsd_name", "configuration");
    gw_text_int(t, "version", 1);
    gw_text_open(t, "fields", '[');
    gw_text_raw(t, NULL, "{\"name\": \"len\", \"type\": \"uint32\", \"size\": 4}");
    gw_text_open(t, NULL, '{');
    gw_text_string(t, "name", "name");
    gw_text_string(t, "type", "buffer");
    gw_text_int(t, "size", strlen(machine));
    gw_text_close(t, '}');
    gw_text_close(t, ']');
    while (capabilities && capabilities[count])
        count++;
    if (count || uuid)
        gw_text_open(t, "subsections", '[');
    if (count) {
        gw_text_raw(t, NULL,
                    "{\"vmsd_name\": \"configuration/capabilities\", \"version\": 1, \"fields\": [{\"name\": "
                    "\"caps_count\", \"type\": \"uint32\", \"size\": 4}");
        for (unsigned i = 0; i < count; i++) {
            gw_text_open(t, NULL, '{');
            gw_text_string(t, "name", "capabilities");
            if (count > 1)
                gw_text_int(t, "index", i);
            gw_text_string(t, "type", "capability");
            gw_text_int(t, "size", 1 + strlen(capabilities[i]));
            gw_text_close(t, '}');
        }
        gw_text_add(t, "]}", 2);
    }
    if (uuid)
        gw_text_raw(t, NULL,
                    "{\"vmsd_name\": \"configuration/uuid\", \"version\": 1, \"fields\": [{\"name\": \"uuid.data\", "
                    "\"array_len\": 16, \"type\": \"uint8\", \"size\": 1}]}");
    if (count || uuid)
        gw_text_close(t, ']');
    gw_text_close(t, '}');
}

static void start(struct gw_vmdesc *desc)
{
    if (desc->started)
        return;
    gw_text_int(&desc->text, "page_size", desc->page_bytes);
    gw_text_open(&desc->text, "devices", '[');
    desc->started = true;
}

struct gw_text *gw_vmdesc_text(struct gw_vmdesc *desc)
{
    return desc && !desc->mute ? &desc->text : NULL;
}

void gw_vmdesc_device(struct gw_vmdesc *desc, const char *id, uint32_t instance)
{
    if (!desc)
        return;
    start(desc);
    gw_text_open(&desc->text, NULL, '{');
    gw_text_string(&desc->text, "name", id);
    gw_text_int(&desc->text, "instance_id", instance);
}

void gw_vmdesc_device_end(struct gw_vmdesc *desc)
{
    if (desc)
        gw_text_close(&desc->text, '}');
}

int gw_vmdesc_finish(struct gw_vmdesc *desc, const char **ret_text, size_t *ret_bytes, struct gw_error *err)
{
    if (!desc->finished) {
        start(desc);
        gw_text_add(&desc->text, "]}", 2);
        desc->finished = true;
    }
    if (desc->text.failed)
        return gw_nomem(err, "state description");
    *ret_text = desc->text.data;
    *ret_bytes = desc->text.bytes;
    return 0;
}
