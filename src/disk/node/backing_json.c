/* SPDX-License-Identifier: MIT */
#include "disk/node/backing_json.h"

#include <ctype.h>
#include <stdio.h>

#include "state/json.h"

#define OPTIONS_MAX 64u
#define NAME_BYTES  256u
#define DEPTH_MAX   8u

struct option {
    char name[NAME_BYTES]; /* "file.server.path" */
    char *value;
    bool null, used;
};

struct options {
    struct option list[OPTIONS_MAX];
    unsigned count;
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static char *value_of(const struct gw_json *v)
{
    char text[32];

    if (v->type == GW_JSON_STRING || v->type == GW_JSON_REAL)
        return strdup(v->string);
    snprintf(text, sizeof text, "%" PRId64, v->number);
    return strdup(v->type == GW_JSON_BOOL ? v->number ? "on" : "off" : v->type == GW_JSON_INT ? text : "");
}

static int add(struct options *o, const struct gw_json *v, const char *name, struct gw_error *err)
{
    struct option *new = &o->list[o->count];

    for (unsigned i = 0; i < o->count; i++)
        if (!strcmp(o->list[i].name, name))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "option %.100s is given twice", name);
    if (o->count == OPTIONS_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %u options", OPTIONS_MAX);
    gw_strcopy(new->name, sizeof new->name, name);
    new->null = v->type == GW_JSON_NULL;
    new->value = value_of(v);
    if (!new->value)
        return gw_nomem(err, "options of a backing");
    o->count++;
    return 0;
}

static int flatten(struct options *o, const struct gw_json *object, const char *before, unsigned depth, struct gw_error *err)
{
    char name[NAME_BYTES];
    int r = 0;

    if (depth > DEPTH_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "nodes are nested deeper than %u", DEPTH_MAX);
    for (const struct gw_json *v = object->first; v && r >= 0; v = v->next) {
        int n = snprintf(name, sizeof name, "%s%s%s", before, *before ? "." : "", v->key);

        if (n < 0 || (size_t)n >= sizeof name)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "an option with a name of %d bytes", n);
        if (v->type == GW_JSON_ARRAY)
            return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "option %.100s is a list", name);
        r = v->type == GW_JSON_OBJECT ? flatten(o, v, name, depth + 1, err) : add(o, v, name, err);
    }
    return r;
}


/* The option `key` of the node whose options begin with `node`; NULL: not given. */
static struct option *find(struct options *o, const char *node, const char *key)
{
    size_t n = strlen(node);

    for (unsigned i = 0; i < o->count; i++)
        if (!strncmp(o->list[i].name, node, n) && !strcmp(o->list[i].name + n, key)) {
            o->list[i].used = true;
            return &o->list[i];
        }
    return NULL;
}

static const char *text(struct options *o, const char *node, const char *key)
{
    const struct option *found = find(o, node, key);

    return found && !found->null ? found->value : NULL;
}

/* Options that affect how a node is opened but not what is read from it. */
static bool is_harmless(const char *name)
{
    static const char *const ends[] = {"node-name", "read-only", "auto-read-only", "discard",      "detect-zeroes", "force-share",
                                       "locking",   "aio",       "direct",         "no-flush",     "cache-size",    "l2-cache-size",
                                       "drop-cache", "lazy-refcounts", "refcount-cache-size", "reconnect-delay", "open-timeout"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; i < GW_ARRAY_LEN(ends); i++)
        if (!strcmp(dot ? dot + 1 : name, ends[i]))
            return true;
    return false;
}

static int get_nbd(struct options *o, const char *node, struct gw_backing_name *ret, struct gw_error *err)
{
    const char *path = text(o, node, "server.path"), *host = text(o, node, "server.host"), *port = text(o, node, "server.port");
    const char *export_name = text(o, node, "export"), *type = text(o, node, "server.type");

    path = path ? path : text(o, node, "path"); /* the syntax of older programs */
    host = host ? host : text(o, node, "host");
    port = port ? port : text(o, node, "port");
    if (type && strcmp(type, "unix") && strcmp(type, "inet"))
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "driver nbd: a server of type %.40s is not supported (inet and unix "
                       "are)", type);
    if (port && (!*port || strspn(port, "0123456789") != strlen(port)))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "driver nbd: the port is not a number: %.40s", port);
    if (!path == !host)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "driver nbd: it names %s", path ? "two servers" : "no server");
    ret->far = true;
    ret->where = gw_backing_nbd_uri(path, host, port, export_name);
    return ret->where ? 0 : gw_nomem(err, "name of a backing");
}

/* Without a driver, the file name decides. */
static int get_file(struct options *o, const char *node, bool driver, struct gw_backing_name *ret, struct gw_error *err)
{
    const char *name = text(o, node, "filename");

    if (!name)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s%sfilename is missing", node, *node ? " " : "");
    if (!strncmp(name, "json:", 5))
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "a json: description inside another one is not supported");
    if (!driver)
        return gw_backing_name_get("", name, ret, err);
    ret->where = strdup(name);
    return ret->where ? 0 : gw_nomem(err, "name of a backing");
}

/* "qcow2" or "raw": the format of the node below. */
static int set_format(struct options *o, const char *node, const char *driver, struct gw_backing_name *ret, struct gw_error *err)
{
    const struct option *below = find(o, node, "backing");

    if (ret->format[0] && strcmp(driver, "raw"))
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "a node of driver %s inside one of driver %s is not "
                       "supported", driver, ret->format);
    if (!ret->format[0])
        gw_strcopy(ret->format, sizeof ret->format, driver);
    if (below && !below->null)
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "option %.100s, another backing than the image names, is not supported", below->name);
    ret->alone |= below != NULL;
    if (find(o, node, "file"))
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "option %sfile refers to a node that only the program that wrote the image "
                       "has", node);
    return 0;
}

static int get_node(struct options *o, struct gw_backing_name *ret, struct gw_error *err)
{
    char node[NAME_BYTES] = "";
    const char *driver = text(o, node, "driver");
    int r = 0;

    if (!driver && !find(o, node, "filename")) /* the image that names it records the format */
        gw_strcopy(node, sizeof node, "file.");
    for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
        driver = text(o, node, "driver");
        if (!driver || !strcmp(driver, "file") || !strcmp(driver, "host_device"))
            return get_file(o, node, driver != NULL, ret, err);
        if (!strcmp(driver, "nbd"))
            return get_nbd(o, node, ret, err);
        if (strcmp(driver, "qcow2") && strcmp(driver, "raw"))
            return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "driver %.40s is not supported (qcow2, raw, file, host_device and nbd are)",
                           driver);
        r = set_format(o, node, driver, ret, err);
        if (r < 0)
            return r;
        strcat(node, "file."); /* names at DEPTH_MAX levels fit */
    }
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "nodes are nested deeper than %u", DEPTH_MAX);
}

static int check_used(const struct options *o, struct gw_error *err)
{
    for (unsigned i = 0; i < o->count; i++)
        if (!o->list[i].used && !is_harmless(o->list[i].name))
            return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "option %.100s is not supported", o->list[i].name);
    return 0;
}

int gw_backing_json_get(const char *json, struct gw_backing_name *ret, struct gw_error *err)
{
    GW_AUTOFREE struct options *o = calloc(1, sizeof *o);
    struct gw_arena arena = {0};
    struct gw_json *top;
    int r = o ? gw_json_parse_qmp(json, strlen(json), &arena, &top, err) : gw_nomem(err, "options of a backing");

    if (r >= 0 && top->type != GW_JSON_OBJECT)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "it is not a JSON object");
    if (r >= 0)
        r = flatten(o, top, "", 0, err);
    if (r >= 0)
        r = get_node(o, ret, err);
    if (r >= 0)
        r = check_used(o, err);
    for (unsigned i = 0; o && i < o->count; i++)
        free(o->list[i].value);
    gw_arena_free(&arena);
    return r;
}

/* ---- URIs -------------------------------------------------------------------------------------------------------- */

static char *put_escaped(char *to, const char *from, const char *plain)
{
    for (; *from; from++)
        if (isalnum((unsigned char)*from) || strchr(plain, *from))
            *to++ = *from;
        else
            to += sprintf(to, "%%%02X", (unsigned char)*from);
    *to = 0;
    return to;
}

char *gw_backing_nbd_uri(const char *socket, const char *host, const char *port, const char *export_name)
{
    const char *name = export_name ? export_name : "";
    size_t bytes = 64 + 3 * strlen(name) + 3 * strlen(socket ? socket : host) + strlen(port ? port : "");
    char *uri = malloc(bytes), *p = uri;
    bool v6 = host && strchr(host, ':');

    if (!uri)
        return NULL;
    p += sprintf(p, "%s", socket ? "nbd+unix:///" : v6 ? "nbd://[" : "nbd://");
    if (host) {
        p = put_escaped(p, host, "-._~:");
        p += sprintf(p, "%s%s%s/", v6 ? "]" : "", port ? ":" : "", port ? port : "");
    }
    p = put_escaped(p, name, "-._~/");
    if (socket) {
        p += sprintf(p, "?socket=");
        put_escaped(p, socket, "-._~/");
    }
    return uri;
}
