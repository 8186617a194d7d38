/* SPDX-License-Identifier: MIT */
#include "engine/head.h"

#include <stdio.h>

#include "engine/plan.h"
#include "image/image.h"

static void head_of(const struct gw_vm *vm, struct gw_wire_head *head)
{
    struct gw_plan_announced told[GW_PLAN_ANNOUNCED];

    gw_plan_announced(vm->options, told);
    if (vm->image) {
        gw_image_head(vm->image, head);
    } else {
        head->configured = !(vm->without & GW_STREAM_CONFIGURATION);
        gw_strcopy(head->machine, sizeof head->machine, vm->machine);
        head->page_bits = vm->ram.page_bits != vm->least_page_bits ? vm->ram.page_bits : 0;
        head->has_uuid = vm->has_uuid && gw_plan_uuid(vm->options);
        memcpy(head->uuid, vm->uuid, sizeof head->uuid);
    }
    for (size_t i = 0; i < GW_PLAN_ANNOUNCED; i++)
        if (told[i].on)
            gw_head_add_capability(head, told[i].name);
}

void gw_vm_head_put(const struct gw_vm *vm, struct gw_writer *w)
{
    struct gw_wire_head head = {0};

    head_of(vm, &head);
    gw_writer_cause(w, GW_CAUSE_HEAD);
    gw_head_put(&w->out, &head);
}

void gw_vm_head_describe(const struct gw_vm *vm, struct gw_vmdesc *desc)
{
    struct gw_plan_announced told[GW_PLAN_ANNOUNCED];
    const char *names[GW_PLAN_ANNOUNCED + 1];
    unsigned n = 0;

    gw_plan_announced(vm->options, told);
    for (size_t i = 0; i < GW_PLAN_ANNOUNCED; i++)
        if (told[i].on)
            names[n++] = told[i].name;
    names[n] = NULL;
    gw_vmdesc_configuration(desc, vm->machine, n ? names : NULL,
                            gw_plan_uuid(vm->options) && vm->has_uuid ? vm->uuid : NULL);
}

static void uuid_text(const uint8_t *u, char *buf, size_t size)
{
    snprintf(buf, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
             u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

/* Whether the part of the source's head that was read so far fits this machine. */
static int judge(const struct gw_vm *vm, const struct gw_wire_head *head, struct gw_error *err)
{
    char theirs[40], ours[40];

    if (vm->guest->at_rest)
        return 0;
    if (strcmp(head->machine, vm->machine))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source's machine type is %s, this machine's is %s", head->machine,
                       vm->machine);
    if (head->unknown[0])
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "subsection %s (version %u) of the configuration is not known here",
                       head->unknown, head->unknown_version);
    if (!head->has_uuid || !vm->has_uuid || !memcmp(head->uuid, vm->uuid, sizeof head->uuid))
        return 0;
    uuid_text(head->uuid, theirs, sizeof theirs);
    uuid_text(vm->uuid, ours, sizeof ours);
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source's UUID is %s, this machine's is %s", theirs, ours);
}

static bool is_told(const struct gw_plan_announced *told, const char *name)
{
    for (size_t i = 0; i < GW_PLAN_ANNOUNCED; i++)
        if (!strcmp(told[i].name, name))
            return true;
    return false;
}

/* The same for the whole head, for every kind of machine. */
static int judge_whole(const struct gw_vm *vm, const struct gw_wire_head *head, struct gw_error *err)
{
    struct gw_plan_announced told[GW_PLAN_ANNOUNCED];
    unsigned bits = head->page_bits ? head->page_bits : vm->least_page_bits;

    if (!head->configured && !vm->guest->at_rest)
        return 0; /* the head does not contain the page size */
    gw_plan_announced(vm->options, told);
    for (unsigned i = 0; i < head->capability_count; i++)
        if (!is_told(told, head->capabilities[i]))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "capability %s is on at the source, and not supported here: turn it off there",
                           head->capabilities[i]);
    if (!vm->guest->at_rest && bits != vm->ram.page_bits)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "pages have %u bits on the source and %u here", bits,
                       vm->ram.page_bits);
    for (size_t i = 0; i < GW_PLAN_ANNOUNCED; i++) {
        bool there = gw_head_has_capability(head, told[i].name);

        if (there != told[i].on)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "capability %s is %s at the source and %s here", told[i].name,
                           there ? "on" : "off", told[i].on ? "on" : "off");
    }
    return 0;
}

static int get(const struct gw_vm *vm, struct gw_in *in, struct gw_wire_head *head, struct gw_error *err)
{
    const uint8_t *p = NULL;
    int e = gw_head_begin(in, head, err), more = 1;

    bool configured = !(vm->without & GW_STREAM_CONFIGURATION);

    if (e >= 0 && !vm->guest->at_rest && head->configured && !configured)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                       "the stream has a configuration section (machine type %s), which this machine does not expect",
                       head->machine);
    if (e >= 0 && !vm->guest->at_rest && !head->configured && configured) {
        e = gw_in_need(in, 1, &p, err);
        return e < 0 ? e
                     : gw_fail(err, -EPROTO, GW_BLAME_PEER, "the stream has no configuration section, but element 0x%02x: the "
                               "source has an old machine type, or was told to leave the section out",
                               *p);
    }
    while (e >= 0 && head->configured && more > 0) {
        e = judge(vm, head, err);
        if (e >= 0)
            e = more = gw_head_next(in, head, err);
    }
    return e < 0 ? e : judge_whole(vm, head, err);
}

int gw_vm_head_get(const struct gw_vm *vm, struct gw_reader *r, struct gw_wire_head *ret_head, struct gw_error *err)
{
    int e;

    r->in.what = "the head";
    e = get(vm, &r->in, ret_head, err);
    if (e < 0)
        gw_context(err, "the head, at byte %" PRIu64, gw_reader_offset(r));
    r->in.what = NULL;
    return e;
}
