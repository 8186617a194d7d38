/* SPDX-License-Identifier: MIT
 *
 * Machines that move: by copying memory and state, and by real migrations in one process, from and to every accelerator
 * with every tracker. The guest is the judge.
 */
#include "box.h"
#include "godwit/godwit.h"

static const char *const workloads[] = {"uniform,rate=30M,fill=on",
                                        "hotset,rate=30M",
                                        "sparse,rate=60M,fill=on",
                                        "zero,rate=30M",
                                        "sequential",
                                        "idle,fill=on"};

static struct gw_machine_config two_blocks(const char *workload, enum gw_machine_accel accel)
{
    struct gw_machine_config c = box_config(workload, accel);

    c.cpus = 2;
    c.memory_count = 2;
    c.memory[1].bytes = 8 * BOX_MIB;
    strcpy(c.memory[1].name, "upper");
    c.memory[1].backing = GW_MACHINE_ANONYMOUS;
    return c;
}

/* Everything was verified since `passes` was last taken. */
static void verified_again(struct gw_machine *m)
{
    uint64_t passes[GW_GUEST_MAX_CPUS];

    for (unsigned i = 0; i < m->cpus; i++)
        passes[i] = box_mail(m, i).verify_passes;
    for (unsigned i = 0; i < m->cpus; i++)
        box_verified(m, i, passes[i] + 2);
}

static void copied(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned w = 0; w < 6; w++) {
        struct gw_machine_config c = two_blocks(workloads[w], accels[w % n]);
        struct gw_machine *m = box_new(&c), *next;
        box_start(m);
        for (unsigned hop = 0; hop < 8; hop++) {
            box_runs_clean(m, 30);
            box_stop(m);
            c.incoming = true;
            c.accel = accels[(hop / 2 + w) % n];
            next = box_new(&c);
            for (unsigned i = 0; i < m->blocks; i++)
                memcpy(next->block[i].host, m->block[i].host, m->block[i].bytes);
            for (unsigned i = 0; i < m->cpus; i++) {
                next->vcpu[i].cpu = m->vcpu[i].cpu;
                next->vcpu[i].port = m->vcpu[i].port;
            }
            next->clock.virtual_ns = m->clock.virtual_ns;
            box_free(m);
            m = next;
            box_start(m);
        }
        verified_again(m);
        box_free(m);
    }
}

static void migrate(struct gw_machine *from, struct gw_machine *to)
{
    struct gw_stats stats;

    box_migrate(from, to, &stats);
    box_runs_clean(to, 20);
    print_message("    %llu pages, %llu rounds, downtime %llu us, the guest saw %llu us\n",
                  (unsigned long long)(stats.normal_pages + stats.duplicate_pages),
                  (unsigned long long)stats.dirty_sync_count, (unsigned long long)stats.downtime_ns / 1000,
                  (unsigned long long)box_mail(to, 0).max_gap_ns / 1000);
}

static void migrated(void **state)
{
    static const struct {
        enum gw_machine_accel accel;
        enum gw_tracker_kind tracker;
    } ways[] = {
        {GW_MACHINE_ACCEL_UNICORN, GW_TRACKER_PAGEMAP}, {GW_MACHINE_ACCEL_UNICORN, GW_TRACKER_EXPLICIT},
        {GW_MACHINE_ACCEL_KVM, GW_TRACKER_PAGEMAP},     {GW_MACHINE_ACCEL_KVM, GW_TRACKER_KVM_LOG},
        {GW_MACHINE_ACCEL_KVM, GW_TRACKER_KVM_RING},
    };
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels), done = 0;

    for (unsigned w = 0; w < 5; w++) {
        bool works = false;
        for (unsigned a = 0; a < n; a++)
            works |= accels[a] == ways[w].accel;
        if (!works)
            continue;
        struct gw_machine_config c = two_blocks(workloads[w], ways[w].accel);
        struct gw_error err = GW_ERROR_INIT;
        c.tracker = ways[w].tracker;
        if (c.tracker == GW_TRACKER_EXPLICIT)
            c.workload.stores = GW_GUEST_STORES_AUTO;
        struct gw_machine *m = box_new(&c), *next;
        box_must(gw_machine_attach(m, &err), &err);
        box_start(m);
        for (unsigned hop = 0; hop < 3; hop++) {
            box_runs_clean(m, 50);
            c.incoming = true;
            /* The last hop is to the other accelerator; it only has to run there. */
            if (hop == 2) {
                c.accel = n == 2 && ways[w].accel == accels[0] ? accels[1] : accels[0];
                c.tracker = GW_TRACKER_AUTO;
            }
            next = box_new(&c);
            box_must(gw_machine_attach(next, &err), &err);
            print_message("%s by %s, %s -> %s\n", gw_machine_workload_name(c.workload.kind),
                          gw_vm_tracker_name(gw_machine_vm(m)), gw_machine_accel_name(m), gw_machine_accel_name(next));
            migrate(m, next);
            box_free(m);
            m = next;
            done++;
        }
        verified_again(m);
        box_free(m);
    }
    assert_true(done >= 3);
}

/* A machine with other memory, other vCPUs or nonsense for a vCPU does not take it, and the source runs on. */
static void refused(void **state)
{
    struct gw_machine_config c = two_blocks("uniform,rate=10M", GW_MACHINE_ACCEL_AUTO);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_machine *m = box_new(&c), *to;
    struct gw_cpu_state cpu;
    void *blob;
    size_t bytes;

    box_must(gw_machine_attach(m, &err), &err);
    assert_int_equal(gw_machine_attach(m, &err), -EALREADY);
    box_start(m);
    box_runs_clean(m, 50);
    box_stop(m);
    box_must(gw_state_save(gw_machine_vm(m), &blob, &bytes, &err), &err);

    c.incoming = true;
    c.cpus = 1;
    to = box_new(&c);
    box_must(gw_machine_attach(to, &err), &err);
    assert_true(gw_state_load(gw_machine_vm(to), blob, bytes, &err) < 0);
    print_message("%s\n", err.text);
    box_free(to);

    /* Each of these is judged by the description of a vCPU. */
    for (unsigned k = 0; k < 5; k++) {
        cpu = m->vcpu[0].cpu;
        if (k == 0)
            m->vcpu[0].cpu.cr3 = 0x2000;
        else if (k == 1)
            m->vcpu[0].cpu.segment[GW_CPU_CS].dpl = 0;
        else if (k == 2)
            m->vcpu[0].cpu.rflags |= 0x100;
        else if (k == 3)
            m->vcpu[0].cpu.rip = 0xffff800000000000ull;
        else
            m->vcpu[0].cpu.mxcsr = 0xffff0000;
        free(blob);
        box_must(gw_state_save(gw_machine_vm(m), &blob, &bytes, &err), &err);
        m->vcpu[0].cpu = cpu;
        c.cpus = 2;
        to = box_new(&c);
        box_must(gw_machine_attach(to, &err), &err);
        assert_true(gw_state_load(gw_machine_vm(to), blob, bytes, &err) < 0);
        print_message("%s\n", err.text);
        box_free(to);
    }
    free(blob);
    box_start(m);
    box_runs_clean(m, 50);
    box_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(copied),
        box_test(migrated),
        box_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
