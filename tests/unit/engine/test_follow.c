/* SPDX-License-Identifier: MIT
 *
 * A machine is here and its pages follow: what its source is asked for, what another source is told, and what becomes of the machine
 * where no more will come.
 */
#include "follow_sink.h"

#include <sched.h>

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
    rig_said("pages that the machine waits for can no longer be requested from the source: no; ");
}

/* ---- RECV_BITMAP and RESUME ---- */

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

/* Behind the end of the thread's reading. */
static void await_said(const char *words)
{
    for (bool said = false; !said; sched_yield()) {
        pthread_mutex_lock(&rig.lock);
        said = strstr(rig.log, words) != NULL;
        pthread_mutex_unlock(&rig.lock);
    }
}

static void lose(void)
{
    assert_int_equal(gw_channel_close(far, NULL), 0);
    listen_to_the_end();
    await_said(device_waits ? "again release " : "again ");
}

/* All of the package is here, and no device waits for a page: the machine is here, and whether it may run its source will show. */
static void test_commit_after_loss(void **state)
{
    lacking = 0x3000;
    lose();
    assert_int_equal(gw_follow_commit(r, &err), 0);
    assert_true(gw_follow_unsure(r));
    assert_int_equal(gw_follow(r, 0, &err), -ECONNABORTED);
    assert_string_equal(rig.log, "again [postcopy-active] the connection was lost before the source was told that its machine is here: the machine stays stopped here until its source resumes the migration (migrate with resume); hold [postcopy-paused] ");
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
    assert_non_null(strstr(seen.text, "a device needs guest memory that has not arrived: stream ended at byte 0"));
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
    r->return_path = false; /* a source that never waits for an answer */
    assert_false(gw_follow_unsure(r));
    r->return_path = true;
    guest.store_following = NULL; /* one that rests, and nobody would come */
    r->postcopy.unsure = false;
    assert_false(gw_follow_unsure(r));
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
    assert_string_equal(seen.text, "EOF at byte 0, and 12288 bytes of section ram have not come");
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
    rig_fails(gw_follow_check_idle(r, 18, &err), -EPROTO, &err, "the source has sent 4096 empty sections in a row and does not end the stream");
}

static void test_arrive(void **state)
{
    go_to(GW_PHASE_FOLLOWED);
    assert_int_equal(gw_follow_arrive(r, &err), 0);
    rig_said("over(a) release [completed] ");
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
    rig_said("over(a) release park arrived [completed] ");
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

/* ---- states that refuse ---- */

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_ask), T(test_longest_name), T(test_deaf),
        T(test_commit), T(test_commit_cancelled), T(test_commit_after_loss), T(test_commit_after_loss_of_a_page), T(test_needed_later),
        T(test_sure),
        T(test_commit_after_an_early_end), T(test_commit_after_the_end), T(test_whole), T(test_lacks), T(test_open_section),
        T(test_lost_behind_the_last_page), T(test_idle), T(test_arrive), T(test_arrive_parked), T(test_given_up_at_rest), T(test_given_up_here),
       
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
