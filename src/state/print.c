/* SPDX-License-Identifier: MIT */
#include "state/print.h"

#include "state/codec.h"
#include "state/registry.h"
#include "state/values.h"

static int print_encoded(const struct gw_writer *w, struct gw_vmdesc *desc, bool json, struct gw_text *t,
                         struct gw_error *err)
{
    struct gw_vmdesc_tree *tree = NULL;
    const uint8_t *body;
    const char *text;
    size_t bytes, text_bytes;
    int r = gw_vmdesc_finish(desc, &text, &text_bytes, err);

    if (r >= 0)
        r = gw_vmdesc_parse(text, text_bytes, &tree, err);
    if (r < 0)
        return r;
    body = gw_writer_data(w, &bytes);
    if (json)
        gw_text_open(t, NULL, '{');
    r = gw_values_print(t, &tree->devices[0].state, body, bytes, json, "", err);
    if (json)
        gw_text_close(t, '}');
    if (r >= 0 && t->failed)
        r = gw_nomem(err, "device values");
    gw_vmdesc_tree_free(tree);
    return r;
}

int gw_state_print(const struct gw_state *st, void *device, bool json, struct gw_text *t, struct gw_error *err)
{
    struct gw_vmdesc *desc = NULL;
    struct gw_writer w;
    int r = gw_writer_init_memory(&w, err);

    if (r >= 0)
        r = gw_vmdesc_new(4096, &desc, err);
    if (r >= 0) {
        gw_vmdesc_device(desc, st->name, 0);
        r = gw_state_encode(st, device, &w, desc, err);
    }
    if (r >= 0)
        r = gw_writer_flush(&w, err);
    if (r >= 0) {
        gw_vmdesc_device_end(desc);
        r = print_encoded(&w, desc, json, t, err);
    }
    gw_vmdesc_free(desc);
    gw_writer_close(&w);
    return r;
}
