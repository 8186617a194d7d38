/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "control/internal.h"

#define ADDRESS_MAX 4096

/* Adds to a text of at most ADDRESS_MAX bytes. */
static GW_PRINTF(3, 4) int add(char *buf, struct gw_error *err, const char *fmt, ...)
{
    size_t used = strlen(buf);
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(buf + used, ADDRESS_MAX - used, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= ADDRESS_MAX - used)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the address is longer than %d bytes", ADDRESS_MAX - 1);
    return 0;
}

static const char *text_of(json_t *addr, const char *key)
{
    return json_string_value(json_object_get(addr, key));
}

static int socket_address(json_t *addr, char *buf, struct gw_error *err)
{
    const char *type = text_of(addr, "type");
    int r;

    if (!type)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'channels[0].addr.type' is missing");
    if (!strcmp(type, "inet")) {
        r = gw_json_check(addr, "transport:s type:s host:s port:s numeric?b to?i ipv4?b ipv6?b keep-alive?b mptcp?b",
                          "channels[0].addr.", err);
        if (r < 0)
            return r;
        return add(buf, err, strchr(text_of(addr, "host"), ':') ? "tcp:[%s]:%s" : "tcp:%s:%s", text_of(addr, "host"),
                   text_of(addr, "port"));
    }
    if (!strcmp(type, "unix")) {
        r = gw_json_check(addr, "transport:s type:s path:s abstract?b tight?b", "channels[0].addr.", err);
        if (r < 0)
            return r;
        if (json_is_true(json_object_get(addr, "abstract")))
            return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "abstract socket names are not supported");
        return add(buf, err, "unix:%s", text_of(addr, "path"));
    }
    if (!strcmp(type, "vsock")) {
        r = gw_json_check(addr, "transport:s type:s cid:s port:s", "channels[0].addr.", err);
        return r < 0 ? r : add(buf, err, "vsock:%s:%s", text_of(addr, "cid"), text_of(addr, "port"));
    }
    if (!strcmp(type, "fd")) {
        r = gw_json_check(addr, "transport:s type:s str:s", "channels[0].addr.", err);
        return r < 0 ? r : add(buf, err, "fd:%s", text_of(addr, "str"));
    }
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'type' cannot be '%.100s'", type);
}

/* exec: goes through a shell, so each argument is quoted; a shell with -c is what we are going to be. */
static int exec_address(json_t *addr, char *buf, struct gw_error *err)
{
    json_t *args = json_object_get(addr, "args"), *arg;
    size_t i;
    int r = gw_json_check(addr, "transport:s args:a", "channels[0].addr.", err);

    if (r < 0)
        return r;
    json_array_foreach(args, i, arg)
        if (!gw_json_is_string(arg))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                           "argument 'channels[0].addr.args[%zu]' must have type string", i);
    if (json_array_size(args) == 0)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'channels[0].addr.args' is empty");
    if (json_array_size(args) == 3 && !strcmp(json_string_value(json_array_get(args, 0)), "/bin/sh") &&
        !strcmp(json_string_value(json_array_get(args, 1)), "-c"))
        return add(buf, err, "exec:%s", json_string_value(json_array_get(args, 2)));
    r = add(buf, err, "exec:exec");
    json_array_foreach(args, i, arg) {
        if (r == 0)
            r = add(buf, err, " '");
        for (const char *p = json_string_value(arg); *p && r == 0; p++)
            r = *p == '\'' ? add(buf, err, "'\\''") : add(buf, err, "%c", *p);
        if (r == 0)
            r = add(buf, err, "'");
    }
    return r;
}

static int file_address(json_t *addr, char *buf, struct gw_error *err)
{
    json_int_t offset = json_integer_value(json_object_get(addr, "offset"));
    int r = gw_json_check(addr, "transport:s filename:s offset:i", "channels[0].addr.", err);

    if (r < 0)
        return r;
    if (offset < 0 || strstr(text_of(addr, "filename"), ",offset="))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the file's offset is negative, or its name has ',offset=' in it, which "
                       "means an offset in a URI");
    r = add(buf, err, "file:%s", text_of(addr, "filename"));
    return r < 0 || offset == 0 ? r : add(buf, err, ",offset=%lld", (long long)offset);
}

static int channel_address(json_t *channels, char *buf, struct gw_error *err)
{
    json_t *channel = json_array_get(channels, 0), *addr;
    const char *transport;
    int r;

    if (json_array_size(channels) != 1)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'channels' must list one channel, of type 'main'");
    if (!json_is_object(channel))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'channels[0]' must have type object");
    r = gw_json_check(channel, "channel-type:s addr:o", "channels[0].", err);
    if (r < 0)
        return r;
    if (strcmp(text_of(channel, "channel-type"), "main"))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'channels' must list one channel, of type 'main'");
    addr = json_object_get(channel, "addr");
    transport = text_of(addr, "transport");
    if (!transport)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'channels[0].addr.transport' is missing");
    if (!strcmp(transport, "socket"))
        return socket_address(addr, buf, err);
    if (!strcmp(transport, "exec"))
        return exec_address(addr, buf, err);
    if (!strcmp(transport, "file"))
        return file_address(addr, buf, err);
    return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'transport' cannot be '%.100s'", transport);
}

int gw_address_from_args(json_t *args, char **ret_uri, struct gw_error *err)
{
    json_t *uri = json_object_get(args, "uri"), *channels = json_object_get(args, "channels");
    GW_AUTOFREE char *buf = calloc(1, ADDRESS_MAX);
    int r;

    if (!buf)
        return gw_nomem(err, "an address");
    if (uri && channels)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "arguments 'uri' and 'channels' both give the address: one of them is enough");
    if (!uri && !channels)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'uri' is missing");
    r = uri ? add(buf, err, "%s", json_string_value(uri)) : channel_address(channels, buf, err);
    if (r < 0)
        return r;
    *ret_uri = buf;
    buf = NULL;
    return 0;
}

json_t *gw_address_to_json(const char *text)
{
    struct gw_uri uri;
    char cid[16], port[16];

    if (gw_uri_parse(text, &uri, NULL) < 0)
        return NULL;
    switch (uri.kind) {
    case GW_URI_TCP:
        return json_pack("{ssssss}", "type", "inet", "host", uri.host, "port", uri.service);
    case GW_URI_UNIX:
        return json_pack("{ssss}", "type", "unix", "path", uri.path);
    case GW_URI_VSOCK:
        snprintf(cid, sizeof cid, "%" PRIu32, uri.cid);
        snprintf(port, sizeof port, "%" PRIu32, uri.port);
        return json_pack("{ssssss}", "type", "vsock", "cid", cid, "port", port);
    default:
        return NULL;
    }
}
