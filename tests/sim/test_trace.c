/* SPDX-License-Identifier: MIT
 *
 * Traces a whole migration: the events match what happens, and the policy's inputs and decisions can be replayed.
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
#include "policy/record.h"

static struct {
    pthread_mutex_t lock;
    unsigned count, policy, room, predicted, clean, lost;
    char **line;
    char phases[2048], seen[256];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void keep_line(const char *text)
{
    char **grown = kept.line;

    if (kept.policy == kept.room) {
        grown = realloc(kept.line, (kept.room * 2 + 1000) * sizeof *grown);
        if (grown) {
            kept.line = grown;
            kept.room = kept.room * 2 + 1000;
        }
    }
    if (grown)
        kept.line[kept.policy++] = strdup(text);
    else
        kept.lost++;
}

/* Called on threads of the sessions. */
static void keep(void *opaque, const struct gw_trace_record *r)
{
    pthread_mutex_lock(&kept.lock);
    kept.count++;
    kept.clean += !strcmp(r->name, "ram_clean");
    kept.predicted += !strcmp(r->name, "predict");
    if (!strstr(kept.seen, r->name) && strlen(kept.seen) + strlen(r->name) + 2 < sizeof kept.seen) {
        strcat(kept.seen, r->name);
        strcat(kept.seen, " ");
    }
    if (!strcmp(r->name, "phase") && opaque && strlen(kept.phases) + strlen(r->text) + 2 < sizeof kept.phases) {
        strcat(kept.phases, r->text);
        strcat(kept.phases, "; ");
    }
    if (!strcmp(r->name, "policy"))
        keep_line(r->text);
    pthread_mutex_unlock(&kept.lock);
}

/* Even a delayed guest's thread has written enough to keep the source from switching over too early. */
static atomic_bool free_to_go;

static int write_before_sync(void *opaque, enum gw_notify what, struct gw_error *err)
{
    if (what == GW_NOTIFY_BEFORE_SYNC && !atomic_load(&free_to_go))
        sim_await_writes(opaque, 5000);
    return 0;
}

static void listen_in(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    atomic_store(&free_to_go, false);
    assert_int_equal(gw_vm_add_notifier(p->from->vm, write_before_sync, p->from, NULL), 0);
    assert_int_equal(gw_vm_set_trace(p->from->vm, "*", keep, p, NULL), 0);
    assert_int_equal(gw_vm_set_trace(p->to->vm, "*", keep, NULL, NULL), 0);
    assert_int_equal(gw_vm_set_trace(p->to->vm, "none", keep, NULL, NULL), -ENOENT); /* and everything is as before */
    assert_int_equal(gw_options_set_parameter(gw_vm_options(p->from->vm), "max-bandwidth", "40M", NULL), 0);
    assert_int_equal(gw_options_set_parameter(gw_vm_options(p->from->vm), "downtime-limit", "20", NULL), 0);
    assert_int_equal(gw_options_set_capability(gw_vm_options(p->from->vm), "auto-converge", true, NULL), 0);
}

/* Long enough for the throttle to be asked, and no longer. */
static void let_go(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    struct gw_stats st;

    gw_send_stats(send, &st);
    if (st.total_time_ns <= 2500000000 || st.rounds < 3)
        return;
    atomic_store(&free_to_go, true);
    gw_options_set_parameter(gw_vm_options(p->from->vm), "downtime-limit", "1000000", NULL);
}

static void hush(struct pair *p)
{
    gw_vm_set_trace(p->from->vm, "", NULL, NULL, NULL);
    gw_vm_set_trace(p->to->vm, "", NULL, NULL, NULL);
}

static void test_traced(void **state)
{
    static const char *const events[] = {"phase",     "element_put", "element_get", "answer_put", "answer_get", "ram_sync",
                                         "ram_clean", "ram_block",   "step",        "round",      "drain",      "policy",
                                         "predict",   "machine"};
    struct pair p = {.mib = 16, .words_per_ms = 100, .before = listen_in, .during = let_go, .after = hush};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_replay replay;

    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
    for (unsigned i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (!strstr(kept.seen, events[i]))
            print_error("nothing was told of %s\n", events[i]);
        assert_non_null(strstr(kept.seen, events[i]));
    }
    assert_non_null(strstr(kept.phases, "ACTIVE -> STOPPED; STOPPED -> DEVICE; DEVICE -> OFFERED; OFFERED -> HANDED; "
                                        "HANDED -> SENT; "));
    assert_int_equal(kept.lost, 0);
    gw_replay_init(&replay);
    for (unsigned i = 0; i < kept.policy; i++) {
        int r = gw_replay_line(&replay, kept.line[i], &err);

        if (r < 0)
            print_error("line %u, %s: %s\n", i, kept.line[i], err.text);
        assert_int_equal(r, 0);
        free(kept.line[i]);
    }
    free(kept.line);
    print_message("%u events, %u decisions of %u lines replayed\n", kept.count, (unsigned)replay.decisions, kept.policy);
    assert_true(replay.decisions > 3 && replay.switches >= 1);
    assert_true(kept.predicted >= replay.decisions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {owned_test(test_traced)};

    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
