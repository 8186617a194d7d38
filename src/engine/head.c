/* SPDX-License-Identifier: MIT */
#include "engine/head.h"
#include "wire/numbers.h"

#include <stdio.h>

void gw_head_put(const struct gw_vm *vm, struct gw_writer *w)
{
    gw_writer_cause(w, GW_CAUSE_HEAD);
    gw_put_u32(w, GW_WIRE_MAGIC);
    gw_put_u32(w, GW_WIRE_VERSION);
    gw_put_u8(w, GW_ELEMENT_CONFIGURATION);
    gw_put_u32(w, (uint32_t)strlen(vm->machine));
    gw_put_bytes(w, vm->machine, strlen(vm->machine));
    if (gw_options_cap(vm->options, GW_CAP_IGNORE_SHARED)) {
        gw_put_u8(w, GW_ELEMENT_SUBSECTION);
        gw_put_str8(w, "configuration/capabilities");
        gw_put_u32(w, 1);
        gw_put_u32(w, 1);
        gw_put_str8(w, "x-ignore-shared");
    }
    if (vm->has_uuid && (vm->guest->any_machine || gw_options_cap(vm->options, GW_CAP_VALIDATE_UUID))) {
        gw_put_u8(w, GW_ELEMENT_SUBSECTION);
        gw_put_str8(w, "configuration/uuid");
        gw_put_u32(w, 1);
        gw_put_bytes(w, vm->uuid, 16);
    }
}

void gw_head_describe(const struct gw_vm *vm, struct gw_vmdesc *desc)
{
    static const char *const shared[] = {"x-ignore-shared", NULL};

    gw_vmdesc_configuration(desc, vm->machine, gw_options_cap(vm->options, GW_CAP_IGNORE_SHARED) ? shared : NULL,
                            gw_options_cap(vm->options, GW_CAP_VALIDATE_UUID) && vm->has_uuid ? vm->uuid : NULL);
}

static int capabilities(struct gw_reader *r, bool *ret_ignore_shared, struct gw_error *err)
{
    uint32_t count;
    int e = gw_get_u32(r, &count, err);

    if (e < 0)
        return e;
    if (count > GW_CAP_COUNT)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source names %u capabilities, there are %u", count,
                       GW_CAP_COUNT);
    for (uint32_t i = 0; i < count; i++) {
        char name[256];

        e = gw_get_str8(r, name, err);
        if (e < 0)
            return e;
        if (strcmp(name, "x-ignore-shared"))
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the source has capability %s on, this side cannot do it",
                           name);
        *ret_ignore_shared = true;
    }
    return 0;
}

static void uuid_text(const uint8_t *u, char *buf, size_t size)
{
    snprintf(buf, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
             u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static int uuid(const struct gw_vm *vm, struct gw_reader *r, struct gw_head *head, struct gw_error *err)
{
    char theirs[40], ours[40];
    int e = gw_get_bytes(r, head->uuid, sizeof head->uuid, err);

    head->has_uuid = e >= 0;
    if (e < 0 || vm->guest->any_machine || !vm->has_uuid || !memcmp(head->uuid, vm->uuid, sizeof head->uuid))
        return e;
    uuid_text(head->uuid, theirs, sizeof theirs);
    uuid_text(vm->uuid, ours, sizeof ours);
    return gw_fail(err, -EPROTO, GW_BLAME_PEER, "UUID received is %s and local is %s", theirs, ours);
}

static int subsection(const struct gw_vm *vm, struct gw_reader *r, struct gw_head *head, bool *ret_ignore_shared,
                      struct gw_error *err)
{
    uint32_t version, bits;
    char name[256];
    int e;

    gw_reader_skip(r, 1);
    e = gw_get_str8(r, name, err);
    if (e >= 0)
        e = gw_get_u32(r, &version, err);
    if (e < 0)
        return e;
    if (version != 1)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "%s has version %u, 1 is known", name, version);
    if (!strcmp(name, "configuration/capabilities"))
        return capabilities(r, ret_ignore_shared, err);
    if (!strcmp(name, "configuration/uuid"))
        return uuid(vm, r, head, err);
    if (strcmp(name, "configuration/target-page-bits"))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "subsection %s of the configuration is not known here", name);
    e = gw_get_u32(r, &bits, err);
    if (e >= 0 && bits != vm->ram.page_bits)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "pages have %u bits on the source and %u here", bits,
                    vm->ram.page_bits);
    return e;
}

static int configuration(const struct gw_vm *vm, struct gw_reader *r, struct gw_head *head, struct gw_error *err)
{
    bool ignore_shared = false, here = gw_options_cap(vm->options, GW_CAP_IGNORE_SHARED);
    char *name = head->machine;
    uint32_t n;
    int e = gw_get_u32(r, &n, err);

    if (e < 0)
        return e;
    if (!n || n > 255)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the machine type's name has %u bytes, at most 255 are allowed", n);
    e = gw_get_bytes(r, name, n, err);
    if (e < 0)
        return e;
    name[n] = 0;
    if (strlen(name) != n || (!vm->guest->any_machine && strcmp(name, vm->machine))) {
        for (char *p = name; *p; p++)
            *p = *p < ' ' || *p > '~' ? '?' : *p;
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "Machine type received is '%s' and local is '%s'", name,
                       vm->machine);
    }
    for (;;) {
        const uint8_t *p;

        e = gw_reader_need(r, 1, &p, err);
        if (e < 0)
            return e;
        if (*p != GW_ELEMENT_SUBSECTION)
            break;
        e = subsection(vm, r, head, &ignore_shared, err);
        if (e < 0)
            return e;
    }
    if (ignore_shared != here)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "capability x-ignore-shared is %s on the source and %s here",
                       ignore_shared ? "on" : "off", here ? "on" : "off");
    return 0;
}

static int get(const struct gw_vm *vm, struct gw_reader *r, struct gw_head *head, struct gw_error *err)
{
    uint32_t magic, version;
    uint8_t type;
    int e;

    e = gw_get_u32(r, &magic, err);
    if (e >= 0 && magic == GW_WIRE_MULTIFD_MAGIC)
        e = gw_fail(err, -ENOTSUP, GW_BLAME_PEER, "a multifd channel, and multifd is off here");
    if (e >= 0 && magic != GW_WIRE_MAGIC)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "not a migration stream: it begins with 0x%08x, not 0x%08x", magic,
                    GW_WIRE_MAGIC);
    if (e >= 0)
        e = gw_get_u32(r, &version, err);
    if (e >= 0 && version != GW_WIRE_VERSION)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "stream version %u, %u is known", version, GW_WIRE_VERSION);
    if (e >= 0)
        e = gw_get_u8(r, &type, err);
    if (e >= 0 && type != GW_ELEMENT_CONFIGURATION && vm->guest->any_machine)
        return gw_fail(
            err, -ENOTSUP, GW_BLAME_PEER,
            "no configuration section but element 0x%02x: machine types up to 2.3 have none; let QEMU write such a "
            "machine into a file (migrate \"exec:cat >FILE\"), which godwit convert takes",
            type);
    if (e >= 0 && type != GW_ELEMENT_CONFIGURATION)
        e = gw_fail(err, -EPROTO, GW_BLAME_PEER, "configuration expected, found element 0x%02x", type);
    return e < 0 ? e : configuration(vm, r, head, err);
}

int gw_head_get(const struct gw_vm *vm, struct gw_reader *r, struct gw_head *ret_head, struct gw_error *err)
{
    int e;

    *ret_head = (struct gw_head){0};
    r->in.what = "the head";
    e = get(vm, r, ret_head, err);
    if (e < 0)
        gw_context(err, "the head, at byte %" PRIu64, gw_reader_offset(r));
    r->in.what = NULL;
    return e;
}
