/* SPDX-License-Identifier: MIT */
#include "state/json.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

struct gw_arena_chunk {
    struct gw_arena_chunk *next;
    size_t used, cap;
    _Alignas(16) char data[];
};

void *gw_arena_take(struct gw_arena *arena, size_t bytes)
{
    struct gw_arena_chunk *c = arena->chunks;
    void *p;

    bytes = (bytes + 15) / 16 * 16;
    if (!c || c->cap - c->used < bytes) {
        size_t cap = GW_MAX(bytes, 65536);

        c = malloc(sizeof *c + cap);
        if (!c)
            return NULL;
        c->next = arena->chunks;
        c->used = 0;
        c->cap = cap;
        arena->chunks = c;
    }
    p = c->data + c->used;
    c->used += bytes;
    return memset(p, 0, bytes);
}

void gw_arena_free(struct gw_arena *arena)
{
    while (arena->chunks) {
        struct gw_arena_chunk *next = arena->chunks->next;

        free(arena->chunks);
        arena->chunks = next;
    }
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

struct parser {
    const char *text;
    size_t at, end;
    unsigned depth, depth_max, nodes;
    bool qmp;
    struct gw_arena *arena;
    struct gw_error *err;
};

static int wrong(struct parser *p, const char *what)
{
    return gw_fail(p->err, -EPROTO, GW_BLAME_PEER, "not JSON at byte %zu: %s", p->at, what);
}

static int no_memory(struct parser *p)
{
    return gw_nomem(p->err, "JSON text");
}

static int look(struct parser *p)
{
    while (p->at < p->end && memchr(" \t\r\n", p->text[p->at], 4))
        p->at++;
    return p->at < p->end ? (unsigned char)p->text[p->at] : -1;
}

static int hex4(struct parser *p, uint32_t *ret)
{
    uint32_t v = 0;

    if (p->end - p->at < 4)
        return wrong(p, "an escape that ends too early");
    for (int i = 0; i < 4; i++) {
        char c = p->text[p->at++];

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v << 4 | (uint32_t)((c | 32) - 'a' + 10);
        else
            return wrong(p, "an escape with no hexadecimal digit");
    }
    *ret = v;
    return 0;
}

/* An unpaired surrogate becomes three bytes, which are invalid UTF-8. At most 3 bytes for the 6 that were read, 4 for
 * the 12 of a pair. */
static char *put_utf8(char *to, uint32_t v)
{
    if (v < 0x80) {
        *to++ = (char)v;
    } else if (v < 0x800) {
        *to++ = (char)(0xc0 | v >> 6);
        *to++ = (char)(0x80 | (v & 63));
    } else {
        if (v < 0x10000) {
            *to++ = (char)(0xe0 | v >> 12);
        } else {
            *to++ = (char)(0xf0 | v >> 18);
            *to++ = (char)(0x80 | (v >> 12 & 63));
        }
        *to++ = (char)(0x80 | (v >> 6 & 63));
        *to++ = (char)(0x80 | (v & 63));
    }
    return to;
}

static int escape(struct parser *p, char **to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found;
    uint32_t v = 0, low = 0;
    int r;

    if (p->at == p->end)
        return wrong(p, "a string without an end");
    if (p->text[p->at] == 'u') {
        p->at++;
        r = hex4(p, &v);
        if (r < 0)
            return r;
        if (!v && !p->qmp)
            return wrong(p, "a NUL in a string");
        if (v >> 10 == 0xd800 >> 10 && p->end - p->at >= 6 && !memcmp(p->text + p->at, "\\u", 2)) {
            size_t at = p->at;

            p->at += 2;
            r = hex4(p, &low);
            if (r < 0)
                return r;
            if (low >> 10 == 0xdc00 >> 10)
                v = 0x10000 + ((v & 0x3ff) << 10 | (low & 0x3ff));
            else
                p->at = at;
        }
        *to = put_utf8(*to, v);
        return 0;
    }
    found = memchr(names, p->text[p->at], sizeof names - 1);
    if (!found && !(p->qmp && p->text[p->at] == '\''))
        return wrong(p, "no such escape");
    p->at++;
    *(*to)++ = found ? values[found - names] : '\'';
    return 0;
}

bool gw_json_has_control(const char *string, size_t bytes)
{
    for (const unsigned char *c = (const unsigned char *)string, *end = c + bytes; c < end; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c + 1 < end && c[1] < 0xa0))
            return true;
    return false;
}

static bool at_quote(struct parser *p)
{
    int c = look(p);

    return c == '"' || (c == '\'' && p->qmp);
}

/* The next character is the quote. */
static int parse_string(struct parser *p, const char **ret, uint32_t *ret_bytes)
{
    char quote = p->text[p->at], *s, *to;
    size_t stop = ++p->at;

    while (stop < p->end && p->text[stop] != quote)
        stop += p->text[stop] == '\\' ? 2 : 1;
    if (stop >= p->end)
        return wrong(p, "a string without an end");
    s = to = gw_arena_take(p->arena, stop - p->at + 1);
    if (!s)
        return no_memory(p);
    while (p->text[p->at] != quote) {
        unsigned char c = (unsigned char)p->text[p->at];

        if (c < 0x20)
            return wrong(p, "a control character in a string");
        p->at++;
        if (c != '\\') {
            *to++ = (char)c;
        } else {
            int r = escape(p, &to);

            if (r < 0)
                return r;
        }
    }
    if (!p->qmp && gw_json_has_control(s, (size_t)(to - s)))
        return wrong(p, "a control character in a string");
    p->at++;
    *ret = s;
    *ret_bytes = (uint32_t)(to - s);
    return 0;
}

static bool digit(const struct parser *p)
{
    return p->at < p->end && p->text[p->at] >= '0' && p->text[p->at] <= '9';
}

static void skip_digits(struct parser *p)
{
    while (digit(p))
        p->at++;
}

static int keep_text(struct parser *p, size_t from, struct gw_json *node)
{
    char *s = gw_arena_take(p->arena, p->at - from + 1);

    if (!s)
        return no_memory(p);
    memcpy(s, p->text + from, p->at - from);
    node->string = s;
    return 0;
}

static int parse_number(struct parser *p, struct gw_json *node)
{
    bool negative = p->text[p->at] == '-', fits = true;
    size_t from = p->at;
    int64_t v = 0;

    p->at += negative;
    if (!digit(p))
        return wrong(p, "not a value");
    if (p->text[p->at] == '0' && p->at + 1 < p->end && p->text[p->at + 1] >= '0' && p->text[p->at + 1] <= '9')
        return wrong(p, "a number that begins with 0");
    for (; digit(p); p->at++) {
        int d = p->text[p->at] - '0';

        fits = fits && !gw_mul_overflows(v, 10, &v) && !gw_add_overflows(v, negative ? -d : d, &v);
    }
    node->type = fits ? GW_JSON_INT : GW_JSON_REAL;
    node->number = fits ? v : 0;
    if (p->at < p->end && p->text[p->at] == '.') {
        p->at++;
        node->type = GW_JSON_REAL;
        if (!digit(p))
            return wrong(p, "a number without digits");
        skip_digits(p);
    }
    if (p->at < p->end && (p->text[p->at] | 32) == 'e') {
        p->at++;
        node->type = GW_JSON_REAL;
        if (p->at < p->end && (p->text[p->at] == '+' || p->text[p->at] == '-'))
            p->at++;
        if (!digit(p))
            return wrong(p, "a number without digits");
        skip_digits(p);
    }
    return node->type == GW_JSON_REAL ? keep_text(p, from, node) : 0;
}

static int parse_word(struct parser *p, struct gw_json *node)
{
    static const struct {
        const char *word;
        enum gw_json_type type;
        int64_t value;
    } words[] = {{"true", GW_JSON_BOOL, 1}, {"false", GW_JSON_BOOL, 0}, {"null", GW_JSON_NULL, 0}};

    for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i].word);

        if (p->end - p->at < n || memcmp(p->text + p->at, words[i].word, n) != 0)
            continue;
        node->type = words[i].type;
        node->number = words[i].value;
        p->at += n;
        return 0;
    }
    return parse_number(p, node);
}

static int parse_value(struct parser *p, struct gw_json **ret);

static int parse_member(struct parser *p, bool object, struct gw_json **ret)
{
    const char *key = NULL;
    uint32_t bytes;
    int r;

    if (object) {
        if (!at_quote(p))
            return wrong(p, "a key is missing");
        r = parse_string(p, &key, &bytes);
        if (r < 0)
            return r;
        if (strlen(key) != bytes)
            return wrong(p, "a NUL in a key");
        if (look(p) != ':')
            return wrong(p, "a colon is missing");
        p->at++;
    }
    r = parse_value(p, ret);
    if (r >= 0)
        (*ret)->key = key;
    return r;
}

static int parse_members(struct parser *p, struct gw_json *node, char close)
{
    struct gw_json **tail = &node->first;

    p->at++;
    if (++p->depth > p->depth_max)
        return wrong(p, "nested too deep");
    if (look(p) == close) {
        p->at++;
        p->depth--;
        return 0;
    }
    for (;;) {
        int c, r = parse_member(p, node->type == GW_JSON_OBJECT, tail);

        if (r < 0)
            return r;
        tail = &(*tail)->next;
        node->count++;
        c = look(p);
        if (c != ',' && c != close)
            return wrong(p, "a comma is missing");
        p->at++;
        if (c == close)
            break;
    }
    p->depth--;
    return 0;
}

static int parse_value(struct parser *p, struct gw_json **ret)
{
    struct gw_json *node;
    int c = look(p), r;

    if (c < 0)
        return wrong(p, "it ends too early");
    if (p->nodes++ >= GW_JSON_NODES_MAX)
        return wrong(p, "too many values");
    node = gw_arena_take(p->arena, sizeof *node);
    if (!node)
        return no_memory(p);
    if (c == '{' || c == '[') {
        node->type = c == '{' ? GW_JSON_OBJECT : GW_JSON_ARRAY;
        r = parse_members(p, node, c == '{' ? '}' : ']');
    } else if (at_quote(p)) {
        node->type = GW_JSON_STRING;
        r = parse_string(p, &node->string, &node->count);
    } else {
        r = parse_word(p, node);
    }
    if (r < 0)
        return r;
    *ret = node;
    return 0;
}

static int parse(struct parser *p, struct gw_json **ret)
{
    struct gw_json *root = NULL;
    int r;

    if (p->end > GW_JSON_BYTES_MAX)
        return gw_fail(p->err, -EPROTO, GW_BLAME_PEER, "%zu bytes of JSON, at most %u", p->end, GW_JSON_BYTES_MAX);
    r = parse_value(p, &root);
    if (r < 0)
        return r;
    if (look(p) >= 0)
        return wrong(p, "something follows the end");
    *ret = root;
    return 0;
}

int gw_json_parse(const char *text, size_t bytes, struct gw_arena *arena, struct gw_json **ret, struct gw_error *err)
{
    struct parser p = {.text = text, .end = bytes, .arena = arena, .err = err, .depth_max = GW_JSON_DEPTH_MAX};

    return parse(&p, ret);
}

int gw_json_parse_qmp(const char *text, size_t bytes, struct gw_arena *arena, struct gw_json **ret, struct gw_error *err)
{
    struct parser p = {
        .text = text, .end = bytes, .arena = arena, .err = err, .depth_max = GW_JSON_QMP_DEPTH, .qmp = true};

    return parse(&p, ret);
}

struct gw_json *gw_json_get(const struct gw_json *object, const char *key)
{
    struct gw_json *found = NULL;

    if (!object || object->type != GW_JSON_OBJECT)
        return NULL;
    for (struct gw_json *m = object->first; m; m = m->next)
        if (!strcmp(m->key, key))
            found = m;
    return found;
}
