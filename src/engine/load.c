/* SPDX-License-Identifier: MIT */
#include "engine/recv.h"
#include "image/image.h"
#include "wire/answer.h"
#include "wire/command.h"
#include "wire/frames.h"
#include "wire/section.h"

#define MAX_SECTIONS     4096u
#define MAX_VMDESC_BYTES (64u * 1024 * 1024)
/* A footer, the head of the next section and that of its first record. */
#define READAHEAD_LIVE 64u

static struct gw_bound *find(struct gw_recv *r, uint32_t id)
{
    for (unsigned i = 0; i < r->bounds; i++)
        if (r->bound[i].id == id && !r->bound[i].unnumbered)
            return &r->bound[i];
    return NULL;
}

static int bind(struct gw_recv *r, const struct gw_section_head *h, struct gw_live *live, uint64_t at,
                struct gw_error *err)
{
    if (find(r, h->id))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "section %u (%s/%u) at byte %" PRIu64 ": the id is taken", h->id,
                       h->name, h->instance, at);
    if (r->bounds >= MAX_SECTIONS)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "more than %u sections", MAX_SECTIONS);
    if (!(r->bounds & (r->bounds - 1))) {
        struct gw_bound *grown = realloc(r->bound, GW_MAX(r->bounds * 2, 1) * sizeof *grown);

        if (!grown)
            return gw_nomem(err, "list of sections");
        r->bound = grown;
    }
    r->bound[r->bounds++] = (struct gw_bound){.id = h->id, .live = live};
    return 0;
}

static struct gw_live *find_live(struct gw_recv *r, const char *idstr)
{
    for (unsigned i = 0; i < r->plan.lives; i++)
        if (!strcmp(r->plan.live[i]->ops->id, idstr))
            return r->plan.live[i];
    return NULL;
}

static int bind_device(void *opaque, const struct gw_section_head *h, uint64_t at, struct gw_error *err)
{
    gw_trace_element_get(&((struct gw_recv *)opaque)->session.vm->trace, at, gw_wire_element(GW_ELEMENT_FULL), h->name);
    return bind(opaque, h, NULL, at, err);
}

/* A section is over. The first one of a machine that is received at rest shows whether they have footers. */
static int end_section(struct gw_recv *r, uint32_t id, const char *name, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    const uint8_t *p = NULL;
    int e = 0;

    if (vm->guest->at_rest && !r->footers_seen) {
        e = gw_reader_need(&r->reader, 1, &p, err);
        if (e < 0)
            return e;
        vm->image->footers = *p == GW_ELEMENT_FOOTER;
        vm->without = vm->image->footers ? 0 : GW_STREAM_FOOTERS;
        r->footers_seen = true;
    }
    return vm->without & GW_STREAM_FOOTERS ? 0 : gw_section_get_footer(&r->reader.in, id, name, err);
}

bool gw_recv_live_section(void *recv, const char *name, uint32_t *ret_id)
{
    const struct gw_recv *r = recv;

    for (unsigned i = 0; i < r->bounds; i++) {
        if (!r->bound[i].live || strcmp(r->bound[i].live->ops->id, name))
            continue;
        *ret_id = r->bound[i].id;
        return true;
    }
    return false;
}

static struct gw_devices_get reader_of(struct gw_recv *r)
{
    return (struct gw_devices_get){.reader = &r->reader,
                                   .channel = r->channel,
                                   .description_wait_ns = r->vmdesc_wait_ns,
                                   .timeout_ns = r->timeout_ns,
                                   .bind = bind_device,
                                   .section = gw_recv_live_section,
                                   .opaque = r};
}

/* An element of a live section that only its own program knows. h: of a START all of it, else the number. */
static int unknown(struct gw_recv *r, uint8_t element, const struct gw_section_head *h, uint64_t at, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    struct gw_image_progress seen = {0};
    struct gw_devices_get g = reader_of(r);
    int e = element == GW_ELEMENT_START ? bind(r, h, NULL, at, err) : 0;

    if (element == GW_ELEMENT_START && e >= 0)
        r->bound[r->bounds - 1].unknown = true;
    for (unsigned i = 0; i < r->bounds; i++) {
        seen.listed |= r->bound[i].live != NULL; /* RAM is all that such a machine has */
        seen.begun |= r->bound[i].live && r->bound[i].begun;
        seen.ended |= r->bound[i].live && r->bound[i].ended;
    }
    if (e >= 0)
        e = vm->devices->unknown(vm, &g, element, h, &seen, err);
    if (e >= 0)
        e = end_section(r, h->id, "which is not known here", err);
    if (e < 0)
        gw_context(err, "live section %u at byte %" PRIu64, h->id, at);
    return e;
}

/* What the source understands is known: it can be told why it will not succeed. */
static int heard(struct gw_recv *r, struct gw_error *err)
{
    r->heard = true;
    return gw_pages_check(r, err);
}

static int start(struct gw_recv *r, uint64_t at, struct gw_error *err)
{
    struct gw_section_head h;
    struct gw_live *live;
    struct gw_vm *vm = r->session.vm;
    struct gw_devices_get g;
    int e = gw_section_get_head(&r->reader.in, &h, err);

    if (e < 0) {
        gw_context(err, "head of the section at byte %" PRIu64, at);
        return e;
    }
    gw_trace_element_get(&r->session.vm->trace, at, gw_wire_element(GW_ELEMENT_START), h.name);
    live = find_live(r, h.name);
    for (unsigned i = 0; live && i < r->bounds; i++)
        if (r->bound[i].live == live)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "section %s at byte %" PRIu64 " was started before", h.name,
                           at);
    if (!live && vm->devices->unknown)
        return unknown(r, GW_ELEMENT_START, &h, at, err);
    if (!live || h.instance)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "section %s/%u at byte %" PRIu64 " (START): this machine has no such live state", h.name,
                       h.instance, at);
    if (h.version != live->ops->version)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "section %s at byte %" PRIu64 " has version %u, %u is known",
                       h.name, at, h.version, live->ops->version);
    e = bind(r, &h, live, at, err);
    if (e < 0)
        return e;
    e = heard(r, err);
    if (e < 0)
        return e;
    live->touched = false;
    g = reader_of(r);
    e = vm->devices->ram_begins && !strcmp(h.name, "ram") ? vm->devices->ram_begins(vm, &g, h.id, err) : 0;
    if (e >= 0)
        e = live->ops->load_setup(live, err);
    if (e >= 0)
        e = live->ops->load(live, GW_SECTION_START, &r->reader, err);
    r->touched |= live->touched;
    if (e >= 0)
        e = end_section(r, h.id, h.name, err);
    if (e < 0)
        gw_context(err, "section %s/%u at byte %" PRIu64, h.name, h.instance, at);
    return e;
}

/* PART and END. */
static int numbered(struct gw_recv *r, enum gw_section_kind kind, uint64_t at, struct gw_error *err)
{
    struct gw_bound *b;
    uint32_t id;
    int e = gw_get_u32(&r->reader, &id, err);

    if (e < 0) {
        gw_context(err, "head of the section at byte %" PRIu64, at);
        return e;
    }
    b = find(r, id);
    for (unsigned i = 0; !b && i < r->bounds; i++)
        if (r->bound[i].unnumbered) {
            b = &r->bound[i];
            b->id = id;
            b->unnumbered = false;
        }
    if (b && b->unknown && !b->ended) {
        b->ended = kind == GW_SECTION_END;
        return unknown(r, (uint8_t)kind, &(struct gw_section_head){.id = id}, at, err);
    }
    gw_trace_element_get(&r->session.vm->trace, at, gw_wire_element((uint8_t)kind), b && b->live ? b->live->ops->id : "?");
    if (!b || !b->live)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s section at byte %" PRIu64 ": %u was never started",
                       gw_wire_element((uint8_t)kind), at, id);
    if (b->ended && !r->postcopy.only_bitmaps) /* QEMU ends RAM twice then */
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s section at byte %" PRIu64 ": %u (%s) has ended before",
                       gw_wire_element((uint8_t)kind), at, id, b->live->ops->id);
    b->begun = true;
    b->ended = kind == GW_SECTION_END;
    e = b->live->ops->load(b->live, kind, &r->reader, err);
    r->touched |= b->live->touched;
    if (e >= 0)
        e = end_section(r, id, b->live->ops->id, err);
    if (e < 0)
        gw_context(err, "section %s (%s) at byte %" PRIu64, b->live->ops->id, gw_wire_element((uint8_t)kind), at);
    return e;
}

int gw_recv_shut(struct gw_recv *r, const struct gw_error *failure, struct gw_error *err)
{
    uint8_t body[GW_FRAME_SHUT_BYTES];

    if (failure && atomic_exchange(&r->refused, true))
        return -EALREADY; /* another thread says it, before it ends */
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
    if (e < 0 && r->postcopy.state != GW_POSTCOPY_NONE) { /* what was sent before is here for all that, perhaps with the package */
        r->postcopy.unheard = true;
        e = 0;
    }
    if (r->told_cookie)
        r->source_knows = ping.value;
    r->told_cookie = ping.value == GW_PING_COOKIE;
    if (e >= 0 && !r->told_cookie)
        e = heard(r, err);
    if (e < 0 || !r->told_cookie)
        return e;
    r->extended = true;
    gw_frame_put_hello(body, &hello);
    return gw_answers_say(&r->answers, GW_RP_GODWIT_HELLO, body, sizeof body, err);
}

static int open_return_path(struct gw_recv *r, struct gw_error *err)
{
    if (!(r->channel->features & GW_CHANNEL_DUPLEX))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source wants a return path, %s carries one direction only",
                       r->channel->name);
    if (r->return_path)
        return 0; /* said twice: once is enough */
    r->return_path = true;
    gw_answers_open(&r->answers, r->channel);
    /* No device of ours wants the switch-over put off. */
    return gw_options_cap(r->session.vm->options, GW_CAP_SWITCHOVER_ACK)
               ? gw_answers_say(&r->answers, GW_RP_SWITCHOVER_ACK, NULL, 0, err)
               : 0;
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
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "command %s at byte %" PRIu64 " may not come here (%s)", what->name,
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
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "command %s at byte %" PRIu64 " was not agreed on", what->name,
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

/* FULL: its type is still to be read. 1 go on, 0 EOF was there too. */
static int device(struct gw_recv *r, bool early, struct gw_error *err)
{
    struct gw_vm *vm = r->session.vm;
    struct gw_devices_get g = reader_of(r);
    int e;

    g.early = early;
    e = vm->devices->get(vm, &g, err);
    gw_channel_set_timeout(r->channel, r->timeout_ns);
    r->touched |= g.touched;
    r->described = e >= 0 && g.ended;
    return e < 0 ? e : !g.ended;
}

/* One element: 1 go on, 0 EOF. */
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
        if (e != -ENODATA) /* which says it itself */
            gw_context(err, "the next element");
        return e;
    }
    type = *next;
    early = r->grammar == GW_GRAMMAR_SETUP;
    if (type != GW_ELEMENT_COMMAND && !gw_grammar_step(&r->grammar, type, 0))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "element 0x%02x (%s) at byte %" PRIu64 " may not come here (%s)",
                       type, gw_wire_element(type), at, gw_grammar_name(r->grammar));
    /* Behind a live section more pages are likely: they shall not pass through the buffer. */
    r->reader.readahead = type == GW_ELEMENT_START || type == GW_ELEMENT_PART ? READAHEAD_LIVE : GW_READER_CAP;
    if (type == GW_ELEMENT_FULL)
        return device(r, early, err);
    gw_reader_skip(&r->reader, 1);
    switch (type) {
    case GW_ELEMENT_START:
        e = start(r, at, err);
        break;
    case GW_ELEMENT_PART:
    case GW_ELEMENT_END:
        e = numbered(r, (enum gw_section_kind)type, at, err);
        break;
    case GW_ELEMENT_COMMAND:
        e = gw_recv_command(r, at, err);
        break;
    default:
        return 0;
    }
    return e < 0 ? e : 1;
}

/* What stands behind EOF when the other side describes its devices. Without a return path a source that does not may
 * just close, or leave the connection open: it has a second to show. */
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

/* EOF was read, 1 byte ago: each section says whether it is complete. */
static int check_complete(struct gw_recv *r, struct gw_error *err)
{
    uint64_t at = gw_reader_offset(&r->reader) - 1;

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

/* The description carries no state. A source at a socket that cannot hear from us counts the machine as gone with the last
 * byte it wrote: it must not get lost here because the connection was lost behind EOF. A file that is cut there is damaged.
 */
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
    if (!r->described)
        return e < 0 ? e : describe_if_it_can(r, err);
    gw_grammar_step(&r->grammar, GW_ELEMENT_EOF, 0);
    gw_grammar_step(&r->grammar, GW_ELEMENT_VMDESC, 0);
    return e;
}
