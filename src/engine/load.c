/* SPDX-License-Identifier: MIT */
#include "engine/load.h"

#include "wire/names.h"
#include "wire/numbers.h"
#include "wire/section.h"

#define MAX_VMDESC_BYTES (64u * 1024 * 1024)
/* A footer, the head of the next section and that of its first record. */
#define READAHEAD_LIVE 64u

/* A FULL section, behind its type byte. 1: go on; 0: EOF was read too. */
static int device(struct gw_recv *r, bool early, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    struct gw_devices_get g = gw_load_devices(r);
    int e;

    g.early = early;
    e = vm->devices->get(vm, &g, err);
    gw_channel_set_timeout(r->channel, r->timeout_ns);
    r->touched |= g.touched;
    r->described = e >= 0 && g.ended;
    return e < 0 ? e : !g.ended;
}

/* Reads one element. 1: go on; 0: EOF. */
static int element(struct gw_recv *r, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(&r->reader);
    const uint8_t *next;
    uint8_t type;
    bool early;
    int e;

    r->reader.in.what = "the next element";
    e = gw_reader_need(&r->reader, 1, &next, err);
    r->reader.in.what = NULL;
    if (e < 0) {
        if (e != -ENODATA) /* that error says so itself */
            gw_context(err, "the next element");
        return e;
    }
    type = *next;
    early = r->grammar == GW_GRAMMAR_SETUP;
    if (type != GW_ELEMENT_COMMAND && !gw_grammar_step(&r->grammar, type, 0))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "element 0x%02x (%s) at byte %" PRIu64 " is not allowed here (%s)",
                       type, gw_wire_element(type), at, gw_grammar_name(r->grammar));
    /* More pages are likely after a live section: they should not be copied through the buffer. */
    r->reader.readahead = type == GW_ELEMENT_START || type == GW_ELEMENT_PART ? READAHEAD_LIVE : GW_READER_CAP;
    if (type == GW_ELEMENT_FULL)
        return device(r, early, err);
    gw_reader_skip(&r->reader, 1);
    switch (type) {
    case GW_ELEMENT_START:
        e = gw_load_start(r, at, err);
        break;
    case GW_ELEMENT_PART:
    case GW_ELEMENT_END:
        e = gw_load_part(r, (enum gw_section_kind)type, at, err);
        break;
    case GW_ELEMENT_COMMAND:
        e = gw_recv_command(r, at, err);
        break;
    default:
        return 0;
    }
    return e < 0 ? e : 1;
}

/* The description after EOF, if the source sends one. Without a return path, a source that sends none may close the
 * connection or leave it open: the description has a second to come. */
static int description(struct gw_recv *r, struct gw_error *err)
{
    struct gw_error local = GW_ERROR_INIT;
    uint64_t at = gw_reader_offset(&r->reader);
    const uint8_t *p;
    uint32_t bytes;
    size_t got = 0;
    int e;

    if (gw_reader_buffered(&r->reader) == 0 && !r->extended) /* a godwit always describes its devices */
        gw_channel_set_timeout(r->channel, r->vmdesc_wait_ns);
    e = gw_reader_try(&r->reader, 1, &p, &got, &local);
    gw_channel_set_timeout(r->channel, r->timeout_ns);
    if (e < 0 && e != -ETIMEDOUT) {
        if (err)
            *err = local;
        gw_context(err, "what follows EOF, at byte %" PRIu64, at);
        return e;
    }
    r->reader.in.failed = 0;
    if (e < 0 || !got || *p != GW_ELEMENT_VMDESC)
        return 0;
    gw_reader_skip(&r->reader, 1);
    gw_grammar_step(&r->grammar, GW_ELEMENT_VMDESC, 0);
    r->reader.in.what = "the description of the devices";
    e = gw_wire_get_vmdesc(&r->reader.in, MAX_VMDESC_BYTES, &bytes, err);
    if (e >= 0)
        e = gw_get_discard(&r->reader, bytes, err);
    r->reader.in.what = NULL;
    if (e < 0)
        gw_context(err, "the description of the devices at byte %" PRIu64, at);
    return e;
}

/* EOF was read, 1 byte ago: checks that each section is complete. */
static int check_complete(struct gw_recv *r, struct gw_error *err)
{
    const struct gw_devices_ops *devices = r->session.vm->devices;
    uint64_t at = gw_reader_offset(&r->reader) - 1;

    if (devices->complete && devices->complete(r->session.vm, err) < 0) {
        gw_context(err, "the stream ends at byte %" PRIu64, at);
        return -EPROTO;
    }
    for (unsigned i = 0; i < r->plan.lives; i++) {
        struct gw_live *live = r->plan.live[i];
        enum gw_live_end end = GW_LIVE_ABSENT;
        char note[GW_LIVE_NOTE] = "";
        int e;

        for (unsigned k = 0; k < r->bounds; k++)
            if (r->bound[k].live == live)
                end = r->bound[k].ended ? GW_LIVE_ENDED : GW_LIVE_OPEN;
        if (end == GW_LIVE_OPEN) {
            pthread_mutex_lock(&r->session.lock);
            r->snapshot = true;
            pthread_mutex_unlock(&r->session.lock);
        }
        e = live->ops->check_ended(live, end, note, err);
        if (e < 0) {
            gw_context(err, "the stream ends at byte %" PRIu64, at);
            return e;
        }
        if (note[0])
            gw_session_log(&r->session, "%s", note);
    }
    return 0;
}

/* The description carries no state. A source on a socket without a return path considers the machine gone with the last
 * byte that it wrote, so a connection lost after EOF must not fail the load here. A file that is truncated there is
 * damaged. */
static int describe_if_it_can(struct gw_recv *r, struct gw_error *err)
{
    struct gw_error local = GW_ERROR_INIT;
    int e = description(r, &local);

    if (e < 0 && !r->return_path && r->listener && gw_listener_is_socket(r->listener) && local.blame == GW_BLAME_CHANNEL && local.code != -ECANCELED) {
        gw_session_log(&r->session, "the machine is whole; %s", local.text);
        return 0;
    }
    if (e < 0 && err)
        *err = local;
    return e;
}

int gw_recv_elements(struct gw_recv *r, bool session, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(&r->reader);
    int e;

    while ((e = element(r, err)) > 0) {
        if (session && r->postcopy.threaded)
            return 1;
        gw_recv_publish(r);
        e = gw_session_check(&r->session, err);
        if (e >= 0 && r->grammar == GW_GRAMMAR_POSTCOPY)
            e = gw_follow_check_idle(r, gw_reader_offset(&r->reader) - at, err);
        at = gw_reader_offset(&r->reader);
        if (e < 0)
            break;
    }
    return e;
}

void gw_recv_over(struct gw_recv *r)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (r->plan.live[i]->ops->over)
            r->plan.live[i]->ops->over(r->plan.live[i]);
}

int gw_recv_load(struct gw_recv *r, struct gw_error *err)
{
    int e;

    r->grammar = GW_GRAMMAR_SETUP;
    e = r->session.vm->devices->begin(r->session.vm, &r->head, err);
    if (e < 0)
        return e;
    gw_globalstate_set(r->session.vm->globalstate, true);
    e = gw_recv_elements(r, true, err);
    if (r->postcopy.state == GW_POSTCOPY_RUNNING)
        return gw_follow(r, e, err);
    if (e < 0)
        return e;
    r->ended = true;
    e = check_complete(r, err);
    if (e >= 0)
        gw_recv_over(r);
    if (!r->described)
        return e < 0 ? e : describe_if_it_can(r, err);
    gw_grammar_step(&r->grammar, GW_ELEMENT_EOF, 0);
    gw_grammar_step(&r->grammar, GW_ELEMENT_VMDESC, 0);
    return e;
}
