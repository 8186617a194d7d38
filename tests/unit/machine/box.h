/* SPDX-License-Identifier: MIT
 *
 * box: machines for tests, small and short-lived.
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

static inline struct gw_machine *box_new(const struct gw_machine_config *config)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_machine *m;

    box_must(gw_machine_new(config, &m, &err), &err);
    return m;
}

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

    int r;

    /* The vCPU may not have come so far on a busy host. */
    for (unsigned tries = 0; (r = gw_machine_mailbox(m, cpu, &mail, &err)) && tries < 2400; tries++)
        box_sleep_ms(50);
    box_must(r, &err);
    return mail;
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
