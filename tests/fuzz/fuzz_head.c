/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the head of a stream, for a machine with a UUID and with x-ignore-shared or without. It is taken or refused
 * with a reason; never is more taken than there is.
 */
#include "engine/head.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool never(void *opaque)
{
    return false;
}

static struct gw_vm *make(const char *machine, bool uuid, bool shared)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};
    struct gw_vm_config config = {.machine = machine, .page_bytes = 4096, .ops = &ops};
    struct gw_vm *vm;

    if (uuid)
        memcpy(config.uuid, "0123456789abcdef", 16);
    if (gw_vm_new(&config, &vm, NULL) < 0 ||
        (shared && gw_options_set_capability(gw_vm_options(vm), "x-ignore-shared", true, NULL) < 0))
        abort();
    return vm;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gw_vm *vms[3];
    bool accepted = false;

    if (!vms[0]) {
        vms[0] = make("none", true, false);
        vms[1] = make("none", false, true);
        vms[2] = make("rig-1", false, false);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_reader r;
        int e;

        gw_reader_init_memory(&r, data, size, 0);
        e = gw_vm_head_get(vms[i], &r, &(struct gw_wire_head){0}, &err);
        if (gw_reader_offset(&r) > size || (e >= 0) == (err.code != 0))
            abort();
        if (e < 0 && (!strstr(err.text, "head") || !strstr(err.text, "byte ") || err.blame == GW_BLAME_NONE))
            abort();
        accepted |= e >= 0;
        gw_reader_close(&r);
    }
    FUZZ_VERDICT(accepted); /* by one of them */
    return 0;
}
