/* SPDX-License-Identifier: MIT
 *
 * A machine starts while its memory follows: what is told where it does not start, and how the session goes on while the start waits for
 * a page that the connection does not bring any more.
 */
#include "follow_sink.h"

#include <sched.h>

static struct gw_vm_ops ops;
static atomic_bool waits, waiting; /* a start does, for a page; it has begun to */
static unsigned failures;          /* of starts to come */

static int start(void *opaque, struct gw_error *e)
{
    for (atomic_store(&waiting, true); atomic_load(&waits); sched_yield())
        ;
    if (failures) {
        failures--;
        return gw_fail(e, -EIO, GW_BLAME_EMBEDDER, "a vCPU does not start");
    }
    return rig_start(opaque, e);
}

static void tell(struct gw_recv *recv)
{
    rig_say("told ");
}

static int release(struct gw_live *l, struct gw_error *e)
{
    rig_say("release ");
    atomic_store(&waits, false);
    return 0;
}

/* A thread reads pages. The machine is here. */
static void listen_and_commit(void)
{
    ops = *rig.vm->ops;
    ops.start = start;
    rig.vm->ops = &ops;
    follows.release = release;
    waiting = waits = false;
    failures = 0;
    go_to(GW_PHASE_LOADING);
    assert_int_equal(gw_follow_listen(r, &err), 0);
    assert_int_equal(gw_follow_commit(r, &err), 0);
    rig_said("[postcopy-active] ");
}

/* The source goes, while the machine starts. */
static void lose(void)
{
    while (!atomic_load(&waiting))
        sched_yield();
    assert_int_equal(gw_channel_close(far, NULL), 0);
}

static void *lose_beside(void *arg)
{
    lose();
    return NULL;
}

static void end(void)
{
    atomic_store(&waits, false);
    gw_channel_shutdown(near);
    gw_follow(r, 0, &err);
}

static void test_it_starts(void **state)
{
    listen_and_commit();
    assert_int_equal(gw_starting_run(r, tell, &err), 0);
    assert_true(rig.running);
    assert_non_null(strstr(strstr(rig.log, "start "), "told "));
    assert_false(r->postcopy.starts);
    end();
}

/* Nothing is read beside the session, so that nothing can be waited for. */
static void test_no_thread(void **state)
{
    go_to(GW_PHASE_FOLLOWED);
    assert_int_equal(gw_starting_run(r, tell, &err), 0);
    assert_true(rig.running);
    assert_non_null(strstr(strstr(rig.log, "start "), "told "));
    assert_false(r->postcopy.started);
}

static void test_it_does_not(void **state)
{
    listen_and_commit();
    failures = 2;
    rig_fails(gw_starting_run(r, tell, &err), -EIO, &err, "starting the machine: a vCPU does not start");
    assert_non_null(strstr(rig.log, "revoked "));
    rig.log[0] = 0;
    assert_int_equal(gw_starting_run(r, NULL, &err), 0); /* the source has given it away, and nobody else has it */
    assert_null(strstr(rig.log, "revoked "));
    assert_non_null(strstr(rig.log, "the machine is here, and could not be started: starting the machine: a vCPU does not start"));
    end();
}

/* The session goes on, and the start beside it until what it waits for is there. */
static void lost_meanwhile(unsigned fails)
{
    pthread_t thread;

    lacking = 0x3000;
    listen_and_commit();
    waits = true;
    failures = fails;
    assert_int_equal(pthread_create(&thread, NULL, lose_beside, NULL), 0);
    assert_int_equal(gw_starting_run(r, tell, &err), 0);
    pthread_join(thread, NULL);
    assert_true(r->postcopy.starts);
    assert_false(rig.running);
    assert_non_null(strstr(rig.log, "the connection is lost before the machine has started here"));
}

static void test_lost_meanwhile(void **state)
{
    lost_meanwhile(0);
    assert_int_equal(gw_follow(r, 0, &err), -ECONNABORTED); /* nobody comes again (follow_sink.h) */
    assert_non_null(strstr(rig.log, "[postcopy-paused] "));
    atomic_store(&waits, false);
    gw_starting_end(r);
    assert_true(rig.running);
    assert_null(strstr(rig.log, "told ")); /* who would have heard it is lost */
    assert_false(r->postcopy.starts);
}

/* All of the machine is here by then, and belongs here. */
static void test_tried_again(void **state)
{
    lost_meanwhile(1);
    assert_int_equal(gw_follow(r, 0, &err), -ECONNABORTED);
    atomic_store(&waits, false);
    gw_starting_end(r);
    assert_true(rig.running);
    assert_non_null(strstr(rig.log, "revoked "));
    assert_true(r->handed);
}

/* The stream has ended, and the start waits for what its source never had to send. */
static void test_zeros(void **state)
{
    listen_and_commit();
    waits = true;
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(true);
    assert_int_equal(gw_starting_run(r, tell, &err), 0);
    assert_true(rig.running);
    assert_non_null(strstr(rig.log, "release "));
    end();
}

static void test_late(void **state)
{
    listen_and_commit();
    waits = true;
    gw_starting_late(r); /* and does not wait for it */
    assert_true(r->postcopy.starts);
    atomic_store(&waits, false);
    gw_starting_end(r);
    assert_true(rig.running);
    end();
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_it_starts), T(test_no_thread), T(test_it_does_not), T(test_lost_meanwhile), T(test_tried_again), T(test_zeros), T(test_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
