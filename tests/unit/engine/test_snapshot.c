/* SPDX-License-Identifier: MIT
 *
 * A background snapshot from the session's side: the order of the moment, and that the machine runs on whatever happens.
 */
#include "source.h"

static struct gw_error err;

static void ready(void)
{
    assert_int_equal(gw_vmdesc_new(RIG_PAGE, &s->desc, NULL), 0);
    s->grammar = GW_GRAMMAR_ITERATE;
    s->plan.lives = 1;
    s->plan.snapshot = &a.live;
    source_phase(GW_PHASE_ACTIVE);
    rig.running = true;
    rig.log[0] = 0;
    err = (struct gw_error)GW_ERROR_INIT;
}

static unsigned at(const char *word)
{
    const char *p = strstr(rig.log, word);

    if (!p)
        fail_msg("%s is not in %s", word, rig.log);
    return (unsigned)(p - rig.log);
}

/* It stands from the devices until its memory is protected, and pages go when it runs again; there is no END, but its devices. */
static void test_order(void **state)
{
    const char *text;

    ready();
    assert_int_equal(gw_send_snapshot(s, &err), 0);
    assert_true(at("stop STOP ") < at("sync(a)") && at("sync(a)") < at("start "));
    assert_true(at("sync(a)") < at("step(a)"));
    assert_null(strstr(rig.log, "complete("));
    assert_true(rig.running);
    assert_int_equal(gw_session_phase(&s->session), GW_PHASE_SAVED);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    text = sent();
    assert_int_equal(strncmp(text, "02000000077e0000000704", 22), 0); /* PART, footer, FULL */
    assert_non_null(strstr(text, "676c6f62616c7374617465")); /* globalstate */
    assert_non_null(strstr(text, "72756e6e696e67")); /* running: that is what it did */
}

/* One that stood keeps standing. */
static void test_stood(void **state)
{
    ready();
    rig.running = false;
    assert_int_equal(gw_send_snapshot(s, &err), 0);
    assert_null(strstr(rig.log, "stop "));
    assert_null(strstr(rig.log, "start "));
    assert_false(rig.running);
}

static void test_cannot_protect(void **state)
{
    ready();
    a.fails = -EIO;
    rig_fails(gw_send_snapshot(s, &err), -EIO, &err, "sync of a");
    at("cleanup(a)"); /* nobody waits any more */
    assert_true(s->stopped); /* who ends the session starts it */
}

/* When pages fail it already runs. */
static int refuse_steps(struct gw_live *l, struct gw_writer *w, struct gw_budget *budget, struct gw_error *e)
{
    return gw_fail(e, -ENOSPC, GW_BLAME_LOCAL, "no room");
}

static void test_pages_fail(void **state)
{
    static struct gw_live_ops ops;

    ready();
    ops = a_ops;
    ops.step = refuse_steps;
    a.live.ops = &ops;
    rig_fails(gw_send_snapshot(s, &err), -ENOSPC, &err, "no room");
    assert_true(rig.running);
    assert_false(s->stopped);
    at("cleanup(a)");
}

/* It did not start again: that is the end of it, and is tried once more by who ends the session. */
static void test_start_fails(void **state)
{
    ready();
    rig.start_fails = -ENOMEM;
    assert_int_equal(gw_send_snapshot(s, &err), -ENOMEM);
    assert_string_equal(err.text, "starting the machine: Cannot allocate memory");
    assert_true(s->stopped);
}

static void test_stop_fails(void **state)
{
    ready();
    rig.stop_fails = -EIO;
    assert_int_equal(gw_send_snapshot(s, &err), -EIO);
    assert_null(strstr(rig.log, "sync"));
    assert_false(s->stopped);
}

static void test_cancelled(void **state)
{
    ready();
    s->session.cancelled = true;
    rig_fails(gw_send_snapshot(s, &err), -ECANCELED, &err, "cancelled");
    assert_true(rig.running);
}

/* In a file whose pages have places an END says that their maps are there. */
static void test_mapped(void **state)
{
    ready();
    rig_cap("mapped-ram");
    assert_int_equal(gw_send_snapshot(s, &err), 0);
    at("complete(a)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        source_test(test_order),       source_test(test_stood),      source_test(test_cannot_protect), source_test(test_pages_fail),
        source_test(test_start_fails), source_test(test_stop_fails), source_test(test_cancelled),      source_test(test_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
