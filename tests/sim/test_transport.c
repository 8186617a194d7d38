/* SPDX-License-Identifier: MIT
 *
 * A page transport between the two sides (loopback.h): pages that are declined, taken, completed late; each of its calls fails,
 * pages that it took fail, completion stops and the migration is cancelled, the connection breaks anywhere. pair.h has
 * the rules for every outcome.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "loopback.h"
#include "pair.h"

#define MIB 2u

struct way {
    struct loopback *l;
    bool alone; /* the destination has no transport */
    struct gw_fault fault;
    bool at_source;
    unsigned cancels;
    bool finish; /* stalls when FINISH has begun */
};

static void join(struct pair *p, struct gw_channel **source, struct gw_channel **destination)
{
    struct way *w = p->opaque;
    struct gw_channel **at = w->at_source ? source : destination;

    loopback_join(w->l, p->from, p->to, !w->alone);
    if (w->fault.kind || w->fault.at_byte)
        assert_int_equal(gw_fault_new(*at, &w->fault, 1, at, NULL), 0);
}

static struct pair run(struct way *w, void (*during)(struct pair *, struct gw_send *, struct gw_recv *))
{
    struct pair p = {.mib = MIB, .words_per_ms = 30, .before = join, .during = during, .opaque = w};

    pair_run(&p);
    assert_false(atomic_load(&w->l->disorder));
    assert_int_equal(w->l->over[0], p.send_started && w->l->begins[0]);
    assert_true(!w->l->over_ok[0] || w->l->ends[GW_TRANSPORT_FINISH] == 1);
    assert_true(w->alone || w->l->over[1] >= (w->l->blocks > 0));
    return p;
}

static void test_arrives(void **state)
{
    for (unsigned i = 0; i < 8; i++) {
        struct way w = {.l = loopback_new()};
        struct pair p;

        w.l->no_abort = i % 2;
        p = run(&w, NULL);
        assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
        assert_true(w.l->declined && w.l->done && w.l->later && w.l->blocks >= SIM_BLOCKS);
        assert_int_equal(w.l->takes, w.l->declined + w.l->done + w.l->later);
        assert_int_equal(w.l->completed, w.l->later);
        assert_int_equal(w.l->placed, w.l->done + w.l->later); /* each was reported once */
        assert_int_equal(w.l->begins[GW_TRANSPORT_SETUP], 1);
        assert_int_equal(w.l->begins[GW_TRANSPORT_FINISH], 1);
        assert_true(w.l->begins[GW_TRANSPORT_PAGES] >= 1);
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(w.l->begins[k], w.l->ends[k]);
        assert_int_equal(w.l->aborts, 0);
        assert_true(w.l->over_ok[0] && w.l->over_ok[1]);
        /* It was offered every page that was sent, holes too; pages that it took count as pages, with their bytes. */
        assert_int_equal(p.stats.normal_pages + p.stats.duplicate_pages, w.l->takes);
        assert_int_equal(p.stats.bytes_by[GW_CAUSE_RAM_PAGE], p.stats.normal_pages * 4096);
        owned_end(w.l);
    }
}

/* Every call of every op fails; the last ones may not happen. */
static void test_ops_fail(void **state)
{
    for (unsigned op = 0; op < 7; op++) {
        unsigned stayed = 0;

        for (unsigned at = 1; at < (op == 0 || op == 5 ? 900u : 7u); at += op == 0 || op == 5 ? 149 : 1) {
            struct way w = {.l = loopback_new()};
            unsigned *const which[] = {&w.l->fail_take, &w.l->fail_begin, &w.l->fail_end, &w.l->fail_block, &w.l->fail_record,
                                       &w.l->fail_late, &w.l->lie};
            struct pair p;

            *which[op] = at;
            p = run(&w, NULL);
            if (p.source_says == GW_OWNER_SOURCE) {
                const struct gw_error *e = op == 3 || op == 4 || op == 6 ? &p.recv_error : &p.send_error;

                stayed++;
                assert_non_null(strstr(e->text, "page transport"));
                assert_int_equal(e->blame, op == 6 ? GW_BLAME_PEER : GW_BLAME_EMBEDDER);
            }
            owned_end(w.l);
        }
        print_message("op %u: stayed %u times\n", op, stayed);
        assert_true(stayed > 2);
    }
}

static void cancel(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct way *w = p->opaque;

    if (w->finish && atomic_load(&w->l->in_finish))
        atomic_store(&w->l->stall, true);
    /* Nothing is completed any more; the session waits for that, or soon will. */
    if (!send || !(atomic_load(&w->l->stall) || atomic_load(&w->l->later) >= w->l->stall_after) ||
        sim_over(gw_send_status(send)))
        return;
    w->cancels++;
    if (gw_send_cancel(send, NULL) < 0)
        gw_send_yank(send);
}

/* Pages taken in the first pass, or with the machine stopped, are never completed. */
static void test_cancelled(void **state)
{
    unsigned aborted = 0;

    for (unsigned i = 0; i < 12; i++) {
        struct way w = {.l = loopback_new(), .finish = i % 3 == 2};
        struct pair p;

        w.l->stall_after = w.finish ? UINT32_MAX : i % 3 ? 1 : 1 + 7 * i;
        p = run(&w, cancel);
        assert_true(w.cancels || w.finish);
        if (!w.finish)
            assert_int_equal(p.source_says, GW_OWNER_SOURCE);
        aborted += w.l->aborts > 0;
        owned_end(w.l);
    }
    print_message("%u aborted\n", aborted);
    assert_true(aborted >= 8);
}

static void test_connection_breaks(void **state)
{
    static const enum gw_fault_kind kinds[] = {GW_FAULT_RESET, GW_FAULT_ERROR, GW_FAULT_SHORT};
    unsigned stayed = 0, arrived = 0;

    for (unsigned k = 0; k < 3; k++)
        for (unsigned side = 0; side < 2; side++)
            for (uint64_t at = 100; at < 1500000; at = at * 5 + 7) {
                struct way w = {.l = loopback_new(), .at_source = side};
                struct pair p;

                w.fault = (struct gw_fault){.kind = kinds[k], .direction = side ? GW_FAULT_OUT : GW_FAULT_IN, .at_byte = at,
                                            .bytes = 511};
                p = run(&w, NULL);
                stayed += p.source_says == GW_OWNER_SOURCE;
                arrived += p.source_says == GW_OWNER_DESTINATION;
                owned_end(w.l);
            }
    print_message("%u stayed, %u arrived\n", stayed, arrived);
    assert_true(stayed > 5 && arrived > 5);
}

static void test_refused(void **state)
{
    static const struct gw_page_transport_ops nothing = {GW_SIZED(struct gw_page_transport_ops)};
    struct way w = {.l = loopback_new(), .alone = true};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send = NULL;
    struct sim *s;
    struct pair p = run(&w, NULL);

    /* Records that the destination does not read. */
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
    assert_non_null(strstr(p.recv_error.text, "hook"));
    s = sim_new(1, 1, NULL);
    assert_int_equal(gw_vm_set_page_transport(s->vm, &nothing, NULL, &err), -EINVAL);
    loopback_join(w.l, s, s, false);
    assert_int_equal(gw_options_set_capability(gw_vm_options(s->vm), "xbzrle", true, &err), 0);
    assert_int_equal(gw_send_start(s->vm, &(struct gw_send_config){.uri = "tcp:127.0.0.1:1"}, &send, &err), -EINVAL);
    assert_non_null(strstr(err.text, "xbzrle"));
    gw_page_taken(s->vm, 7, 0); /* more than were taken */
    assert_int_equal(gw_vm_set_page_transport(s->vm, NULL, NULL, &err), 0);
    gw_page_taken(s->vm, 7, 0);
    owned_end(s);
    owned_end(w.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_arrives),
        owned_test(test_ops_fail),
        owned_test(test_cancelled),
        owned_test(test_connection_breaks),
        owned_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
