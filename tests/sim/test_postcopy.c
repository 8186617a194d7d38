/* SPDX-License-Identifier: MIT
 *
 * A machine that writes continuously is switched to postcopy: it runs on the destination at once, its memory follows,
 * and at the end each word is the result of its writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"
#include "../privilege.h"

struct course {
    struct pair_switch change;
    uint64_t requests; /* at this many the rate limit ends */
};

static void before(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    pair_switch_before(p);
}

static void during(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct course *c = p->opaque;
    struct gw_stats st;

    pair_switch_during(&c->change, send, recv, &st);
}

static void run(unsigned passes, uint64_t mib)
{
    struct course c = {.change.passes = passes};
    struct pair p = {.mib = mib, .words_per_ms = 2000, .before = before, .during = during, .opaque = &c};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_int_equal(p.destination_says, GW_OWNER_DESTINATION);
    assert_false(p.claimed);
    assert_true(c.change.asked);
    assert_true(p.stats.postcopy_bytes > 0);
}

/* Before any memory was sent. */
static void test_at_once(void **state)
{
    run(0, 8);
}

/* Received pages are discarded, and arrive again. */
static void test_behind_a_pass(void **state)
{
    run(2, 8);
}

static void before_it_fails(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    before(p, source, destination);
    p->to->fail_start = true;
}

/* The destination is told before it answers: the machine runs on at the source. */
static void test_it_cannot_start(void **state)
{
    struct course c = {.change.passes = 1};
    struct pair p = {.mib = 4, .words_per_ms = 500, .before = before_it_fails, .during = during, .opaque = &c};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
    assert_int_equal(p.destination_says, GW_OWNER_SOURCE);
    assert_true(p.send_error.code && p.recv_error.code);
}

/* At this rate background pages would take an hour: hardly any page comes before the start has requested it. */
static void before_it_touches(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    before(p, source, destination);
    p->to->start_writes = true;
    sim_option(p->from, "max-postcopy-bandwidth", "4096");
}

static void during_it_touches(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    const struct course *c = p->opaque;
    struct gw_stats st;

    during(p, send, recv);
    if (!send)
        return;
    gw_send_stats(send, &st);
    if (st.postcopy_requests > c->requests)
        sim_option(p->from, "max-postcopy-bandwidth", "0");
}

static void wait_for_pages(uint64_t requests, bool urgent)
{
    struct course c = {.change.passes = 1, .requests = requests};
    struct pair p = {.mib = 4, .words_per_ms = 500, .urgent = urgent, .before = before_it_touches, .during = during_it_touches,
                     .opaque = &c};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    assert_int_equal(p.destination_says, GW_OWNER_DESTINATION);
    assert_true(p.stats.postcopy_requests > requests);
}

/* Its start accesses all of its memory, which has not arrived. */
static void test_a_start_that_waits_for_pages(void **state)
{
    wait_for_pages(0, false);
}

static void before_it_gives_back(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    before(p, source, destination);
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), "release-ram", true, NULL), 0);
}

static uint64_t resident(const struct sim *s, unsigned block)
{
    uint64_t n = 0;
    unsigned char there;

    for (uint64_t at = 0; at < s->ram_bytes[block]; at += 4096)
        n += !mincore(s->ram[block] + at, 4096, &there) && (there & 1);
    return n;
}

/* Memory that only this machine uses is given back to the host completely; shared memory stays. The machine does not
 * run here any more. */
static void after_it_gave_back(struct pair *p)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(resident(p->from, 0), 0);
    assert_int_equal(resident(p->from, 2), 0);
    assert_true(resident(p->from, 1) > 0);
    assert_true(gw_vm_memory_given(p->from->vm));
    assert_int_equal(gw_vm_came_back(p->from->vm, &err), -ENODATA);
    assert_false(gw_vm_memory_given(p->to->vm));
}

static void test_given_back(void **state)
{
    struct course c = {.change.passes = 1};
    struct pair p = {.mib = 8, .words_per_ms = 2000, .before = before_it_gives_back, .during = during, .after = after_it_gave_back,
                     .opaque = &c};

    pair_run(&p);
    assert_int_equal(p.destination_says, GW_OWNER_DESTINATION);
    assert_true(p.stats.postcopy_bytes > 0);
}

static void before_neither(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    before_it_gives_back(p, source, destination);
    p->to->fail_start = true;
}

static void after_neither(struct pair *p)
{
    assert_false(gw_vm_memory_given(p->from->vm));
}

/* It never ran on the destination: nothing was lost, and it runs on here. */
static void test_kept(void **state)
{
    struct course c = {.change.passes = 1};
    struct pair p = {.mib = 4, .words_per_ms = 500, .before = before_neither, .during = during, .after = after_neither, .opaque = &c};

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
}

/* ---- the channel of urgent pages ---------------------------------------------------------------------------------- */

static void test_urgent(void **state)
{
    wait_for_pages(100, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_at_once),
        owned_test(test_behind_a_pass),
        owned_test(test_it_cannot_start),
        owned_test(test_a_start_that_waits_for_pages),
        owned_test(test_given_back),
        owned_test(test_kept),
        owned_test(test_urgent),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests_name("sim/postcopy", tests, NULL, NULL);
}
