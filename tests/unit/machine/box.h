/* SPDX-License-Identifier: MIT
 *
 * box: machines for tests, small and short-lived.
 *
 * Nothing here has a limit of time: what never comes is ended by check.py, which names the test. A failed assertion
 * leaves machines and migrations running; box_clean_up(), the teardown of every test, ends them.
 */
#ifndef TEST_MACHINE_BOX_H
#define TEST_MACHINE_BOX_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "godwit/channel.h"
#include "godwit/options.h"
#include "godwit/recv.h"
#include "godwit/send.h"
#include "godwit/stats.h"
#include "machine/internal.h"

#define BOX_MIB (1ull << 20)
#define BOX_S   1000000000ull

static inline void box_must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d (%s): %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static inline void box_sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static inline struct gw_machine_config box_config(const char *workload, enum gw_machine_accel accel)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_machine_config c;

    gw_machine_config_init(&c);
    c.memory[0].bytes = 16 * BOX_MIB;
    c.accel = accel;
    box_must(gw_machine_workload_parse(workload, &c.workload, &err), &err);
    return c;
}

#define BOX_MOST 8
static struct gw_machine *box_machines[BOX_MOST];
static struct gw_send *box_send;
static struct gw_recv *box_recv;

static inline struct gw_machine *box_new(const struct gw_machine_config *config)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned i = 0;

    while (i < BOX_MOST && box_machines[i])
        i++;
    assert_true(i < BOX_MOST);
    box_must(gw_machine_new(config, &box_machines[i], &err), &err);
    return box_machines[i];
}

static inline void box_free(struct gw_machine *m)
{
    for (unsigned i = 0; i < BOX_MOST; i++)
        if (box_machines[i] == m)
            box_machines[i] = NULL;
    gw_machine_free(m);
}

static inline int box_clean_up(void **state)
{
    box_send = gw_send_free(box_send);
    box_recv = gw_recv_free(box_recv);
    for (unsigned i = 0; i < BOX_MOST; i++)
        if (box_machines[i])
            box_free(box_machines[i]);
    return 0;
}

#define box_test(f) cmocka_unit_test_teardown(f, box_clean_up)

static inline void box_start(struct gw_machine *m)
{
    struct gw_error err = GW_ERROR_INIT;
    box_must(gw_machine_start(m, &err), &err);
}

static inline void box_stop(struct gw_machine *m)
{
    struct gw_error err = GW_ERROR_INIT;
    box_must(gw_machine_stop(m, &err), &err);
}

static inline void box_print_serial(struct gw_machine *m)
{
    char text[2000];
    gw_machine_serial_tail(m, text, sizeof(text));
    print_message("%s", text);
}

/* Still running, and nothing wrong found: waits so long. */
static inline void box_runs_clean(struct gw_machine *m, unsigned ms)
{
    struct gw_error err = GW_ERROR_INIT;
    int status = -1, r = gw_machine_wait(m, ms * 1000000ull, &status, &err);

    if (r != -ETIMEDOUT) {
        print_error("ended: %d status %d %s\n", r, status, err.text);
        box_print_serial(m);
    }
    assert_int_equal(r, -ETIMEDOUT);
}

static inline struct gw_guest_mailbox box_mail(struct gw_machine *m, unsigned cpu)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_guest_mailbox mail;

    while (gw_machine_mailbox(m, cpu, &mail, &err) < 0) /* the vCPU has not come so far */
        box_sleep_ms(5);
    return mail;
}

/* Waits until each vCPU has run its program's start. */
static inline void box_runs(struct gw_machine *m)
{
    for (unsigned i = 0; i < m->cpus; i++)
        box_mail(m, i);
}

/* The mailbox of a vCPU once it has verified all of its memory (or disks) so many times. */
static inline struct gw_guest_mailbox box_verified(struct gw_machine *m, unsigned cpu, uint64_t passes)
{
    struct gw_guest_mailbox mail;

    while ((mail = box_mail(m, cpu)).verify_passes < passes)
        box_runs_clean(m, 50);
    return mail;
}

/* From a running machine to an empty one, which runs it then. */
static inline void box_migrate(struct gw_machine *from, struct gw_machine *to, struct gw_stats *ret_stats)
{
    struct gw_channel *a = NULL, *b = NULL;
    struct gw_error err = GW_ERROR_INIT;

    box_must(gw_options_set_parameter(gw_vm_options(gw_machine_vm(from)), "max-bandwidth", "0", &err), &err);
    box_must(gw_options_set_parameter(gw_vm_options(gw_machine_vm(from)), "downtime-limit", "1000", &err), &err);
    box_must(gw_channel_memory_pair(1 << 20, &a, &b, &err), &err);
    box_must(gw_recv_start(gw_machine_vm(to), &(struct gw_recv_config){.take_channel = b}, &box_recv, &err), &err);
    box_must(gw_send_start(gw_machine_vm(from),
                           &(struct gw_send_config){.take_channel = a, .progress_timeout_ns = UINT64_MAX}, &box_send,
                           &err),
             &err);
    box_must(gw_send_wait(box_send, &err), &err);
    box_must(gw_recv_wait(box_recv, &err), &err);
    gw_send_stats(box_send, ret_stats);
    assert_int_equal(gw_send_owner(box_send), GW_OWNER_DESTINATION);
    box_send = gw_send_free(box_send);
    box_recv = gw_recv_free(box_recv);
    assert_false(gw_machine_running(from));
    assert_true(gw_machine_running(to));
}

/* The accelerators that work here; says why KVM is left out. */
static inline unsigned box_accels(enum gw_machine_accel accels[2])
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned n = 0;

#ifdef GW_HAVE_UNICORN
    accels[n++] = GW_MACHINE_ACCEL_UNICORN;
#endif
    if (!gw_accel_kvm_probe(&err))
        accels[n++] = GW_MACHINE_ACCEL_KVM;
    else
        print_message("without KVM: %s\n", err.text);
    return n;
}

#endif
