/* SPDX-License-Identifier: MIT
 *
 * A source by postcopy whose connection fails at every step, against a thread that acts as a correct destination
 * (postcopy_peer.h). In each case: until the package is complete the source owns the machine; when the destination has
 * reported that it runs, the session is paused and can be resumed; in between it is undecided, and can be resumed if
 * the machine runs there. It never runs on both sides, and no memory is lost.
 *
 * By default the important places are
 * tried, and some of the others; GODWIT_SWEEP=1 tries all.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../owned.h"
#include "channel/fault.h"
#include "postcopy_peer.h"

struct machine {
    struct gw_vm *vm;
    uint8_t *ram;
    atomic_bool running;
    atomic_bool asked; /* for the switch to postcopy */
    struct peer peer;
};

/* Among the pages, when the destination has read the package: more data is in flight than a channel buffers. */
#define LOST_AT(whole) ((whole).packaged + HOLDS + 8000)
#define HOLDS          (16u << 10)

/* After a write error the source listens to the connection for a second, so such errors are not swept. */
enum { FAULTS_OUT = 2, FAULTS = 3 };
static const enum gw_fault_kind kinds[FAULTS] = {GW_FAULT_END, GW_FAULT_RESET, GW_FAULT_ERROR};
static const char *const names[FAULTS] = {"end", "reset", "error"};

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static int stop(void *opaque, struct gw_error *err)
{
    atomic_store(&((struct machine *)opaque)->running, false);
    return 0;
}

static int start(void *opaque, struct gw_error *err)
{
    atomic_store(&((struct machine *)opaque)->running, true);
    return 0;
}

static bool runs(void *opaque)
{
    return atomic_load(&((struct machine *)opaque)->running);
}

static void end_machine(void *what)
{
    struct machine *m = what;

    gw_vm_free(m->vm);
    free(m->ram);
    free(m);
}

static struct machine *make(void)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = stop, .start = start, .running = runs};
    struct machine *m = calloc(1, sizeof *m);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram_desc desc = {.name = "r", .used_bytes = PEER_BYTES};

    assert_non_null(m);
    owned(m, end_machine);
    m->running = true;
    desc.host = m->ram = aligned_alloc(PEER_PAGE, PEER_BYTES);
    for (unsigned i = 0; i < PEER_BYTES; i++) /* every fourth page is zeros */
        m->ram[i] = i / PEER_PAGE % 4 == 3 ? 0 : (uint8_t)(i * 7 + i / PEER_PAGE);
    must(gw_vm_new(&(struct gw_vm_config){.machine = "m", .page_bytes = PEER_PAGE, .ops = &ops, .opaque = m}, &m->vm, &err), &err);
    must(gw_vm_add_ram(m->vm, &desc, &err), &err);
    must(gw_options_set_capability(gw_vm_options(m->vm), "postcopy-ram", true, &err), &err);
    return m;
}

/* No page is sent before the switch is requested. */
static void on_event(void *opaque, const struct gw_event *e)
{
    struct machine *m = opaque;

    while (e->type == GW_EVENT_STATUS && e->status == GW_STATUS_ACTIVE && !atomic_load(&m->asked))
        sched_yield();
}

struct outcome {
    struct gw_stats stats;
    int r;
    struct gw_error err;
    enum gw_status status;
    enum gw_owner owner;
};

/* One connection with this fault; NULL: none. */
static struct outcome connect_once(struct machine *m, bool resume, const struct gw_fault *fault)
{
    struct gw_channel *here = NULL, *there = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send *send = NULL;
    struct outcome o = {.err = GW_ERROR_INIT};

    must(gw_channel_memory_pair(HOLDS, &here, &there, &err), &err);
    if (fault)
        must(gw_fault_new(here, fault, 1, &here, &err), &err);
    peer_start(&m->peer, there, resume);
    must(gw_send_start(m->vm,
                       &(struct gw_send_config){.take_channel = here, .peer = "10.0", .progress_timeout_ns = UINT64_MAX,
                                                .on_event = on_event, .opaque = m, .resume = resume},
                       &send, &err), &err);
    owned_send(send);
    if (!resume)
        gw_send_start_postcopy(send, NULL); /* it may have failed already */
    atomic_store(&m->asked, true);
    o.r = gw_send_wait(send, &o.err);
    o.status = gw_send_status(send);
    o.owner = gw_send_owner(send);
    gw_send_stats(send, &o.stats);
    owned_end(send);
    peer_join(&m->peer);
    if (*m->peer.wrong)
        print_error("%s (%s %s)\n", m->peer.wrong, gw_status_name(o.status), o.err.text);
    assert_string_equal(m->peer.wrong, "");
    return o;
}

struct tally {
    unsigned here, undecided, undecided_there, paused, there;
};

/* Checks that this outcome is consistent and only one side runs the machine. true: it must be resumed. */
static bool judge(const struct machine *m, const struct outcome *o, bool resumed, struct tally *t)
{
    bool here = atomic_load(&m->running);

    assert_false(here && m->peer.runs);
    if (o->owner == GW_OWNER_SOURCE) {
        assert_true(here);
        assert_false(resumed);
        assert_int_equal(o->status, GW_STATUS_FAILED);
        t->here++;
        return false;
    }
    assert_false(here);
    if (o->owner == GW_OWNER_UNDECIDED) {
        assert_int_equal(o->status, GW_STATUS_FAILED);
        assert_non_null(strstr(o->err.text, "it is not known whether the destination runs the machine"));
        t->undecided++;
        t->undecided_there += m->peer.runs;
        return m->peer.runs;
    }
    assert_true(m->peer.runs);
    if (o->status == GW_STATUS_POSTCOPY_PAUSED) {
        assert_true(o->r < 0);
        assert_int_equal(gw_vm_place(m->vm), GW_VM_LEFT);
        t->paused++;
        return true;
    }
    assert_int_equal(o->status, GW_STATUS_COMPLETED);
    assert_true(m->peer.whole);
    t->there++;
    return false;
}

static void all_came(const struct machine *m)
{
    assert_true(m->peer.whole);
    assert_memory_equal(m->peer.ram, m->ram, PEER_BYTES);
}

/* The first connection has this fault; later ones have none. */
static void first_fails(const struct gw_fault *fault, struct tally *t)
{
    struct machine *m = make();
    struct outcome o = connect_once(m, false, fault);

    if (judge(m, &o, false, t)) {
        o = connect_once(m, true, NULL);
        assert_int_equal(o.status, GW_STATUS_COMPLETED);
    }
    if (o.status == GW_STATUS_COMPLETED)
        all_came(m);
    owned_end(m);
}

/* The statistics of a resumed migration include those of the connections before. */
static void sums(const struct outcome *o, const struct gw_stats *before, uint64_t bytes)
{
    assert_int_equal(o->stats.transferred_bytes, before->transferred_bytes + bytes);
    assert_true(o->stats.normal_pages + o->stats.duplicate_pages >= PEER_PAGES);
    assert_true(o->stats.total_time_ns >= before->total_time_ns);
    assert_int_equal(o->stats.setup_time_ns, before->setup_time_ns);
    assert_true(o->stats.postcopy_requests >= before->postcopy_requests);
}

/* The first is lost among the pages, the second has this fault, the third has none. */
static void second_fails(const struct gw_fault *fault, uint64_t lost_at, struct tally *t)
{
    const struct gw_fault lost = {.kind = GW_FAULT_RESET, .direction = GW_FAULT_OUT, .at_byte = lost_at};
    struct machine *m = make();
    struct tally first = {0};
    struct gw_stats before;
    struct outcome o = connect_once(m, false, &lost);
    bool known = o.owner == GW_OWNER_DESTINATION;

    assert_true(judge(m, &o, false, &first));
    before = o.stats;
    o = connect_once(m, true, fault);
    assert_true(o.owner != GW_OWNER_SOURCE);
    assert_true(o.stats.transferred_bytes >= before.transferred_bytes + m->peer.bytes.in);
    before = o.stats;
    if (known) /* nobody forgets it */
        assert_int_equal(o.owner, GW_OWNER_DESTINATION);
    if (judge(m, &o, true, t)) {
        o = connect_once(m, true, NULL);
        assert_int_equal(o.status, GW_STATUS_COMPLETED);
        sums(&o, &before, m->peer.bytes.in);
    }
    all_came(m);
    owned_end(m);
}

/* Every byte in [close, open), and some places elsewhere. */
static uint64_t following(uint64_t at, uint64_t from, uint64_t until)
{
    return getenv("GODWIT_SWEEP") || at < 40 ? at + 1 : at < from ? GW_MIN(at + 601, from) : at < until ? at + 3 : at + 1999;
}

static void report(const char *what, const char *kind, const struct tally *t)
{
    print_message("%s, %s: %u here, %u undecided (%u of them there), %u paused, %u there\n", what, kind, t->here, t->undecided,
                  t->undecided_there, t->paused, t->there);
}

/* Measures the bytes of a successful migration. */
static struct peer_bytes measure(void)
{
    struct machine *m = make();
    struct outcome o = connect_once(m, false, NULL);
    struct peer_bytes bytes = m->peer.bytes;

    must(o.r, &o.err);
    assert_int_equal(o.status, GW_STATUS_COMPLETED);
    all_came(m);
    owned_end(m);
    return bytes;
}

static void test_forward(void **state)
{
    struct peer_bytes whole = measure();

    for (unsigned k = 0; k < FAULTS_OUT; k++) {
        struct tally t = {0};

        for (uint64_t at = 0; at < whole.in; at = following(at, whole.package - 20, whole.packaged + 40))
            first_fails(&(struct gw_fault){.kind = kinds[k], .direction = GW_FAULT_OUT, .at_byte = at}, &t);
        report("what the source says", names[k], &t);
        assert_true(t.here && t.undecided && t.undecided + t.paused > t.undecided_there);
    }
}

static void test_back(void **state)
{
    struct peer_bytes whole = measure();

    for (unsigned k = 0; k < FAULTS; k++) {
        struct tally t = {0};

        for (uint64_t at = 0; at < whole.out; at++)
            first_fails(&(struct gw_fault){.kind = kinds[k], .direction = GW_FAULT_IN, .at_byte = at}, &t);
        report("what the destination says", names[k], &t);
        assert_true(t.here && t.undecided_there && t.paused);
    }
}

/* The connection breaks again during the resume. */
static void test_resumed(void **state)
{
    struct peer_bytes whole = measure();

    for (unsigned k = 0; k < FAULTS; k++) {
        struct tally t = {0};

        for (uint64_t at = 0; k < FAULTS_OUT && at < whole.in - whole.packaged; at = following(at, 0, 0))
            second_fails(&(struct gw_fault){.kind = kinds[k], .direction = GW_FAULT_OUT, .at_byte = at}, LOST_AT(whole), &t);
        for (uint64_t at = 0; at < PEER_RESUMED_BYTES; at++)
            second_fails(&(struct gw_fault){.kind = kinds[k], .direction = GW_FAULT_IN, .at_byte = at}, LOST_AT(whole), &t);
        report("resumed", names[k], &t);
        assert_true(t.paused > 0);
        assert_int_equal(t.here, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_forward),
        owned_test(test_back),
        owned_test(test_resumed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
