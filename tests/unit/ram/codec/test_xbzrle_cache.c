/* SPDX-License-Identifier: MIT
 *
 * The cache against a model that keeps for each slot what must be in it. Linked with --wrap for the allocating
 * functions.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/codec/xbzrle_cache.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"
#include "../../../emulated.h"

void *__real_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(at, n, prot, flags, fd, offset);
}

#define PAGE  4096u
#define SLOTS 64u /* at most */
#define KEYS  200u

static uint64_t seed = 3;

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((seed >> 33) % n);
}

/* ---- the model ---- */

struct model {
    uint32_t slots, syncs;
    struct slot {
        bool full;
        uint64_t key;
        uint32_t used;
        uint8_t contents; /* all bytes of the page */
    } slot[SLOTS];
};

static uint32_t slots_of(uint64_t bytes)
{
    uint32_t n = 1;

    while (n * 2ull * PAGE <= bytes)
        n *= 2;
    return n;
}

static struct slot *model_slot(struct model *m, uint64_t key)
{
    return &m->slot[key % m->slots];
}

/* NULL: the slot has another page that is too young. */
static struct slot *model_put(struct model *m, uint64_t key, uint8_t contents)
{
    struct slot *s = model_slot(m, key);

    if (s->full && s->key != key && m->syncs - s->used < 2)
        return NULL;
    *s = (struct slot){true, key, m->syncs, contents};
    return s;
}

static void model_resize(struct model *m, uint32_t slots)
{
    struct model now = {.slots = slots, .syncs = m->syncs};

    if (slots == m->slots)
        return;
    for (uint32_t i = 0; i < m->slots; i++) {
        struct slot *to = model_slot(&now, m->slot[i].key);

        if (m->slot[i].full && (!to->full || m->slot[i].used > to->used))
            *to = m->slot[i];
    }
    *m = now;
}

/* ---- one step ---- */

static void fill(uint8_t *p, uint8_t v)
{
    memset(p, v, PAGE);
}

static void expect_page(const uint8_t *p, uint8_t v)
{
    assert_int_equal(p[0], v);
    assert_memory_equal(p, p + 1, PAGE - 1);
}

static void use(struct gw_xbzrle_cache *c, struct model *m, uint64_t key)
{
    struct slot *s = model_slot(m, key);
    uint8_t *p = gw_xbzrle_cache_find(c, key), v = (uint8_t)rnd(256);

    if (s->full && s->key == key) {
        assert_non_null(p);
        expect_page(p, s->contents);
        s->used = m->syncs;
        if (rnd(2)) {
            fill(p, v);
            s->contents = v;
        }
        return;
    }
    assert_null(p);
    s = model_put(m, key, v);
    p = gw_xbzrle_cache_put(c, key);
    assert_int_equal(p != NULL, s != NULL);
    if (p)
        fill(p, v);
}

static void step(struct gw_xbzrle_cache *c, struct model *m, uint64_t most_bytes)
{
    uint64_t key = rnd(KEYS), bytes;
    uint32_t what = rnd(1000);

    if (what < 800) {
        use(c, m, key);
    } else if (what < 900) {
        model_put(m, key, 0);
        gw_xbzrle_cache_zero(c, key);
    } else if (what < 980) {
        gw_xbzrle_cache_sync(c);
        m->syncs++;
    } else if (what < 985) {
        gw_xbzrle_cache_clear(c);
        memset(m->slot, 0, sizeof m->slot);
    } else if (most_bytes) {
        /* Sometimes asked for twice before it is carried out: the last one counts. */
        do {
            bytes = PAGE + rnd((uint32_t)most_bytes - PAGE + 1);
            assert_int_equal(gw_xbzrle_cache_resize(c, bytes, NULL), 0);
        } while (rnd(3) == 0);
        assert_int_equal(gw_xbzrle_cache_bytes(c), (uint64_t)m->slots * PAGE);
        assert_int_equal(gw_xbzrle_cache_adopt(c), slots_of(bytes) != m->slots);
        model_resize(m, slots_of(bytes));
        assert_int_equal(gw_xbzrle_cache_bytes(c), (uint64_t)m->slots * PAGE);
        assert_false(gw_xbzrle_cache_adopt(c));
    }
}

static void compare(struct gw_xbzrle_cache *c, struct model *m)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        struct slot *s = model_slot(m, key);
        uint8_t *p = gw_xbzrle_cache_find(c, key);

        assert_int_equal(p != NULL, s->full && s->key == key);
        if (p)
            expect_page(p, s->contents);
    }
}

static void test_every_size(void **state)
{
    for (uint32_t pages = 1; pages <= SLOTS; pages++)
        for (uint32_t odd = 0; odd < PAGE; odd += PAGE - 1) { /* a size that is no multiple of the page */
            struct model m = {.slots = slots_of((uint64_t)pages * PAGE)};
            struct gw_xbzrle_cache *c;

            assert_int_equal(gw_xbzrle_cache_new((uint64_t)pages * PAGE + odd, PAGE, &c, NULL), 0);
            assert_int_equal(gw_xbzrle_cache_bytes(c), (uint64_t)m.slots * PAGE);
            for (unsigned i = 0; i < 1500; i++)
                step(c, &m, 0);
            compare(c, &m);
            assert_null(gw_xbzrle_cache_free(c));
        }
}

static void test_resized_at_random(void **state)
{
    for (unsigned run = 0; run < 20; run++) {
        struct model m = {.slots = 1u << rnd(7)};
        struct gw_xbzrle_cache *c;

        assert_int_equal(gw_xbzrle_cache_new((uint64_t)m.slots * PAGE, PAGE, &c, NULL), 0);
        for (unsigned i = 0; i < 5000; i++)
            step(c, &m, SLOTS * (uint64_t)PAGE);
        compare(c, &m);
        gw_xbzrle_cache_free(c);
    }
}

static void test_refused_sizes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_xbzrle_cache *c = NULL;

    assert_int_equal(gw_xbzrle_cache_new(PAGE - 1, PAGE, &c, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_int_equal(gw_xbzrle_cache_new(0, PAGE, &c, NULL), -EINVAL);
    assert_int_equal(gw_xbzrle_cache_new(UINT64_MAX, PAGE, &c, &err), -ERANGE);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
#if UINTPTR_MAX > UINT32_MAX
    assert_int_equal(gw_xbzrle_cache_new(1ull << 62, PAGE, &c, &err), -ENOMEM);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
#endif
    assert_null(c);
    /* The same when it is there already, which keeps what it has. */
    assert_int_equal(gw_xbzrle_cache_new(8 * PAGE, PAGE, &c, NULL), 0);
    fill(gw_xbzrle_cache_put(c, 5), 77);
    assert_int_equal(gw_xbzrle_cache_resize(c, PAGE - 1, NULL), -EINVAL);
    assert_int_equal(gw_xbzrle_cache_resize(c, UINT64_MAX, NULL), -ERANGE);
#if UINTPTR_MAX > UINT32_MAX
    assert_int_equal(gw_xbzrle_cache_resize(c, 1ull << 62, NULL), -ENOMEM);
#endif
    assert_false(gw_xbzrle_cache_adopt(c));
    assert_int_equal(gw_xbzrle_cache_bytes(c), 8 * PAGE);
    expect_page(gw_xbzrle_cache_find(c, 5), 77);
    /* What was asked for and is not wanted any more. */
    assert_int_equal(gw_xbzrle_cache_resize(c, 16 * PAGE, NULL), 0);
    assert_int_equal(gw_xbzrle_cache_resize(c, 8 * PAGE, NULL), 0);
    assert_false(gw_xbzrle_cache_adopt(c));
    expect_page(gw_xbzrle_cache_find(c, 5), 77);
    assert_int_equal(gw_xbzrle_cache_resize(c, 16 * PAGE, NULL), 0); /* freed with it */
    gw_xbzrle_cache_free(c);
    assert_null(gw_xbzrle_cache_free(NULL));
}

static size_t resident_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long total = 0, resident = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &total, &resident), 2);
    fclose(f);
    return resident * ((size_t)sysconf(_SC_PAGESIZE) / 1024);
}

/* A large cache costs what is put into it, before and after it is made larger or smaller. Zero pages cost nothing. */
static void test_memory_is_lazy(void **state)
{
#if !defined(__SANITIZE_THREAD__) && UINTPTR_MAX > UINT32_MAX
    struct gw_error err = GW_ERROR_INIT;
    size_t before = resident_kib();
    struct gw_xbzrle_cache *c;

    SKIP_EMULATED("the memory of the emulator would be measured");
    if (gw_xbzrle_cache_new(64 * GW_GIB, PAGE, &c, &err) < 0) {
        print_message("no address space: %s\n", err.text);
        skip();
    }
    for (uint64_t i = 0; i < 100; i++)
        fill(gw_xbzrle_cache_put(c, i * 12345), 1);
    for (uint64_t i = 0; i < 100000; i++)
        gw_xbzrle_cache_zero(c, 1u << 23 | i);
    assert_true(resident_kib() < before + (300 << 10)); /* with huge pages 200 MiB for 100 pages */
    gw_xbzrle_cache_clear(c);
    assert_true(resident_kib() < before + (20 << 10));
    assert_null(gw_xbzrle_cache_find(c, 12345));
    gw_xbzrle_cache_free(c);
#else
    print_message("memory cannot be counted under this sanitizer, or there is no address space for it\n");
    skip();
#endif
}

static void test_ageing(void **state)
{
    struct gw_xbzrle_cache *c;

    assert_int_equal(gw_xbzrle_cache_new(PAGE, PAGE, &c, NULL), 0);
    fill(gw_xbzrle_cache_put(c, 1), 1);
    assert_null(gw_xbzrle_cache_put(c, 2));
    gw_xbzrle_cache_sync(c);
    assert_null(gw_xbzrle_cache_put(c, 2)); /* one sync old */
    assert_non_null(gw_xbzrle_cache_find(c, 1));
    gw_xbzrle_cache_sync(c);
    assert_null(gw_xbzrle_cache_put(c, 2)); /* it was used since */
    gw_xbzrle_cache_zero(c, 2);
    assert_null(gw_xbzrle_cache_find(c, 2));
    expect_page(gw_xbzrle_cache_find(c, 1), 1);
    gw_xbzrle_cache_sync(c);
    gw_xbzrle_cache_sync(c);
    gw_xbzrle_cache_zero(c, 2);
    assert_null(gw_xbzrle_cache_find(c, 1));
    expect_page(gw_xbzrle_cache_find(c, 2), 0);
    gw_xbzrle_cache_free(c);
}

static void test_every_allocation_fails(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_xbzrle_cache *c = NULL;
    unsigned i;

    for (i = 1; !c; i++) {
        int r;

        countdown = i;
        r = gw_xbzrle_cache_new(4 * PAGE, PAGE, &c, &err);
        countdown = 0;
        assert_int_equal(r, c ? 0 : -ENOMEM);
        assert_true(i < 10);
    }
    assert_true(i > 4);
    fill(gw_xbzrle_cache_put(c, 3), 5);
    for (i = 1;; i++) {
        int r;

        countdown = i;
        r = gw_xbzrle_cache_resize(c, 32 * PAGE, &err);
        countdown = 0;
        if (!r)
            break;
        assert_int_equal(r, -ENOMEM);
        assert_false(gw_xbzrle_cache_adopt(c));
        assert_true(i < 10);
    }
    assert_int_equal(i, 4);
    assert_true(gw_xbzrle_cache_adopt(c));
    expect_page(gw_xbzrle_cache_find(c, 3), 5);
    gw_xbzrle_cache_free(c);
}

/* ---- two threads ---- */

struct asked {
    struct gw_xbzrle_cache *cache;
    struct gw_xbzrle_counters *counters;
    atomic_bool stop;
};

static void *ask(void *opaque)
{
    struct asked *a = opaque;

    for (unsigned i = 0; i < 2000; i++) {
        struct gw_xbzrle_counters copy;

        gw_xbzrle_cache_resize(a->cache, PAGE << i % 7, NULL);
        gw_xbzrle_counters_get(a->counters, &copy);
        if (copy.overflow > copy.pages || !gw_xbzrle_cache_bytes(a->cache))
            abort();
    }
    gw_xbzrle_cache_resize(a->cache, 16 * PAGE, NULL);
    a->stop = true;
    return NULL;
}

static void test_resized_by_another_thread(void **state)
{
    struct gw_xbzrle_counters counters = {0};
    struct asked a = {.counters = &counters};
    pthread_t thread;

    assert_int_equal(gw_xbzrle_cache_new(PAGE, PAGE, &a.cache, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, ask, &a), 0);
    for (bool stop = false; !stop;) {
        uint64_t key = rnd(KEYS);
        uint8_t *p;

        stop = a.stop;
        gw_xbzrle_cache_adopt(a.cache);
        p = gw_xbzrle_cache_find(a.cache, key);
        if (p)
            expect_page(p, (uint8_t)(key + 1));
        else if ((p = gw_xbzrle_cache_put(a.cache, key)) != NULL)
            fill(p, (uint8_t)(key + 1));
        gw_xbzrle_counters_add(&counters, GW_XBZRLE_CODED, 10);
        if (rnd(10) == 0)
            gw_xbzrle_cache_sync(a.cache);
    }
    pthread_join(thread, NULL);
    gw_xbzrle_cache_adopt(a.cache);
    assert_int_equal(gw_xbzrle_cache_bytes(a.cache), 16 * PAGE);
    gw_xbzrle_cache_free(a.cache);
}

static void test_counters(void **state)
{
    struct gw_xbzrle_counters c = {0}, copy;

    gw_xbzrle_counters_add(&c, GW_XBZRLE_MISSED, 0);
    gw_xbzrle_counters_add(&c, GW_XBZRLE_UNCHANGED, 0);
    gw_xbzrle_counters_add(&c, GW_XBZRLE_CODED, 48);
    gw_xbzrle_counters_add(&c, GW_XBZRLE_OVERFLOWED, PAGE);
    assert_int_equal(c.pages, 3);
    assert_int_equal(c.cache_miss, 1);
    assert_int_equal(c.overflow, 1);
    assert_int_equal(c.bytes, 48 + PAGE);
    gw_xbzrle_counters_period(&c, 10, PAGE);
    gw_xbzrle_counters_get(&c, &copy);
    assert_true(copy.cache_miss_rate == 0.1);
    assert_true(copy.encoding_rate == 3.0 * PAGE / (48 + PAGE));
    /* The next period begins with nothing. */
    gw_xbzrle_counters_add(&c, GW_XBZRLE_CODED, 128);
    gw_xbzrle_counters_add(&c, GW_XBZRLE_MISSED, 0);
    gw_xbzrle_counters_period(&c, 4, PAGE);
    gw_xbzrle_counters_get(&c, &copy);
    assert_true(copy.cache_miss_rate == 0.25);
    assert_true(copy.encoding_rate == 32);
    gw_xbzrle_counters_add(&c, GW_XBZRLE_UNCHANGED, 0);
    gw_xbzrle_counters_period(&c, 0, PAGE);
    assert_true(c.cache_miss_rate == 0 && c.encoding_rate == 0);
    assert_int_equal(c.pages, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size),    cmocka_unit_test(test_resized_at_random),
        cmocka_unit_test(test_refused_sizes), cmocka_unit_test(test_memory_is_lazy),
        cmocka_unit_test(test_ageing),        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_counters),      cmocka_unit_test(test_resized_by_another_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
