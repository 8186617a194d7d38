/* SPDX-License-Identifier: MIT
 *
 * What both kinds of session have in common, without either.
 */
#include "rig.h"

#include <poll.h>
#include <signal.h>

#include "engine/session.h"

static struct gw_session s;
static struct gw_channel *near, *far;

static int up(void **state)
{
    return rig_up(state) || gw_session_init(&s, rig.vm, rig_event, NULL, NULL) ||
           gw_channel_memory_pair(4096, &near, &far, NULL);
}

static int down(void **state)
{
    gw_session_close(&s);
    gw_channel_free(near);
    gw_channel_free(far);
    return rig_down(state);
}

static void enter(unsigned n, const enum gw_phase *phases)
{
    for (unsigned i = 0; i < n; i++)
        gw_session_enter(&s, phases[i]);
}

#define ENTER(...) enter(sizeof((enum gw_phase[]){__VA_ARGS__}) / sizeof(enum gw_phase), (enum gw_phase[]){__VA_ARGS__})

/* A status is told when it changes, and the place of the machine follows the owner. */
static void test_phases(void **state)
{
    ENTER(GW_PHASE_CONNECT, GW_PHASE_SETUP, GW_PHASE_ACTIVE, GW_PHASE_STOPPED);
    rig_said("[setup] [active] ");
    ENTER(GW_PHASE_DEVICE);
    rig_said("[device] ");
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    ENTER(GW_PHASE_OFFERED_PLAIN);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_UNDECIDED);
    ENTER(GW_PHASE_SENT);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_LEFT);
    rig_said("[completed] ");
    assert_int_equal(s.stats.status, GW_STATUS_COMPLETED);
}

/* A destination says nothing of a machine that it was not offered; then whose it is. */
static void test_place_of_a_destination(void **state)
{
    ENTER(GW_PHASE_LISTEN, GW_PHASE_LOADING, GW_PHASE_LOADED);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_HERE);
    ENTER(GW_PHASE_ASKED);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_UNDECIDED);
    ENTER(GW_PHASE_RECV_FAILED);
    assert_int_equal(gw_vm_place(rig.vm), GW_VM_LEFT);
}

static void test_commit(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    ENTER(GW_PHASE_CONNECT, GW_PHASE_SETUP, GW_PHASE_ACTIVE, GW_PHASE_STOPPED, GW_PHASE_DEVICE);
    assert_int_equal(gw_session_cancel(&s, &err), 0);
    rig_fails(gw_session_commit(&s, GW_PHASE_OFFERED_PLAIN, &err), -ECANCELED, &err, "cancelled");
    assert_int_equal(gw_session_phase(&s), GW_PHASE_DEVICE);
    s.cancelled = false;
    assert_int_equal(gw_session_commit(&s, GW_PHASE_OFFERED_PLAIN, &err), 0);
    /* From here there is no way back. */
    rig_fails(gw_session_cancel(&s, &err), -EALREADY, &err, "too late to cancel: the migration is device");
    assert_false(s.cancelled);
}

static void test_cancel(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char c;

    gw_session_set_channel(&s, near);
    assert_int_equal(gw_session_check(&s, &err), 0);
    s.last_word = true; /* the peer has to hear of it */
    ENTER(GW_PHASE_CONNECT);
    assert_int_equal(gw_session_cancel(&s, &err), 0);
    assert_true(gw_cancel_triggered(s.cancel));
    assert_int_equal(gw_channel_write_full(near, "x", 1, &err), 0);
    s.last_word = false;
    assert_int_equal(gw_session_cancel(&s, &err), 0);
    assert_int_equal(gw_channel_write_full(near, "x", 1, &err), -ECANCELED);
    assert_int_equal(gw_channel_read_full(far, &c, 1, &err), 0);
    gw_session_yank(&s);
    rig_fails(gw_session_check(&s, &err), -ECANCELED, &err, "cancelled"); /* the better reason */
    s.cancelled = false;
    rig_fails(gw_session_check(&s, &err), -ECONNABORTED, &err, "the connection was torn down by a yank");
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
}

/* While it is held, a yank leaves the channels, and shuts them as soon as it is let go. */
static void test_hold(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    gw_session_set_channel(&s, near);
    assert_int_equal(gw_session_hold(&s, &err), 0);
    gw_session_yank(&s);
    assert_int_equal(gw_channel_write_full(near, "x", 1, &err), 0);
    gw_session_release(&s);
    assert_int_equal(gw_channel_write_full(near, "x", 1, &err), -ECANCELED);
    assert_int_equal(gw_session_hold(&s, &err), -ECONNABORTED); /* one that came first */
    assert_false(s.held);
}

/* Who reads that it failed reads why. */
static void test_failed(void **state)
{
    struct gw_error why = GW_ERROR_INIT, got = GW_ERROR_INIT;

    ENTER(GW_PHASE_CONNECT);
    gw_fail(&why, -EIO, GW_BLAME_LOCAL, "a disk");
    gw_session_enter_failed(&s, GW_PHASE_SEND_FAILED, &why);
    assert_int_equal(s.stats.error.code, -EIO);
    assert_string_equal(s.stats.error.text, "a disk");
    gw_session_end(&s);
    rig_said("[setup] [failed] [ended] ");
    rig_fails(gw_session_wait(&s, &got), -EIO, &got, "a disk");
}

static void test_failed_without_reason(void **state)
{
    struct gw_error none = GW_ERROR_INIT;

    ENTER(GW_PHASE_CONNECT);
    gw_session_enter_failed(&s, GW_PHASE_SEND_FAILED, &none);
    assert_int_equal(s.error.code, -EREMOTEIO);
    assert_true(s.error.text[0]);
}

static void test_end_is_readable(void **state)
{
    struct pollfd p = {.fd = gw_session_fd(&s, NULL), .events = POLLIN};

    assert_true(p.fd >= 0);
    assert_int_equal(gw_session_fd(&s, NULL), p.fd);
    assert_int_equal(poll(&p, 1, 0), 0);
    gw_session_end(&s);
    assert_int_equal(poll(&p, 1, 0), 1);
    assert_int_equal(gw_session_wait(&s, NULL), 0);
    gw_close_fd(&s.end_fd);
    p.fd = gw_session_fd(&s, NULL); /* asked for when all was over */
    assert_int_equal(poll(&p, 1, 0), 1);
}

static void test_options(void **state)
{
    struct gw_options *own = NULL, *vm = gw_vm_options(rig.vm);

    assert_int_equal(gw_options_new(&own, NULL), 0);
    gw_options_set_parameter(own, "downtime-limit", "17", NULL);
    gw_session_put_options_back(&s); /* nothing was taken */
    assert_int_equal(gw_session_take_options(&s, NULL, NULL), 0);
    assert_int_equal(gw_options_param(vm, GW_PARAM_DOWNTIME_LIMIT), 300);
    assert_int_equal(gw_session_take_options(&s, own, NULL), 0);
    assert_int_equal(gw_options_param(vm, GW_PARAM_DOWNTIME_LIMIT), 17);
    gw_session_put_options_back(&s);
    assert_int_equal(gw_options_param(vm, GW_PARAM_DOWNTIME_LIMIT), 300);
    gw_options_free(own);
}

/* A clock of the embedder's goes on as it is slept on, a little at a time. */
static void test_wait_until(void **state)
{
    uint64_t began = rig.now_ns;

    pthread_mutex_lock(&s.lock);
    assert_true(gw_session_wait_until(&s, began + 3 * GW_NS_PER_MS / 2));
    assert_int_equal(rig.now_ns - began, GW_NS_PER_MS);
    assert_true(gw_session_wait_until(&s, began + 3 * GW_NS_PER_MS / 2));
    assert_int_equal(rig.now_ns - began, 3 * GW_NS_PER_MS / 2);
    assert_false(gw_session_wait_until(&s, began + 3 * GW_NS_PER_MS / 2));
    pthread_mutex_unlock(&s.lock);
}

/* With mapped-ram pages have places: what can be no file is refused, before it is opened where the address tells. */
static void test_file(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_uri uri;

    assert_int_equal(gw_session_check_file(&s, near, &err), 0);
    rig_cap("mapped-ram");
    rig_fails(gw_session_check_file(&s, near, &err), -EINVAL, &err,
              "capability mapped-ram puts pages at fixed places of a file, which memory:a is not: take a file: address, or turn the capability off");
    assert_int_equal(gw_uri_parse("tcp:h:1", &uri, &err), 0);
    assert_int_equal(gw_session_check_uri(&s, &uri, &err), -EINVAL);
    assert_int_equal(gw_uri_parse("file:/x", &uri, &err), 0);
    assert_int_equal(gw_session_check_uri(&s, &uri, &err), 0);
    assert_int_equal(gw_uri_parse("fd:7", &uri, &err), 0);
    assert_int_equal(gw_session_check_uri(&s, &uri, &err), 0);
}

static int dial(void *opaque, enum gw_link purpose, unsigned i, struct gw_cancel *cancel, struct gw_channel **ret, struct gw_error *err)
{
    *ret = opaque;
    return purpose == GW_LINK_PAGES && i == 3 ? 0 : -EINVAL;
}

static void test_channels_for_pages(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *got = NULL;

    s.pages_timeout_ns = 77;
    assert_int_equal(gw_session_open_pages(&s, dial, near, 3, &got, &err), 0);
    assert_ptr_equal(got, near);
    assert_int_equal(near->timeout_ns, 77);
    ENTER(GW_PHASE_CONNECT);
    gw_session_cancel(&s, NULL);
    assert_int_equal(gw_channel_write_full(near, "x", 1, &err), -ECANCELED);
    gw_session_close_pages(&s); /* frees it */
    near = NULL;
    assert_null(s.pages[3]);
    assert_null(s.links.place[GW_LINK_PAGES + 3]);
}

/* Whatever a peer said: it cannot move a terminal's cursor. */
static void test_log(void **state)
{
    gw_session_log(&s, "a %s", "b\033[2J");
    gw_session_refused(&s, "c");
    assert_null(strchr(rig.log, '\033'));
    assert_non_null(strstr(rig.log, "refused: c; "));
    assert_null(strstr(rig.log, "refused: a"));
}

static void *masked(void *opaque)
{
    sigset_t set;

    pthread_sigmask(SIG_SETMASK, NULL, &set);
    *(int *)opaque = sigismember(&set, SIGINT) && sigismember(&set, SIGUSR1);
    return NULL;
}

/* Signals are for the embedder's own threads, whose mask stays as it was. */
static void test_signals(void **state)
{
    int all = 0;
    sigset_t set;

    assert_int_equal(gw_session_run(&s, masked, &all, NULL), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_false(sigismember(&set, SIGUSR1));
    pthread_join(s.thread, NULL);
    s.threaded = false;
    assert_true(all);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_phases),          T(test_place_of_a_destination), T(test_commit),  T(test_cancel),     T(test_hold), T(test_failed),
        T(test_failed_without_reason), T(test_end_is_readable), T(test_options), T(test_wait_until), T(test_file),
        T(test_channels_for_pages), T(test_log),                 T(test_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
