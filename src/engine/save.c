/* SPDX-License-Identifier: MIT
 *
 * Saves a stopped machine, which remains here: everything is sent once, without a rate limit, and the disks stay
 * active.
 *
 *     ACTIVE: PART.. until nothing is left, END, devices, EOF, close -> SAVED
 *
 * The stream is the same as that of a machine that leaves, so every reader of such streams can read it.
 */
#include "engine/send.h"

#define STEP_BYTES (16u << 20) /* bytes between two checks for a cancel */

static int put_devices(struct gw_send *s, struct gw_error *err)
{
    struct gw_vm *vm = s->session.vm;
    const char *text;
    size_t bytes;
    int r = gw_vm_notify(vm, GW_NOTIFY_COMPLETE, err);

    if (r < 0)
        return r;
    gw_globalstate_set(vm->globalstate, s->was_running);
    r = gw_send_devices(s, GW_DEVICES_LATE, err);
    if (r >= 0)
        r = vm->devices->describe(vm, s->desc, &text, &bytes, err);
    return r < 0 ? r : gw_send_end(s, text, bytes, err);
}

int gw_send_save(struct gw_send *s, struct gw_error *err)
{
    int r;

    s->active_ns = s->round_began_ns = s->stop_ns = s->lap_ns = gw_now_ns(&s->session.vm->clock);
    gw_period_begin(&s->dirtied, s->active_ns);
    gw_window_init(&s->window);
    r = gw_send_all(s, STEP_BYTES, NULL, err);
    if (r >= 0)
        r = gw_send_last_parts(s, false, err);
    gw_send_last_round(s);
    if (r >= 0)
        r = put_devices(s, err);
    if (r >= 0)
        r = gw_send_check(s, err);
    if (r >= 0)
        r = gw_channel_close(s->channel, err);
    return r < 0 ? r : gw_session_commit(&s->session, GW_PHASE_SAVED, err);
}
