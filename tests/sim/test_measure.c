/* SPDX-License-Identifier: MIT
 *
 * Dirty rates measured before, during and after migrations, which must not be affected: pair.h has the rules. How exact
 * they are: tests/unit/ram/tracker/test_rate.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../owned.h"
#include "pair.h"

struct way {
    unsigned started, measured, cancels;
    enum gw_dirty_rate_mode mode;
    bool both, cancel, arriving;
};

/* So slow that it lasts until a measurement has ended. */
static void slowly(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    sim_option(p->from, "max-bandwidth", "40000");
}

/* Lets the migration end. */
static void hurry(struct pair *p)
{
    sim_option(p->from, "max-bandwidth", "20000000");
    sim_option(p->from, "downtime-limit", "1000000");
}

static void measure(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct way *w = p->opaque;
    struct gw_dirty_rate_config c = {.mode = w->mode, .duration_ns = 50000000};
    struct gw_dirty_rate r;

    gw_dirty_rate_get(p->from->vm, &r);
    assert_int_not_equal(r.status, GW_DIRTY_RATE_FAILED);
    if (r.status == GW_DIRTY_RATE_MEASURED) {
        w->measured++;
        assert_true((double)r.bytes_per_s * (double)r.duration_ns / 1e9 <= (double)(p->mib << 20) + 4096);
        if (w->both)
            w->mode = !w->mode;
    }
    if (r.status != GW_DIRTY_RATE_MEASURING)
        w->started += gw_dirty_rate_start(p->from->vm, &c, NULL) == 0;
    /* The arriving machine has no measured rate yet. */
    if (recv && !sim_over(gw_recv_status(recv)))
        w->arriving |= gw_dirty_rate_start(p->to->vm, &c, NULL) == 0 && !sim_over(gw_recv_status(recv)) && !sim_runs(p->to);
    if (w->measured > 2 && !w->cancel)
        hurry(p);
    if (w->cancel && send && w->measured > 2 && gw_send_cancel(send, NULL) == 0)
        w->cancels++;
}

static void run(struct way *w)
{
    struct pair p = {.mib = 8, .words_per_ms = 20, .before = slowly, .during = measure, .opaque = w};

    pair_run(&p);
    assert_true(w->started > 0);
    assert_true(w->measured > 2);
    assert_false(w->arriving);
    assert_true(p.source_says != GW_OWNER_UNDECIDED);
}

static void test_beside(void **state)
{
    for (unsigned i = 0; i < 9; i++) {
        struct way w = {.mode = i % 2, .both = i % 3 == 2, .cancel = i / 3 == 2};

        run(&w);
    }
}

/* The same with surveys, which also read the memory. */
static void survey(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct way *w = p->opaque;
    struct gw_survey_config c = {.duration_ns = 200000000, .sample_pages = 256};
    struct gw_survey s;

    gw_survey_get(p->from->vm, &s);
    assert_int_not_equal(s.status, GW_DIRTY_RATE_FAILED);
    w->measured += s.status == GW_DIRTY_RATE_MEASURED;
    if (s.status != GW_DIRTY_RATE_MEASURING)
        w->started += gw_survey_start(p->from->vm, &c, NULL) == 0;
    if (recv && !sim_over(gw_recv_status(recv)))
        w->arriving |= gw_survey_start(p->to->vm, &c, NULL) == 0 && !sim_over(gw_recv_status(recv)) && !sim_runs(p->to);
    if (w->measured > 1 && !w->cancel)
        hurry(p);
    if (w->cancel && send && w->measured > 1 && gw_send_cancel(send, NULL) == 0)
        w->cancels++;
}

static void test_surveys_beside(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct way w = {.cancel = i % 2};
        struct pair p = {.mib = 8, .words_per_ms = 20, .before = slowly, .during = survey, .opaque = &w};

        pair_run(&p);
        assert_true(w.measured > 1);
        assert_false(w.arriving);
        assert_true(p.source_says != GW_OWNER_UNDECIDED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {owned_test(test_beside), owned_test(test_surveys_beside)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
