/* SPDX-License-Identifier: MIT
 *
 * Device state alone (S12): magic and version, the FULL sections, EOF; RAM is not included. QEMU's
 * xen-save-devices-state writes the same. The sections of an image cannot be separated without a description, so its
 * state also has the configuration section and the description; both are read for every machine.
 */
#include "engine/head.h"
#include "wire/numbers.h"
#include "wire/section.h"

static int put_devices(struct gw_vm *vm, struct gw_writer *w, struct gw_vmdesc *desc, struct gw_error *err)
{
    static const struct gw_wire_head bare;
    const char *text = NULL;
    size_t bytes = 0;
    int r;

    if (vm->guest->at_rest)
        gw_vm_head_put(vm, w);
    else
        gw_head_put(&w->out, &bare);
    r = vm->devices->put(vm, GW_DEVICES_FIRST, w, desc, err);
    if (r >= 0)
        r = vm->devices->put(vm, GW_DEVICES_EARLY, w, desc, err);
    if (r >= 0)
        r = vm->devices->put(vm, GW_DEVICES_LATE, w, desc, err);
    if (r >= 0 && vm->guest->at_rest)
        r = vm->devices->describe(vm, desc, &text, &bytes, err);
    if (r < 0)
        return r;
    gw_put_u8(w, GW_ELEMENT_EOF);
    if (bytes)
        gw_wire_put_vmdesc(&w->out, text, bytes);
    return gw_writer_flush(w, err);
}

/* The machine is stopped. */
static int save(struct gw_vm *vm, void **ret_blob, size_t *ret_bytes, struct gw_error *err)
{
    struct gw_vmdesc *desc = NULL;
    struct gw_writer w;
    int r = gw_writer_init_memory(&w, err);

    gw_globalstate_set(vm->globalstate, true); /* it runs after it was loaded */
    if (r >= 0)
        r = gw_vmdesc_new(vm->ram.page_bytes, &desc, err);
    if (r >= 0)
        r = put_devices(vm, &w, desc, err);
    if (r >= 0)
        *ret_blob = gw_writer_take(&w, ret_bytes);
    gw_vmdesc_free(desc);
    gw_writer_close(&w);
    return r;
}

int gw_state_save(struct gw_vm *vm, void **ret_blob, size_t *ret_bytes, struct gw_error *err)
{
    bool ran = gw_vm_running(vm);
    void *blob = NULL;
    size_t bytes = 0;
    int r = gw_vm_begin(vm, true, err), e = 0;

    if (r < 0)
        return r;
    r = ran ? gw_vm_stop(vm, err) : 0;
    if (r >= 0)
        r = save(vm, &blob, &bytes, err);
    if (ran && !gw_vm_running(vm))
        e = gw_vm_start(vm, r < 0 ? NULL : err);
    gw_vm_end(vm);
    if (r < 0 || e < 0) {
        free(blob);
        return r < 0 ? r : e;
    }
    *ret_blob = blob;
    *ret_bytes = bytes;
    return 0;
}

static int get_devices(struct gw_vm *vm, struct gw_reader *r, struct gw_error *err)
{
    int e = 0;

    while (e >= 0) {
        struct gw_devices_get g = {.reader = r};
        uint64_t at = gw_reader_offset(r);
        const uint8_t *type;

        e = gw_reader_need(r, 1, &type, err);
        if (e < 0 || *type == GW_ELEMENT_EOF)
            break;
        if (*type != GW_ELEMENT_FULL)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "element 0x%02x at byte %" PRIu64 ": a file of device state has devices only", *type, at);
        e = vm->devices->get(vm, &g, err);
        if (e < 0)
            gw_context(err, "device state at byte %" PRIu64, at);
        else if (g.ended)
            break;
    }
    return e;
}

static int get(struct gw_vm *vm, struct gw_reader *r, struct gw_error *err)
{
    struct gw_wire_head head;
    const uint8_t *p;
    int e = gw_reader_need(r, 9, &p, err);

    if (e >= 0)
        e = p[8] == GW_ELEMENT_CONFIGURATION ? gw_vm_head_get(vm, r, &head, err) : gw_head_begin(&r->in, &head, err);
    if (e >= 0)
        e = vm->devices->begin(vm, &head, err);
    if (e < 0)
        return e;
    e = get_devices(vm, r, err);
    if (e >= 0 && vm->devices->complete)
        e = vm->devices->complete(vm, err);
    if (e < 0)
        vm->devices->forget(vm);
    return e;
}

int gw_state_load(struct gw_vm *vm, const void *blob, size_t bytes, struct gw_error *err)
{
    struct gw_reader r;
    int e;

    if (gw_vm_running(vm))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "the devices of a machine that runs cannot be changed: stop it first");
    e = gw_vm_begin(vm, false, err);
    if (e < 0)
        return e;
    gw_reader_init_memory(&r, blob, bytes, 0);
    e = get(vm, &r, err);
    gw_reader_close(&r);
    gw_vm_end(vm);
    return e;
}
