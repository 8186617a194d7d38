/* SPDX-License-Identifier: MIT
 *
 * The phase table: every legal transition is walked, every other is refused, and the owner of the guest changes only as the
 * invariants at the head of phase.h allow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/session.h"

#define EACH(p) for (unsigned p = 0; p < GW_PHASE_COUNT; p++)

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool never(void *opaque)
{
    return false;
}

static struct gw_vm *vm;

static int make(void **state)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};

    return gw_vm_new(&(struct gw_vm_config){.machine = "m", .page_bytes = 4096, .ops = &ops}, &vm, NULL);
}

static int drop(void **state)
{
    vm = gw_vm_free(vm);
    return 0;
}

static const struct gw_phase_row *row(unsigned p)
{
    return gw_phase_row((enum gw_phase)p);
}

static bool follows(unsigned from, unsigned to)
{
    return gw_phase_may_follow((enum gw_phase)from, (enum gw_phase)to);
}

static bool is_end(unsigned p)
{
    return row(p)->final;
}

static bool at_source(unsigned p)
{
    return row(p)->side == GW_SIDE_SOURCE;
}

struct seen {
    unsigned events;
    enum gw_status last;
};

static void see(void *opaque, const struct gw_event *e)
{
    struct seen *s = opaque;

    s->events += e->type == GW_EVENT_STATUS;
    s->last = e->status;
}

/* ---- walking -------------------------------------------------------------------------------------------------------- */

/* Goes from the beginning to `to`, on the shortest way, in *s. false: there is none. */
static bool walk(struct gw_session *s, unsigned to)
{
    unsigned before[GW_PHASE_COUNT], queue[GW_PHASE_COUNT], n = 0, way[GW_PHASE_COUNT], steps = 0;
    bool known[GW_PHASE_COUNT] = {[GW_PHASE_IDLE] = true};

    queue[n++] = GW_PHASE_IDLE;
    for (unsigned i = 0; i < n; i++) {
        EACH(p)
        {
            if (known[p] || !follows(queue[i], p))
                continue;
            known[p] = true;
            before[p] = queue[i];
            queue[n++] = p;
        }
    }
    if (!known[to])
        return false;
    for (unsigned p = to; p != GW_PHASE_IDLE; p = before[p])
        way[steps++] = p;
    while (steps--) {
        gw_session_enter(s, (enum gw_phase)way[steps]);
        assert_int_equal(gw_session_phase(s), way[steps]);
    }
    return true;
}

static void begin(struct gw_session *s, struct seen *seen)
{
    *seen = (struct seen){0};
    assert_int_equal(gw_session_init(s, vm, see, seen, NULL), 0);
    s->stats.status = GW_STATUS_NONE;
}

static void test_every_legal_transition(void **state)
{
    unsigned walked = 0, all = 0;

    EACH(from)
    {
        EACH(to)
        {
            struct gw_session s;
            struct seen seen;
            unsigned events;

            if (!follows(from, to))
                continue;
            begin(&s, &seen);
            assert_true(walk(&s, from));
            events = seen.events;
            gw_session_enter(&s, (enum gw_phase)to);
            assert_int_equal(gw_session_phase(&s), to);
            assert_int_equal(s.stats.status, row(to)->status);
            /* Told once, when what is seen from outside has changed. */
            assert_int_equal(seen.events - events, row(from)->status != row(to)->status);
            if (seen.events > events)
                assert_int_equal(seen.last, row(to)->status);
            gw_session_close(&s);
            walked++;
        }
    }
    EACH(p)
    {
        all += (unsigned)__builtin_popcountll(row(p)->next);
    }
    assert_int_equal(walked, all);
    EACH(p)
    {
        struct gw_session s;
        struct seen seen;

        begin(&s, &seen);
        assert_true(walk(&s, p)); /* nothing is out of reach */
        gw_session_close(&s);
    }
}

static pid_t parent;

/* An assertion that fails in a child ends the child. */
static int end_child(void **state)
{
    if (parent && getpid() != parent)
        _exit(9);
    return 0;
}

static void test_every_illegal_transition(void **state)
{
#ifdef NDEBUG
    print_message("built without assertions\n");
    skip();
#endif
    EACH(from)
    {
        pid_t child;
        int status;

        /* A child for each phase; it ends by the first refusal that does not abort. */
        fflush(NULL);
        parent = getpid();
        child = fork();
        assert_true(child >= 0);
        if (child) {
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            continue;
        }
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        EACH(to)
        {
            pid_t grandchild;

            if (follows(from, to))
                continue;
            grandchild = fork();
            if (!grandchild) {
                struct gw_session s;
                struct seen seen;

                signal(SIGABRT, SIG_DFL);
                begin(&s, &seen);
                walk(&s, from);
                gw_session_enter(&s, (enum gw_phase)to);
                _exit(0);
            }
            if (waitpid(grandchild, &status, 0) != grandchild || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
                _exit(1);
        }
        _exit(0);
    }
}

/* ---- invariants ------------------------------------------------------------------------------------------------------ */

/* 1. The guest never goes back to the source but on the destination's own word. */
static void test_owner(void **state)
{
    EACH(from)
    {
        EACH(to)
        {
            enum gw_owner a = row(from)->owner, b = row(to)->owner;

            if (!follows(from, to))
                continue;
            if (a == GW_OWNER_DESTINATION && b != GW_OWNER_DESTINATION)
                /* SHUT with an error, heard or said; or said and perhaps not heard. Or nobody knew before. */
                assert_true((to == GW_PHASE_SEND_UNDECIDED && (from == GW_PHASE_RECONNECT || from == GW_PHASE_RECOVER)) ||
                            (from == GW_PHASE_HANDED && to == GW_PHASE_SEND_FAILED) ||
                            (from == GW_PHASE_FOLLOWED && to == GW_PHASE_RECV_FAILED) ||
                            (from == GW_PHASE_COMMITTED && (to == GW_PHASE_RECV_FAILED || to == GW_PHASE_RECV_UNDECIDED)));
            if (a == GW_OWNER_UNDECIDED && b == GW_OWNER_SOURCE)
                /* The plain destination answered that it failed; the source took it back. */
                assert_true((from == GW_PHASE_OFFERED_PLAIN && to == GW_PHASE_SEND_FAILED) ||
                            (from == GW_PHASE_OFFERED_POSTCOPY && to == GW_PHASE_SEND_FAILED) ||
                            (from == GW_PHASE_ASKED && to == GW_PHASE_RECV_FAILED));
            /* It leaves the source only behind the last byte, and the destination takes it only when it is whole. */
            if (a == GW_OWNER_SOURCE && b != GW_OWNER_SOURCE)
                assert_true((from == GW_PHASE_DEVICE && to == GW_PHASE_OFFERED_PLAIN) ||
                            (from == GW_PHASE_DEVICE && to == GW_PHASE_OFFERED_POSTCOPY) ||
                            (from == GW_PHASE_IDLE && to == GW_PHASE_RECONNECT) || /* it went in an earlier session */
                            (from == GW_PHASE_IDLE && to == GW_PHASE_RECV_PAUSED) || /* it came in part in one */
                            (from == GW_PHASE_OFFERED && to == GW_PHASE_HANDED) ||
                            (from == GW_PHASE_LOADING && to == GW_PHASE_FOLLOWED) || /* its pages follow */
                            (from == GW_PHASE_LOADED && (to == GW_PHASE_ASKED || to == GW_PHASE_COMMITTED)));
        }
    }
    /* Each side's own beginning and the words that mean something outside. */
    assert_int_equal(row(GW_PHASE_SENT)->owner, GW_OWNER_DESTINATION);
    assert_int_equal(row(GW_PHASE_ARRIVED)->owner, GW_OWNER_DESTINATION);
    EACH(p)
    {
        if (row(p)->status == GW_STATUS_COMPLETED) /* but for a background snapshot */
            assert_int_equal(row(p)->owner, p == GW_PHASE_SAVED ? GW_OWNER_SOURCE : GW_OWNER_DESTINATION);
        if (row(p)->status == GW_STATUS_CANCELLED || row(p)->status == GW_STATUS_CANCELLING)
            assert_int_equal(row(p)->owner, GW_OWNER_SOURCE);
    }
}

/* 2. Once the guest was given away the source has no way to a phase in which it would start it, but by that word. */
static void test_source_does_not_take_back(void **state)
{
    EACH(from)
    {
        if (!at_source(from) || row(from)->owner == GW_OWNER_SOURCE)
            continue;
        EACH(to)
        {
            if (follows(from, to) && row(to)->owner == GW_OWNER_SOURCE)
                assert_int_equal(to, GW_PHASE_SEND_FAILED);
        }
        assert_false(row(from)->cancel);
    }
}

/* 3. The destination runs it in COMMITTED, in FOLLOWED, or where it is claimed: those are the only ways to ARRIVED. */
static void test_destination_starts(void **state)
{
    EACH(from)
    {
        if (follows(from, GW_PHASE_ARRIVED))
            assert_true(from == GW_PHASE_COMMITTED || from == GW_PHASE_FOLLOWED || from == GW_PHASE_RECV_UNDECIDED);
        if (follows(from, GW_PHASE_COMMITTED))
            assert_true(from == GW_PHASE_LOADED || from == GW_PHASE_ASKED);
    }
}

/* A cancel is possible exactly where there is a way to CANCELLED, and only while the source owns the guest. */
static void test_cancel(void **state)
{
    EACH(p)
    {
        bool way = follows(p, GW_PHASE_CANCELLING) || follows(p, GW_PHASE_RECV_CANCELLED);
        struct gw_session s;
        struct gw_error err = GW_ERROR_INIT;
        struct seen seen;

        assert_int_equal(row(p)->cancel, way);
        if (way)
            assert_int_equal(row(p)->owner, GW_OWNER_SOURCE);
        begin(&s, &seen);
        walk(&s, p);
        assert_int_equal(gw_session_cancel(&s, &err), way ? 0 : -EALREADY);
        assert_int_equal(gw_session_check(&s, &err), way ? -ECANCELED : 0);
        /* What cannot be undone is not begun when the cancel came first. */
        EACH(to)
        {
            if (!follows(p, to) || !way)
                continue;
            assert_int_equal(gw_session_commit(&s, (enum gw_phase)to, &err), -ECANCELED);
            assert_int_equal(gw_session_phase(&s), p);
        }
        gw_session_close(&s);
    }
}

static void test_ends(void **state)
{
    EACH(p)
    {
        if (p == GW_PHASE_IDLE)
            continue;
        /* Every phase leads to a failure or is final; only a claim follows a final phase. */
        if (is_end(p)) {
            assert_true(row(p)->status == GW_STATUS_COMPLETED || row(p)->status == GW_STATUS_FAILED ||
                        row(p)->status == GW_STATUS_CANCELLED || row(p)->status == GW_STATUS_POSTCOPY_PAUSED);
            assert_false(row(p)->cancel);
            assert_true(row(p)->next == (p == GW_PHASE_RECV_UNDECIDED ? 1ull << GW_PHASE_ARRIVED : 0));
        } else if (p == GW_PHASE_POSTCOPY || p == GW_PHASE_RECONNECT || p == GW_PHASE_RECOVER) {
            assert_true(follows(p, GW_PHASE_SEND_PAUSED)); /* it runs there, with what it has */
        } else if (p == GW_PHASE_FOLLOWED || p == GW_PHASE_RECV_PAUSED || p == GW_PHASE_RECV_RECOVER) {
            assert_true(follows(p, GW_PHASE_RECV_LACKING)); /* it is here, with what has come */
        } else if (p != GW_PHASE_CANCELLING) {
            assert_true(follows(p, at_source(p) ? GW_PHASE_SEND_FAILED : GW_PHASE_RECV_FAILED));
        }
        assert_false(follows(p, GW_PHASE_IDLE));
        assert_false(follows(p, p));
        assert_true(row(p)->side != GW_SIDE_NONE);
        assert_true(is_end(p) || row(p)->next);
        /* No way from one side to the other. */
        EACH(to)
        {
            if (follows(p, to))
                assert_int_equal(row(p)->side, row(to)->side);
        }
    }
    assert_string_equal(row(GW_PHASE_COUNT)->name, "IDLE"); /* out of range is harmless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_legal_transition),
        cmocka_unit_test_teardown(test_every_illegal_transition, end_child),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_source_does_not_take_back),
        cmocka_unit_test(test_destination_starts),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_ends),
    };

    return cmocka_run_group_tests(tests, make, drop);
}
