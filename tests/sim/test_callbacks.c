/* SPDX-License-Identifier: MIT
 *
 * Every callback of the embedder fails in turn; and cancels, yanks and resizes come at any moment.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"

static struct pair make(void)
{
    return (struct pair){.mib = 2, .words_per_ms = 100};
}

static void refuse_stop(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    atomic_store(&p->from->fail_stop, true);
}

static void test_source_cannot_stop(void **state)
{
    struct pair p = make();

    p.before = refuse_stop;
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
    assert_int_equal(p.send_error.blame, GW_BLAME_EMBEDDER);
    assert_non_null(strstr(p.send_error.text, "a device does not quiesce"));
}

static void refuse_start(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    atomic_store(&p->to->fail_start, true);
}

static void test_destination_cannot_start(void **state)
{
    static const char *const peers[] = {NULL, "10.0"};

    for (unsigned i = 0; i < 2; i++) {
        struct pair p = make();

        p.peer = peers[i];
        p.before = refuse_start;
        pair_run(&p);
        /* The destination reports the failure, and the source's machine runs on. */
        assert_int_equal(p.source_says, GW_OWNER_SOURCE);
        assert_non_null(strstr(p.recv_error.text, "a vCPU does not start"));
        assert_int_equal(p.send_error.blame, GW_BLAME_PEER);
    }
}

/* ---- notifiers ---------------------------------------------------------------------------------------------------- */

static enum gw_notify failing;
static unsigned seen[5];

static int notified(void *opaque, enum gw_notify what, struct gw_error *err)
{
    seen[what]++;
    return what == failing ? gw_fail(err, -EPERM, GW_BLAME_EMBEDDER, "the notifier says no") : 0;
}

static void add_notifier(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    assert_int_equal(gw_vm_add_notifier(p->from->vm, notified, NULL, NULL), 0);
}

static void test_each_notifier(void **state)
{
    for (failing = GW_NOTIFY_SETUP; failing <= GW_NOTIFY_CLEANUP; failing++) {
        struct pair p = make();

        memset(seen, 0, sizeof seen);
        p.before = add_notifier;
        pair_run(&p);
        assert_int_equal(seen[GW_NOTIFY_CLEANUP], 1);
        if (failing == GW_NOTIFY_CLEANUP) {
            assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
            assert_int_equal(seen[GW_NOTIFY_SETUP], 1);
            assert_int_equal(seen[GW_NOTIFY_COMPLETE], 1);
            /* The one in set-up counts too. */
            assert_int_equal(seen[GW_NOTIFY_BEFORE_SYNC], p.stats.dirty_sync_count);
            assert_int_equal(seen[GW_NOTIFY_AFTER_SYNC], p.stats.dirty_sync_count);
            assert_null(strstr(p.log, "notifier"));
        } else if (failing == GW_NOTIFY_BEFORE_SYNC || failing == GW_NOTIFY_AFTER_SYNC) {
            assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
            assert_int_equal(seen[failing], p.stats.dirty_sync_count);
            assert_non_null(strstr(p.log, failing == GW_NOTIFY_BEFORE_SYNC ? "before a dirty sync: notifier: the notifier says no"
                                                                           : "after a dirty sync: notifier: the notifier says no"));
        } else {
            assert_int_equal(p.source_says, GW_OWNER_SOURCE);
            assert_non_null(strstr(p.send_error.text, "the notifier says no"));
        }
    }
}

/* ---- device state that is refused ----------------------------------------------------------------------------------- */

struct moody {
    uint32_t mood;
};
static bool bad_save, bad_check;

static int pre_save(void *device, struct gw_error *err)
{
    return bad_save ? gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "not in the mood to be saved") : 0;
}

static int check(const void *device, uint32_t version, struct gw_error *err)
{
    return bad_check ? gw_fail(err, -EPROTO, GW_BLAME_PEER, "mood is off") : 0;
}

static const struct gw_field moody_fields[] = {GW_FIELD(struct moody, mood), GW_END};
static const struct gw_state moody_state = {.name = "moody",
                                            .version = 1,
                                            .oldest = 1,
                                            .size = sizeof(struct moody),
                                            .fields = moody_fields,
                                            .pre_save = pre_save,
                                            .check = check};
static struct moody moods[2];

static void add_moody(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    assert_int_equal(gw_registry_add(gw_vm_registry(p->from->vm), &moody_state, "moody", 0, &moods[0], NULL), 0);
    assert_int_equal(gw_registry_add(gw_vm_registry(p->to->vm), &moody_state, "moody", 0, &moods[1], NULL), 0);
}

static void test_device_refused(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct pair p = make();

        bad_save = i & 1;
        bad_check = !bad_save;
        p.peer = i & 2 ? "10.0" : NULL;
        p.before = add_moody;
        pair_run(&p);
        assert_int_equal(p.source_says, GW_OWNER_SOURCE);
        assert_non_null(strstr(bad_save ? p.send_error.text : p.recv_error.text, "moody"));
    }
}

/* ---- device state alone, of a machine that runs ----------------------------------------------------------------------- */

static void test_saved_while_running(void **state)
{
    struct sim *s = sim_new(7, 1, NULL);
    struct gw_error err = GW_ERROR_INIT;
    void *blob = NULL;
    size_t bytes = 0;

    assert_int_equal(gw_registry_add(gw_vm_registry(s->vm), &moody_state, "moody", 0, &moods[0], NULL), 0);
    sim_start(s);
    for (unsigned i = 0; i < 2; i++) {
        bad_save = i;
        assert_int_equal(gw_state_save(s->vm, &blob, &bytes, &err), i ? -EIO : 0);
        assert_true(sim_runs(s));
        assert_int_equal(s->stops, i + 1);
        assert_int_equal(s->starts, i + 1);
    }
    assert_non_null(strstr(err.text, "moody"));
    bad_save = false;
    atomic_store(&s->fail_stop, true);
    assert_int_equal(gw_state_save(s->vm, &blob, &bytes, &err), -EIO);
    atomic_store(&s->fail_stop, false);
    /* Whether or not it starts again is reported, and the machine is not given away. */
    atomic_store(&s->fail_start, true);
    free(blob);
    blob = NULL;
    err = (struct gw_error)GW_ERROR_INIT;
    assert_int_equal(gw_state_save(s->vm, &blob, &bytes, &err), -EIO);
    assert_null(blob);
    assert_non_null(strstr(err.text, "a vCPU does not start"));
    owned_end(s);
}

/* ---- a device that cannot be migrated ---------------------------------------------------------------------------------- */

static void add_reason(void *opaque, const char *reason)
{
    strcat(strcat(opaque, reason), ".");
}

static void test_unmigratable(void **state)
{
    char reasons[128];
    static const struct gw_state stuck = {
        .name = "gpu", .version = 1, .oldest = 1, .size = sizeof(struct moody), .fields = moody_fields, .unmigratable = true};
    struct sim *s = sim_new(7, 1, NULL);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_recv *recv = NULL;
    struct gw_send *send = NULL;
    void *blob = NULL;
    size_t bytes;

    assert_int_equal(gw_state_save(s->vm, &blob, &bytes, &err), 0);
    assert_int_equal(gw_registry_add(gw_vm_registry(s->vm), &stuck, "gpu", 0, &moods[0], NULL), 0);
    assert_int_equal(gw_state_load(s->vm, blob, bytes, &err), -EBUSY);
    assert_non_null(strstr(err.text, "device gpu cannot be migrated: its description says so (.unmigratable)"));
    assert_int_equal(gw_recv_start(s->vm, &(struct gw_recv_config){.uri = "tcp:127.0.0.1:0"}, &recv, &err), -EBUSY);
    assert_int_equal(gw_send_start(s->vm, &(struct gw_send_config){.uri = "tcp:127.0.0.1:1"}, &send, &err), -EBUSY);
    reasons[0] = 0;
    gw_vm_for_each_blocker(s->vm, add_reason, reasons);
    assert_string_equal(reasons, "device gpu cannot be migrated.");
    gw_registry_remove(gw_vm_registry(s->vm), &moods[0]);
    assert_int_equal(gw_state_load(s->vm, blob, bytes, &err), 0);
    free(blob);
    owned_end(s);
}

/* ---- a machine that stops, and says that it did not -------------------------------------------------------------------- */

static void make_half(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    atomic_store(&p->from->fail_stopped, true);
}

static void test_source_stops_and_fails(void **state)
{
    struct pair p = make();

    p.before = make_half;
    pair_run(&p);
    assert_int_equal(p.source_says, GW_OWNER_SOURCE);
    assert_int_equal(p.send_error.code, -EIO);
    assert_int_equal(p.source_starts, 1); /* it was running before, and does again */
}

/* ---- a yank while the machine starts
 * ---------------------------------------------------------------------------------- */

static void hold_start(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    atomic_store(&p->to->hold_start, true);
}

static void yank_start(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    if (!atomic_load(&p->to->starting) || !atomic_load(&p->to->hold_start))
        return;
    gw_recv_yank(recv);
    atomic_store(&p->to->hold_start, false);
}

/* The source learns nevertheless that its machine runs there: pair_run checks that both never run. */
static void test_yanked_in_start(void **state)
{
    static const char *const peers[] = {NULL, "10.0"};

    for (unsigned i = 0; i < 2; i++) {
        struct pair p = make();

        p.peer = peers[i];
        p.before = hold_start;
        p.during = yank_start;
        pair_run(&p);
        assert_int_equal(p.source_says, GW_OWNER_DESTINATION);
        assert_int_equal(p.destination_says, GW_OWNER_DESTINATION);
    }
}

/* ---- interruptions at any moment ------------------------------------------------------------------------------------ */

static unsigned moment, moments;
static int what; /* 0 cancel the source, 1 cancel the destination, 2 yank the source, 3 yank the destination, 4 resize */

/* Slow enough that the first moment comes before the end, even if this thread is delayed. */
static void crawl(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    if (!moment)
        assert_int_equal(gw_options_set_parameter(gw_vm_options(p->from->vm), "max-bandwidth", "16K", NULL), 0);
}

static void interrupt(struct pair *p, struct gw_send *send, struct gw_recv *recv)
{
    if (moments++ != moment)
        return;
    if (!moment)
        assert_int_equal(gw_options_set_parameter(gw_vm_options(p->from->vm), "max-bandwidth", "0", NULL), 0);
    switch (what) {
    case 0:
        gw_send_cancel(send, NULL);
        break;
    case 1:
        gw_recv_cancel(recv, NULL);
        break;
    case 2:
        gw_send_yank(send);
        break;
    case 3:
        gw_recv_yank(recv);
        break;
    default:
        gw_vm_resize_ram(p->from->vm, "sim.vram", 128 * 1024, NULL);
    }
}

static void test_interrupted(void **state)
{
    unsigned arrived = 0, stayed = 0, claimed = 0;
    static const char *const peers[] = {NULL, "10.0"};

    for (unsigned i = 0; i < 300; i++) {
        struct pair p = make();

        what = (int)(i % 5);
        moment = i / 10 * 6;
        moments = 0;
        p.peer = peers[i / 5 % 2];
        p.before = crawl;
        p.during = interrupt;
        pair_run(&p);
        arrived += p.source_says == GW_OWNER_DESTINATION;
        stayed += p.source_says == GW_OWNER_SOURCE;
        claimed += p.claimed;
    }
    print_message("%u arrived (%u of them claimed), %u stayed\n", arrived, claimed, stayed);
    assert_true(stayed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_source_cannot_stop),
        owned_test(test_source_stops_and_fails),
        owned_test(test_destination_cannot_start),
        owned_test(test_each_notifier),
        owned_test(test_device_refused),
        owned_test(test_saved_while_running),
        owned_test(test_unmigratable),
        owned_test(test_yanked_in_start),
        owned_test(test_interrupted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
