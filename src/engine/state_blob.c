/* SPDX-License-Identifier: MIT
 *
 * Device state alone (S12): the head, the FULL sections, EOF and the description; RAM stays where it is.
 */
#include "engine/head.h"
#include "wire/numbers.h"
#include "wire/section.h"

static int put_devices(struct gw_vm *vm, struct gw_writer *w, struct gw_vmdesc *desc, struct gw_error *err)
{
    const char *text;
    size_t bytes;
    int r;

    gw_vm_head_put(vm, w);
    r = vm->devices->put(vm, GW_DEVICES_FIRST, w, desc, err);
    if (r >= 0)
        r = vm->devices->put(vm, GW_DEVICES_EARLY, w, desc, err);
    if (r >= 0)
        r = vm->devices->put(vm, GW_DEVICES_LATE, w, desc, err);
    if (r >= 0)
        r = vm->devices->describe(vm, desc, &text, &bytes, err);
    if (r < 0)
        return r;
    gw_put_u8(w, GW_ELEMENT_EOF);
    gw_wire_put_vmdesc(&w->out, text, bytes);
    return gw_writer_flush(w, err);
}

int gw_state_save(struct gw_vm *vm, void **ret_blob, size_t *ret_bytes, struct gw_error *err)
{
    struct gw_vmdesc *desc = NULL;
    struct gw_writer w;
    int r;

    if (gw_vm_running(vm))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "device state can be saved only while the machine is stopped");
    r = gw_vm_begin(vm, true, err);
    if (r < 0)
        return r;
    gw_globalstate_set(vm->globalstate, false);
    r = gw_writer_init_memory(&w, err);
    if (r >= 0)
        r = gw_vmdesc_new(vm->ram.page_bytes, &desc, err);
    if (r >= 0)
        r = put_devices(vm, &w, desc, err);
    if (r >= 0)
        *ret_blob = gw_writer_take(&w, ret_bytes);
    gw_vmdesc_free(desc);
    gw_writer_close(&w);
    gw_vm_end(vm);
    return r;
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
    int e = gw_vm_head_get(vm, r, &head, err);

    if (e >= 0)
        e = vm->devices->begin(vm, &head, err);
    if (e < 0)
        return e;
    e = get_devices(vm, r, err);
    if (e < 0)
        vm->devices->forget(vm);
    return e;
}

int gw_state_load(struct gw_vm *vm, const void *blob, size_t bytes, struct gw_error *err)
{
    struct gw_reader r;
    int e;

    if (gw_vm_running(vm))
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "device state can be loaded only while the machine is stopped");
    e = gw_vm_begin(vm, false, err);
    if (e < 0)
        return e;
    gw_reader_init_memory(&r, blob, bytes, 0);
    e = get(vm, &r, err);
    gw_reader_close(&r);
    gw_vm_end(vm);
    return e;
}
