/* SPDX-License-Identifier: MIT
 *
 * The beginning of a stream: what is said to which peer, in which order, and what can be refused at once.
 */
#include "source.h"

#include "wire/numbers.h"

#define OPEN  "0800010000"
#define PING1 "080002000400000001"

static void peer(const char *name)
{
    source_down(NULL);
    assert_int_equal(source_up_as(name), 0);
    gw_session_enter(&s->session, GW_PHASE_CONNECT);
}

static void ends_with(const char *text, const char *end)
{
    if (strlen(text) < strlen(end) || strcmp(text + strlen(text) - strlen(end), end))
        fail_msg("%s\ndoes not end with\n%s", text, end);
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void test_frames(void **state)
{
    gw_send_section(s, GW_SECTION_START, &a.live);
    gw_send_footer(s, &a.live);
    gw_send_section(s, GW_SECTION_PART, &a.live);
    gw_send_ping(s, 5);
    assert_string_equal(flushed(), "01000000070161" "0000000000000003" "7e00000007" "0200000007" "080002000400000005");
    assert_int_equal(s->pings, 1);
    rig.vm->without = GW_STREAM_FOOTERS;
    gw_send_footer(s, &a.live);
    assert_string_equal(flushed(), "");
}

/* The answer to a PING is counted from when it goes, not from when it is put. */
static void test_ping_time(void **state)
{
    gw_send_ping(s, 1);
    rig.now_ns += 5;
    flushed();
    assert_int_equal(s->ping_ns, rig.now_ns);
    rig.now_ns += 5;
    flushed();
    assert_int_equal(s->ping_ns, rig.now_ns - 5);
}

/* A plain peer without the capability: nobody is asked anything. */
static void test_plain(void **state)
{
    const char *text;

    peer("7.2");
    rig.log[0] = 0;
    assert_int_equal(gw_send_setup(s, NULL), 0);
    text = sent();
    assert_false(has(text, OPEN));
    assert_int_equal(strncmp(text, "5145564d00000003", 16), 0);
    ends_with(text, "0100000007016100000000000000037e000000070100000008016200000000000000047e00000008");
    rig_said("setup(a) setup(b) pending(a) pending(b) pass1 ");
    assert_false(s->rp.running);
    assert_int_equal(s->setup_offset, strlen(text) / 2);
    assert_int_equal(near->timeout_ns, 20 * GW_NS_PER_S);
    gw_session_cancel(&s->session, NULL);
    assert_int_equal(gw_channel_write_full(near, "x", 1, NULL), -ECANCELED); /* a cancel finds the channel */
}

static void test_return_path(void **state)
{
    peer("7.2");
    source_cap("return-path");
    assert_int_equal(gw_send_setup(s, NULL), 0);
    assert_true(has(sent(), OPEN PING1 "0100000007"));
    assert_true(s->rp.running && !s->rp.asks);
    gw_channel_shutdown(near);
}

/* Another godwit: the cookie, then what is known here. */
static void test_godwit(void **state)
{
    peer("godwit");
    assert_int_equal(gw_send_setup(s, NULL), 0);
    assert_true(has(sent(), OPEN "080002000467647774" "08000200040000000f" "0100000007"));
    assert_true(s->rp.asks);
    assert_int_equal(s->pings, 2);
    gw_channel_shutdown(near);
}

/* One direction only: no return path is opened unasked, and one that was asked for is refused. */
static void test_one_way(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    peer("godwit");
    near->features &= ~(unsigned)GW_CHANNEL_DUPLEX;
    assert_int_equal(gw_send_setup(s, NULL), 0);
    assert_false(has(sent(), OPEN));
    peer("godwit");
    near->features &= ~(unsigned)GW_CHANNEL_DUPLEX;
    source_cap("return-path");
    rig_fails(gw_send_setup(s, &err), -EINVAL, &err,
              "capability return-path: memory:a carries one direction only; turn the capability off");
    assert_int_equal(err.blame, GW_BLAME_CALLER);
}

/* Nobody knows whether a command ever answers. */
static void test_command(void **state)
{
    peer("godwit");
    near->features |= GW_CHANNEL_COMMAND;
    assert_int_equal(gw_send_setup(s, NULL), 0);
    assert_false(s->rp.running);
}

/* It does not change hands, so nobody is asked, and no round begins before the moment. */
static void test_snapshot(void **state)
{
    peer("godwit");
    s->plan.snapshot = &a.live;
    rig.log[0] = 0;
    assert_int_equal(gw_send_setup(s, NULL), 0);
    assert_false(has(sent(), OPEN));
    rig_said("setup(a) setup(b) ");
}

static void test_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    peer("7.2");
    rig.log[0] = 0;
    a.fails = -ENOSPC;
    rig_fails(gw_send_setup(s, &err), -ENOSPC, &err, "setup of a");
    rig_said("setup(a) ");
}

static int refuses(void *opaque, enum gw_notify what, struct gw_error *err)
{
    return what == GW_NOTIFY_SETUP ? gw_fail(err, -EPERM, GW_BLAME_EMBEDDER, "no") : 0;
}

static void test_notifier(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    peer("7.2");
    gw_vm_add_notifier(rig.vm, refuses, NULL, NULL);
    rig_fails(gw_send_setup(s, &err), -EPERM, &err, "notifier: no");
    assert_string_equal(sent(), "");
}

static void test_connect(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    gw_session_enter(&s->session, GW_PHASE_CONNECT);
    gw_session_cancel(&s->session, NULL);
    rig_fails(gw_send_connect(s, &err), -ECANCELED, &err, "cancelled");
    s->session.cancelled = false;
    rig_cap("mapped-ram");
    assert_int_equal(gw_send_connect(s, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        source_test(test_frames),  source_test(test_ping_time), source_test(test_plain),    source_test(test_return_path),
        source_test(test_godwit),  source_test(test_one_way),   source_test(test_command),  source_test(test_snapshot),
        source_test(test_fails),   source_test(test_notifier),  source_test(test_connect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
