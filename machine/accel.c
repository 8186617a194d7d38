/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "machine/internal.h"

static int unicorn(struct gw_machine *m, struct gw_error *err)
{
#ifdef GW_HAVE_UNICORN
    int r = gw_accel_unicorn.open(m, err);
    if (!r)
        m->accel = &gw_accel_unicorn;
    return r;
#else
    return gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "built without Unicorn");
#endif
}

static int kvm(struct gw_machine *m, struct gw_error *err)
{
    int r = gw_accel_kvm.open(m, err);
    if (!r)
        m->accel = &gw_accel_kvm;
    return r;
}

/* On some hosts KVM exists but emulates our guest one instruction at a time, or refuses it. The speed of a small guest
 * shows it: verifying 1024 pages takes a millisecond or two, emulated several seconds. */
int gw_accel_kvm_probe(struct gw_error *err)
{
    struct gw_machine_config config;
    struct gw_machine *m = NULL;
    struct gw_guest_mailbox box = {0};
    int r, status;

    gw_machine_config_init(&config);
    config.memory[0].bytes = 8ull << 20;
    config.accel = GW_MACHINE_ACCEL_KVM;
    config.workload.set_bytes = 1ull << 20;
    config.workload.verify_bytes_per_s = 8ull << 30;
    r = gw_machine_new(&config, &m, err);
    if (!r)
        r = gw_machine_start(m, err);
    for (unsigned ms = 0; !r && ms < 500; ms++) {
        if (gw_machine_wait(m, 1000000, &status, NULL) != -ETIMEDOUT) {
            r = gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "KVM cannot run the guest program of this machine");
            break;
        }
        if (!gw_machine_mailbox(m, 0, &box, NULL) && box.pages_verified >= 1024)
            break;
    }
    if (!r && box.pages_verified < 1024)
        r = gw_fail(err, -ENOTSUP, GW_BLAME_LOCAL, "KVM runs the guest program of this machine too slowly here");
    gw_machine_free(m);
    return r;
}

int gw_accel_choose(struct gw_machine *m, struct gw_error *err)
{
    bool wants_kvm = m->tracker == GW_TRACKER_KVM_LOG || m->tracker == GW_TRACKER_KVM_RING;
    struct gw_error why = GW_ERROR_INIT;

    if (wants_kvm && m->accel_wanted == GW_MACHINE_ACCEL_UNICORN)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "KVM's dirty log and ring need the accelerator kvm");
    if (m->tracker == GW_TRACKER_EXPLICIT && m->accel_wanted == GW_MACHINE_ACCEL_KVM)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "explicit dirty tracking needs the accelerator unicorn");
    if (m->accel_wanted == GW_MACHINE_ACCEL_KVM || wants_kvm)
        return kvm(m, err);
    if (m->accel_wanted == GW_MACHINE_ACCEL_UNICORN || m->tracker == GW_TRACKER_EXPLICIT)
        return unicorn(m, err);
    if (!gw_accel_kvm_probe(&why) && !kvm(m, &why))
        return 0;
    int r = unicorn(m, err);
    if (r)
        gw_context(err, "no KVM (%s)", why.text);
    return r;
}
