/* SPDX-License-Identifier: MIT
 *
 * A machine is here and its pages follow: what its source is asked for, what another source is told, and what becomes of the machine
 * where no more will come.
 */
#include "sink.h"

#include <sched.h>

#include "wire/numbers.h"

static struct gw_error err;
static struct gw_guest_ops guest;
static struct gw_live_ops follows;
static struct gw_channel *other; /* another source's end */
static uint64_t lacking;
static bool comes_again, all_comes;
static bool device_waits; /* for a page, whenever what is waited for is asked for again */

static uint64_t fake_lacking(struct gw_live *l)
{
    return lacking;
}

static int fake_received(struct gw_live *l, const char *name, uint64_t **ret_map, uint64_t *ret_pages, struct gw_error *e)
{
    if (strcmp(name, "ram"))
        return gw_fail(e, -ENOENT, GW_BLAME_PEER, "no RAM block is called %s", name);
    *ret_map = calloc(2, sizeof **ret_map);
    (*ret_map)[0] = 0x8000000000000103;
    (*ret_map)[1] = 0x21;
    *ret_pages = 70;
    return 0;
}

static void fake_hold(struct gw_live *l)
{
    rig_say("hold ");
}

static void fake_again(struct gw_live *l)
{
    struct gw_ram_block ram = {.name = "ram"};

    rig_say("again ");
    if (device_waits)
        gw_follow_ask(r, &ram, 0x1000, 0x1000);
}

static int fake_release(struct gw_live *l, struct gw_error *e)
{
    rig_say("release ");
    return 0;
}

static int fake_lacks(struct gw_vm *vm, const struct gw_ram_block *block, uint64_t *take_received, struct gw_error *e)
{
    rig_say("lacks(%s,%x) ", block->name, (unsigned)take_received[0]);
    free(take_received);
    return 0;
}

static int fake_park(struct gw_vm *vm, struct gw_error *e)
{
    rig_say("park ");
    return 0;
}

static void fake_abandon(struct gw_vm *vm)
{
}

/* Another source comes: its bytes wait for us. */
static void come_again(void)
{
    struct gw_error why = GW_ERROR_INIT;
    struct gw_uri uri;
    const uint8_t *data;
    char text[256];
    size_t n;

    if (gw_recv_recover(r, "tcp:127.0.0.1:0", &why) < 0)
        fail_msg("%s", why.text);
    assert_int_equal(gw_recv_recover(r, "tcp:127.0.0.1:0", &why), -EALREADY);
    gw_recv_address(r, text, sizeof text);
    assert_int_equal(gw_uri_parse(text, &uri, NULL), 0);
    assert_int_equal(gw_connect(&uri, 0, NULL, &other, NULL), 0);
    gw_command_put(&out, GW_COMMAND_RECV_BITMAP, "\3ram", 4);
    gw_command_put(&out, GW_COMMAND_POSTCOPY_RESUME, NULL, 0);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    data = gw_out_data(&out, &n);
    assert_int_equal(gw_channel_write_full(other, data, n, NULL), 0);
    lacking = 0; /* what it would send in between */
}

/* Once the connection is lost another source comes, or it is given up: nobody waits for ever. */
static void on_event(void *opaque, const struct gw_event *e)
{
    rig_event(opaque, e);
    if (e->type != GW_EVENT_STATUS || e->status != GW_STATUS_POSTCOPY_PAUSED)
        return;
    if (comes_again)
        come_again();
    else
        r->session.yanked = true;
    if (all_comes)
        lacking = 0;
}

static void go_to(enum gw_phase to)
{
    static const enum gw_phase way[] = {GW_PHASE_LISTEN, GW_PHASE_LOADING, GW_PHASE_FOLLOWED, GW_PHASE_RECV_PAUSED,
                                        GW_PHASE_RECV_RECOVER};

    for (unsigned i = 0; i < GW_ARRAY_LEN(way); i++) {
        gw_session_enter(&r->session, way[i]);
        if (way[i] == to)
            break;
    }
    rig.log[0] = 0;
}

/* One section, whose pages follow. */
static int up(void **state)
{
    if (sink_up(state))
        return -1;
    guest = gw_guest_here;
    rig.vm->guest = &guest;
    follows = a_ops;
    follows.lacking = fake_lacking;
    follows.received = fake_received;
    follows.hold = fake_hold;
    follows.again = fake_again;
    follows.release = fake_release;
    a.live.ops = &follows;
    r->plan.lives = 1;
    r->return_path = true;
    r->timeout_ns = 0;
    r->hello_ns = 3600 * GW_NS_PER_S;
    gw_answers_open(&r->answers, near);
    gw_session_set_channel(&r->session, near);
    gw_globalstate_set(rig.vm->globalstate, true);
    lacking = 0;
    comes_again = all_comes = device_waits = false;
    r->session.on_event = on_event;
    other = NULL;
    err = (struct gw_error)GW_ERROR_INIT;
    return 0;
}

static int down(void **state)
{
    gw_door_close(r);
    gw_follow_close(r);
    gw_follow_end(r);
    gw_session_set_channel(&r->session, NULL);
    near = r->channel; /* not the first one any more, or none */
    gw_channel_free(other);
    return sink_down(state);
}

/* ---- the machine waits for pages ---- */

/* A block is named once, until another one is asked for. */
static void test_ask(void **state)
{
    struct gw_ram_block ram = {.name = "ram"}, rom = {.name = "rom"};

    gw_follow_ask(r, &ram, 0x3000, 0x1000);
    assert_string_equal(answered(), "00030010" "0000000000003000" "00001000" "0372616d");
    gw_follow_ask(r, &ram, 0x123456000, 0x200000);
    assert_string_equal(answered(), "0004000c" "0000000123456000" "00200000");
    gw_follow_ask(r, &rom, 0, 0x1000);
    assert_string_equal(answered(), "00030010" "0000000000000000" "00001000" "03726f6d");
    gw_follow_ask(r, &ram, 0, 0x1000);
    assert_string_equal(answered(), "00030010" "0000000000000000" "00001000" "0372616d");
}

static void test_longest_name(void **state)
{
    struct gw_ram_block ram = {.name = "x"};

    memset(ram.name, 'x', 255);
    gw_follow_ask(r, &ram, 0, 0x1000);
    assert_int_equal(strncmp(answered(), "0003010c" "0000000000000000" "00001000" "ff7878", 38), 0);
}

static void test_deaf(void **state)
{
    gw_fail(&err, -EIO, GW_BLAME_LOCAL, "no");
    gw_follow_deaf(r, &err);
    rig_said("pages that the machine waits for cannot be asked for any more: no; ");
}

/* ---- RECV_BITMAP and RESUME ---- */

static int map(const char *payload, size_t bytes, uint16_t claimed)
{
    gw_put_bytes(&out, payload, bytes);
    put(true);
    err = (struct gw_error)GW_ERROR_INIT;
    return gw_follow_map(r, claimed, &err);
}

/* Words are little endian, lengths and the mark behind them are not. */
static void test_map(void **state)
{
    assert_int_equal(map("\3ram", 4, 4), 0);
    assert_string_equal(answered(), "00050004" "0372616d" "0000000000000010" "0301000000000080" "2100000000000000" "0123456789abcdef");
}

static void test_map_refused(void **state)
{
    rig_fails(map("\3ram", 4, 5), -EPROTO, &err, "5 bytes are not a name of 3");
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
    assert_int_equal(gw_follow_resume(r, &err), 0);
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
    assert_true(gw_follow_resume(r, &err) < 0);
    rig_said("");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_RECV_RECOVER);
}

/* ---- the change of owner ---- */

static void test_commit(void **state)
{
    go_to(GW_PHASE_LOADING);
    assert_int_equal(gw_follow_commit(r, &err), 0);
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_FOLLOWED);
    assert_true(r->postcopy.committed);
}

static void test_commit_cancelled(void **state)
{
    go_to(GW_PHASE_LOADING);
    r->session.cancelled = true;
    rig_fails(gw_follow_commit(r, &err), -ECANCELED, &err, "cancelled");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_LOADING);
}

/* The thread has ended before RUN was read. */
static void listen_to_the_end(void)
{
    bool ended = false;

    go_to(GW_PHASE_LOADING);
    assert_int_equal(gw_follow_listen(r, &err), 0);
    assert_true(r->postcopy.threaded);
    while (!ended) {
        pthread_mutex_lock(&r->session.lock);
        ended = r->postcopy.ended;
        pthread_mutex_unlock(&r->session.lock);
        sched_yield();
    }
}

static void lose(void)
{
    assert_int_equal(gw_channel_close(far, NULL), 0);
    listen_to_the_end();
}

/* All of the package is here, and no device waits for a page: the machine is here, and whether it may run its source will show. */
static void test_commit_after_loss(void **state)
{
    lacking = 0x3000;
    lose();
    assert_int_equal(gw_follow_commit(r, &err), 0);
    assert_true(gw_follow_unsure(r));
    assert_int_equal(gw_follow(r, 0, &err), -ECONNABORTED);
    assert_string_equal(rig.log, "again [postcopy-active] the connection is lost before the source has heard that its machine is here: it "
                                 "stands until its source goes on (migrate with resume); hold [postcopy-paused] ");
    gw_follow_lost(r, &err);
    assert_non_null(strstr(err.text, "the machine has not run here, and its source may have taken it back: look there"));
}

/* Without that page it is not the machine: it stays with its source. */
static void test_commit_after_loss_of_a_page(void **state)
{
    struct gw_error seen = GW_ERROR_INIT;
    struct gw_ram_block ram = {.name = "ram"};

    device_waits = true;
    lose();
    rig_said("again release ");
    gw_follow_ask(r, &ram, 0x5000, 0x1000); /* and another one */
    assert_int_equal(gw_follow_commit(r, &seen), -ENODATA);
    assert_non_null(strstr(seen.text, "a device needs memory that has not come: stream ended at byte 0"));
    assert_int_equal(gw_follow(r, 0, &err), -ENODATA);
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_LOADING);
    rig_said("release ");
    assert_string_equal(answered(), "");
}

/* Only a page that is waited for before the machine is here makes it useless. */
static void test_needed_later(void **state)
{
    struct gw_ram_block ram = {.name = "ram"};

    lose();
    assert_int_equal(gw_follow_commit(r, &err), 0);
    gw_follow_ask(r, &ram, 0x5000, 0x1000);
    assert_null(strstr(rig.log, "release "));
    assert_true(gw_follow_unsure(r));
    assert_int_equal(gw_follow(r, 0, &err), -ECONNABORTED);
}

/* The connection lives, as far as one sees; and then a source that nobody could answer. */
static void test_sure(void **state)
{
    go_to(GW_PHASE_LOADING);
    assert_int_equal(gw_follow_commit(r, &err), 0);
    assert_false(gw_follow_unsure(r));
    r->postcopy.unheard = true;
    assert_true(gw_follow_unsure(r));
    guest.store_following = NULL; /* one that rests, and nobody would come */
    r->postcopy.unsure = false;
    assert_false(gw_follow_unsure(r));
}

/* A source that goes on has given its machine away: now it starts. */
static void test_start_late(void **state)
{
    go_to(GW_PHASE_RECV_RECOVER);
    r->postcopy.unsure = true;
    assert_int_equal(gw_follow_resume(r, &err), 0);
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

/* The source has ended its stream, and a device may wait for a page that did not come. */
static void test_commit_after_an_early_end(void **state)
{
    struct gw_error seen = GW_ERROR_INIT;

    lacking = 0x3000;
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(true);
    listen_to_the_end();
    assert_int_equal(gw_follow_commit(r, &seen), -EPROTO);
    assert_string_equal(seen.text, "EOF at byte 0, and 12288 bytes of memory have not come");
    assert_int_equal(gw_follow(r, 0, &err), -EPROTO);
    rig_said("release ");
}

static void test_commit_after_the_end(void **state)
{
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(true);
    listen_to_the_end();
    assert_int_equal(gw_follow_commit(r, &err), 0);
    rig_said("[postcopy-active] ");
    gw_follow(r, 0, NULL);
}

/* ---- the end ---- */

/* One that rests: nobody comes again. Behind EOF. */
static int eof(void)
{
    guest.store_following = NULL;
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(true);
    assert_int_equal(gw_get_discard(&r->reader, 1, NULL), 0);
    go_to(GW_PHASE_FOLLOWED);
    return gw_follow(r, 0, &err);
}

static void test_whole(void **state)
{
    assert_int_equal(eof(), 0);
    rig_said("");
}

static void test_lacks(void **state)
{
    lacking = 0x3000;
    rig_fails(eof(), -EPROTO, &err, "EOF at byte 0, and 12288 bytes of section ram have not come");
    assert_int_equal(err.blame, GW_BLAME_PEER);
}

static void test_open_section(void **state)
{
    r->bound = calloc(1, sizeof *r->bound);
    r->bound[0] = (struct gw_bound){.id = 9, .live = &a.live};
    r->bounds = 1;
    lacking = 0x3000;
    rig_fails(eof(), -EPROTO, &err, "EOF at byte 0, and section a has not ended");
}

/* Whatever was lost, it was nothing that the machine needs. */
static void test_lost_behind_the_last_page(void **state)
{
    go_to(GW_PHASE_FOLLOWED);
    gw_fail(&err, -ECONNRESET, GW_BLAME_CHANNEL, "lost");
    assert_int_equal(gw_follow(r, -ECONNRESET, &err), 0);
    assert_int_equal(err.code, 0);
    rig_said("all of the machine is here; lost; ");
}

/* Nothing is lacking, and no end comes: whoever sends pages that we have, or lets us wait for one, is heard. */
static void test_idle(void **state)
{
    lacking = 0x1000;
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(gw_follow_check_idle(r, 18, &err), 0);
    lacking = 0;
    for (unsigned i = 0; i < 4095; i++)
        assert_int_equal(gw_follow_check_idle(r, 18, &err), 0);
    assert_int_equal(gw_follow_check_idle(r, 4096, &err), 0);
    for (unsigned i = 0; i < 4095; i++)
        assert_int_equal(gw_follow_check_idle(r, 18, &err), 0);
    rig_fails(gw_follow_check_idle(r, 18, &err), -EPROTO, &err, "the source has sent 4096 empty sections and no end");
}

static void test_arrive(void **state)
{
    go_to(GW_PHASE_FOLLOWED);
    assert_int_equal(gw_follow_arrive(r, &err), 0);
    rig_said("release [completed] ");
    assert_string_equal(answered(), "0001000400000000");
}

/* What is to be parked is run, or not, when it is there. */
static void test_arrive_parked(void **state)
{
    guest.park = fake_park;
    guest.abandon = fake_abandon;
    r->start_paused = true;
    go_to(GW_PHASE_FOLLOWED);
    assert_int_equal(gw_follow_arrive(r, &err), 0);
    rig_said("release park arrived [completed] ");
}

/* What came is kept, and said of it that it is not all. */
static void test_given_up_at_rest(void **state)
{
    guest.store_following = NULL;
    guest.lacks = fake_lacks;
    lacking = 0x3000;
    go_to(GW_PHASE_FOLLOWED);
    gw_fail(&err, -ECONNRESET, GW_BLAME_CHANNEL, "lost");
    assert_int_equal(gw_follow_lost(r, &err), -ECONNRESET);
    rig_said("lacks(ram,103) [failed] ");
    assert_string_equal(err.text, "the machine was handed over here before the last 12288 bytes of its memory had come: lost");
    assert_int_equal(gw_session_phase(&r->session), GW_PHASE_RECV_LACKING);
    assert_false(r->postcopy.stands);
}

/* One that runs is stopped, by a thread: that can wait for a page as well. */
static void test_given_up_here(void **state)
{
    lacking = 0x3000;
    rig.running = r->handed = true;
    go_to(GW_PHASE_FOLLOWED);
    gw_fail(&err, -ECONNRESET, GW_BLAME_CHANNEL, "lost");
    assert_int_equal(gw_follow_lost(r, &err), -ECONNRESET);
    assert_true(r->postcopy.stands && r->postcopy.stops);
    assert_false(r->handed);
    gw_follow_end(r);
    assert_false(rig.running);
    assert_non_null(strstr(rig.log, "revoked "));
    assert_non_null(strstr(rig.log, "stop "));
}

/* ---- the connection is lost ---- */

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

/* ---- states that refuse ---- */

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

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_ask), T(test_longest_name), T(test_deaf), T(test_map), T(test_map_refused), T(test_resume), T(test_resume_unheard),
        T(test_commit), T(test_commit_cancelled), T(test_commit_after_loss), T(test_commit_after_loss_of_a_page), T(test_needed_later),
        T(test_sure), T(test_start_late), T(test_whole_and_unsure),
        T(test_commit_after_an_early_end), T(test_commit_after_the_end), T(test_whole), T(test_lacks), T(test_open_section),
        T(test_lost_behind_the_last_page), T(test_idle), T(test_arrive), T(test_arrive_parked), T(test_given_up_at_rest), T(test_given_up_here),
        T(test_held), T(test_again), T(test_here_after_all), T(test_recover_refused), T(test_pause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
