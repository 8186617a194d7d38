/* SPDX-License-Identifier: MIT
 *
 * The life of an incoming session: what cannot be started, what becomes of a source that is no good, and who may claim a machine.
 */
#include "sink.h"

static struct gw_error err;

static void refused(struct gw_recv_config config, int code, const char *text)
{
    struct gw_recv *got = NULL;

    err = (struct gw_error)GW_ERROR_INIT;
    rig_fails(gw_recv_start(rig.vm, &config, &got, &err), code, &err, text);
    assert_null(got);
    assert_false(rig.vm->busy);
}

static void test_refused(void **state)
{
    refused((struct gw_recv_config){0}, -EINVAL, "give either a URI or a channel to receive from, one of the two");
    rig.running = true;
    refused((struct gw_recv_config){.uri = "tcp:127.0.0.1:0"}, -EBUSY, "a machine that runs cannot receive another one's state");
    rig.running = false;
    rig_cap("mapped-ram");
    assert_int_equal(gw_recv_start(rig.vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:0"}, &(struct gw_recv *){NULL}, &err), -EINVAL);
    assert_false(rig.vm->busy);
}

/* The channel is the session's whatever happens. */
static void test_channel_is_taken(void **state)
{
    struct gw_channel *x, *y;
    char c;

    assert_int_equal(gw_channel_memory_pair(64, &x, &y, NULL), 0);
    rig.running = true;
    refused((struct gw_recv_config){.take_channel = x}, -EBUSY, "a machine that runs cannot receive another one's state");
    assert_true(gw_channel_read_full(y, &c, 1, NULL) < 0);
    gw_channel_free(y);
}

static void test_options_go_back(void **state)
{
    struct gw_options *own;

    assert_int_equal(gw_options_new(&own, NULL), 0);
    gw_options_set_parameter(own, "downtime-limit", "5", NULL);
    refused((struct gw_recv_config){.options = own}, -EINVAL, "give either a URI or a channel to receive from, one of the two");
    assert_int_equal(gw_options_param(gw_vm_options(rig.vm), GW_PARAM_DOWNTIME_LIMIT), 300);
    gw_options_free(own);
}

static struct gw_recv *start(struct gw_channel **ret_far)
{
    struct gw_recv_config config = {.hello_timeout_ns = 3600 * GW_NS_PER_S, .progress_timeout_ns = UINT64_MAX, .on_event = rig_event};
    struct gw_recv *got = NULL;

    assert_int_equal(gw_channel_memory_pair(4096, &config.take_channel, ret_far, NULL), 0);
    assert_int_equal(gw_recv_start(rig.vm, &config, &got, &err), 0);
    return got;
}

/* A single connection that is none: it is over, and the machine can be filled by another. */
static void test_no_stream(void **state)
{
    struct gw_channel *peer;
    struct gw_recv *w = start(&peer);
    char address[64] = "x";

    assert_int_equal(gw_channel_write_full(peer, "GET / HTTP/1.0\r\n\r\n", 18, NULL), 0);
    gw_channel_close(peer, NULL);
    assert_true(gw_recv_wait(w, &err) < 0);
    assert_int_equal(gw_recv_status(w), GW_STATUS_FAILED);
    assert_int_equal(gw_recv_owner(w), GW_OWNER_SOURCE);
    assert_false(gw_recv_touched(w));
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    gw_recv_address(w, address, sizeof address);
    assert_string_equal(address, "");
    assert_true(gw_recv_claim(w, &err) < 0);
    assert_string_equal(err.text, "there is nothing to claim: the migration is failed");
    gw_recv_free(w);
    gw_channel_free(peer);
    assert_false(rig.vm->busy);
    w = start(&peer);
    assert_int_equal(gw_recv_cancel(w, &err), 0);
    rig_fails(gw_recv_wait(w, &err), -ECANCELED, &err, "cancelled");
    assert_int_equal(gw_recv_status(w), GW_STATUS_CANCELLED);
    gw_recv_free(w);
    gw_channel_free(peer);
    assert_null(gw_recv_free(NULL));
}

/* ---- claims ---- */

static void undecided(void)
{
    struct gw_error why = GW_ERROR_INIT;

    sink_phase(GW_PHASE_LOADED);
    gw_session_enter(&r->session, GW_PHASE_ASKED);
    gw_fail(&why, -ENODATA, GW_BLAME_CHANNEL, "silence");
    gw_session_enter_failed(&r->session, GW_PHASE_RECV_UNDECIDED, &why);
    r->session.ended = true;
    gw_globalstate_set(rig.vm->globalstate, true);
    rig.log[0] = 0;
}

static void test_claim(void **state)
{
    undecided();
    assert_int_equal(gw_recv_claim(r, &err), 0);
    rig_said("arrived start RESUME [completed] ");
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    assert_false(rig.vm->busy);
    rig_fails(gw_recv_claim(r, &err), -EALREADY, &err, "there is nothing to claim: the migration is completed");
}

/* One that fails can be tried again. */
static void test_claim_fails(void **state)
{
    undecided();
    rig.start_fails = -ENOMEM;
    assert_int_equal(gw_recv_claim(r, &err), -ENOMEM);
    rig_said("arrived start revoked ");
    rig.vm->busy = true; /* somebody else fills it */
    assert_int_equal(gw_recv_claim(r, &err), -EBUSY);
    rig.vm->busy = false;
    rig.start_fails = 0;
    assert_int_equal(gw_recv_claim(r, &err), 0);
}

static void test_claim_too_early(void **state)
{
    undecided();
    r->session.ended = false;
    assert_int_equal(gw_recv_claim(r, &err), -EINVAL);
    rig_said("");
}

/* ---- what is told ---- */

static void test_publish(void **state)
{
    struct gw_stats stats;

    r->started_ns = rig.now_ns;
    rig.now_ns += 7;
    gw_recv_publish(r);
    gw_recv_stats(r, &stats);
    assert_int_equal(stats.total_time_ns, 7);
    assert_int_equal(stats.page_size, RIG_PAGE);
    assert_false(stats.one_way); /* it is not known before the set-up is over */
    r->grammar = GW_GRAMMAR_ITERATE;
    gw_recv_publish(r);
    gw_recv_stats(r, &stats);
    assert_true(stats.one_way);
    r->return_path = r->snapshot = true;
    gw_recv_publish(r);
    gw_recv_stats(r, &stats);
    assert_true(stats.source_runs && !stats.one_way);
}

/* Memory counts as soon as a section says so, before its element is over. */
static void test_touched(void **state)
{
    assert_false(gw_recv_touched(r));
    b.live.touched = true;
    assert_true(gw_recv_touched(r));
    b.live.touched = false;
    r->touched = true;
    assert_true(gw_recv_touched(r));
}

/* It is told once why, and its connection ends. */
static void test_give_up(void **state)
{
    struct gw_error why = GW_ERROR_INIT;

    gw_fail(&why, -EIO, GW_BLAME_LOCAL, "no");
    gw_answers_open(&r->answers, near);
    r->source_knows = GW_EXTENSION_REASON;
    gw_recv_give_up(r, &why);
    assert_string_equal(answered(), "677900026e6f0001000400000001");
    assert_int_equal(gw_channel_write_full(near, "x", 1, NULL), -ECANCELED);
}

#define T(f) sink_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_refused),     T(test_channel_is_taken), T(test_options_go_back), T(test_no_stream), T(test_claim),
        T(test_claim_fails), T(test_claim_too_early),  T(test_publish),         T(test_touched),   T(test_give_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
