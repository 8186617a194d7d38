/* SPDX-License-Identifier: MIT
 *
 * Memory changes by the embedder during the hand-over: those before the last sync arrive, later ones are refused and
 * change nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../owned.h"
#include "pair.h"

#define AT    (1u << 20)
#define BYTES (1u << 20)
#define HALF  (BYTES / 2)

/* By the session's thread; the test reads it when that has ended. */
static struct {
    unsigned last, after, cleanup; /* how often the callback came then */
    bool fails;
    int plug, plug_late[2], unplug_late[2], resize_late[2], mark_late[2], mark_block_late[2];
    int64_t hint_late[2];
    int mark_again, plug_again;
} seen;

static void tell_late(struct sim *s, unsigned i)
{
    seen.plug_late[i] = gw_vm_set_discarded(s->vm, "sim.low", AT + HALF, HALF, false, NULL);
    seen.unplug_late[i] = gw_vm_set_discarded(s->vm, "sim.low", 0, 4096, true, NULL);
    seen.resize_late[i] = gw_vm_resize_ram(s->vm, "sim.vram", 64 * 1024, NULL);
    seen.hint_late[i] = gw_vm_hint_free(s->vm, "sim.low", 0, AT);
    seen.mark_late[i] = gw_vm_mark_dirty(s->vm, AT, 4096);
    seen.mark_block_late[i] = gw_vm_mark_dirty_block(s->vm, "sim.low", AT, 4096, NULL);
}

static int notified(void *opaque, enum gw_notify what, struct gw_error *err)
{
    struct sim *s = opaque;

    if (what == GW_NOTIFY_CLEANUP) {
        seen.cleanup++;
        seen.mark_again = gw_vm_mark_dirty(s->vm, AT, 4096);
        seen.plug_again = gw_vm_set_discarded(s->vm, "sim.low", AT + HALF, 4096, false, NULL);
    }
    if (sim_runs(s))
        return 0;
    if (what == GW_NOTIFY_BEFORE_SYNC) {
        seen.last++;
        seen.plug = gw_vm_set_discarded(s->vm, "sim.low", AT, HALF, false, NULL);
    } else if (what == GW_NOTIFY_AFTER_SYNC) {
        seen.after++;
        tell_late(s, 0);
    } else if (what == GW_NOTIFY_COMPLETE) {
        tell_late(s, 1);
        return seen.fails ? gw_fail(err, -EPERM, GW_BLAME_EMBEDDER, "the notifier says no") : 0;
    }
    return 0;
}

static void watch(struct pair *p, struct gw_channel **a, struct gw_channel **b)
{
    memset(p->from->ram[0] + AT, 0xdd, BYTES);
    assert_int_equal(gw_vm_set_discarded(p->from->vm, "sim.low", AT, BYTES, true, NULL), 0);
    assert_int_equal(gw_vm_add_notifier(p->from->vm, notified, p->from, NULL), 0);
}

static void compare(struct pair *p)
{
    for (size_t i = 0; i < BYTES && !seen.fails; i++)
        assert_int_equal(p->to->ram[0][AT + i], i < HALF ? 0xdd : 0);
    memset(p->to->ram[0] + AT, 0, BYTES);
    memset(p->from->ram[0] + AT, 0, BYTES);
}

static void run(bool fails)
{
    struct pair p = {.mib = 8, .before = watch, .after = compare};

    memset(&seen, 0, sizeof seen);
    seen.fails = fails;
    pair_run(&p);
    assert_int_equal(p.source_says, fails ? GW_OWNER_SOURCE : GW_OWNER_DESTINATION);
    assert_int_equal(seen.last, 1);
    assert_int_equal(seen.after, 1);
    assert_int_equal(seen.plug, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(seen.plug_late[i], -EALREADY);
        assert_int_equal(seen.unplug_late[i], -EALREADY);
        assert_int_equal(seen.resize_late[i], -EALREADY);
        assert_int_equal(seen.hint_late[i], -EALREADY);
        assert_int_equal(seen.mark_late[i], -EALREADY);
        assert_int_equal(seen.mark_block_late[i], -EALREADY);
    }
    assert_int_equal(seen.cleanup, 1);
    /* It runs on here, and all operations are allowed again. */
    if (fails) {
        assert_int_equal(seen.mark_again, 0);
        assert_int_equal(seen.plug_again, 0);
    }
}

static void test_too_late(void **state)
{
    run(false);
}

static void test_runs_on(void **state)
{
    run(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_too_late),
        owned_test(test_runs_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
