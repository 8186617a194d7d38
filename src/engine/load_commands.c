/* SPDX-License-Identifier: MIT */
#include "engine/load.h"

#include "wire/answer.h"
#include "wire/command.h"
#include "wire/frames.h"

int gw_load_heard(struct gw_recv *r, struct gw_error *err)
{
    r->heard = true;
    return gw_pages_check(r, err);
}

int gw_recv_shut(struct gw_recv *r, const struct gw_error *failure, struct gw_error *err)
{
    uint8_t body[GW_FRAME_SHUT_BYTES];

    if (failure && atomic_exchange(&r->refused, true))
        return -EALREADY; /* another thread sends it before it ends */
    if (failure && *failure->text && r->source_knows & GW_EXTENSION_REASON)
        gw_answers_say(&r->answers, GW_RP_GODWIT_REASON, failure->text, strnlen(failure->text, GW_RP_MAX_BYTES), NULL);
    gw_frame_put_shut(body, &(struct gw_frame_shut){failure != NULL});
    return gw_answers_say(&r->answers, GW_RP_SHUT, body, sizeof body, err);
}

/* p: the payload of the PING. */
static int pong(struct gw_recv *r, const uint8_t *p, struct gw_error *err)
{
    struct gw_frame_hello hello = {.version = GW_EXTENSIONS_VERSION, .extensions = GW_EXTENSIONS};
    struct gw_frame_ping ping = gw_frame_get_ping(p);
    uint8_t body[GW_FRAME_HELLO_BYTES];
    int e;

    if (!r->return_path)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "PING before OPEN_RETURN_PATH: there is no way to answer");
    gw_frame_put_pong(body, &(struct gw_frame_pong){ping.value});
    e = gw_answers_say(&r->answers, GW_RP_PONG, body, GW_FRAME_PONG_BYTES, err);
    if (e < 0 && r->postcopy.advised) { /* the pages before the PING have come all the same, perhaps with the package */
        r->postcopy.unheard = true;
        e = 0;
    }
    if (r->told_cookie)
        r->source_knows = ping.value;
    r->told_cookie = ping.value == GW_PING_COOKIE;
    if (e >= 0 && !r->told_cookie)
        e = gw_load_heard(r, err);
    if (e < 0 || !r->told_cookie)
        return e;
    r->extended = true;
    gw_frame_put_hello(body, &hello);
    return gw_answers_say(&r->answers, GW_RP_GODWIT_HELLO, body, sizeof body, err);
}

static int open_return_path(struct gw_recv *r, struct gw_error *err)
{
    if (!(r->channel->features & GW_CHANNEL_DUPLEX))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source wants a return path, but %s carries one direction only",
                       r->channel->name);
    if (r->return_path)
        return 0; /* sent twice: answered once */
    r->return_path = true;
    gw_answers_open(&r->answers, r->channel);
    /* No device here needs to delay the switch-over. */
    return r->plan.ways.switchover_ack ? gw_answers_say(&r->answers, GW_RP_SWITCHOVER_ACK, NULL, 0, err) : 0;
}

int gw_recv_command(struct gw_recv *r, uint64_t at, struct gw_error *err)
{
    const struct gw_wire_name *what;
    uint8_t payload[GW_FRAME_PING_BYTES];
    uint16_t bytes;
    int e = gw_command_get(&r->reader.in, at, &what, &bytes, err);

    if (e < 0) {
        gw_context(err, "command at byte %" PRIu64, at);
        return e;
    }
    gw_trace_element_get(&r->session.vm->trace, at, "COMMAND", what->name);
    if (!gw_grammar_step(&r->grammar, GW_ELEMENT_COMMAND, what->number))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "command %s at byte %" PRIu64 " is not allowed here (%s)", what->name,
                       at, gw_grammar_name(r->grammar));
    switch (what->number) {
    case GW_COMMAND_OPEN_RETURN_PATH:
        e = open_return_path(r, err);
        break;
    case GW_COMMAND_PING:
        e = gw_get_bytes(&r->reader, payload, sizeof payload, err);
        if (e >= 0)
            e = pong(r, payload, err);
        break;
    case GW_COMMAND_SWITCHOVER_START:
        return 0;
    case GW_COMMAND_GODWIT_COMMIT:
    case GW_COMMAND_GODWIT_ABORT:
        if (!r->extended)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "command %s at byte %" PRIu64 ": source and destination have not agreed "
                           "on it", what->name,
                           at);
        r->committed = what->number == GW_COMMAND_GODWIT_COMMIT;
        r->aborted = !r->committed;
        return r->committed
                   ? 0
                   : gw_fail(err, -ECANCELED, GW_BLAME_PEER,
                             "command %s at byte %" PRIu64 ": the source took the machine back at the last moment",
                             what->name, at);
    case GW_COMMAND_POSTCOPY_ADVISE:
    case GW_COMMAND_POSTCOPY_RAM_DISCARD:
    case GW_COMMAND_PACKAGED:
        e = gw_postcopy_in_command(r, what->number, bytes, err);
        break;
    case GW_COMMAND_RECV_BITMAP:
        e = gw_recovery_map(r, bytes, err);
        break;
    case GW_COMMAND_POSTCOPY_RESUME:
        e = gw_recovery_resume(r, err);
        break;
    default:
        return gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "command %s at byte %" PRIu64 " is not supported here", what->name, at);
    }
    if (e < 0)
        gw_context(err, "command %s at byte %" PRIu64, what->name, at);
    return e;
}
