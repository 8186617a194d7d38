/* SPDX-License-Identifier: MIT
 *
 * Announcements by the public API, on a clock that goes on only as the library sleeps on it: when each frame was sent is exact.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "engine/announce.h"
#include "engine/vm.h"

#define START_NS GW_NS_PER_S
#define FRAMES   4096

static struct {
    struct gw_vm *vm;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t now_ns;
    bool hold; /* sleeps wait: the time stands */
    unsigned frames;
    struct {
        uint64_t ms; /* since the beginning */
        uint8_t last; /* byte of the address */
    } frame[FRAMES];
    bool fails;
    unsigned wrong, inside;
} m = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static uint64_t now(void *opaque)
{
    uint64_t ns;

    pthread_mutex_lock(&m.lock);
    ns = m.now_ns;
    pthread_mutex_unlock(&m.lock);
    return ns;
}

static void sleep_ns(void *opaque, uint64_t ns)
{
    pthread_mutex_lock(&m.lock);
    while (m.hold)
        pthread_cond_wait(&m.changed, &m.lock);
    m.now_ns += ns;
    pthread_mutex_unlock(&m.lock);
}

static uint64_t random_bits(void *opaque)
{
    return 4;
}

static void hold(bool on)
{
    pthread_mutex_lock(&m.lock);
    m.hold = on;
    pthread_cond_broadcast(&m.changed);
    pthread_mutex_unlock(&m.lock);
}

static void await_frames(unsigned count)
{
    pthread_mutex_lock(&m.lock);
    while (m.frames < count)
        pthread_cond_wait(&m.changed, &m.lock);
    pthread_mutex_unlock(&m.lock);
}

static int send_frame(void *opaque, const void *frame, size_t bytes, struct gw_error *err)
{
    const uint8_t *f = frame;
    bool fails;

    pthread_mutex_lock(&m.lock);
    m.wrong += bytes != 60 || f[12] != 0x80 || f[13] != 0x35 || f[11] != (uint8_t)(uintptr_t)opaque || m.inside++;
    if (m.frames < FRAMES) {
        m.frame[m.frames].ms = (m.now_ns - START_NS) / GW_NS_PER_MS;
        m.frame[m.frames++].last = f[11];
    }
    fails = m.fails;
    m.inside--;
    pthread_cond_broadcast(&m.changed);
    pthread_mutex_unlock(&m.lock);
    return fails ? gw_fail(err, -EIO, GW_BLAME_EMBEDDER, "no cable") : 0;
}

static int nothing(void *opaque, struct gw_error *err)
{
    return 0;
}

static bool never(void *opaque)
{
    return false;
}

static void add(const char *id, uint8_t last)
{
    struct gw_nic_config c = {.id = id, .mac = {0x52, 0x54, 0, 0, 0, last}, .send = send_frame, .opaque = (void *)(uintptr_t)last};
    struct gw_error err = GW_ERROR_INIT;

    if (gw_vm_add_nic(m.vm, &c, &err) < 0)
        fail_msg("%s", err.text);
}

static int up(void **state)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};
    static const struct gw_clock clock = {GW_SIZED(struct gw_clock), .now_ns = now, .sleep_ns = sleep_ns, .random = random_bits};
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &ops, .clock = &clock};

    m.now_ns = START_NS;
    m.frames = m.wrong = 0;
    m.hold = m.fails = false;
    return gw_vm_new(&config, &m.vm, NULL);
}

static int down(void **state)
{
    hold(false);
    m.vm = gw_vm_free(m.vm);
    return m.wrong ? -1 : 0;
}

static int announce(uint64_t initial, uint64_t max, uint64_t rounds, uint64_t step, const char *id, struct gw_error *err)
{
    struct gw_announce_config c = {.initial_ms = initial, .max_ms = max, .rounds = rounds, .step_ms = step, .id = id};

    return gw_vm_announce(m.vm, &c, err);
}

/* ---- */

/* All cards in each round, the first round before the call returns; then by the parameters. */
static void test_arrival(void **state)
{
    static const uint64_t at[] = {0, 50, 200, 450, 800};

    add("a", 1);
    add("b", 2);
    hold(true);
    assert_int_equal(gw_announce_arrival(m.vm, NULL), 0);
    assert_int_equal(m.frames, 2);
    hold(false);
    await_frames(10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(m.frame[i].ms, at[i / 2]);
        assert_int_equal(m.frame[i].last, 1 + i % 2);
    }
    /* Another one, with what was set since, by the thread that has ended or is about to. */
    assert_int_equal(gw_options_set_u64(gw_vm_options(m.vm), "announce-rounds", 2, NULL), 0);
    assert_int_equal(gw_options_set_u64(gw_vm_options(m.vm), "announce-initial", 7, NULL), 0);
    assert_int_equal(gw_vm_announce(m.vm, NULL, NULL), 0);
    await_frames(14);
    assert_int_equal(m.frame[12].ms - m.frame[10].ms, 7);
    gw_vm_free(m.vm);
    m.vm = NULL;
    assert_int_equal(m.frames, 14);
}

static void test_no_cards(void **state)
{
    assert_int_equal(gw_announce_arrival(m.vm, NULL), 0);
    assert_int_equal(announce(0, 0, 1000, 1, NULL, NULL), 0);
    assert_int_equal(m.frames, 0);
}

/* A failing card does not keep the others, nor the rounds to come, from being sent. */
static void test_failing(void **state)
{
    add("a", 1);
    add("b", 2);
    m.fails = true;
    assert_int_equal(announce(10, 10, 3, 1, NULL, NULL), 0);
    await_frames(6);
}

/* Chosen cards; a card that goes or comes meanwhile. */
static void test_interfaces(void **state)
{
    static const char *const names[] = {"c", "a"}, *const unknown[] = {"a", "x"};
    struct gw_announce_config c = {.initial_ms = 10, .max_ms = 10, .rounds = 3, .step_ms = 1, .interfaces = names,
        .interface_count = 2};
    struct gw_error err = GW_ERROR_INIT;

    add("a", 1);
    add("b", 2);
    add("c", 3);
    hold(true);
    assert_int_equal(gw_vm_announce(m.vm, &c, &err), 0);
    assert_int_equal(m.frames, 2);
    assert_int_equal(gw_vm_remove_nic(m.vm, "a", &err), 0);
    hold(false);
    await_frames(4);
    assert_int_equal(m.frame[0].last, 1);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(m.frame[i].last, 3);
    c.interfaces = unknown;
    assert_int_equal(gw_vm_announce(m.vm, &c, &err), -ENODEV);
    assert_string_equal(err.text, "there is no network card a");
    assert_int_equal(gw_vm_remove_nic(m.vm, "a", &err), -ENOENT);
    c.interface_count = 0; /* none is not all */
    assert_int_equal(gw_vm_announce(m.vm, &c, &err), 0);
    assert_int_equal(m.frames, 4);
}

/* One of the same id takes the place of the last one; no rounds end it. Others go on. */
static void test_ids(void **state)
{
    add("a", 1);
    hold(true);
    assert_int_equal(announce(100, 100, 1000, 1, NULL, NULL), 0);
    assert_int_equal(announce(100, 100, 1000, 1, "x", NULL), 0);
    assert_int_equal(announce(5, 5, 3, 1, "", NULL), 0);
    assert_int_equal(announce(0, 0, 0, 1, "x", NULL), 0);
    assert_int_equal(m.frames, 3);
    hold(false);
    await_frames(5);
    assert_true(m.frame[3].ms >= 5 && m.frame[4].ms >= m.frame[3].ms + 5); /* the sleep that was under way is not cut short */
    gw_vm_free(m.vm);
    m.vm = NULL;
    assert_int_equal(m.frames, 5);
}

/* The vm is freed while rounds are due. */
static void test_end(void **state)
{
    add("a", 1);
    hold(true);
    assert_int_equal(announce(100000, 100000, 1000, 1, NULL, NULL), 0);
    hold(false);
    m.vm = gw_vm_free(m.vm);
    assert_true(m.frames >= 1);
}

static void test_real_clock_end(void **state)
{
    static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = nothing, .start = nothing, .running = never};
    struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &ops};

    gw_vm_free(m.vm);
    assert_int_equal(gw_vm_new(&config, &m.vm, NULL), 0);
    add("a", 1);
    assert_int_equal(announce(0, 0, 50, 1, NULL, NULL), 0);
    assert_int_equal(announce(100000, 100000, 1000, 1, "slow", NULL), 0);
    await_frames(51);
    m.vm = gw_vm_free(m.vm); /* at once, not in 100 s: check.py would end this */
    assert_int_equal(m.frames, 51);
}

/* An arrival that was taken back, and a machine that has left. */
static void test_elsewhere(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    add("a", 1);
    hold(true);
    assert_int_equal(gw_announce_arrival(m.vm, NULL), 0);
    gw_announce_revoke(m.vm);
    assert_int_equal(announce(10, 10, 1000, 1, NULL, NULL), 0);
    assert_int_equal(m.frames, 2);
    atomic_store(&m.vm->place, GW_VM_LEFT);
    hold(false);
    for (bool runs = true; runs;) {
        pthread_mutex_lock(&m.vm->announcer.lock);
        runs = m.vm->announcer.runs;
        pthread_mutex_unlock(&m.vm->announcer.lock);
    }
    assert_int_equal(m.frames, 2);
    assert_int_equal(announce(10, 10, 5, 1, NULL, &err), -EALREADY);
    assert_string_equal(err.text, "the machine does not run here: announcing it would draw its network traffic to the wrong host");
    assert_int_equal(gw_vm_announce(m.vm, NULL, NULL), -EALREADY);
    /* Who received it and does not know yet whose it is may want to. */
    atomic_store(&m.vm->place, GW_VM_UNDECIDED);
    assert_int_equal(announce(10, 10, 1, 1, NULL, &err), 0);
    assert_int_equal(m.frames, 3);
}

static void test_refusals(void **state)
{
    static const struct {
        uint64_t initial, max, rounds, step;
        const char *why;
    } bad[] = {
        {100001, 0, 1, 1, "argument 'initial' is a whole number from 0 to 100000"},
        {0, UINT64_MAX, 1, 1, "argument 'max' is a whole number from 0 to 100000"},
        {0, 0, 1001, 1, "argument 'rounds' is a whole number from 0 to 1000"},
        {0, 0, 1, 0, "argument 'step' is a whole number from 1 to 10000"},
        {0, 0, 1, 10001, "argument 'step' is a whole number from 1 to 10000"},
    };
    struct gw_nic_config c = {.id = "a", .mac = {0x52, 0x54, 0, 0, 0, 1}, .send = send_frame, .opaque = (void *)1};
    struct gw_error err = GW_ERROR_INIT;
    char id[200], name[16];

    for (unsigned i = 0; i < GW_ARRAY_LEN(bad); i++) {
        assert_int_equal(announce(bad[i].initial, bad[i].max, bad[i].rounds, bad[i].step, NULL, &err), -ERANGE);
        assert_string_equal(err.text, bad[i].why);
    }
    memset(id, 'x', sizeof id);
    id[128] = 0;
    assert_int_equal(announce(0, 0, 1, 1, id, &err), -EINVAL);
    assert_int_equal(announce(0, 0, 1, 1, "\n", &err), -EINVAL);
    id[127] = 0;
    assert_int_equal(announce(0, 0, 1, 1, id, &err), 0);
    hold(true);
    for (unsigned i = 0; i < 64; i++) {
        snprintf(name, sizeof name, "%u", i);
        assert_int_equal(announce(10, 10, 2, 1, name, &err), 0);
    }
    assert_int_equal(announce(10, 10, 2, 1, "more", &err), -ENOSPC);
    assert_int_equal(announce(10, 10, 2, 1, "63", &err), 0);

    assert_int_equal(gw_vm_add_nic(m.vm, &c, &err), 0);
    assert_int_equal(gw_vm_add_nic(m.vm, &c, &err), -EEXIST);
    assert_string_equal(err.text, "there is a network card a already");
    c.id = "b";
    c.mac[0] = 0x53;
    assert_int_equal(gw_vm_add_nic(m.vm, &c, &err), -EINVAL);
    assert_string_equal(err.text, "network card b: 53:54:00:00:00:01 is a group address or all zeros; a card has an address of its own");
    memset(c.mac, 0, 6);
    assert_int_equal(gw_vm_add_nic(m.vm, &c, &err), -EINVAL);
    c.mac[5] = 1;
    c.send = NULL;
    assert_int_equal(gw_vm_add_nic(m.vm, &c, &err), -EINVAL);
    c.send = send_frame;
    c.id = "";
    assert_int_equal(gw_vm_add_nic(m.vm, &c, &err), -EINVAL);
    id[127] = 'x';
    c.id = id;
    assert_int_equal(gw_vm_add_nic(m.vm, &c, &err), -EINVAL);
    assert_int_equal(m.frames, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arrival, up, down),    cmocka_unit_test_setup_teardown(test_no_cards, up, down),
        cmocka_unit_test_setup_teardown(test_failing, up, down),    cmocka_unit_test_setup_teardown(test_interfaces, up, down),
        cmocka_unit_test_setup_teardown(test_ids, up, down),        cmocka_unit_test_setup_teardown(test_end, up, down),
        cmocka_unit_test_setup_teardown(test_real_clock_end, up, down),
        cmocka_unit_test_setup_teardown(test_elsewhere, up, down),  cmocka_unit_test_setup_teardown(test_refusals, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
