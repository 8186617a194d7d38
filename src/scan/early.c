/* SPDX-License-Identifier: MIT
 *
 * Reads device sections found in memory, and those of the set-up (wire-format.md 3.2).
 */
#include "scan/parts.h"

bool gw_scan_footers(const struct gw_scan *s)
{
    return s->footers != 0;
}

void gw_scan_put_section(const struct gw_scan *s, const struct gw_scan_section *section, struct gw_out *out)
{
    struct gw_section_head head = {.id = section->id, .instance = section->instance, .version = section->version};

    gw_strcopy(head.name, sizeof head.name, section->name);
    if (section->element == GW_ELEMENT_FULL || section->element == GW_ELEMENT_START)
        gw_section_put_head(out, section->element, &head);
    else
        gw_section_put_part(out, section->element, section->id);
    gw_put_bytes(out, section->body, section->body_bytes);
    if (gw_scan_footers(s))
        gw_section_put_footer(out, section->id);
}

int gw_scan_find(struct gw_scan *s, const uint8_t *data, size_t bytes, enum gw_scan_goal goal,
                 struct gw_scan_found **ret_list, size_t *ret_count, size_t *ret_end, struct gw_error *err)
{
    struct gw_scan_search what = {.data = data, .bytes = bytes, .footers = gw_scan_footers(s), .goal = goal,
                                  .live = s->bound, .live_count = s->bound_count, .page_bytes = s->page_bytes};

    return gw_scan_forward(&what, ret_list, ret_count, ret_end, err);
}

int gw_scan_tell_found(struct gw_scan *s, const uint8_t *data, uint64_t base, const struct gw_scan_found *f,
                       bool early, struct gw_error *err)
{
    struct gw_scan_section section = {.element = f->element, .id = f->id, .instance = f->instance,
                                      .version = f->version, .at = base + f->at, .bytes = f->end - f->at,
                                      .body_bytes = f->body_bytes, .body = data + f->body, .packaged = s->packaged,
                                      .early = early, .checkpoint = s->checkpoint};
    struct gw_scan_command command = {.at = base + f->at, .bytes = f->end - f->at, .number = (uint16_t)f->id,
                                      .payload = data + f->body, .payload_bytes = (uint16_t)f->body_bytes,
                                      .packaged = s->packaged};
    char *name;

    if (f->element == GW_ELEMENT_COMMAND)
        return GW_SCAN_TELL(s, command, &command);
    name = gw_arena_take(&s->kept, f->name_bytes + 1u);
    if (!name)
        return gw_nomem(err, "device sections");
    memcpy(name, data + f->name, f->name_bytes);
    name[f->name_bytes] = 0;
    section.name = name;
    return GW_SCAN_TELL(s, section, &section);
}

int gw_scan_look(struct gw_scan *s, size_t n, const uint8_t **ret, size_t *ret_have, bool *ret_last,
                 struct gw_error *err)
{
    int r = gw_reader_try(s->r, n, ret, ret_have, err);

    if (r == -ETIMEDOUT && s->live)
        s->r->in.failed = 0;
    else if (r < 0)
        return r;
    *ret_last = r < 0 || *ret_have < n;
    return gw_reader_try(s->r, GW_MIN(gw_reader_buffered(s->r), GW_READER_LOOK_MAX), ret, ret_have, err);
}

static int tell_early(struct gw_scan *s, const uint8_t *p, size_t end, const struct gw_scan_found *list, size_t count,
                      struct gw_error *err)
{
    uint64_t base = gw_reader_offset(s->r);
    uint8_t *copy = gw_arena_take(&s->kept, end);
    int r = 0;

    if (!copy)
        return gw_nomem(err, "device sections");
    memcpy(copy, p, end);
    gw_reader_skip(s->r, end);
    for (size_t i = 0; i < count && r >= 0; i++) {
        s->early += list[i].element == GW_ELEMENT_FULL;
        r = gw_scan_tell_found(s, copy, base, &list[i], true, err);
    }
    return r;
}

int gw_scan_early(struct gw_scan *s, bool *ret_done, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    size_t count = 0, end = 0, have = 0;
    const uint8_t *p = NULL;
    bool last = false;
    int r = -EPROTO;

    *ret_done = false;
    /* A source may send a little and wait, so the available bytes are examined before more are requested. */
    while (r == -EPROTO && !last && have < GW_READER_LOOK_MAX) {
        GW_AUTOFREE struct gw_scan_found *list = NULL;

        r = gw_scan_look(s, GW_MIN(have + GW_MAX(have / 8, 1u), GW_READER_LOOK_MAX), &p, &have, &last, err);
        if (r < 0)
            return r;
        r = gw_scan_find(s, p, have, GW_SCAN_TO_LIVE, &list, &count, &end, &why);
        if (r >= 0) {
            *ret_done = true;
            return tell_early(s, p, end, list, count, err);
        }
    }
    return r == -ENOMEM ? gw_nomem(err, "device sections") : 0;
}
