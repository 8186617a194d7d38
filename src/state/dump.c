/* SPDX-License-Identifier: MIT */
#include "state/dump.h"

#include "state/json_member.h"

#define FIELD_BYTES_MAX (1ull << 40)
#define TYPES_MAX       8192u
#define REPEATS_MAX     (1u << 22) /* comparisons of names in one state, at most */

struct reader {
    struct gw_dump *dump;
    const char *type; /* for messages */
    const char *state;
    struct gw_error *err;
};

#define WRONG(r, ...) wrong(r, gw_fail((r)->err, -EPROTO, GW_BLAME_CALLER, __VA_ARGS__))

static int wrong(const struct reader *r, int code)
{
    if (r->type)
        gw_context(r->err, "type %s%s%s", r->type, r->state ? ", state " : "", r->state ? r->state : "");
    gw_context(r->err, "dump of states");
    return code;
}

static int get_int(const struct reader *r, const struct gw_json *object, const char *key, uint64_t max, uint64_t *ret)
{
    int code = gw_json_get_int(object, key, max, GW_BLAME_CALLER, ret, r->err);

    return code < 0 ? wrong(r, code) : 0;
}

static int get_name(const struct reader *r, const struct gw_json *object, const char *key, const char **ret)
{
    int code;

    if (!gw_json_typed(object, key, GW_JSON_STRING))
        return WRONG(r, "there is no %s", key);
    code = gw_json_get_name(object, key, GW_BLAME_CALLER, ret, r->err);
    return code < 0 ? wrong(r, code) : 0;
}

/* Finds the list `key`, which may be missing, and allocates as many elements of `bytes`. */
static int get_list(const struct reader *r, const struct gw_json *object, const char *key, size_t bytes,
                    const struct gw_json **ret_first, uint32_t *ret_count, void **ret_room)
{
    const struct gw_json *v = gw_json_get(object, key);

    if (v && v->type != GW_JSON_ARRAY)
        return WRONG(r, "%s is no list", key);
    if (!v || !v->count)
        return 0;
    *ret_room = gw_arena_take(&r->dump->arena, v->count * bytes);
    if (!*ret_room)
        return gw_nomem(r->err, "dump of states");
    *ret_first = v->first;
    *ret_count = v->count;
    return 0;
}

static int read_state(struct reader *r, const struct gw_json *object, struct gw_dump_state *st);

static int read_field(struct reader *r, const struct gw_json *object, struct gw_dump_field *f)
{
    const struct gw_json *exists = gw_json_typed(object, "field_exists", GW_JSON_BOOL);
    const struct gw_json *inside = gw_json_get(object, "Description");
    uint64_t since = 0;
    int code = get_name(r, object, "field", &f->name);

    if (code >= 0)
        code = get_int(r, object, "version_id", INT32_MAX, &since);
    if (code >= 0)
        code = get_int(r, object, "size", FIELD_BYTES_MAX, &f->bytes);
    f->since = (uint32_t)since;
    f->conditional = exists && exists->number;
    f->count = 1;
    if (code >= 0 && gw_json_get(object, "num")) {
        code = get_int(r, object, "num", UINT32_MAX, &f->count);
        r->dump->tells_counts = true;
    }
    if (code >= 0 && inside) {
        const char *outer = r->state;
        struct gw_dump_state *st = gw_arena_take(&r->dump->arena, sizeof *st);

        if (!st)
            return gw_nomem(r->err, "dump of states");
        code = read_state(r, inside, st);
        r->state = outer;
        f->inside = st;
    }
    return code;
}

static void number_fields(struct gw_dump_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = i; k-- > 0;) {
            if (strcmp(fields[k].name, fields[i].name) != 0)
                continue;
            fields[i].nth = fields[k].nth + 1;
            fields[i].repeated = fields[k].repeated = true;
            break;
        }
    }
}

/* The depth is limited by the JSON parser. */
static int read_state(struct reader *r, const struct gw_json *object, struct gw_dump_state *st)
{
    const struct gw_json *field = NULL, *sub = NULL;
    struct gw_dump_state *subsections = NULL;
    struct gw_dump_field *fields = NULL;
    uint64_t version = 0, oldest = 0;
    int code = get_name(r, object, "name", &st->name);

    r->state = st->name;
    if (code >= 0)
        code = get_int(r, object, "version_id", INT32_MAX, &version);
    if (code >= 0)
        code = get_int(r, object, "minimum_version_id", INT32_MAX, &oldest);
    if (code >= 0)
        code = get_list(r, object, "Fields", sizeof *fields, &field, &st->field_count, (void **)&fields);
    if (code >= 0)
        code =
            get_list(r, object, "Subsections", sizeof *subsections, &sub, &st->subsection_count, (void **)&subsections);
    if (code >= 0 && (uint64_t)st->field_count * st->field_count > REPEATS_MAX)
        code = WRONG(r, "%u fields are more than any state has", st->field_count);
    st->version = (uint32_t)version;
    st->oldest = (uint32_t)oldest;
    for (uint32_t i = 0; code >= 0 && i < st->field_count; i++, field = field->next)
        code = read_field(r, field, &fields[i]);
    if (code >= 0)
        number_fields(fields, st->field_count);
    for (uint32_t i = 0; code >= 0 && i < st->subsection_count; i++, sub = sub->next)
        code = read_state(r, sub, &subsections[i]);
    st->fields = fields;
    st->subsections = subsections;
    return code;
}

static int read_type(struct reader *r, const struct gw_json *object, struct gw_dump_type *type)
{
    uint64_t version = 0, oldest = 0;
    int code = gw_json_check_name("the name of a type", object->key, strlen(object->key), GW_BLAME_CALLER, r->err);

    if (code < 0)
        return wrong(r, code);
    r->type = type->name = object->key;
    r->state = NULL;
    code = read_state(r, gw_json_get(object, "Description"), &type->state);
    if (code >= 0)
        code = get_int(r, object, "version_id", INT32_MAX, &version);
    if (code >= 0)
        code = get_int(r, object, "minimum_version_id", INT32_MAX, &oldest);
    if (code >= 0 && (version != type->state.version || oldest != type->state.oldest))
        code = WRONG(r, "it gives two different versions");
    return code;
}

#define MACHINE_KEY "vmschkmachine"

bool gw_dump_is(const struct gw_json *root)
{
    return gw_json_get(root, MACHINE_KEY);
}

static int read_all(struct reader *r, const struct gw_json *root)
{
    const struct gw_json *machine = gw_json_get(root, MACHINE_KEY);
    struct gw_dump_type *types;
    int code;

    if (!machine)
        return WRONG(r, "there is no " MACHINE_KEY ": this is not what -dump-vmstate writes");
    if (root->count > TYPES_MAX)
        return WRONG(r, "%u types are more than any program has", root->count);
    code = get_name(r, machine, "Name", &r->dump->machine);
    types = gw_arena_take(&r->dump->arena, root->count * sizeof *types);
    if (!types)
        return gw_nomem(r->err, "dump of states");
    r->dump->types = types;
    for (const struct gw_json *t = root->first; t && code >= 0; t = t->next)
        if (t != machine)
            code = strcmp(t->key, MACHINE_KEY) ? read_type(r, t, &types[r->dump->type_count++])
                                               : WRONG(r, MACHINE_KEY " stands there twice");
    return code;
}

int gw_dump_parse(const char *text, size_t bytes, struct gw_dump **ret, struct gw_error *err)
{
    struct reader r = {.dump = calloc(1, sizeof *r.dump), .err = err};
    struct gw_json *root = NULL;
    int code;

    if (!r.dump)
        return gw_nomem(err, "dump of states");
    r.dump->machine = "";
    code = gw_json_parse(text, bytes, &r.dump->arena, &root, err);
    if (code >= 0)
        code = read_all(&r, root);
    if (code < 0) {
        gw_dump_free(r.dump);
        return code;
    }
    *ret = r.dump;
    return 0;
}

struct gw_dump *gw_dump_free(struct gw_dump *dump)
{
    if (dump)
        gw_arena_free(&dump->arena);
    free(dump);
    return NULL;
}
