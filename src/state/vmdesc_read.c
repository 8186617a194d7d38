/* SPDX-License-Identifier: MIT */
#include "state/vmdesc_read.h"

#include "base/endian.h"
#include "state/json_member.h"
#include "wire/numbers.h"
#include "wire/section.h"

struct gw_vmdesc_tree *gw_vmdesc_tree_free(struct gw_vmdesc_tree *tree)
{
    if (!tree)
        return NULL;
    gw_arena_free(&tree->arena);
    free(tree);
    return NULL;
}

/* ---- from JSON --------------------------------------------------------------------------------------------------- */

struct parser {
    struct gw_vmdesc_tree *tree;
    struct gw_error *err;
    const char *device; /* for messages */
};

#define WRONG(p, ...) wrong(p, gw_fail((p)->err, -EPROTO, GW_BLAME_PEER, __VA_ARGS__))

static int wrong(struct parser *p, int code)
{
    if (p->device)
        gw_context(p->err, "device %s", p->device);
    gw_context(p->err, "state description");
    return code;
}

static void *take(struct parser *p, size_t bytes)
{
    void *room = gw_arena_take(&p->tree->arena, bytes);

    if (!room)
        gw_nomem(p->err, "state description");
    return room;
}

static int get_int(struct parser *p, const struct gw_json *object, const char *key, uint64_t max, uint64_t *ret)
{
    int r = gw_json_get_int(object, key, max, GW_BLAME_PEER, ret, p->err);

    return r < 0 ? wrong(p, r) : 0;
}

static int get_string(struct parser *p, const struct gw_json *object, const char *key, const char **ret)
{
    int r = gw_json_get_name(object, key, GW_BLAME_PEER, ret, p->err);

    return r < 0 ? wrong(p, r) : 0;
}

static int parse_state(struct parser *p, const struct gw_json *object, bool legacy, struct gw_vmdesc_state *st);

static int add_bytes(struct parser *p, uint64_t *sum, uint64_t each, uint64_t count)
{
    uint64_t all;

    if (gw_mul_overflows(each, count, &all) || gw_add_overflows(*sum, all, sum) || *sum > GW_VMDESC_BODY_MAX)
        return WRONG(p, "the sizes add up to more than any device has");
    return 0;
}

/* The description of each element of a list: the members of the field's object from one vmsd_name to the next. */
static int parse_elements(struct parser *p, struct gw_json *object, struct gw_vmdesc_field *f)
{
    struct gw_json *m = object->first, *next;
    struct gw_vmdesc_state *states;
    uint64_t sum = 1;
    uint32_t n = 0;

    for (struct gw_json *k = m; k; k = k->next)
        n += !strcmp(k->key, "vmsd_name");
    if (!n || f->count != 1)
        return 0;
    states = take(p, n * sizeof *states);
    if (!states)
        return -ENOMEM;
    while (strcmp(m->key, "vmsd_name") != 0)
        m = m->next;
    for (uint32_t i = 0; i < n; i++, m = next) {
        struct gw_json element = {.type = GW_JSON_OBJECT, .first = m};
        int r;

        while (m->next && strcmp(m->next->key, "vmsd_name") != 0)
            m = m->next;
        next = m->next;
        m->next = NULL;
        r = parse_state(p, &element, false, &states[i]);
        if (r >= 0)
            r = add_bytes(p, &sum, 1 + states[i].bytes, 1);
        if (r < 0)
            return r;
    }
    if (sum == f->bytes) {
        f->inside = states;
        f->elements = n;
    }
    return 0;
}

/* Parses the contents of a field, if the sizes agree. */
static int parse_inside(struct parser *p, struct gw_json *object, struct gw_vmdesc_field *f)
{
    const struct gw_json *inner = gw_json_get(object, "struct");
    struct gw_vmdesc_state *st;
    int r;

    if (!strcmp(f->type, "qtailq") || !strcmp(f->type, "qlist"))
        return parse_elements(p, object, f);
    if (inner && inner->type != GW_JSON_OBJECT)
        return WRONG(p, "field %s: struct is not an object", f->name);
    if (!inner)
        inner = object;
    if (!gw_json_get(inner, "fields"))
        return 0;
    st = take(p, sizeof *st);
    if (!st)
        return -ENOMEM;
    r = parse_state(p, inner, false, st);
    if (r >= 0 && st->bytes == f->bytes)
        f->inside = st;
    return r;
}

static int parse_field(struct parser *p, struct gw_json *object, struct gw_vmdesc_field *f, bool *ret_empty)
{
    uint64_t count = 1, index = 0;
    int r;

    if (object->type != GW_JSON_OBJECT)
        return WRONG(p, "a field is not an object");
    if ((r = get_string(p, object, "name", &f->name)) < 0 || (r = get_string(p, object, "type", &f->type)) < 0 ||
        (r = get_int(p, object, "size", GW_VMDESC_BODY_MAX, &f->bytes)) < 0)
        return r;
    if (gw_json_get(object, "array_len") && (r = get_int(p, object, "array_len", UINT32_MAX, &count)) < 0)
        return r;
    f->index = -1;
    if (gw_json_get(object, "index")) {
        r = get_int(p, object, "index", UINT32_MAX, &index);
        if (r < 0)
            return r;
        f->index = (int64_t)index;
    }
    f->count = (uint32_t)count;
    *ret_empty = !f->count || !f->bytes;
    return *ret_empty ? 0 : parse_inside(p, object, f);
}

/* Whether an entry without an index belongs to the array of the previous entry. 10.0 leaves the index out of an array's
 * last entry, 11.1 out of all. Two consecutive paddings are two fields. */
static bool follows(const struct gw_vmdesc_field *before, const struct gw_vmdesc_field *f)
{
    if (strcmp(before->name, f->name))
        return false;
    return before->index >= 0 || (!strcmp(before->type, f->type) && strcmp(f->type, "unused_buffer"));
}

static int parse_fields(struct parser *p, const struct gw_json *object, struct gw_vmdesc_state *st)
{
    const struct gw_json *list = gw_json_get(object, "fields");
    struct gw_vmdesc_field *fields;

    if (!list || list->type != GW_JSON_ARRAY)
        return WRONG(p, "fields is not an array");
    fields = take(p, list->count * sizeof *fields);
    if (!fields)
        return -ENOMEM;
    st->fields = fields;
    for (struct gw_json *m = list->first; m; m = m->next) {
        struct gw_vmdesc_field *f = &fields[st->field_count];
        bool empty = false;
        int r;

        memset(f, 0, sizeof *f);
        r = parse_field(p, m, f, &empty);
        if (r >= 0 && f->index < 0 && st->field_count && follows(&f[-1], f)) {
            f[-1].index = f[-1].index < 0 ? 0 : f[-1].index;
            f->index = f[-1].index + f[-1].count;
        }
        if (r >= 0 && !empty)
            r = add_bytes(p, &st->bytes, f->bytes, f->count);
        if (r < 0)
            return r;
        st->field_count += !empty;
    }
    return 0;
}

static int parse_state(struct parser *p, const struct gw_json *object, bool legacy, struct gw_vmdesc_state *st)
{
    const struct gw_json *list = gw_json_get(object, "subsections");
    struct gw_vmdesc_state *subs;
    uint64_t version = 0;
    int r = 0;

    st->name = "";
    if (!legacy && ((r = get_string(p, object, "vmsd_name", &st->name)) < 0 ||
                    (r = get_int(p, object, "version", UINT32_MAX, &version)) < 0))
        return r;
    st->version = (uint32_t)version;
    r = parse_fields(p, object, st);
    if (r < 0 || !list)
        return r;
    if (list->type != GW_JSON_ARRAY)
        return WRONG(p, "subsections is not an array");
    subs = take(p, list->count * sizeof *subs);
    if (!subs)
        return -ENOMEM;
    st->subsections = subs;
    for (const struct gw_json *m = list->first; m; m = m->next) {
        struct gw_vmdesc_state *sub = &subs[st->subsection_count++];

        if (m->type != GW_JSON_OBJECT)
            return WRONG(p, "a subsection is not an object");
        r = parse_state(p, m, false, sub);
        if (r >= 0)
            r = add_bytes(p, &st->bytes, 1 + 1 + strlen(sub->name) + 4 + sub->bytes, 1);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_device(struct parser *p, const struct gw_json *object, struct gw_vmdesc_device *d)
{
    uint64_t instance;
    int r;

    p->device = NULL;
    if (object->type != GW_JSON_OBJECT)
        return WRONG(p, "a device is not an object");
    if ((r = get_string(p, object, "name", &d->name)) < 0)
        return r;
    p->device = d->name;
    if ((r = get_int(p, object, "instance_id", UINT32_MAX, &instance)) < 0)
        return r;
    d->instance = (uint32_t)instance;
    d->legacy = !gw_json_get(object, "vmsd_name");
    r = parse_state(p, object, d->legacy, &d->state);
    p->device = NULL;
    return r;
}

static int parse_root(struct parser *p, const struct gw_json *root)
{
    const struct gw_json *list = gw_json_get(root, "devices"), *configuration = gw_json_get(root, "configuration");
    struct gw_vmdesc_device *devices;
    uint64_t page = 0;
    int r;

    if (!list || list->type != GW_JSON_ARRAY)
        return WRONG(p, "there are no devices");
    r = get_int(p, root, "page_size", 1u << 30, &page);
    if (r < 0)
        return r;
    p->tree->page_bytes = (uint32_t)page;
    if (configuration) {
        struct gw_vmdesc_state *st = take(p, sizeof *st);

        if (!st)
            return -ENOMEM;
        if (configuration->type != GW_JSON_OBJECT)
            return WRONG(p, "configuration is not an object");
        r = parse_state(p, configuration, false, st);
        if (r < 0)
            return r;
        p->tree->configuration = st;
    }
    devices = take(p, list->count * sizeof *devices);
    if (!devices)
        return -ENOMEM;
    p->tree->devices = devices;
    for (const struct gw_json *m = list->first; m; m = m->next) {
        r = parse_device(p, m, &devices[p->tree->device_count++]);
        if (r < 0)
            return r;
    }
    return 0;
}

int gw_vmdesc_parse(const char *text, size_t bytes, struct gw_vmdesc_tree **ret_tree, struct gw_error *err)
{
    struct parser p = {.err = err};
    struct gw_json *root;
    int r;

    p.tree = calloc(1, sizeof *p.tree);
    if (!p.tree)
        return gw_nomem(err, "state description");
    r = gw_json_parse(text, bytes, &p.tree->arena, &root, err);
    if (r < 0)
        gw_context(err, "state description");
    else
        r = parse_root(&p, root);
    if (r < 0) {
        gw_vmdesc_tree_free(p.tree);
        return r;
    }
    *ret_tree = p.tree;
    return 0;
}

#define SEARCH_BYTES (64ull << 20)

/* ---- where the sections are -------------------------------------------------------------------------------------- */

static int locate_one(const struct gw_vmdesc_device *d, const uint8_t *data, size_t pos, bool footer,
                      struct gw_vmdesc_section *s)
{
    size_t frame = 1 + 4 + 1 + strlen(d->name) + 8 + (footer ? GW_FOOTER_BYTES : 0);
    struct gw_section_head head;
    struct gw_in in;
    uint8_t type;

    if (d->state.bytes > pos || frame > pos - d->state.bytes)
        return -EPROTO;
    s->start = pos - frame - (size_t)d->state.bytes;
    gw_in_memory(&in, data + s->start, pos - s->start, s->start);
    if (gw_get_u8(&in, &type, NULL) < 0 || type != GW_ELEMENT_FULL || gw_section_get_head(&in, &head, NULL) < 0 ||
        strcmp(head.name, d->name) || head.instance != d->instance)
        return -EPROTO;
    s->section_id = head.id;
    s->version = head.version;
    s->body = (size_t)gw_in_offset(&in);
    s->body_bytes = (size_t)d->state.bytes;
    gw_in_skip(&in, s->body_bytes);
    if (footer && gw_section_get_footer(&in, s->section_id, d->name, NULL) < 0)
        return -EPROTO;
    return d->legacy || s->version == d->state.version ? 0 : -EPROTO;
}

/* The same if the size in the description is not that of the section: searches its head and footer. */
static int search_one(const struct gw_vmdesc_device *d, const uint8_t *data, size_t pos, uint64_t *search,
                      struct gw_vmdesc_section *s)
{
    size_t n = strlen(d->name), key_bytes = 1 + n + 8, from = pos - (size_t)GW_MIN(pos, *search), found = 0;
    uint8_t key[1 + 255 + 8];
    const uint8_t *p = data + from;

    if (pos < GW_FOOTER_BYTES + 5 + key_bytes || data[pos - GW_FOOTER_BYTES] != GW_ELEMENT_FOOTER || n > 255 || d->legacy)
        return -EPROTO;
    *search -= pos - from;
    key[0] = (uint8_t)n;
    memcpy(key + 1, d->name, n);
    gw_store_be32(key + 1 + n, d->instance);
    gw_store_be32(key + 5 + n, d->state.version);
    while ((p = memmem(p, (size_t)(data + pos - GW_FOOTER_BYTES - p), key, key_bytes))) {
        size_t at = (size_t)(p - data);

        if (at >= 5 && data[at - 5] == GW_ELEMENT_FULL && !memcmp(data + at - 4, data + pos - 4, 4)) {
            *s = (struct gw_vmdesc_section){.start = at - 5, .body = at + key_bytes, .section_id = gw_load_be32(p - 4),
                                            .body_bytes = pos - GW_FOOTER_BYTES - at - key_bytes,
                                            .version = d->state.version};
            found++;
        }
        p++;
    }
    return found == 1 ? 0 : -EPROTO;
}

int gw_vmdesc_locate(const struct gw_vmdesc_tree *tree, const uint8_t *data, size_t eof, bool footers,
                     uint64_t *search, struct gw_vmdesc_section *sections, struct gw_error *err)
{
    uint64_t enough = SEARCH_BYTES;
    size_t pos = eof;

    search = search ? search : &enough;

    for (uint32_t i = tree->device_count; i-- > 0;) {
        const struct gw_vmdesc_device *d = &tree->devices[i];

        if (locate_one(d, data, pos, footers, &sections[i]) < 0 &&
            (!footers || search_one(d, data, pos, search, &sections[i]) < 0))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "the state description gives device %s/%u %" PRIu64
                           " bytes, but no such section ends at byte %zu",
                           d->name, d->instance, d->state.bytes, pos);
        pos = sections[i].start;
    }
    return 0;
}
