/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/base.h"
#include "godwit/channel.h"

#define OFFSET_MARK ",offset="

static int refuse(struct gw_error *err, const char *text, const char *fmt, ...) GW_PRINTF(3, 4);
static int refuse(struct gw_error *err, const char *text, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    gw_failv(err, -EINVAL, GW_BLAME_CALLER, fmt, ap);
    va_end(ap);
    gw_context(err, "address '%.200s'", text);
    return -EINVAL;
}

/* Only digits from p to `end`. */
static bool decimal(const char *p, const char *end, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (p == end)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9' || gw_mul_overflows(v, 10, &v) || gw_add_overflows(v, (uint64_t)(*p - '0'), &v))
            return false;
    }
    if (v > max)
        return false;
    *ret = v;
    return true;
}

static bool size_suffix(const char *p, unsigned *ret_shift)
{
    static const char letters[] = "KMGT";
    const char *at;

    *ret_shift = 0;
    if (!*p)
        return true;
    at = strchr(letters, *p >= 'a' ? *p - 'a' + 'A' : *p);
    if (!at || p[1])
        return false;
    *ret_shift = 10 * (unsigned)(at - letters + 1);
    return true;
}

/* A file offset: within the range of off_t. */
static bool parse_size(const char *p, uint64_t *ret)
{
    const unsigned base = p[0] == '0' && (p[1] == 'x' || p[1] == 'X') ? 16 : 10;
    const char *first = p += base == 16 ? 2 : 0;
    uint64_t v = 0;
    unsigned shift;

    for (;; p++) {
        char lower = (char)(*p | 0x20);
        unsigned digit;

        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (base == 16 && lower >= 'a' && lower <= 'f')
            digit = (unsigned)(lower - 'a' + 10);
        else
            break;
        if (gw_mul_overflows(v, base, &v) || gw_add_overflows(v, digit, &v))
            return false;
    }
    if (p == first || !size_suffix(p, &shift) || v > (uint64_t)INT64_MAX >> shift)
        return false;
    *ret = v << shift;
    return true;
}

static bool is_ipv6(const char *text)
{
    char bare[INET6_ADDRSTRLEN];
    const char *scope = strchr(text, '%');
    size_t n = scope ? (size_t)(scope - text) : strlen(text);
    struct in6_addr parsed;

    if (n >= sizeof bare || (scope && !scope[1]))
        return false;
    memcpy(bare, text, n);
    bare[n] = 0;
    return inet_pton(AF_INET6, bare, &parsed) == 1;
}

static int parse_tcp(const char *text, const char *rest, struct gw_uri *uri, struct gw_error *err)
{
    const char *host = rest, *host_end, *port;
    uint64_t number;

    if (*rest == '[') {
        host++;
        host_end = strchr(host, ']');
        if (!host_end)
            return refuse(err, text, "'[' without ']'");
        if (host_end[1] != ':')
            return refuse(err, text, "':PORT' is missing after ']'");
        port = host_end + 2;
    } else {
        host_end = strchr(host, ':');
        if (!host_end)
            return refuse(err, text, "':PORT' is missing: tcp:HOST:PORT");
        port = host_end + 1;
        if (strchr(port, ':'))
            return refuse(err, text, "too many ':' (write an IPv6 address in brackets: tcp:[V6]:PORT)");
    }
    if ((size_t)(host_end - host) >= sizeof uri->host)
        return refuse(err, text, "host name longer than %zu bytes", sizeof uri->host - 1);
    memcpy(uri->host, host, (size_t)(host_end - host));
    if (*rest == '[' && !is_ipv6(uri->host))
        return refuse(err, text, "'%s' is not an IPv6 address", uri->host);
    if (*rest != '[' && strpbrk(uri->host, " \t\r\n/[],"))
        return refuse(err, text, "'%s' is no host name", uri->host);
    if (!decimal(port, port + strlen(port), 65535, &number))
        return refuse(err, text, "port '%.40s' is not a number from 0 to 65535", port);
    snprintf(uri->service, sizeof uri->service, "%u", (unsigned)number);
    return 0;
}

static int parse_unix(const char *text, const char *rest, struct gw_uri *uri, struct gw_error *err)
{
    const size_t longest = sizeof((struct sockaddr_un *)0)->sun_path - 1;

    if (!*rest)
        return refuse(err, text, "the path is empty");
    if (strlen(rest) > longest)
        return refuse(err, text, "path of %zu bytes: a socket's path has at most %zu", strlen(rest), longest);
    gw_strcopy(uri->path, sizeof uri->path, rest);
    return 0;
}

static int parse_vsock(const char *text, const char *rest, struct gw_uri *uri, struct gw_error *err)
{
    const char *colon = strchr(rest, ':');
    uint64_t cid, port;

    if (!colon)
        return refuse(err, text, "':PORT' is missing: vsock:CID:PORT");
    if (!decimal(rest, colon, UINT32_MAX, &cid))
        return refuse(err, text, "CID '%.*s' is not a number from 0 to 4294967295", (int)GW_MIN(colon - rest, 40),
                      rest);
    if (!decimal(colon + 1, colon + 1 + strlen(colon + 1), UINT32_MAX, &port))
        return refuse(err, text, "port '%.40s' is not a number from 0 to 4294967295", colon + 1);
    uri->cid = (uint32_t)cid;
    uri->port = (uint32_t)port;
    return 0;
}

static int parse_fd(const char *text, const char *rest, struct gw_uri *uri, struct gw_error *err)
{
    uint64_t fd;

    if (!decimal(rest, rest + strlen(rest), INT_MAX, &fd))
        return refuse(err, text, "'%.40s' is not a descriptor's number", rest);
    uri->fd = (int)fd;
    return 0;
}

static int parse_exec(const char *text, const char *rest, struct gw_uri *uri, struct gw_error *err)
{
    if (!rest[strspn(rest, " \t\n")])
        return refuse(err, text, "the command is empty");
    if (!gw_strcopy(uri->path, sizeof uri->path, rest))
        return refuse(err, text, "command longer than %zu bytes", sizeof uri->path - 1);
    return 0;
}

static const char *last_mark(const char *rest)
{
    const char *found = NULL;

    for (const char *p = rest; (p = strstr(p, OFFSET_MARK)); p++)
        found = p;
    return found;
}

static int parse_file(const char *text, const char *rest, struct gw_uri *uri, struct gw_error *err)
{
    const char *mark = last_mark(rest);
    size_t n = mark ? (size_t)(mark - rest) : strlen(rest);

    if (!n)
        return refuse(err, text, "the path is empty");
    if (n >= sizeof uri->path)
        return refuse(err, text, "path longer than %zu bytes", sizeof uri->path - 1);
    memcpy(uri->path, rest, n);
    if (mark && !parse_size(mark + strlen(OFFSET_MARK), &uri->offset))
        return refuse(err, text, "offset '%.40s' is not a size (decimal or 0x hex, then K, M, G, T or nothing)",
                      mark + strlen(OFFSET_MARK));
    return 0;
}

static const struct {
    const char *scheme;
    int (*parse)(const char *text, const char *rest, struct gw_uri *uri, struct gw_error *err);
} schemes[] = {
    [GW_URI_TCP] = {"tcp:", parse_tcp}, [GW_URI_UNIX] = {"unix:", parse_unix}, [GW_URI_VSOCK] = {"vsock:", parse_vsock},
    [GW_URI_FD] = {"fd:", parse_fd},    [GW_URI_EXEC] = {"exec:", parse_exec}, [GW_URI_FILE] = {"file:", parse_file},
};

int gw_uri_parse(const char *text, struct gw_uri *ret_uri, struct gw_error *err)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i].scheme);
        struct gw_uri uri = {.kind = (enum gw_uri_kind)i, .fd = -1};
        int r;

        if (strncmp(text, schemes[i].scheme, n))
            continue;
        r = schemes[i].parse(text, text + n, &uri, err);
        if (r < 0)
            return r;
        *ret_uri = uri;
        return 0;
    }
    return refuse(err, text, "must begin with tcp: unix: vsock: fd: exec: or file:");
}

void gw_uri_format(const struct gw_uri *uri, char *buf, size_t size)
{
    bool v6 = strchr(uri->host, ':');

    switch (uri->kind) {
    case GW_URI_TCP:
        snprintf(buf, size, "tcp:%s%s%s:%s", v6 ? "[" : "", uri->host, v6 ? "]" : "", uri->service);
        return;
    case GW_URI_UNIX:
        snprintf(buf, size, "unix:%s", uri->path);
        return;
    case GW_URI_VSOCK:
        snprintf(buf, size, "vsock:%" PRIu32 ":%" PRIu32, uri->cid, uri->port);
        return;
    case GW_URI_FD:
        snprintf(buf, size, "fd:%d", uri->fd);
        return;
    case GW_URI_EXEC:
        snprintf(buf, size, "exec:%s", uri->path);
        return;
    case GW_URI_FILE:
        /* A path that ends like one with an offset is printed with an offset, so that parsing gives the same path. */
        if (uri->offset || last_mark(uri->path))
            snprintf(buf, size, "file:%s" OFFSET_MARK "%" PRIu64, uri->path, uri->offset);
        else
            snprintf(buf, size, "file:%s", uri->path);
        return;
    }
    snprintf(buf, size, "?");
}
