/* SPDX-License-Identifier: MIT
 *
 * Peers that stop in the middle, on either side, and people who do not want to wait: a stalled connection is noticed after
 * progress_timeout_ns, a cancel ends within a second in every state, and what is decided can no longer be cancelled. In the
 * end one side can run the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "../owned.h"
#include "../late.h"
#include "channel/fault.h"
#include "engine/recv.h"
#include "engine/send.h"
#include "mutate.h"
#include "rig.h"
#include "wire/numbers.h"

#define SOON_MS    1000u /* of waiting: see late.h */
#define TIMEOUT_MS 2000u /* everything else has to fit in; more when it does not */
#define LONGEST_MS 60000u
#define TRIES      5
#define PAGES      16

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static uint64_t now_ms(void)
{
    return gw_now_ns(&gw_clock_real) / GW_NS_PER_MS;
}

static uint64_t idle_ms(const struct late_watch *w)
{
    return late_idle_ns(w) / GW_NS_PER_MS;
}

/* The sessions of these tests have no time-outs, so a cancel that wakes nobody never ends. Beyond that it has to be
 * soon; what no account of lateness covers (a machine that was suspended) is measured again. */
static void soon(uint64_t (*once)(const void *what), const void *what, const char *name)
{
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t ms = once(what);

        if (ms <= SOON_MS)
            return;
        print_message("%s: waited for %llu ms\n", name, (unsigned long long)ms);
    }
    fail_msg("%s: a cancel does not end soon", name);
}

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

static void await(struct gw_session *s, enum gw_phase phase)
{
    uint64_t until = now_ms() + 120000; /* only ends what hangs */

    while (gw_session_phase(s) != phase && now_ms() < until)
        sleep_ms(1);
    if (gw_session_phase(s) != phase)
        print_error("%s instead of %s\n", gw_phase_row(gw_session_phase(s))->name, gw_phase_row(phase)->name);
    assert_int_equal(gw_session_phase(s), phase);
    sleep_ms(10); /* well inside */
}

/* ---- the source ---------------------------------------------------------------------------------------------------- */

/* Where the connection stalls. Bytes behind the set-up depend on how many rounds and PINGs there were: those places are
 * found when the machine has stopped and the last pages are written. */
enum where { NOWHERE, FIRST_BYTE, IN_START, IN_PART, NO_PONG, IN_DEVICES, AT_EOF, AT_LAST, AT_LOADED, AT_SHUT };

struct scene {
    const char *name;
    const char *peer;
    enum where where;
    enum gw_phase phase; /* what it waits in */
};

static const struct scene scenes[] = {
    {"set-up", "godwit", FIRST_BYTE, GW_PHASE_SETUP},
    {"set-up, in a section", "10.0", IN_START, GW_PHASE_SETUP},
    {"active", "godwit", IN_PART, GW_PHASE_ACTIVE},
    {"active, plain", "10.0", IN_PART, GW_PHASE_ACTIVE},
    {"no answer to PING", "godwit", NO_PONG, GW_PHASE_ACTIVE},
    {"pre-switchover", "godwit", NOWHERE, GW_PHASE_PAUSED},
    {"pre-switchover, plain", "10.0", NOWHERE, GW_PHASE_PAUSED},
    {"device", "godwit", IN_DEVICES, GW_PHASE_DEVICE},
    {"device, plain", "10.0", IN_DEVICES, GW_PHASE_DEVICE},
    {"before EOF", "godwit", AT_EOF, GW_PHASE_OFFERED},
    {"last flush", "godwit", AT_LAST, GW_PHASE_OFFERED},
    {"waiting for LOADED", "godwit", AT_LOADED, GW_PHASE_OFFERED},
    /* too late to cancel */
    {"before EOF, plain", "10.0", AT_EOF, GW_PHASE_OFFERED_PLAIN},
    {"last flush, plain", "10.0", AT_LAST, GW_PHASE_OFFERED_PLAIN},
    {"waiting for SHUT, plain", "10.0", AT_SHUT, GW_PHASE_OFFERED_PLAIN},
    {"waiting for SHUT", "godwit", AT_SHUT, GW_PHASE_HANDED},
};

struct stage {
    struct rig *from, *to;
    const struct scene *scene;
    struct gw_channel *a, *b; /* ends of the source and of the destination */
    struct gw_send *_Atomic send;
    struct gw_recv *recv;
    _Atomic unsigned stalled;      /* the connection stalls */
    atomic_bool stall_failed;      /* it could not be made to */
    uint64_t devices, description; /* bytes of the devices' sections; of EOF and what is behind it */
};

/* Lengths at the end of a stream like the one to come. */
static void measure(struct stage *t)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream;
    struct anatomy a;

    must(rig_stream(1, PAGES, t->scene->peer, true, &stream, NULL, &err), &err);
    anatomy_of(&stream, &a);
    for (unsigned i = 1; i < a.parts; i++) {
        uint64_t bytes = a.part[i].end - a.part[i].begin;

        switch (stream.data[a.part[i].begin]) {
        case GW_ELEMENT_FULL:
            t->devices += bytes;
            break;
        case GW_ELEMENT_EOF:
        case GW_ELEMENT_VMDESC:
            t->description += bytes;
        }
    }
    free(stream.data);
}

/* On the session's thread, too. */
static void stall(struct stage *t, struct gw_channel *ch, uint64_t at)
{
    struct gw_fault f = {.kind = GW_FAULT_STALL, .direction = GW_FAULT_OUT, .at_byte = at, .tell = &t->stalled};

    if (gw_fault_add(ch, &f, NULL) < 0)
        atomic_store(&t->stall_failed, true);
}

static bool answered(struct gw_send *s)
{
    bool all;

    pthread_mutex_lock(&s->session.lock);
    all = s->rp.pongs >= s->pings || s->rp.ended || s->session.cancelled || s->session.yanked;
    pthread_mutex_unlock(&s->session.lock);
    return all;
}

static int notified(void *opaque, enum gw_notify what, struct gw_error *err)
{
    struct stage *t = opaque;
    uint64_t in, out, offset;

    if (what != GW_NOTIFY_COMPLETE)
        return 0;
    while (!t->send || !answered(t->send))
        sleep_ms(1);
    offset = gw_writer_offset(&t->send->writer);
    gw_channel_bytes(t->a, &in, &out); /* all that was said is heard */
    switch (t->scene->where) {
    case IN_DEVICES:
        stall(t, t->a, offset + 20);
        break;
    case AT_EOF:
        stall(t, t->a, offset + t->devices);
        break;
    case AT_LAST:
        stall(t, t->a, offset + t->devices + t->description - 1);
        break;
    case AT_LOADED:
        stall(t, t->b, in);
        break;
    case AT_SHUT:
        stall(t, t->b, in + (strcmp(t->scene->peer, "godwit") ? 0 : 4));
        break;
    default:
        break;
    }
    return 0;
}

static struct stage *start(const struct scene *s, uint64_t timeout_ns)
{
    struct gw_send_config send = {.peer = s->peer, .progress_timeout_ns = timeout_ns};
    struct stage *t = owned_memory(sizeof *t);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *started;

    t->scene = s;
    measure(t);
    t->from = owned_rig(1, PAGES);
    t->to = owned_rig(0, 0);
    must(gw_options_set_capability(gw_vm_options(t->from->vm), "return-path", true, &err), &err);
    must(gw_options_set_capability(gw_vm_options(t->from->vm), "pause-before-switchover", s->where == NOWHERE, &err),
         &err);
    must(gw_options_set_parameter(gw_vm_options(t->from->vm), "max-bandwidth", "0", &err), &err);
    must(gw_vm_add_notifier(t->from->vm, notified, t, &err), &err);
    t->from->running = true;
    must(gw_channel_memory_pair(1 << 20, &t->a, &t->b, &err), &err);
    must(gw_fault_new(t->a, NULL, 0, &t->a, &err), &err);
    must(gw_fault_new(t->b, NULL, 0, &t->b, &err), &err);
    if (s->where == FIRST_BYTE || s->where == IN_START || s->where == IN_PART)
        stall(t, t->a, s->where == FIRST_BYTE ? 0 : s->where == IN_START ? 60 : 200);
    if (s->where == NO_PONG)
        stall(t, t->b, 0);
    must(gw_recv_start(t->to->vm, &(struct gw_recv_config){.take_channel = t->b}, &t->recv, &err), &err);
    owned_recv(t->recv);
    send.take_channel = t->a;
    must(gw_send_start(t->from->vm, &send, &started, &err), &err);
    owned_send(started);
    t->send = started;
    return t;
}

static void finish(struct stage *t)
{
    assert_false(atomic_load(&t->stall_failed));
    owned_end(t->send);
    owned_end(t->recv);
    owned_end(t->to);
    owned_end(t->from);
    owned_end(t);
}

static bool too_late(const struct scene *s)
{
    return s->phase == GW_PHASE_OFFERED_PLAIN || s->phase == GW_PHASE_HANDED;
}

static uint64_t cancel_source(const void *what)
{
    const struct scene *s = what;
    struct stage *t = start(s, UINT64_MAX);
    struct gw_error err = GW_ERROR_INIT;
    struct late_watch watch;
    uint64_t ms;

    await(&t->send->session, s->phase);
    watch = late_watch();
    must(gw_send_cancel(t->send, &err), &err);
    assert_int_equal(gw_send_wait(t->send, &err), -ECANCELED);
    ms = idle_ms(&watch);
    assert_int_equal(gw_send_status(t->send), GW_STATUS_CANCELLED);
    assert_int_equal(gw_send_owner(t->send), GW_OWNER_SOURCE);
    assert_true(t->from->running);
    gw_recv_yank(t->recv); /* a stall is all that it sees of the end */
    assert_true(gw_recv_wait(t->recv, &err) < 0);
    assert_false(t->to->running);
    assert_int_equal(t->to->starts, 0);
    finish(t);
    return ms;
}

static void test_source_cancelled(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(scenes); i++)
        if (!too_late(&scenes[i]))
            soon(cancel_source, &scenes[i], scenes[i].name);
}

/* Nothing to wait for any more but the answer: a cancel is refused, a yank ends it, and says what is known. */
static void test_source_too_late(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(scenes); i++) {
        struct gw_error err = GW_ERROR_INIT;
        bool handed = scenes[i].phase == GW_PHASE_HANDED, sent = scenes[i].where != AT_EOF;
        struct stage *t;

        if (!too_late(&scenes[i]))
            continue;
        t = start(&scenes[i], UINT64_MAX);
        await(&t->send->session, scenes[i].phase);
        /* The bytes before the stall are written, whatever this thread's time of day. */
        for (unsigned k = 0; k < 120000 && !atomic_load(&t->stalled); k++)
            sleep_ms(1);
        assert_int_equal(gw_send_cancel(t->send, &err), -EALREADY);
        gw_send_yank(t->send);
        assert_true(gw_send_wait(t->send, &err) < 0);
        assert_int_equal(gw_send_status(t->send), GW_STATUS_FAILED);
        assert_int_equal(gw_send_owner(t->send), handed ? GW_OWNER_DESTINATION
                                                 : sent ? GW_OWNER_UNDECIDED
                                                        : GW_OWNER_SOURCE);
        assert_int_equal(t->from->running, !handed && !sent);
        gw_recv_yank(t->recv);
        gw_recv_wait(t->recv, NULL);
        assert_false(t->from->running && t->to->running);
        finish(t);
    }
}

/* false: the time was up before the stall came: the machine is too slow for so short a one. */
static bool notices(const struct scene *s, uint64_t timeout_ms)
{
    bool gone = s->phase == GW_PHASE_HANDED;
    bool undecided = s->phase == GW_PHASE_OFFERED_PLAIN && s->where != AT_EOF;
    struct gw_error err = GW_ERROR_INIT;
    struct late_watch watch = late_watch();
    uint64_t began = now_ms();
    struct stage *t = start(s, timeout_ms * GW_NS_PER_MS);
    int r = gw_send_wait(t->send, &err);
    uint64_t ms = now_ms() - began, waited_ms = idle_ms(&watch);

    if (r == -ETIMEDOUT && !atomic_load(&t->stalled) && timeout_ms * 4 <= LONGEST_MS) {
        finish(t);
        return false;
    }
    if (r != -ETIMEDOUT || waited_ms > 2 * timeout_ms + SOON_MS)
        print_error("%s: %llu ms, %llu of them waited, %d %s\n", s->name, (unsigned long long)ms,
                    (unsigned long long)waited_ms, r, err.text);
    assert_int_equal(r, -ETIMEDOUT);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_true(ms + 10 >= timeout_ms);
    assert_true(waited_ms <= 2 * timeout_ms + SOON_MS);
    assert_int_equal(gw_send_owner(t->send), gone        ? GW_OWNER_DESTINATION
                                             : undecided ? GW_OWNER_UNDECIDED
                                                         : GW_OWNER_SOURCE);
    assert_int_equal(t->from->running, !gone && !undecided);
    gw_recv_yank(t->recv);
    gw_recv_wait(t->recv, NULL);
    assert_false(t->from->running && t->to->running);
    finish(t);
    return true;
}

static void test_source_notices(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(scenes); i++) {
        uint64_t timeout_ms = TIMEOUT_MS;

        if (scenes[i].where == NOWHERE)
            continue; /* that wait is the operator's */
        while (!notices(&scenes[i], timeout_ms)) {
            print_message("%s: not reached within %llu ms\n", scenes[i].name, (unsigned long long)timeout_ms);
            timeout_ms *= 4;
        }
    }
}

/* A port whose queue is full: the connection is neither made nor refused. */
struct full_port {
    int listener, fill[8];
    char uri[64];
};

static void close_port(void *what)
{
    struct full_port *p = what;

    for (unsigned i = 0; i < GW_ARRAY_LEN(p->fill); i++)
        close(p->fill[i]);
    close(p->listener);
    free(p);
}

static struct full_port *full_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct full_port *p = malloc(sizeof *p);
    socklen_t bytes = sizeof address;

    assert_non_null(p);
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    for (unsigned i = 0; i < GW_ARRAY_LEN(p->fill); i++)
        p->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    owned(p, close_port);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(p->listener, 0), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&address, &bytes), 0);
    for (unsigned i = 0; i < GW_ARRAY_LEN(p->fill); i++)
        connect(p->fill[i], (struct sockaddr *)&address, sizeof address);
    snprintf(p->uri, sizeof p->uri, "tcp:127.0.0.1:%u", ntohs(address.sin_port));
    return p;
}

static uint64_t cancel_connecting(const void *what)
{
    const struct full_port *port = what;
    struct rig *g = owned_rig(1, PAGES);
    struct gw_error err = GW_ERROR_INIT;
    struct late_watch watch;
    struct gw_send *send;
    uint64_t ms;

    g->running = true;
    must(gw_send_start(g->vm, &(struct gw_send_config){.uri = port->uri}, &send, &err), &err);
    owned_send(send);
    sleep_ms(50);
    assert_int_equal(gw_send_status(send), GW_STATUS_SETUP);
    watch = late_watch();
    must(gw_send_cancel(send, &err), &err);
    assert_int_equal(gw_send_wait(send, &err), -ECANCELED);
    ms = idle_ms(&watch);
    assert_int_equal(gw_send_status(send), GW_STATUS_CANCELLED);
    assert_true(g->running);
    owned_end(send);
    owned_end(g);
    return ms;
}

static void test_connecting_cancelled(void **state)
{
    struct full_port *port = full_port();
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send;
    struct rig *g;

    soon(cancel_connecting, port, "connecting");
    g = owned_rig(1, PAGES);
    g->running = true;
    must(gw_send_start(g->vm,
                       &(struct gw_send_config){.uri = port->uri, .progress_timeout_ns = TIMEOUT_MS * GW_NS_PER_MS},
                       &send, &err),
         &err);
    owned_send(send);
    assert_int_equal(gw_send_wait(send, &err), -ETIMEDOUT);
}

/* ---- the destination ----------------------------------------------------------------------------------------------- */

struct listening {
    const char *uri;
    bool visitor;
};

static uint64_t cancel_listening(const void *what)
{
    const struct listening *l = what;
    struct rig *g = owned_rig(0, 0);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *stranger = NULL;
    struct late_watch watch;
    struct gw_recv *recv;
    struct gw_uri uri;
    char address[GW_URI_TEXT];
    uint64_t ms;

    must(gw_recv_start(g->vm, &(struct gw_recv_config){.uri = l->uri}, &recv, &err), &err);
    owned_recv(recv);
    gw_recv_address(recv, address, sizeof address);
    must(gw_uri_parse(address, &uri, &err), &err);
    if (l->visitor) {
        must(gw_connect(&uri, 120 * GW_NS_PER_S, NULL, &stranger, &err), &err);
        owned_channel(stranger);
    }
    sleep_ms(30);
    watch = late_watch();
    must(gw_recv_cancel(recv, &err), &err);
    assert_int_equal(gw_recv_wait(recv, &err), -ECANCELED);
    ms = idle_ms(&watch);
    assert_int_equal(gw_recv_status(recv), GW_STATUS_CANCELLED);
    owned_end(recv);
    owned_end(stranger);
    owned_end(g);
    return ms;
}

static void test_listening_cancelled(void **state)
{
    static const struct listening listening[] = {{"tcp:127.0.0.1:0", false},
                                                 {"tcp:127.0.0.1:0", true},
                                                 {"unix:patience.sock", false},
                                                 {"unix:patience.sock", true}};

    for (unsigned i = 0; i < GW_ARRAY_LEN(listening); i++)
        soon(cancel_listening, &listening[i], listening[i].uri);
}

/* A destination that is fed up to a byte and no further. */
static struct gw_recv *half_fed(struct rig *g, const struct rig_bytes *stream, uint64_t at, uint64_t timeout_ns)
{
    struct gw_fault f = {.kind = GW_FAULT_STALL, .direction = GW_FAULT_IN, .at_byte = at};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *feed;
    struct gw_recv *recv;

    must(rig_feed(stream->data, stream->bytes, RIG_WHOLE, 0, NULL, &feed, &err), &err);
    must(gw_fault_new(feed, &f, 1, &feed, &err), &err);
    must(gw_recv_start(g->vm, &(struct gw_recv_config){.take_channel = feed, .progress_timeout_ns = timeout_ns}, &recv, &err),
         &err);
    return owned_recv(recv);
}

struct half {
    const struct rig_bytes *stream;
    uint64_t at;
};

static uint64_t cancel_loading(const void *what)
{
    const struct half *h = what;
    struct rig *g = owned_rig(0, 0);
    struct gw_recv *recv = half_fed(g, h->stream, h->at, 0);
    struct gw_error err = GW_ERROR_INIT;
    struct late_watch watch;
    uint64_t ms;

    sleep_ms(10); /* any moment is a good one, a late one is better */
    watch = late_watch();
    must(gw_recv_cancel(recv, &err), &err);
    assert_int_equal(gw_recv_wait(recv, &err), -ECANCELED);
    ms = idle_ms(&watch);
    assert_int_equal(gw_recv_status(recv), GW_STATUS_CANCELLED);
    assert_int_equal(gw_recv_owner(recv), GW_OWNER_SOURCE);
    assert_int_equal(g->starts, 0);
    owned_end(recv);
    owned_end(g);
    return ms;
}

static void test_loading_cancelled(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream;
    struct anatomy a;

    must(rig_stream(1, PAGES, "10.0", true, &stream, NULL, &err), &err);
    owned(stream.data, free);
    anatomy_of(&stream, &a);
    for (unsigned i = 0; i < a.parts; i++)
        soon(cancel_loading, &(struct half){&stream, a.part[i].begin + 1}, "loading");
}

static void test_destination_notices(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream;
    struct anatomy a;
    struct rig *g = owned_rig(0, 0);

    must(rig_stream(1, PAGES, "7.2", false, &stream, NULL, &err), &err);
    owned(stream.data, free);
    anatomy_of(&stream, &a);
    for (unsigned i = 0; i < a.parts; i++) {
        struct gw_recv *recv = half_fed(g, &stream, a.part[i].begin + 1, 30 * GW_NS_PER_MS);
        int r = gw_recv_wait(recv, &err);

        if (stream.data[a.part[i].begin] == GW_ELEMENT_EOF) {
            must(r, &err); /* a description that does not come is none */
        } else {
            if (r != -ETIMEDOUT || rig_vague(err.text))
                print_error("%u: %d %s\n", i, r, err.text);
            assert_int_equal(r, -ETIMEDOUT);
            assert_null(rig_vague(err.text));
            assert_int_equal(err.blame, GW_BLAME_CHANNEL);
            assert_int_equal(g->starts, 0);
        }
        owned_end(recv);
        rig_reset(g, 0, 0);
    }
}

/* All is loaded, and the source's last word does not come: nobody may guess. */
static void test_claim(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_bytes stream;
    struct gw_recv *recv, *other;
    struct anatomy a;
    struct rig *g = owned_rig(0, 0), *want = owned_rig(1, PAGES);

    must(rig_stream(1, PAGES, "godwit", true, &stream, NULL, &err), &err);
    owned(stream.data, free);
    anatomy_of(&stream, &a);
    recv = half_fed(g, &stream, a.part[a.parts - 1].begin, 0); /* COMMIT */
    await(&recv->session, GW_PHASE_ASKED);
    assert_int_equal(gw_recv_cancel(recv, &err), -EALREADY);
    assert_int_equal(gw_recv_claim(recv, &err), -EINVAL);
    gw_recv_yank(recv);
    assert_true(gw_recv_wait(recv, &err) < 0);
    assert_null(rig_vague(err.text));
    assert_int_equal(gw_recv_owner(recv), GW_OWNER_UNDECIDED);
    assert_int_equal(g->starts, 0);
    assert_int_equal(g->arrived, 0);

    /* Not while something else happens to this machine. */
    must(gw_recv_start(g->vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:0"}, &other, &err), &err);
    owned_recv(other);
    assert_int_equal(gw_recv_claim(recv, &err), -EBUSY);
    owned_end(other);

    g->fail_start = true;
    assert_int_equal(gw_recv_claim(recv, &err), -EIO);
    g->fail_start = false;
    must(gw_recv_claim(recv, &err), &err);
    assert_int_equal(g->starts, 1);
    assert_int_equal(g->arrived, 2); /* what came with it was given back when it could not start */
    assert_int_equal(g->revoked, 1);
    assert_int_equal(g->left, 0);
    assert_int_equal(gw_recv_owner(recv), GW_OWNER_DESTINATION);
    assert_int_equal(gw_recv_claim(recv, &err), -EALREADY);
    assert_true(rig_same(g, want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_source_cancelled),    owned_test(test_source_too_late),
        owned_test(test_source_notices),      owned_test(test_connecting_cancelled),
        owned_test(test_listening_cancelled), owned_test(test_loading_cancelled),
        owned_test(test_destination_notices), owned_test(test_claim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
