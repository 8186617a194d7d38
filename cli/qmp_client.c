/* SPDX-License-Identifier: MIT */
#include "large.h"
#include "qmp_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S       1000000000ull
#define TICK_NS        (NS_PER_S / 10)
#define HELD_NS        NS_PER_S /* no greeting for this long: another client uses the monitor */
#define ANSWER_NS      (30 * NS_PER_S)
#define LINE_MAX_BYTES (64u << 20)

struct gw_qmp {
    struct gw_qmp_config config;
    struct gw_channel *ch;
    char name[128], server[128], refusal[64];
    uint64_t next_id;
    char *buf;
    size_t bytes, room;
    /* Position and depth of the search for the first message's end: a monitor may write it over many lines. */
    size_t searched, depth;
    bool in_string, escaped;
    bool urgent; /* the server supports out-of-band commands */
};

static uint64_t now_ns(void)
{
    return gw_now_ns(&gw_clock_real);
}

const char *gw_qmp_server(const struct gw_qmp *q)
{
    return q->server;
}

const char *gw_qmp_refusal(const struct gw_qmp *q)
{
    return q->refusal[0] ? q->refusal : NULL;
}

bool gw_qmp_is_godwit(const struct gw_qmp *q)
{
    return !strncmp(q->server, "godwit ", 7);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static int gone(struct gw_qmp *q, struct gw_error *err)
{
    return gw_fail(err, -ECONNRESET, GW_BLAME_CHANNEL, "%s: the monitor closed the connection", q->name);
}

/* Reads some bytes; 0 also if none arrived within a tick. */
static int read_more(struct gw_qmp *q, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;
    struct iovec iov;
    ssize_t n;

    if (q->room - q->bytes < 4096) {
        size_t room = q->room ? q->room * 2 : 65536;
        char *p = q->bytes < LINE_MAX_BYTES ? realloc(q->buf, room) : NULL;

        if (!p)
            return gw_fail(err, -ENOMEM, GW_BLAME_PEER, "%s: a message of more than %zu bytes", q->name, q->bytes);
        q->buf = p;
        q->room = room;
    }
    iov = (struct iovec){q->buf + q->bytes, q->room - q->bytes};
    n = gw_channel_readv(q->ch, &iov, 1, &why);
    if (n > 0)
        q->bytes += (size_t)n;
    if (n > 0 || n == -ETIMEDOUT)
        return 0;
    if (n == 0 || n == -ECONNRESET || n == -EPIPE)
        return gone(q, err);
    if (err)
        *err = why;
    return (int)n;
}

/* Whether the byte ends a message: the bracket that closes the first one or, outside brackets, the end of a line that
 * is not a message. */
static bool ends(struct gw_qmp *q, char c)
{
    if (q->in_string) {
        q->in_string = q->escaped || c != '"';
        q->escaped = !q->escaped && c == '\\';
        return false;
    }
    q->in_string = c == '"';
    q->depth += c == '{' || c == '[';
    if (c == '}' || c == ']')
        return q->depth == 0 || --q->depth == 0;
    return c == '\n' && q->depth == 0;
}

/* Removes the first n bytes. */
static void pass(struct gw_qmp *q, size_t n)
{
    q->bytes -= n;
    memmove(q->buf, q->buf + n, q->bytes);
    q->searched = q->depth = 0;
}

/* Takes a message from the buffer; NULL: none is complete. */
static json_t *take_message(struct gw_qmp *q, int *ret_code, struct gw_error *err)
{
    size_t space = 0;
    json_error_t wrong;
    json_t *msg;

    *ret_code = 0;
    while (space < q->bytes && strchr(" \t\r\n", q->buf[space]) && q->buf[space])
        space++;
    if (space && !q->depth && !q->in_string && q->searched <= space)
        pass(q, space);
    while (q->searched < q->bytes && !ends(q, q->buf[q->searched]))
        q->searched++;
    if (q->searched == q->bytes)
        return NULL;
    msg = gw_large_load(q->buf, q->searched + 1, 0, &wrong);
    pass(q, q->searched + 1);
    if (!msg)
        *ret_code = gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s: not a QMP monitor: %s", q->name, wrong.text);
    return msg;
}

/* The next message that is not an event. */
static int next_message(struct gw_qmp *q, uint64_t deadline_ns, json_t **ret_msg, struct gw_error *err)
{
    for (;;) {
        int r;
        json_t *msg = take_message(q, &r, err);

        if (r < 0)
            return r;
        if (msg && !json_object_get(msg, "event")) {
            *ret_msg = msg;
            return 0;
        }
        if (msg) {
            if (q->config.event)
                q->config.event(q->config.opaque, msg);
            json_decref(msg);
            continue;
        }
        if (q->config.interrupted && q->config.interrupted(q->config.opaque))
            return gw_fail(err, -EINTR, GW_BLAME_CALLER, "interrupted");
        if (now_ns() >= deadline_ns)
            return gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL, "%s: no answer for %.0f s", q->name,
                           (double)q->config.timeout_ns / 1e9);
        r = read_more(q, err);
        if (r < 0)
            return r;
    }
}

static int send_message(struct gw_qmp *q, const char *verb, const char *command, json_t *take_args, uint64_t id, struct gw_error *err)
{
    json_t *msg = json_pack("{sssI}", verb, command, "id", (json_int_t)id);
    char *text = NULL;
    int r;

    gw_channel_set_timeout(q->ch, q->config.timeout_ns);
    if (!msg || (take_args && json_object_set(msg, "arguments", take_args)) || !(text = gw_large_dump(msg, JSON_COMPACT)))
        r = gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (%s)", command);
    else
        r = gw_channel_write_full(q->ch, text, strlen(text), err);
    if (r == 0)
        r = gw_channel_write_full(q->ch, "\n", 1, err);
    if (r == -EPIPE || r == -ECONNRESET)
        r = gone(q, err);
    gw_channel_set_timeout(q->ch, TICK_NS);
    free(text);
    json_decref(msg);
    json_decref(take_args);
    return r;
}

static int read_reply(struct gw_qmp *q, json_t *msg, json_t **ret_result, struct gw_error *err)
{
    json_t *result = json_object_get(msg, "return"), *error = json_object_get(msg, "error");
    const char *desc = json_string_value(json_object_get(error, "desc"));
    const char *class = json_string_value(json_object_get(error, "class"));

    if (!result)
        gw_printable(class ? class : "error", q->refusal, sizeof q->refusal);
    if (!result)
        return gw_fail(err, class && !strcmp(class, "CommandNotFound") ? -ENOSYS : -EREMOTEIO, GW_BLAME_PEER, "%s",
                       desc ? desc : "an answer that is neither result nor error");
    if (ret_result)
        *ret_result = json_incref(result);
    return 0;
}

static int execute(struct gw_qmp *q, const char *verb, const char *command, json_t *take_args, json_t **ret_result, struct gw_error *err)
{
    uint64_t id = ++q->next_id, deadline_ns = now_ns() + q->config.timeout_ns;
    int r = send_message(q, verb, command, take_args, id, err);
    json_t *msg;

    q->refusal[0] = 0;
    while (r == 0) {
        json_t *got;

        r = next_message(q, deadline_ns, &msg, err);
        if (r < 0)
            break;
        /* An answer with another ID belongs to a command that was given up. */
        got = json_object_get(msg, "id");
        if (json_is_integer(got) && (uint64_t)json_integer_value(got) == id) {
            r = read_reply(q, msg, ret_result, err);
            json_decref(msg);
            return r;
        }
        json_decref(msg);
    }
    return r;
}

int gw_qmp_execute(struct gw_qmp *q, const char *command, json_t *take_args, json_t **ret_result, struct gw_error *err)
{
    return execute(q, "execute", command, take_args, ret_result, err);
}

int gw_qmp_execute_urgent(struct gw_qmp *q, const char *command, json_t *take_args, struct gw_error *err)
{
    return execute(q, q->urgent ? "exec-oob" : "execute", command, take_args, NULL, err);
}

int gw_qmp_wait(struct gw_qmp *q, uint64_t duration_ns, struct gw_error *err)
{
    json_t *msg = NULL;
    int r;

    gw_channel_set_timeout(q->ch, duration_ns < TICK_NS ? duration_ns : TICK_NS);
    r = next_message(q, now_ns() + duration_ns, &msg, err);
    gw_channel_set_timeout(q->ch, TICK_NS);
    if (r == 0)
        json_decref(msg);
    return r == -ETIMEDOUT ? 0 : r;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

struct opening {
    uint64_t held_ns, deadline_ns; /* when to report the missing greeting, and when to give up */
    bool told;
};

/* Called while no greeting has arrived. 0: go on. */
static int no_greeting(struct gw_qmp *q, struct opening *o, struct gw_error *err)
{
    uint64_t now = now_ns();

    if (q->config.interrupted && q->config.interrupted(q->config.opaque))
        return gw_fail(err, -EINTR, GW_BLAME_CALLER, "interrupted");
    if (now >= o->deadline_ns)
        return gw_fail(err, -ETIMEDOUT, GW_BLAME_CHANNEL,
                       "%s: no greeting for %g s: the monitor is in use by another client, or this is not a monitor", q->name,
                       (double)q->config.timeout_ns / 1e9);
    if (now >= o->held_ns && !o->told && q->config.held)
        q->config.held(q->config.opaque, q->name);
    o->told |= now >= o->held_ns;
    return 0;
}

/* If a server does not accept, the backlog of its Unix socket fills after a few clients, and connect blocks. */
static int connect_to(struct gw_qmp *q, const char *address, struct opening *o, struct gw_error *err)
{
    static const char *const schemes[] = {"unix:", "tcp:", "vsock:", "fd:"};
    char text[4200];
    struct gw_uri uri;
    bool plain = true;
    int r;

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        plain &= strncmp(address, schemes[i], strlen(schemes[i])) != 0;
    if ((size_t)snprintf(text, sizeof text, "%s%s", plain ? "unix:" : "", address) >= sizeof text)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the address of the monitor is too long");
    r = gw_uri_parse(text, &uri, err);
    if (r < 0)
        return r;
    if (uri.kind != GW_URI_UNIX)
        return gw_connect(&uri, q->config.timeout_ns ? q->config.timeout_ns : ANSWER_NS, NULL, &q->ch, err);
    do {
        r = gw_connect(&uri, TICK_NS, NULL, &q->ch, err);
        if (r == -ETIMEDOUT) {
            r = no_greeting(q, o, err);
            r = r < 0 ? r : -EAGAIN;
        }
    } while (r == -EAGAIN);
    return r;
}

static void name_server(struct gw_qmp *q, json_t *version)
{
    const char *package = json_string_value(json_object_get(version, "package"));
    json_t *qemu = json_object_get(version, "qemu");

    if (package && !strncmp(package, "godwit ", 7))
        gw_printable(package, q->server, sizeof q->server);
    else
        snprintf(q->server, sizeof q->server, "QEMU %d.%d.%d", (int)json_integer_value(json_object_get(qemu, "major")),
                 (int)json_integer_value(json_object_get(qemu, "minor")),
                 (int)json_integer_value(json_object_get(qemu, "micro")));
}

static bool offers_urgent(const json_t *greeting)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(json_object_get(greeting, "QMP"), "capabilities"), i, item)
    {
        const char *name = json_string_value(item);

        if (name && !strcmp(name, "oob"))
            return true;
    }
    return false;
}

static int greet(struct gw_qmp *q, struct opening *o, struct gw_error *err)
{
    json_t *msg = NULL, *version;
    int r;

    do {
        r = next_message(q, now_ns() + TICK_NS, &msg, err);
        if (r == -ETIMEDOUT) {
            r = no_greeting(q, o, err);
            r = r < 0 ? r : -EAGAIN;
        }
    } while (r == -EAGAIN);
    if (r < 0)
        return r;
    version = json_object_get(json_object_get(msg, "QMP"), "version");
    if (version)
        name_server(q, version);
    q->urgent = q->config.urgent && offers_urgent(msg);
    json_decref(msg);
    if (!version)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s: not a QMP monitor: the greeting is missing", q->name);
    if (!q->config.timeout_ns)
        q->config.timeout_ns = ANSWER_NS;
    return gw_qmp_execute(q, "qmp_capabilities", q->urgent ? json_pack("{s[s]}", "enable", "oob") : NULL, NULL, err);
}

int gw_qmp_open(const struct gw_qmp_config *config, struct gw_qmp **ret_qmp, struct gw_error *err)
{
    uint64_t began_ns = now_ns();
    struct opening o = {.held_ns = began_ns + HELD_NS, .deadline_ns = config->timeout_ns ? began_ns + config->timeout_ns : UINT64_MAX};
    struct gw_qmp *q = calloc(1, sizeof *q);
    int r;

    if (!q)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (monitor)");
    q->config = *config;
    snprintf(q->name, sizeof q->name, "%s", config->address);
    r = connect_to(q, config->address, &o, err);
    if (r == 0) {
        gw_channel_set_timeout(q->ch, TICK_NS);
        r = greet(q, &o, err);
    }
    if (r < 0) {
        gw_qmp_free(q);
        return r;
    }
    *ret_qmp = q;
    return 0;
}

struct gw_qmp *gw_qmp_free(struct gw_qmp *q)
{
    if (q) {
        gw_channel_free(q->ch);
        free(q->buf);
        free(q);
    }
    return NULL;
}
