/* SPDX-License-Identifier: MIT
 *
 * When a machine that has arrived is announced: before its disks change owner and before it starts; not any more when
 * its arrival is undone, and never when it did not arrive. (Left paused: tests/vm/test_announce.py.)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "base/base.h"
#include "engine/vm.h"
#include "pair.h"

/* On the heap, since the library's thread may use it when a test has failed. */
struct run {
    struct pair pair; /* the first member */
    unsigned rounds, wait_ms;
    unsigned left; /* announcements in progress at the end */
    bool fail_start;
    struct sim *to;
    atomic_uint frames, early, late; /* frames; the first came before disks and start; others came later */
};

static int send_frame(void *opaque, const void *frame, size_t bytes, struct gw_error *err)
{
    struct run *run = opaque;

    if (atomic_fetch_add(&run->frames, 1))
        return 0;
    if (!atomic_load(&run->to->arrived) && !atomic_load(&run->to->starts) && gw_vm_place(run->to->vm) == GW_VM_HERE)
        atomic_store(&run->early, 1);
    else
        atomic_store(&run->late, 1);
    return 0;
}

static void begin(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    struct run *run = (struct run *)p;
    struct gw_nic_config c = {.id = "a", .mac = {0x52, 0x54, 0, 0, 0, 1}, .send = send_frame, .opaque = run};

    run->to = p->to;
    assert_int_equal(gw_vm_add_nic(p->to->vm, &c, NULL), 0);
    assert_int_equal(gw_options_set_u64(gw_vm_options(p->to->vm), "announce-rounds", run->rounds, NULL), 0);
    assert_int_equal(gw_options_set_u64(gw_vm_options(p->to->vm), "announce-initial", run->wait_ms, NULL), 0);
    assert_int_equal(gw_options_set_u64(gw_vm_options(p->to->vm), "announce-max", run->wait_ms, NULL), 0);
    atomic_store(&p->to->fail_start, run->fail_start);
}

static void after(struct pair *p)
{
    struct run *run = (struct run *)p;

    while (!run->fail_start && atomic_load(&run->frames) < run->rounds)
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS);
    pthread_mutex_lock(&p->to->vm->announcer.lock);
    run->left = p->to->vm->announcer.count;
    pthread_mutex_unlock(&p->to->vm->announcer.lock);
    atomic_store(&p->to->fail_start, false);
}

static struct run *new_run(unsigned rounds)
{
    struct run *run = owned_memory(sizeof *run);

    run->pair = (struct pair){.mib = 1, .words_per_ms = 100, .before = begin, .after = after};
    run->rounds = rounds;
    run->wait_ms = 1;
    return run;
}

static void test_order(void **state)
{
    static const char *const peers[] = {NULL, "10.0"};

    for (unsigned i = 0; i < 2; i++) {
        struct run *run = new_run(10);

        run->pair.peer = peers[i];
        pair_run(&run->pair);
        assert_int_equal(run->pair.recv_error.code, 0);
        assert_int_equal(atomic_load(&run->frames), 10);
        assert_true(atomic_load(&run->early) && !atomic_load(&run->late));
    }
}

/* It cannot be started here, so it runs on at the source: this host must stop announcing it. */
static void test_taken_back(void **state)
{
    struct run *run = new_run(1000);

    run->pair.peer = "10.0";
    run->wait_ms = 100000;
    run->fail_start = true;
    pair_run(&run->pair);
    assert_int_equal(run->pair.source_says, GW_OWNER_SOURCE);
    assert_int_equal(atomic_load(&run->frames), 1);
    assert_int_equal(run->left, 0);
}

/* The source refuses the hand-over at the last moment. */
static int refuse(void *opaque, enum gw_notify what, struct gw_error *err)
{
    return what == GW_NOTIFY_COMPLETE ? gw_fail(err, -EPERM, GW_BLAME_EMBEDDER, "stay") : 0;
}

static void begin_refused(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    begin(p, a, b);
    assert_int_equal(gw_vm_add_notifier(p->from->vm, refuse, NULL, NULL), 0);
}

static void test_never_arrived(void **state)
{
    struct run *run = new_run(10);

    run->pair.before = begin_refused;
    run->fail_start = true; /* the test does not wait for frames */
    pair_run(&run->pair);
    assert_int_equal(run->pair.source_says, GW_OWNER_SOURCE);
    assert_int_equal(atomic_load(&run->frames), 0);
    assert_int_equal(run->left, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {owned_test(test_order), owned_test(test_taken_back), owned_test(test_never_arrived)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
