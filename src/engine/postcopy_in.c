/* SPDX-License-Identifier: MIT */
#include "engine/recv.h"
#include "wire/answer.h"
#include "wire/command.h"
#include "wire/frames.h"

#define LOOK_NS (GW_NS_PER_MS / 20) /* between two checks whether the source has received an answer */

static int advise(struct gw_recv *r, uint16_t bytes, struct gw_error *err)
{
    struct gw_wire_advise advise;
    bool any = false;
    int e;

    r->postcopy.only_bitmaps = !bytes && !r->session.vm->image;
    if (r->postcopy.only_bitmaps) /* the destination requests no pages, so no return path is needed */
        return 0;
    e = gw_advise_get(&r->reader.in, bytes, &advise, err);

    if (e < 0)
        return e;
    if (!r->plan.ways.postcopy)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "the source's capability postcopy-ram is on, and off here: set it here too (godwit receive --postcopy), or "
                       "turn it off there");
    if (!r->return_path)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "OPEN_RETURN_PATH did not come before: there is no way to ask for pages");
    if (r->plan.ways.lanes_follow && !(r->source_knows & GW_EXTENSION_LANES))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "capabilities postcopy-ram and multifd: the source does not send pages of postcopy on multifd channels (it is no "
                       "godwit, or an older one): turn one of them off on both sides");
    e = r->session.vm->guest->advised ? r->session.vm->guest->advised(r->session.vm, advise.page_bytes, err) : 0;
    for (unsigned i = 0; e >= 0 && i < r->plan.lives; i++) {
        struct gw_live *live = r->plan.live[i];

        if (!live->ops->advised)
            continue;
        e = live->ops->advised(live, advise.host_pages, advise.page_bytes, err);
        any = true;
    }
    if (e >= 0 && !any)
        e = gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "this machine has no live section that could be sent after the switch");
    return e;
}

static int discard(struct gw_recv *r, uint16_t bytes, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(&r->reader), start, n;
    char name[256];
    unsigned ranges = 0;
    int e = gw_discard_get(&r->reader.in, bytes, name, &ranges, err);

    for (unsigned k = 0; e >= 0 && k < ranges; k++) {
        at = gw_reader_offset(&r->reader);
        e = gw_discard_get_range(&r->reader.in, &start, &n, err);
        for (unsigned i = 0; e >= 0 && i < r->plan.lives; i++) {
            struct gw_live *live = r->plan.live[i];

            if (live->ops->discard && (e = live->ops->discard(live, name, start, n, err)) < 0)
                gw_context(err, "range at byte %" PRIu64, at);
            r->touched |= live->touched;
        }
    }
    return e;
}

/* ---- the package --------------------------------------------------------------------------------------------------
 */

/* Section numbers in a package are separate from those of the live sections, which continue beside it. */
static int bind_packaged(void *opaque, const struct gw_section_head *h, uint64_t at, struct gw_error *err)
{
    const struct gw_recv *r = opaque;

    gw_trace_element_get(&r->session.vm->trace, at, gw_wire_element(GW_ELEMENT_FULL), h->name);
    for (unsigned i = 0; i < r->bounds; i++)
        if (r->bound[i].id == h->id)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "section %u (%s/%u) at byte %" PRIu64 ": another section has this "
                           "id", h->id, h->name,
                           h->instance, at);
    return 0;
}

static int answer_pings(struct gw_recv *r, struct gw_error *err)
{
    uint8_t body[GW_FRAME_PONG_BYTES];
    int e = 0;

    for (unsigned i = 0; e >= 0 && i < r->postcopy.ping_count; i++) {
        gw_frame_put_pong(body, &(struct gw_frame_pong){r->postcopy.pings[i]});
        e = gw_answers_say(&r->answers, GW_RP_PONG, body, sizeof body, err);
    }
    return e;
}

/* Waits until the answer has reached the source's host (unix socket: the source). */
static bool is_heard(struct gw_recv *r)
{
    const struct gw_clock *clock = &r->session.vm->clock;
    uint64_t until_ns = gw_now_ns(clock) + GW_LAST_MESSAGE_NS;

    while (gw_channel_queued(r->channel) && !gw_channel_peer_gone(r->channel) && gw_now_ns(clock) < until_ns)
        clock->sleep_ns(clock->opaque, LOOK_NS);
    return !gw_channel_queued(r->channel);
}

static void tell(struct gw_recv *r)
{
    if (answer_pings(r, NULL) < 0)
        /* the connection is lost, and reading will report that */
        gw_session_log(&r->session, "the source was not told that the machine is here");
}

/* A godwit waits for this answer in any case, so it is sent when the start cannot fail any more. */
static int run_and_tell(struct gw_recv *r, struct gw_error *err)
{
    int e = 0;

    if (r->session.vm->guest->park)
        tell(r);
    else
        e = gw_starting_run(r, tell, err);

    if (e < 0) {
        gw_recv_give_up(r, err);
        gw_session_enter_failed(&r->session, GW_PHASE_RECV_FAILED, err);
        return e;
    }
    return 0;
}

/* The source takes the answer to the package's PING as the message that the machine is here. QEMU from 11.1 on takes
 * the machine back when the connection is lost before that (older versions have given it away with the package), so the
 * answer must have arrived before the machine starts. */
static int run(struct gw_recv *r, struct gw_error *err)
{
    const struct gw_devices_ops *devices = r->session.vm->devices;
    int e = devices->complete ? devices->complete(r->session.vm, err) : 0;

    if (e >= 0)
        e = gw_follow_commit(r, err);
    if (e < 0)
        return e;
    if (!r->extended && (answer_pings(r, NULL) < 0 || !is_heard(r)))
        r->postcopy.unheard = true;
    if (gw_follow_unsure(r))
        return 0;
    if (r->extended)
        return run_and_tell(r, err);
    return r->session.vm->guest->park ? 0 : gw_starting_run(r, NULL, err);
}

static int packaged_command(struct gw_recv *r, struct gw_reader *p, enum gw_grammar *grammar, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(p);
    const struct gw_wire_name *what;
    uint16_t bytes;
    uint32_t ping;
    int e;

    gw_reader_skip(p, 1);
    e = gw_command_get(&p->in, at, &what, &bytes, err);
    if (e < 0)
        return e;
    gw_trace_element_get(&r->session.vm->trace, at, "COMMAND", what->name);
    if (!gw_grammar_step(grammar, GW_ELEMENT_COMMAND, what->number) ||
        (what->number != GW_COMMAND_PING && !gw_postcopy_step(&r->postcopy.state, what->number)))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "command %s at byte %" PRIu64 " is not allowed here (%s, %s)", what->name, at,
                       gw_grammar_name(*grammar), gw_postcopy_name(r->postcopy.state));
    if (what->number == GW_COMMAND_POSTCOPY_LISTEN)
        return gw_follow_listen(r, err);
    if (what->number == GW_COMMAND_POSTCOPY_RUN)
        return gw_reader_buffered(p) ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "%zu bytes of the package follow RUN, its last "
                                               "command, at byte %" PRIu64,
                                               gw_reader_buffered(p), gw_reader_offset(p))
                                     : run(r, err);
    e = gw_get_u32(p, &ping, err);
    if (e >= 0 && r->postcopy.ping_count == GW_PACKAGE_PINGS)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "command PING at byte %" PRIu64 ": more than %u in the package", at,
                    GW_PACKAGE_PINGS);
    if (e >= 0)
        r->postcopy.pings[r->postcopy.ping_count++] = ping;
    return e;
}

static int packaged_devices(struct gw_recv *r, struct gw_reader *p, enum gw_grammar *grammar, struct gw_error *err)
{
    struct gw_devices_get g = {.reader = p, .packaged = true, .bind = bind_packaged, .section = gw_recv_live_section, .opaque = r};
    struct gw_vm *vm = r->session.vm;
    uint64_t at = gw_reader_offset(p);
    int e;

    if (r->postcopy.state != GW_POSTCOPY_LISTENING)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "device section at byte %" PRIu64 " before LISTEN", at);
    gw_grammar_step(grammar, GW_ELEMENT_FULL, 0);
    e = vm->devices->get(vm, &g, err);
    r->touched |= g.touched;
    return e;
}

/* Loads the package up to RUN, its end. */
static int load_package(struct gw_recv *r, struct gw_reader *p, struct gw_error *err)
{
    enum gw_grammar grammar = GW_GRAMMAR_PACKAGE;
    int e = 0;

    while (e >= 0 && grammar == GW_GRAMMAR_PACKAGE) {
        uint64_t at = gw_reader_offset(p);
        const uint8_t *type;

        e = gw_reader_need(p, 1, &type, err);
        if (e < 0)
            break;
        if (*type == GW_ELEMENT_COMMAND)
            e = packaged_command(r, p, &grammar, err);
        else if (*type == GW_ELEMENT_FULL)
            e = packaged_devices(r, p, &grammar, err);
        else
            e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "element 0x%02x (%s) at byte %" PRIu64 " is not allowed in a package", *type,
                        gw_wire_element(*type), at);
    }
    return e;
}

/* Reads all of the package before acting on any of it. */
static int package(struct gw_recv *r, struct gw_error *err)
{
    GW_AUTOFREE uint8_t *data = NULL;
    struct gw_reader p;
    uint32_t bytes;
    uint64_t at;
    int e = gw_get_u32(&r->reader, &bytes, err);

    if (e < 0)
        return e;
    at = gw_reader_offset(&r->reader);
    if (!bytes || bytes > GW_PACKAGE_MAX)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a package of %u bytes at byte %" PRIu64 ": 1 to %u are accepted", bytes, at,
                       GW_PACKAGE_MAX);
    e = gw_get_all(&r->reader, bytes, &data, err);
    if (e < 0) {
        gw_context(err, "the package of %u bytes at byte %" PRIu64, bytes, at);
        return e;
    }
    gw_reader_init_memory(&p, data, bytes, at);
    e = load_package(r, &p, err);
    gw_reader_close(&p);
    if (e < 0)
        gw_context(err, "the package of %u bytes at byte %" PRIu64, bytes, at);
    if (e < 0 && r->postcopy.threaded)
        gw_follow_abandon(r, err);
    if (!r->postcopy.threaded)
        r->grammar = GW_GRAMMAR_POSTCOPY;
    return e;
}

int gw_postcopy_in_command(struct gw_recv *r, uint16_t command, uint16_t bytes, struct gw_error *err)
{
    if (!gw_postcopy_step(&r->postcopy.state, command))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "it is not allowed now: postcopy is %s", gw_postcopy_name(r->postcopy.state));
    if (command == GW_COMMAND_POSTCOPY_ADVISE)
        r->postcopy.advised = true;
    return command == GW_COMMAND_POSTCOPY_ADVISE        ? advise(r, bytes, err)
           : command == GW_COMMAND_POSTCOPY_RAM_DISCARD ? discard(r, bytes, err)
                                                        : package(r, err);
}
