/* SPDX-License-Identifier: MIT
 *
 * The connection is lost: the machine waits, what another source is told, and when the machine goes on.
 */
#include "follow_sink.h"

static int map(const char *payload, size_t bytes, uint16_t claimed)
{
    gw_put_bytes(&out, payload, bytes);
    put(true);
    err = (struct gw_error)GW_ERROR_INIT;
    return gw_recovery_map(r, claimed, &err);
}

/* Words are little endian, lengths and the mark behind them are not. */
static void test_map(void **state)
{
    assert_int_equal(map("\3ram", 4, 4), 0);
    assert_string_equal(answered(), "00050004" "0372616d" "0000000000000010" "0301000000000080" "2100000000000000" "0123456789abcdef");
}

static void test_map_refused(void **state)
{
    rig_fails(map("\3ram", 4, 5), -EPROTO, &err, "a message of 5 bytes does not hold just the name of a RAM block of 3");
    rig_fails(map("\3rom", 4, 4), -ENOENT, &err, "no RAM block is called rom");
    rig_fails(map("\0", 1, 1), -EPROTO, &err, "empty name at byte 8");
    assert_string_equal(answered(), "");
}

/* The other side has forgotten which block was named. */
static void test_resume(void **state)
{
    struct gw_ram_block ram = {.name = "ram"};

    gw_follow_ask(r, &ram, 0, 0x1000);
    answered();
    go_to(GW_PHASE_RECV_RECOVER);
    gw_fail(&r->session.error, -EIO, GW_BLAME_LOCAL, "lost");
    assert_int_equal(gw_recovery_resume(r, &err), 0);
    rig_said("[postcopy-active] again ");
    assert_string_equal(answered(), "0006000400000001");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_FOLLOWED);
    assert_int_equal(r->session.error.code, 0);
    gw_follow_ask(r, &ram, 0, 0x1000);
    assert_string_equal(answered(), "00030010" "0000000000000000" "00001000" "0372616d");
}

static void test_resume_unheard(void **state)
{
    go_to(GW_PHASE_RECV_RECOVER);
    gw_channel_shutdown(near);
    assert_true(gw_recovery_resume(r, &err) < 0);
    rig_said("");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_RECV_RECOVER);
}

/* A source that goes on has given its machine away: now it starts. */
static void test_start_late(void **state)
{
    go_to(GW_PHASE_RECV_RECOVER);
    r->postcopy.unsure = true;
    assert_int_equal(gw_recovery_resume(r, &err), 0);
    assert_false(r->postcopy.unsure);
    assert_int_equal(gw_follow_arrive(r, &err), 0); /* waits for the start */
    assert_true(rig.running);
    assert_non_null(strstr(rig.log, "arrived "));
}

/* All is here, and still the source may run it. */
static void test_whole_and_unsure(void **state)
{
    go_to(GW_PHASE_FOLLOWED);
    r->postcopy.unsure = true;
    assert_int_equal(gw_follow(r, 0, &err), -ECONNABORTED);
    rig_said("hold [postcopy-paused] ");
    assert_string_equal(r->session.error.text, "the source cannot be told that all of its machine is here");
}

/* It stands at the pages that have not come, until somebody gives it up. */
static void test_held(void **state)
{
    lacking = 0x3000;
    go_to(GW_PHASE_FOLLOWED);
    gw_fail(&err, -ECONNRESET, GW_BLAME_CHANNEL, "lost");
    assert_int_equal(gw_follow(r, -ECONNRESET, &err), -ECONNABORTED);
    rig_said("hold [postcopy-paused] ");
    assert_string_equal(r->session.error.text, "lost");
    assert_null(r->channel);
    assert_null(r->answers.channel);
}

static void test_again(void **state)
{
    static const char want[] = "\0\5\0\4\3ram\0\0\0\0\0\0\0\20\3\1\0\0\0\0\0\x80\x21\0\0\0\0\0\0\0\1\x23\x45\x67\x89\xab\xcd\xef" /* the map */
                               "\0\6\0\4\0\0\0\1"; /* RESUME_ACK */
    char got[sizeof want - 1];

    uint64_t bytes, out_bytes;

    lacking = 0x3000;
    gw_put_u32(&out, 1);
    put(true);
    assert_int_equal(gw_get_discard(&r->reader, 4, NULL), 0);
    go_to(GW_PHASE_FOLLOWED);
    gw_fail(&err, -ECONNRESET, GW_BLAME_CHANNEL, "lost");
    comes_again = true;
    assert_int_equal(gw_follow(r, -ECONNRESET, &err), 0);
    gw_channel_bytes(r->channel, &bytes, &out_bytes);
    gw_recv_publish(r);
    assert_int_equal(r->session.stats.transferred_bytes, 4 + bytes);
    rig_said("hold [postcopy-paused] [postcopy-recover] [postcopy-active] again ");
    gw_channel_shutdown(r->channel);
    assert_int_equal(gw_channel_read_full(other, got, sizeof got, NULL), 0);
    assert_memory_equal(got, want, sizeof got);
    assert_non_null(r->postcopy.door); /* urgent pages may still come there */
    assert_int_equal(r->grammar, GW_GRAMMAR_CLOSED);
}

/* All has come, as it turns out when nobody else will. */
static void test_here_after_all(void **state)
{
    lacking = 0x3000;
    all_comes = true;
    go_to(GW_PHASE_FOLLOWED);
    gw_fail(&err, -ECONNRESET, GW_BLAME_CHANNEL, "lost");
    assert_int_equal(gw_follow(r, -ECONNRESET, &err), 0);
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_FOLLOWED);
    assert_int_equal(err.code, 0);
}

static void test_recover_refused(void **state)
{
    assert_true(gw_recv_recover(r, "nonsense", &err) < 0);
    go_to(GW_PHASE_FOLLOWED);
    assert_int_equal(gw_recv_recover(r, "tcp:127.0.0.1:0", &err), -EINVAL);
    gw_session_enter(&r->session, GW_PHASE_RECV_PAUSED);
    r->session.ended = true;
    assert_int_equal(gw_recv_recover(r, "tcp:127.0.0.1:0", &err), -EINVAL);
    assert_null(r->postcopy.door);
}

static void test_pause(void **state)
{
    go_to(GW_PHASE_LOADING);
    assert_int_equal(gw_recv_pause(r, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    gw_session_enter(&r->session, GW_PHASE_FOLLOWED);
    guest.store_following = NULL; /* one that rests does not wait for another source */
    assert_int_equal(gw_recv_pause(r, &err), -EINVAL);
    guest.store_following = gw_guest_here.store_following;
    assert_int_equal(gw_recv_pause(r, &err), 0);
    assert_true(gw_channel_write_full(near, "x", 1, NULL) < 0); /* it was shut down */
    gw_session_enter(&r->session, GW_PHASE_RECV_PAUSED);
    assert_int_equal(gw_recv_pause(r, &err), -EINVAL);
}

/* The first who comes is lost. Who has come meanwhile waits at the door and is the next: nobody has to ask again. */
static void test_two_visitors(void **state)
{
    lacking = 0x3000;
    go_to(GW_PHASE_FOLLOWED);
    gw_fail(&err, -ECONNRESET, GW_BLAME_CHANNEL, "lost");
    comes_again = two_come = true;
    assert_int_equal(gw_follow(r, -ECONNRESET, &err), 0);
    rig_said("hold [postcopy-paused] [postcopy-recover] hold [postcopy-paused] [postcopy-recover] [postcopy-active] again ");
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_map), T(test_map_refused), T(test_resume), T(test_resume_unheard), T(test_start_late), T(test_whole_and_unsure),
        T(test_held), T(test_again), T(test_two_visitors), T(test_here_after_all), T(test_recover_refused), T(test_pause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
