/* SPDX-License-Identifier: MIT
 *
 * Sources whose destination stalls, and operators that cancel: a stall is detected after progress_timeout_ns, a cancel
 * ends the session in every state, and a completed hand-over can no longer be cancelled. In the end one side can run
 * the machine. (Destinations: test_patience_there.c)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "engine/recv.h"
#include "engine/send.h"
#include "mutate.h"
#include "patience.h"
#include "rig.h"
#include "wire/numbers.h"

#define TIMEOUT_MS 2000u /* everything before the stall must fit in; larger if it does not */

/* Where the connection stalls. Positions after the set-up depend on the number of rounds and PINGs: they are found when
 * the machine has stopped and the last pages are written. */
enum where { NOWHERE, FIRST_BYTE, IN_START, IN_PART, NO_PONG, IN_DEVICES, AT_EOF, AT_LAST, AT_LOADED, AT_SHUT };

struct scene {
    const char *name;
    const char *peer;
    enum where where;
    enum gw_phase phase; /* the phase in which it waits */
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
    atomic_bool holds;             /* and time-outs of the destination do not end it */
    atomic_bool stall_failed;      /* the stall could not be set up */
    uint64_t devices, description; /* bytes of the devices' sections; bytes from EOF on */
};

/* Measures lengths at the end of a stream like the coming one. */
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

/* Called on the session's thread too. */
static void stall(struct stage *t, struct gw_channel *ch, uint64_t at)
{
    /* The destination does not time out before the test allows it: only the source's time-out ends the session. */
    struct gw_fault f = {.kind = GW_FAULT_STALL,
                         .direction = GW_FAULT_OUT,
                         .at_byte = at,
                         .holds = ch == t->b ? &t->holds : NULL,
                         .tell = &t->stalled};

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
    gw_channel_bytes(t->a, &in, &out); /* all messages were received */
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
    atomic_store(&t->holds, true);
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

/* Waits until it is in its phase and the connection stalls. */
static void await_scene(struct stage *t)
{
    await(&t->send->session, t->scene->phase);
    while (t->scene->where != NOWHERE && !atomic_load(&t->stalled) &&
           !gw_phase_row(gw_session_phase(&t->send->session))->final)
        sleep_ms(1);
    await(&t->send->session, t->scene->phase);
}

/* A destination that sends its last message cannot be yanked: its time-out ends that. */
static int end_destination(struct stage *t)
{
    atomic_store(&t->holds, false);
    gw_recv_yank(t->recv);
    return gw_recv_wait(t->recv, NULL);
}

static bool too_late(const struct scene *s)
{
    return s->phase == GW_PHASE_OFFERED_PLAIN || s->phase == GW_PHASE_HANDED;
}

static void test_source_cancelled(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(scenes); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct stage *t;

        if (too_late(&scenes[i]))
            continue;
        t = start(&scenes[i], UINT64_MAX);
        await_scene(t);
        must(gw_send_cancel(t->send, &err), &err);
        assert_int_equal(gw_send_wait(t->send, &err), -ECANCELED);
        assert_int_equal(gw_send_status(t->send), GW_STATUS_CANCELLED);
        assert_int_equal(gw_send_owner(t->send), GW_OWNER_SOURCE);
        assert_true(t->from->running);
        assert_true(end_destination(t) < 0); /* the only sign of the end is a stall */
        assert_false(t->to->running);
        assert_int_equal(t->to->starts, 0);
        finish(t);
    }
}

/* Only the answer is missing: a cancel is refused; a yank ends the session and reports what is known. */
static void test_source_too_late(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(scenes); i++) {
        struct gw_error err = GW_ERROR_INIT;
        bool handed = scenes[i].phase == GW_PHASE_HANDED, sent = scenes[i].where != AT_EOF;
        struct stage *t;

        if (!too_late(&scenes[i]))
            continue;
        t = start(&scenes[i], UINT64_MAX);
        await_scene(t);
        assert_int_equal(gw_send_cancel(t->send, &err), -EALREADY);
        gw_send_yank(t->send);
        assert_true(gw_send_wait(t->send, &err) < 0);
        assert_int_equal(gw_send_status(t->send), GW_STATUS_FAILED);
        assert_int_equal(gw_send_owner(t->send), handed ? GW_OWNER_DESTINATION
                                                 : sent ? GW_OWNER_UNDECIDED
                                                        : GW_OWNER_SOURCE);
        assert_int_equal(t->from->running, !handed && !sent);
        end_destination(t);
        assert_false(t->from->running && t->to->running);
        finish(t);
    }
}

/* false: the time-out came before the stall: the host is too slow for it. */
static bool notices(const struct scene *s, uint64_t timeout_ms)
{
    bool gone = s->phase == GW_PHASE_HANDED;
    bool undecided = s->phase == GW_PHASE_OFFERED_PLAIN && s->where != AT_EOF;
    uint64_t began_ns = gw_now_ns(&gw_clock_real);
    struct gw_error err = GW_ERROR_INIT;
    struct stage *t = start(s, timeout_ms * GW_NS_PER_MS);
    int r = gw_send_wait(t->send, &err);
    uint64_t ms = (gw_now_ns(&gw_clock_real) - began_ns) / GW_NS_PER_MS;

    if (r == -ETIMEDOUT && !atomic_load(&t->stalled)) {
        finish(t);
        return false;
    }
    if (r != -ETIMEDOUT)
        print_error("%s: %llu ms, %d %s\n", s->name, (unsigned long long)ms, r, err.text);
    assert_int_equal(r, -ETIMEDOUT);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_true(ms + 10 >= timeout_ms);
    assert_int_equal(gw_send_owner(t->send), gone        ? GW_OWNER_DESTINATION
                                             : undecided ? GW_OWNER_UNDECIDED
                                                         : GW_OWNER_SOURCE);
    assert_int_equal(t->from->running, !gone && !undecided);
    end_destination(t);
    assert_false(t->from->running && t->to->running);
    finish(t);
    return true;
}

static void test_source_notices(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(scenes); i++) {
        uint64_t timeout_ms = TIMEOUT_MS;

        if (scenes[i].where == NOWHERE)
            continue; /* the operator decides when that wait ends */
        for (; !notices(&scenes[i], timeout_ms); timeout_ms *= 4)
            print_message("%s: not reached within %llu ms\n", scenes[i].name, (unsigned long long)timeout_ms);
    }
}

/* A port with a full backlog: the connection is neither accepted nor refused. */
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

static void test_connecting_cancelled(void **state)
{
    struct full_port *port = full_port();
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send;
    struct rig *g = owned_rig(1, PAGES);

    g->running = true;
    must(gw_send_start(g->vm, &(struct gw_send_config){.uri = port->uri, .progress_timeout_ns = UINT64_MAX}, &send,
                       &err),
         &err);
    owned_send(send);
    sleep_ms(50); /* any moment will do; a later one is better */
    assert_int_equal(gw_send_status(send), GW_STATUS_SETUP);
    must(gw_send_cancel(send, &err), &err);
    assert_int_equal(gw_send_wait(send, &err), -ECANCELED);
    assert_int_equal(gw_send_status(send), GW_STATUS_CANCELLED);
    assert_true(g->running);
    owned_end(send);
    owned_end(g);

    g = owned_rig(1, PAGES);
    g->running = true;
    must(gw_send_start(g->vm,
                       &(struct gw_send_config){.uri = port->uri, .progress_timeout_ns = TIMEOUT_MS * GW_NS_PER_MS},
                       &send, &err),
         &err);
    owned_send(send);
    assert_int_equal(gw_send_wait(send, &err), -ETIMEDOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_source_cancelled),
        owned_test(test_source_too_late),
        owned_test(test_source_notices),
        owned_test(test_connecting_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
