/* SPDX-License-Identifier: MIT */
#include "state/registry_inner.h"

#include "state/codec.h"
#include "wire/numbers.h"
#include "wire/section.h"

struct gw_sink {
    struct gw_writer *w;
};

struct gw_supply {
    struct gw_reader *r;
};

/* ---- saving ------------------------------------------------------------------------------------------------------ */

void gw_sink_put(struct gw_sink *sink, const void *bytes, size_t count)
{
    gw_put_bytes(sink->w, bytes, count);
}

int gw_supply_get(struct gw_supply *supply, void *bytes, size_t count, struct gw_error *err)
{
    return gw_get_bytes(supply->r, bytes, count, err);
}

static int blame_embedder(struct gw_error *err, int code)
{
    if (!err)
        return code;
    if (err->code != code || !err->text[0])
        return gw_fail(err, code, GW_BLAME_EMBEDDER, "the device's callback failed (%s)", strerror(-code));
    if (err->blame == GW_BLAME_NONE)
        err->blame = GW_BLAME_EMBEDDER;
    return code;
}

static int save_legacy(const struct gw_registry_entry *e, struct gw_writer *w, struct gw_vmdesc *desc, struct gw_error *err)
{
    struct gw_sink sink = {w};
    struct gw_text *t = gw_vmdesc_text(desc);
    uint64_t at = gw_writer_offset(w);
    int r = e->legacy->save(e->device, &sink, err);

    if (r < 0)
        return blame_embedder(err, r);
    if (t) {
        gw_text_int(t, "size", gw_writer_offset(w) - at);
        gw_text_open(t, "fields", '[');
        gw_text_open(t, NULL, '{');
        gw_text_string(t, "name", "data");
        gw_text_int(t, "size", gw_writer_offset(w) - at);
        gw_text_string(t, "type", "buffer");
        gw_text_close(t, '}');
        gw_text_close(t, ']');
    }
    return 0;
}

static int save_section(const struct gw_registry_entry *e, bool footers, struct gw_writer *w, struct gw_vmdesc *desc,
                        struct gw_error *err)
{
    struct gw_section_head head = {.id = e->section_id, .instance = e->instance, .version = e->version};
    int r;

    gw_strcopy(head.name, sizeof head.name, e->id);
    gw_section_put_head(&w->out, GW_ELEMENT_FULL, &head);
    gw_vmdesc_device(desc, e->id, e->instance);
    if (desc)
        desc->mute = 0;
    r = e->state ? gw_state_encode(e->state, e->device, w, desc, err) : save_legacy(e, w, desc, err);
    if (r < 0)
        return r;
    gw_vmdesc_device_end(desc);
    if (footers)
        gw_section_put_footer(&w->out, e->section_id);
    return w->out.error.code ? gw_writer_flush(w, err) : 0;
}

int gw_registry_save(struct gw_registry *reg, bool early, bool footers, struct gw_writer *w, struct gw_vmdesc *desc,
                     struct gw_error *err)
{
    enum gw_cause cause = gw_writer_cause(w, GW_CAUSE_DEVICE);
    int r = 0;

    gw_registry_phase_begin(reg);
    for (struct gw_registry_entry *e = reg->first; e && r == 0; e = e->next) {
        bool is_early = e->state && e->state->early;

        if (e->removed || is_early != early)
            continue;
        if (e->state && e->state->needed && !e->state->needed(e->device))
            continue;
        r = save_section(e, footers, w, desc, err);
        if (r < 0)
            gw_context(err, "saving device %s/%u", e->id, e->instance);
    }
    gw_registry_phase_end(reg);
    gw_writer_cause(w, cause);
    return r;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

void gw_registry_load_begin(struct gw_registry *reg)
{
    gw_registry_phase_begin(reg);
    for (struct gw_registry_entry *e = reg->first; e; e = e->next)
        e->loaded = false;
    gw_registry_phase_end(reg);
}

int gw_registry_load_end(struct gw_registry *reg, struct gw_error *err)
{
    int r = 0;

    gw_registry_phase_begin(reg);
    for (const struct gw_registry_entry *e = reg->first; e && r >= 0; e = e->next)
        if (e->required && !e->loaded && !e->removed)
            r = gw_fail(err, -EPROTO, GW_BLAME_PEER,
                        "section %s/%u is missing, without which this machine cannot run: give this machine the same devices as the one "
                        "that was sent", e->id, e->instance);
    gw_registry_phase_end(reg);
    return r;
}

static int load_entry(struct gw_registry_entry *e, uint32_t version, struct gw_reader *r, struct gw_error *err)
{
    struct gw_supply supply = {r};
    int ret;

    if (e->loaded)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the device has a second section at byte %" PRIu64, gw_reader_offset(r));
    if (e->state) {
        ret = gw_state_decode(e->state, version, e->device, r, err);
    } else if (version > e->version) {
        ret = gw_fail(err, -EPROTO, GW_BLAME_PEER, "version %u, at most %u is known here", version, e->version);
    } else {
        ret = e->legacy->load(e->device, version, &supply, err);
        if (ret < 0)
            ret = blame_embedder(err, ret);
    }
    if (ret < 0)
        return ret;
    e->loaded = true;
    return 0;
}

int gw_registry_load(struct gw_registry *reg, const char *id, uint32_t instance, uint32_t version, struct gw_reader *r,
                     struct gw_error *err)
{
    struct gw_registry_entry *e;
    int ret;

    gw_registry_phase_begin(reg);
    e = gw_registry_find(reg, id, instance);
    if (!e) {
        ret = gw_fail(err, -ENOENT, GW_BLAME_PEER, "device %s/%u is not known here", id, instance);
    } else {
        ret = load_entry(e, version, r, err);
        if (ret < 0)
            gw_context(err, "device %s/%u", id, instance);
    }
    gw_registry_phase_end(reg);
    return ret < 0 ? ret : 0;
}
