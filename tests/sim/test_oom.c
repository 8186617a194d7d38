/* SPDX-License-Identifier: MIT
 *
 * Each allocation of a migration fails in turn, on either side; then all allocations from each one on. See pair.h for
 * the rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"

#include "../failing.h"

static atomic_bool armed;
static _Atomic long countdown; /* the allocation that fails: 0 */
static atomic_bool lasting;
static _Atomic long failed;

static bool fails(void)
{
    long k;

    if (!atomic_load(&armed))
        return false;
    k = atomic_fetch_sub(&countdown, 1);
    if (k > 0 || (k < 0 && !atomic_load(&lasting)))
        return false;
    atomic_fetch_add(&failed, 1);
    return true;
}

static void arm(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    atomic_store(&armed, true);
}

static void disarm(struct pair *p)
{
    atomic_store(&armed, false);
}

static void each(const char *peer, bool all_from_there)
{
    long n = 0, survived = 0;

    do {
        struct pair p = {.mib = 1, .words_per_ms = 50, .peer = peer, .before = arm, .after = disarm};

        atomic_store(&countdown, n);
        atomic_store(&lasting, all_from_there);
        atomic_store(&failed, 0);
        pair_run(&p);
        survived += p.source_says != GW_OWNER_SOURCE;
        if (failed && p.send_started && p.recv_started && p.source_says == GW_OWNER_SOURCE)
            assert_true(p.send_error.code < 0 && p.send_error.text[0]);
        n++;
    } while (atomic_load(&failed));
    print_message("%ld allocations, %ld runs ended on the destination\n", n - 1, survived);
    assert_true(n > 10);
}

static void test_each_allocation(void **state)
{
    each(NULL, false);
}

static void test_each_allocation_plain_peer(void **state)
{
    each("10.0", false);
}

static void test_all_allocations_from_one_on(void **state)
{
    each(NULL, true);
}

static int end(void **state)
{
    disarm(NULL); /* also after a failed assertion */
    return owned_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_each_allocation, end),
        cmocka_unit_test_teardown(test_each_allocation_plain_peer, end),
        cmocka_unit_test_teardown(test_all_allocations_from_one_on, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
