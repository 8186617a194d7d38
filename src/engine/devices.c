/* SPDX-License-Identifier: MIT
 *
 * Device state alone (S12): the head, the FULL sections, EOF and the description; RAM stays where it is.
 */
#include "engine/head.h"
#include "state/section.h"
#include "wire/numbers.h"

static int put_devices(struct gw_vm *vm, struct gw_writer *w, struct gw_vmdesc *desc, struct gw_error *err)
{
    const char *text;
    size_t bytes;
    int r;

    gw_head_put(vm, w);
    r = gw_registry_save(vm->registry, true, true, w, desc, err);
    if (r >= 0)
        r = gw_registry_save(vm->registry, false, true, w, desc, err);
    if (r >= 0)
        r = gw_vmdesc_finish(desc, &text, &bytes, err);
    if (r < 0)
        return r;
    gw_put_u8(w, GW_ELEMENT_EOF);
    gw_put_u8(w, GW_ELEMENT_VMDESC);
    gw_put_u32(w, (uint32_t)bytes);
    gw_put_bytes(w, text, bytes);
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
    struct gw_head head;
    int e = gw_head_get(vm, r, &head, err);

    gw_registry_load_begin(vm->registry);
    while (e >= 0) {
        uint64_t at = gw_reader_offset(r);
        struct gw_section_head h;
        uint8_t type;

        e = gw_get_u8(r, &type, err);
        if (e < 0 || type == GW_ELEMENT_EOF)
            break;
        if (type != GW_ELEMENT_FULL)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER,
                           "element 0x%02x at byte %" PRIu64 ": a file of device state has devices only", type, at);
        e = gw_section_get_head(r, &h, err);
        if (e >= 0)
            e = gw_registry_load(vm->registry, h.name, h.instance, h.version, r, err);
        if (e >= 0)
            e = gw_section_get_footer(r, h.id, h.name, err);
        if (e < 0)
            gw_context(err, "device state at byte %" PRIu64, at);
    }
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
    e = get_devices(vm, &r, err);
    gw_reader_close(&r);
    gw_vm_end(vm);
    return e;
}
