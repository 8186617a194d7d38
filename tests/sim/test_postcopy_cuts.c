/* SPDX-License-Identifier: MIT
 *
 * The connection is lost around the switch to postcopy: each side reports the machine's owner correctly, it never runs
 * twice, it runs again if that is certainly safe, and resumes over another connection if its source has given it away.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "channel/fault.h"
#include "../owned.h"
#include "ends.h"
#include "godwit/channel.h"
#include "sim.h"
#include "../privilege.h"

#define MIB       1u
#define WITHOUT   UINT64_MAX
#define FIRST_END 8192u /* the package, and more, is within this many bytes of the stream */
#define SWEEPS    100u  /* at most, where it depends on the threads how a cut ends */

enum way { CLEAN, UNDONE, GONE_ON, WHOLE, WAYS };

static struct {
    struct sim *from, *to;
    struct gw_send *send;
    struct gw_recv *recv;
    unsigned ways[WAYS], held; /* how cuts ended; machines that arrived and waited for their source */
    bool device_reads, start_writes; /* at the destination: all of the memory, which has not arrived yet */
    unsigned in_vain;        /* sessions that reported that a device needs missing pages, */
    _Atomic unsigned beside; /* done by a start */
} t;

static struct sim_reader { /* a device whose load reads memory, like one with rings in guest memory */
    uint32_t level;
} readers[2];

static __attribute__((noinline, no_sanitize("thread"))) void read_memory(void *device, uint32_t version)
{
    if (device == &readers[1])
        for (unsigned i = 0; i < SIM_BLOCKS; i++)
            for (uint64_t at = 0; at < t.to->ram_bytes[i]; at += 4096)
                (void)*(volatile uint8_t *)(t.to->ram[i] + at);
}

static const struct gw_field reader_fields[] = {GW_FIELD(struct sim_reader, level), GW_END};
static const struct gw_state reader_state = {.name = "reader", .version = 1, .oldest = 1, .size = sizeof(struct sim_reader),
                                             .fields = reader_fields, .loaded = read_memory};

static void never_both(void)
{
    sim_never_both(t.from, t.to);
}

static struct gw_channel *with(struct gw_channel *channel, const struct gw_fault *fault)
{
    struct gw_channel *ret = NULL;

    assert_int_equal(gw_fault_new(channel, fault, 1, &ret, NULL), 0);
    return ret;
}

static void on_event(void *opaque, const struct gw_event *event)
{
    if (event->type == GW_EVENT_LOG && strstr(event->text, "lost before the machine has started here"))
        t.beside++;
}

/* Either may be NULL. */
static void begin(const struct gw_fault *source, const struct gw_fault *destination)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;

    t.from = sim_new(7, MIB, NULL);
    t.to = sim_new(0, MIB, NULL);
    must(gw_options_set_capability(gw_vm_options(t.from->vm), "postcopy-ram", true, &err), &err);
    must(gw_options_set_capability(gw_vm_options(t.to->vm), "postcopy-ram", true, &err), &err);
    if (t.device_reads) {
        must(gw_registry_add(gw_vm_registry(t.from->vm), &reader_state, "reader", 0, &readers[0], &err), &err);
        must(gw_registry_add(gw_vm_registry(t.to->vm), &reader_state, "reader", 0, &readers[1], &err), &err);
    }
    t.to->start_writes = t.start_writes;
    sim_start(t.from);
    must(gw_channel_memory_pair(65536, &a, &b, &err), &err);
    a = source ? with(a, source) : a;
    b = destination ? with(b, destination) : b;
    must(gw_recv_start(t.to->vm, &(struct gw_recv_config){.take_channel = b, .progress_timeout_ns = UINT64_MAX, .on_event = on_event},
                       &t.recv, &err), &err);
    owned_recv(t.recv);
    must(gw_send_start(t.from->vm, &(struct gw_send_config){.take_channel = a, .postcopy = true, .progress_timeout_ns = UINT64_MAX},
                       &t.send, &err), &err);
    owned_send(t.send);
}

static bool rests(enum gw_status s)
{
    return sim_over(s) || s == GW_STATUS_POSTCOPY_PAUSED;
}

/* Both sessions have ended, or wait to be resumed. */
static void await_rest(void)
{
    struct gw_error why = GW_ERROR_INIT;

    while (!rests(gw_send_status(t.send)) || !rests(gw_recv_status(t.recv))) {
        never_both();
        nap();
    }
    gw_send_wait(t.send, NULL); /* until its machine runs again, if it does */
    if (sim_over(gw_recv_status(t.recv)) && gw_recv_wait(t.recv, &why) < 0)
        t.in_vain += strstr(why.text, "a device needs guest memory that has not arrived") != NULL;
    never_both();
}

static void go_on(void)
{
    struct gw_error err = GW_ERROR_INIT;
    char uri[128];

    owned_end(t.send);
    must(gw_recv_recover(t.recv, "tcp:127.0.0.1:0", &err), &err);
    gw_recv_address(t.recv, uri, sizeof uri);
    must(gw_send_start(t.from->vm, &(struct gw_send_config){.uri = uri, .resume = true, .progress_timeout_ns = UINT64_MAX}, &t.send, &err),
         &err);
    owned_send(t.send);
    must(gw_send_wait(t.send, &err), &err);
    must(gw_recv_wait(t.recv, &err), &err);
    assert_int_equal(gw_send_owner(t.send), GW_OWNER_DESTINATION);
}

static enum way judge(void)
{
    enum gw_owner owner = gw_send_owner(t.send);
    struct gw_error err = GW_ERROR_INIT;

    if (owner == GW_OWNER_SOURCE) {
        assert_true(sim_runs(t.from));
        assert_int_equal(t.to->starts, 0);
        return CLEAN;
    }
    assert_false(sim_runs(t.from));
    if (gw_recv_status(t.recv) == GW_STATUS_POSTCOPY_PAUSED) {
        t.held += !t.to->starts;
        go_on();
        assert_int_equal(t.to->starts, 1);
        assert_true(sim_runs(t.to));
        return GONE_ON;
    }
    if (gw_recv_status(t.recv) == GW_STATUS_COMPLETED) {
        assert_true(sim_runs(t.to));
        return WHOLE;
    }
    /* The operator checks the destination, which has no machine. */
    assert_int_equal(owner, GW_OWNER_UNDECIDED);
    assert_int_equal(t.to->starts, 0);
    must(gw_vm_came_back(t.from->vm, &err), &err);
    return UNDONE;
}

static void end(enum way way)
{
    struct sim *has = way == CLEAN || way == UNDONE ? t.from : t.to;

    sim_stop(t.from);
    sim_stop(t.to);
    assert_int_equal(sim_check(has), 0);
    t.ways[way]++;
    owned_end(t.send);
    owned_end(t.recv);
    owned_end(t.from);
    owned_end(t.to);
}

static enum way cut(const struct gw_fault *source, const struct gw_fault *destination)
{
    enum way way;

    begin(source, destination);
    await_rest();
    way = judge();
    end(way);
    return way;
}

static int up(void **state)
{
    memset(&t, 0, sizeof t);
    return 0;
}

/* The destination's messages are lost, and then the connection. */
static void test_answers(void **state)
{
    for (uint64_t at = 0; at < 96; at += 7)
        cut(&(struct gw_fault){.kind = GW_FAULT_RESET, .direction = GW_FAULT_IN, .at_byte = at}, NULL);
    assert_true(t.ways[CLEAN]);
    assert_true(t.ways[GONE_ON]);
}

static void test_stream(void **state)
{
    for (uint64_t at = 1; at < FIRST_END; at += at < 1024 ? 97 : 739)
        cut(&(struct gw_fault){.kind = at % 2 ? GW_FAULT_RESET : GW_FAULT_END, .direction = GW_FAULT_OUT, .at_byte = at}, NULL);
    assert_true(t.ways[CLEAN]);
    assert_true(t.ways[GONE_ON]);
}

/* One answer cannot be sent, while all of the source's data can be read. */
static void test_unsaid(void **state)
{
    _Atomic unsigned said = 0;
    unsigned before;

    for (uint64_t call = 1; call < 8; call++) {
        before = said;
        cut(NULL, &(struct gw_fault){.kind = GW_FAULT_ERROR, .direction = GW_FAULT_OUT, .at_call = call, .code = -EPIPE, .tell = &said});
        if (said == before)
            break;
    }
    assert_true(t.ways[GONE_ON]);
    assert_true(t.held); /* after ADVISE, and before the machine arrived */
}

static void cut_pages(void)
{
    for (uint64_t at = 700; at < FIRST_END; at += at < 2048 ? 131 : 739)
        cut(&(struct gw_fault){.kind = GW_FAULT_RESET, .direction = GW_FAULT_OUT, .at_byte = at}, NULL);
}

/* What such a device loaded is useless, and the machine does not run here: its source owns it, or reports it as
 * undecided. */
static void test_a_device_that_waits(void **state)
{
    t.device_reads = true;
    cut_pages();
    assert_true(t.in_vain && t.ways[UNDONE]);
    t.in_vain = t.ways[UNDONE] = 0;
    for (uint64_t at = 700; at < FIRST_END; at += 739) /* and the source can still be told */
        cut(NULL, &(struct gw_fault){.kind = GW_FAULT_END, .direction = GW_FAULT_IN, .at_byte = at});
    assert_true(t.in_vain && t.ways[CLEAN] && !t.ways[UNDONE]);
}

/* The machine is here, paused, and runs on when its source resumes. The loss may also be found before the start. */
static void test_a_start_that_waits(void **state)
{
    t.start_writes = true;
    for (unsigned i = 0; i < SWEEPS && !t.beside; i++)
        cut_pages();
    assert_true(t.beside);
    assert_true(t.ways[GONE_ON]);
    assert_false(t.in_vain);
}

/* No source comes, and the operator gives it up: the session ends, and so does the waiting thread. */
static void test_a_start_that_is_given_up(void **state)
{
    t.start_writes = true;
    for (uint64_t i = 0; i < SWEEPS * 50 && !t.beside; i++) {
        uint64_t at = 700 + i * 131 % (FIRST_END - 700);

        begin(&(struct gw_fault){.kind = GW_FAULT_RESET, .direction = GW_FAULT_OUT, .at_byte = at}, NULL);
        await_rest();
        if (!t.beside) {
            end(judge());
            continue;
        }
        assert_int_equal(gw_recv_status(t.recv), GW_STATUS_POSTCOPY_PAUSED);
        assert_int_equal(gw_send_owner(t.send), GW_OWNER_UNDECIDED);
        gw_recv_yank(t.recv);
        assert_true(gw_recv_wait(t.recv, NULL) < 0);
        owned_end(t.send);
        owned_end(t.recv);
        assert_false(sim_runs(t.to));
    }
    assert_true(t.beside);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, owned_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_answers), T(test_stream), T(test_unsaid), T(test_a_device_that_waits), T(test_a_start_that_waits),
        T(test_a_start_that_is_given_up),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests_name("sim/postcopy_cuts", tests, NULL, NULL);
}
