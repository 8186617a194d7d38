/* SPDX-License-Identifier: MIT */
#include "engine/head.h"
#include "engine/pages.h"
#include "engine/send.h"
#include "wire/command.h"
#include "wire/frames.h"
#include "wire/section.h"

#include <assert.h>

static void step(struct gw_send *s, uint8_t element, uint16_t command)
{
    bool legal = gw_grammar_step(&s->grammar, element, command);

    assert(legal);
    (void)legal;
}

void gw_send_command(struct gw_send *s, uint16_t command, const void *payload, uint16_t bytes)
{
    gw_writer_cause(&s->writer, GW_CAUSE_HEAD);
    gw_trace_element_put(&s->session.vm->trace, gw_writer_offset(&s->writer), "COMMAND", gw_wire_command(command)->name);
    step(s, GW_ELEMENT_COMMAND, command);
    gw_command_put(&s->writer.out, command, payload, bytes);
}

void gw_send_ping(struct gw_send *s, uint32_t value)
{
    uint8_t payload[GW_FRAME_PING_BYTES];

    s->pings++;
    s->ping_queued = true;
    gw_frame_put_ping(payload, &(struct gw_frame_ping){value});
    gw_send_command(s, GW_COMMAND_PING, payload, sizeof payload);
}

void gw_send_section(struct gw_send *s, enum gw_section_kind kind, const struct gw_live *l)
{
    struct gw_section_head head = {.id = l->section_id, .version = l->ops->version};

    gw_writer_cause(&s->writer, GW_CAUSE_HEAD);
    gw_trace_element_put(&s->session.vm->trace, gw_writer_offset(&s->writer), gw_wire_element((uint8_t)kind), l->ops->id);
    step(s, (uint8_t)kind, 0);
    gw_strcopy(head.name, sizeof head.name, l->ops->id);
    if (kind == GW_SECTION_START)
        gw_section_put_head(&s->writer.out, GW_ELEMENT_START, &head);
    else
        gw_section_put_part(&s->writer.out, (uint8_t)kind, l->section_id);
}

void gw_send_footer(struct gw_send *s, const struct gw_live *l)
{
    gw_writer_cause(&s->writer, GW_CAUSE_HEAD);
    if (!(s->session.vm->without & GW_STREAM_FOOTERS))
        gw_section_put_footer(&s->writer.out, l->section_id);
}

int gw_send_devices(struct gw_send *s, enum gw_devices_place place, struct gw_error *err)
{
    struct gw_vm *vm = s->session.vm;

    gw_writer_cause(&s->writer, GW_CAUSE_DEVICE);
    return vm->devices->put(vm, place, &s->writer, s->desc, err);
}

int gw_send_flush(struct gw_send *s, struct gw_error *err)
{
    if (s->ping_queued)
        s->ping_ns = gw_now_ns(&s->session.vm->clock);
    s->ping_queued = false;
    return gw_writer_flush(&s->writer, err);
}

static int open_return_path(struct gw_send *s, struct gw_error *err)
{
    bool asked = s->plan.ways.return_path || s->plan.requests;
    bool duplex = s->channel->features & GW_CHANNEL_DUPLEX;
    int r;

    if (s->plan.snapshot) /* no answer is needed: the machine does not change hands */
        return 0;
    if (asked && !duplex)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "capability %s: %s carries one direction only; turn the capability off",
                       s->plan.requests ? "postcopy-ram" : "return-path", s->channel->name);
    if (!asked && !(s->profile->open_return_path && duplex && !(s->channel->features & GW_CHANNEL_COMMAND)))
        return 0;
    r = gw_rp_start(&s->rp, &s->session, s->channel, s->profile->ask_extensions, s->plan.requests, err);
    if (r < 0)
        return r;
    gw_send_command(s, GW_COMMAND_OPEN_RETURN_PATH, NULL, 0);
    if (s->profile->ask_extensions)
        gw_send_ping(s, GW_PING_COOKIE);
    gw_send_ping(s, s->profile->ask_extensions ? (uint32_t)GW_EXTENSIONS : 1);
    if (s->plan.requests)
        gw_send_advise(s);
    return 0;
}

int gw_send_connect(struct gw_send *s, struct gw_error *err)
{
    int r;

    if (s->has_uri) {
        r = gw_connect(&s->uri, s->timeout_ns, s->session.cancel, &s->channel, err);
        if (r < 0)
            return r;
    }
    gw_channel_set_timeout(s->channel, s->timeout_ns);
    gw_session_set_channel(&s->session, s->channel);
    r = gw_session_check_file(&s->session, s->channel, err);
    if (r >= 0)
        r = gw_preempt_open(s, true, err);
    return r < 0 ? r : gw_session_check(&s->session, err);
}

int gw_send_begin_writing(struct gw_send *s, struct gw_error *err)
{
    uint64_t in;
    int r = gw_writer_init(&s->writer, s->channel, err);

    if (r < 0)
        return r;
    s->writing = true;
    s->writer.account = &s->account;
    gw_channel_bytes(s->channel, &in, &s->out_before);
    return 0;
}

int gw_send_setup(struct gw_send *s, struct gw_error *err)
{
    struct gw_vm *vm = s->session.vm;
    int r = gw_send_connect(s, err);

    if (r < 0)
        return r;
    gw_session_enter(&s->session, GW_PHASE_SETUP);
    r = gw_vm_notify(vm, GW_NOTIFY_SETUP, err);
    if (r >= 0)
        r = gw_send_begin_writing(s, err);
    if (r < 0)
        return r;
    gw_vm_head_put(vm, &s->writer);
    r = open_return_path(s, err);
    if (r >= 0)
        r = gw_vmdesc_new(vm->ram.page_bytes, &s->desc, err);
    if (r >= 0 && s->profile->vmdesc_configuration)
        gw_vm_head_describe(vm, s->desc);
    if (r >= 0)
        r = gw_send_devices(s, GW_DEVICES_FIRST, err);
    /* Send this before other channels are dialled: the destination should know to which machine they belong. */
    if (r >= 0)
        r = gw_send_flush(s, err);
    if (r >= 0)
        r = gw_pages_agree(s, err);
    for (unsigned i = 0; r >= 0 && i < s->plan.lives; i++) {
        gw_send_section(s, GW_SECTION_START, s->plan.live[i]);
        r = s->plan.live[i]->ops->setup(s->plan.live[i], &s->writer, err);
        gw_send_footer(s, s->plan.live[i]);
    }
    if (r >= 0 && !s->plan.snapshot)
        r = gw_send_first_round(s, err);
    if (r >= 0)
        r = gw_send_devices(s, GW_DEVICES_EARLY, err);
    if (r >= 0)
        r = gw_send_flush(s, err);
    s->setup_offset = gw_writer_offset(&s->writer);
    return r;
}
