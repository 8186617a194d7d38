/* SPDX-License-Identifier: MIT
 *
 * Real threads wait for pages of real memory, which come or not.
 */
#include "uffd_rig.h"
#include "../../../privilege.h"

static _Atomic int fail_in = -1; /* allocations from now; -1: none */

static bool fails(void)
{
    return fail_in >= 0 && fail_in-- == 0;
}

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : __real_calloc(n, bytes);
}

void *__real_realloc(void *p, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes)
{
    return fails() ? NULL : __real_realloc(p, bytes);
}

#define PAGE  4096u
#define PAGES 64u

static bool small_memory(unsigned i, enum memory *ret)
{
    static const enum memory kinds[] = {ANONYMOUS, MEMFD};

    if (i < 2)
        *ret = kinds[i];
    return i < 2;
}

/* Three threads wait for two pages: two requests. What comes unasked is asked for by nobody, and what is there is not touched. */
static void asked_once(void **state)
{
    enum memory kind;

    for (unsigned i = 0; small_memory(i, &kind); i++) {
        struct touch t[4];
        struct rig rig;

        assert_true(rig_open(&rig, kind, PAGE, PAGE, PAGES * PAGE, 0));
        assert_int_equal(gw_uffd_probe(&rig.ram, NULL), 0);
        rig_listen(&rig);
        assert_int_equal(rig.store->missing(rig.store, rig.b), PAGES);
        touch(&t[0], &rig, 5 * PAGE + 7, false);
        assert_int_equal(rig_asked(&rig, 0), 5);
        touch(&t[1], &rig, 5 * PAGE + 9, true);
        touch(&t[2], &rig, 63 * PAGE, false);
        assert_int_equal(rig_asked(&rig, 1), 63);
        rig_faults(&rig, 3);
        while (gw_uffd_waiting(rig.store) != 2)
            sched_yield();
        assert_int_equal(rig_put(&rig, rig.store, 7, 0x77, NULL), 0);
        assert_int_equal(rig_put(&rig, rig.store, 5, 0x55, NULL), 0);
        assert_int_equal(touched(&t[0]), 0x55);
        assert_int_equal(touched(&t[1]), 0xee);
        assert_int_equal(gw_uffd_waiting(rig.store), 1);
        assert_int_equal(rig.store->zero(rig.store, rig.b, 63, NULL), 0);
        assert_int_equal(touched(&t[2]), 0);
        touch(&t[3], &rig, 7 * PAGE, true);
        assert_int_equal(touched(&t[3]), 0xee);
        /* Once more: nothing is overwritten. */
        assert_int_equal(rig_put(&rig, rig.store, 7, 0x11, NULL), 0);
        assert_int_equal(rig.store->zero(rig.store, rig.b, 5, NULL), 0);
        assert_int_equal(rig.host[7 * PAGE], 0xee);
        assert_int_equal(rig.host[7 * PAGE + 1], 0x77);
        assert_int_equal(rig.host[5 * PAGE + 9], 0xee);
        assert_int_equal(rig.host[5 * PAGE], 0x55);
        assert_int_equal(rig_asks(&rig), 2);
        assert_int_equal(rig_figures(&rig).requests, 2);
        assert_int_equal(rig_figures(&rig).faults, 3);
        assert_int_equal(rig.store->missing(rig.store, rig.b), PAGES - 3);
        assert_true(gw_bitmap_test(gw_uffd_received(rig.store, rig.b), 63));
        assert_int_equal(gw_uffd_end(rig.store, NULL), 0);
        assert_int_equal(rig.host[8 * PAGE], 0);
        rig_close(&rig);
    }
}

/* What came before it listens, and what did not. */
static void before_it_listens(void **state)
{
    enum memory kind;

    for (unsigned i = 0; small_memory(i, &kind); i++) {
        unsigned n = 0;
        struct touch t;
        struct rig rig;

        assert_true(rig_open(&rig, kind, PAGE, PAGE, PAGES * PAGE, GW_RAM_FRESH));
        assert_int_equal(rig_put(&rig, rig.store, 1, 0x11, NULL), 0);
        assert_int_equal(rig_put(&rig, rig.store, 2, 0x22, NULL), 0);
        assert_int_equal(rig.store->zero(rig.store, rig.b, 3, NULL), 0); /* touches nothing */
        memset(rig.store->where(rig.store, rig.b, 4, GW_STORE_OVERWRITE), 0x44, PAGE);
        rig.store->unguess(rig.store, rig.b, 4); /* is there now, and did not come */
        memset(rig.host + 5 * PAGE, 0x99, PAGE); /* as a firmware that the embedder has loaded */
        assert_int_equal(rig.store->open(rig.store, rig.b, 4, 10), 4);
        assert_int_equal(gw_uffd_discard(rig.store, rig.b, 2, 1, NULL), 0);
        assert_int_equal(rig.store->missing(rig.store, rig.b), PAGES - 2);
        rig_listen(&rig);
        assert_int_equal(rig.store->open(rig.store, rig.b, 4, 10), 10);
        assert_int_equal(rig.host[PAGE], 0x11);
        assert_int_equal(rig.host[3 * PAGE], 0); /* answered here */
        assert_int_equal(rig_asks(&rig), 0);
        assert_int_equal(rig_figures(&rig).local, 1);
        for (unsigned page = 2; page < 6; page++) {
            if (page == 3)
                continue;
            touch(&t, &rig, page * PAGE, false);
            assert_int_equal(rig_asked(&rig, n++), page);
            assert_int_equal(rig_put(&rig, rig.store, page, (uint8_t)(0xa0 + page), NULL), 0);
            assert_int_equal(touched(&t), 0xa0 + page);
        }
        assert_int_equal(rig_asks(&rig), 3);
        rig_close(&rig);
    }
}

/* A balloon gives pages back to the host: one that had come is zeros from then on, one that had not still comes. */
static void given_back(void **state)
{
    enum memory kind;

    for (unsigned i = 0; small_memory(i, &kind); i++) {
        int advice = kind == MEMFD ? MADV_REMOVE : MADV_DONTNEED;
        struct touch t;
        struct rig rig;

        assert_true(rig_open(&rig, kind, PAGE, PAGE, PAGES * PAGE, 0));
        rig_listen(&rig);
        assert_int_equal(rig_put(&rig, rig.store, 1, 0x11, NULL), 0);
        assert_int_equal(madvise(rig.host, 4 * PAGE, advice), 0);
        assert_int_equal(rig.host[PAGE], 0);
        assert_int_equal(rig_asks(&rig), 0);
        touch(&t, &rig, 2 * PAGE, true);
        assert_int_equal(rig_asked(&rig, 0), 2);
        assert_int_equal(rig_put(&rig, rig.store, 2, 0x22, NULL), 0);
        assert_int_equal(touched(&t), 0xee);
        assert_int_equal(rig.host[2 * PAGE + 1], 0x22);
        rig_close(&rig);
    }
}

/* Nobody sends what is logically unplugged, and nobody asks for it. */
static void unplugged(void **state)
{
    struct touch t;
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, 1024, PAGE, PAGES * PAGE, 0));
    rig.b->discarded = gw_bitmap_new(PAGES * 4);
    gw_bitmap_set_range(rig.b->discarded, 8, 7); /* pages 2, and most of 3 */
    rig_listen(&rig);
    assert_int_equal(rig.host[2 * PAGE + 5], 0);
    assert_int_equal(rig_asks(&rig), 0);
    while (!gw_bitmap_test_atomic(gw_uffd_received(rig.store, rig.b), 11)) /* is told after it is there */
        sched_yield();
    touch(&t, &rig, 3 * PAGE, false);
    assert_int_equal(rig_asked(&rig, 0), 3);
    for (unsigned i = 12; i < 16; i++)
        assert_int_equal(rig_put(&rig, rig.store, i, 3, NULL), 0);
    assert_int_equal(touched(&t), 3);
    rig_close(&rig);
}

/* While nobody can be asked, faults are kept; then each is asked for once more, and those that came are not. */
static void asked_again(void **state)
{
    struct touch t[3];
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, PAGE, PAGE, PAGES * PAGE, 0));
    rig_listen(&rig);
    touch(&t[0], &rig, 10 * PAGE, false);
    assert_int_equal(rig_asked(&rig, 0), 10);
    touch(&t[1], &rig, 20 * PAGE, false);
    assert_int_equal(rig_asked(&rig, 1), 20);
    gw_uffd_hold(rig.store);
    touch(&t[2], &rig, 30 * PAGE, false);
    rig_faults(&rig, 3);
    while (gw_uffd_waiting(rig.store) != 3)
        sched_yield();
    assert_int_equal(rig_asks(&rig), 2);
    assert_int_equal(rig_put(&rig, rig.store, 10, 1, NULL), 0);
    assert_int_equal(touched(&t[0]), 1);
    gw_uffd_ask_again(rig.store);
    assert_int_equal(rig_asks(&rig), 4);
    assert_int_equal(rig_asked(&rig, 2), 20);
    assert_int_equal(rig_asked(&rig, 3), 30);
    assert_int_equal(rig_put(&rig, rig.store, 30, 3, NULL), 0);
    assert_int_equal(touched(&t[2]), 3);
    gw_uffd_hold(rig.store);
    gw_uffd_ask_again(rig.store);
    assert_int_equal(rig_asks(&rig), 5);
    assert_int_equal(rig_asked(&rig, 4), 20);
    assert_int_equal(rig_put(&rig, rig.store, 20, 2, NULL), 0);
    assert_int_equal(touched(&t[1]), 2);
    rig_close(&rig);
}

/* What never comes is zeros when that is known, for who waits and for who comes later; and a page that comes then is refused. */
static void finished(void **state)
{
    enum memory kind;

    for (unsigned i = 0; small_memory(i, &kind); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct touch t;
        struct rig rig;

        assert_true(rig_open(&rig, kind, PAGE, 16 * PAGE, PAGES * PAGE, 0)); /* small pages that count as large ones */
        rig_listen(&rig);
        touch(&t, &rig, 20 * PAGE, true);
        assert_int_equal(rig_asked(&rig, 0), 1);
        assert_int_equal(gw_uffd_finish(rig.store, NULL), 0);
        assert_int_equal(touched(&t), 0xee);
        assert_int_equal(rig.host[60 * PAGE], 0);
        assert_int_equal(rig_asks(&rig), 1);
        assert_int_equal(gw_uffd_waiting(rig.store), 0);
        assert_int_equal(rig.store->missing(rig.store, rig.b), PAGES);
        assert_int_equal(rig_put(&rig, rig.store, 0, 1, &err), -EPROTO);
        assert_string_equal(err.text, "RAM block ram: the page at 0x0 arrives after all pages of the machine were received");
        rig_close(&rig);
    }
}

/* Who waits when it ends goes on. */
static void ended(void **state)
{
    struct touch t;
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, PAGE, PAGE, PAGES * PAGE, 0));
    for (unsigned turn = 0; turn < 3; turn++) {
        struct gw_store *lane;

        assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), -EINVAL);
        rig_listen(&rig);
        assert_int_equal(gw_uffd_listen(rig.store, NULL), -EALREADY);
        assert_int_equal(gw_uffd_discard(rig.store, rig.b, 0, 1, NULL), -EINVAL);
        touch(&t, &rig, 2 * PAGE, false);
        assert_int_equal(rig_asked(&rig, turn), 2);
        if (turn == 1)
            rig.store->reset(rig.store);
        else
            assert_int_equal(gw_uffd_end(rig.store, NULL), 0);
        assert_int_equal(touched(&t), 0);
        if (turn == 1)
            assert_int_equal(rig.store->add(rig.store, rig.b, NULL), 0);
    }
    rig_close(&rig);
}

/* ---- figures ------------------------------------------------------------------------------------------------------- */

static void figures(void **state)
{
    struct gw_blocktime_figures f;
    struct gw_uffd_config config;
    struct gw_blocktime_vcpu v;
    struct touch t, other;
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, PAGE, PAGE, PAGES * PAGE, 0));
    /* This thread is the vCPU, and another one serves it. */
    gw_blocktime_free(rig.blocktime);
    rig.store->free(rig.store);
    assert_int_equal(gw_blocktime_new((const int32_t[]){(int32_t)gettid()}, 1, &rig.blocktime, NULL), 0);
    config = (struct gw_uffd_config){.ask = rig_ask, .opaque = &rig, .clock = &rig.clock, .blocktime = rig.blocktime};
    assert_int_equal(gw_store_uffd_new(&rig.ram, &config, &rig.store, NULL), 0);
    assert_int_equal(rig.store->add(rig.store, rig.b, NULL), 0);
    rig_listen(&rig);
    rig.now = 1000000;
    touch(&other, &rig, 9 * PAGE, false);
    assert_int_equal(rig_asked(&rig, 0), 9);
    rig.now += 5000;
    assert_int_equal(rig_put(&rig, rig.store, 9, 1, NULL), 0);
    touched(&other);
    gw_blocktime_figures(rig.blocktime, rig.now, &f, &v, 1);
    assert_int_equal(f.faults, 1);
    assert_int_equal(f.others_faults, 1);
    assert_int_equal(f.others_latency_ns, 5000);
    assert_int_equal(f.latency_dist[2], 1);
    assert_int_equal(f.total_ns, 0);
    assert_int_equal(v.faults, 0);
    /* Locally answered faults are no waits. */
    assert_int_equal(gw_uffd_finish(rig.store, NULL), 0);
    touch(&t, &rig, 3 * PAGE, false);
    touched(&t);
    gw_blocktime_figures(rig.blocktime, rig.now, &f, NULL, 0);
    assert_int_equal(f.faults, 1);
    rig_close(&rig);
}

struct serve {
    struct rig *rig;
    uint64_t step_ns;
};

static void *serve(void *opaque)
{
    struct serve *s = opaque;
    uint64_t unit = rig_asked(s->rig, 0);

    s->rig->now += s->step_ns;
    rig_put(s->rig, s->rig->store, unit, 0x42, NULL);
    return NULL;
}

/* The vCPU's own waits, by the id of its thread. */
static void vcpu_waits(void **state)
{
    struct gw_blocktime_figures f;
    struct gw_uffd_config config;
    struct gw_blocktime_vcpu v[2];
    struct serve s;
    pthread_t thread;
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, PAGE, PAGE, PAGES * PAGE, 0));
    gw_blocktime_free(rig.blocktime);
    rig.store->free(rig.store);
    assert_int_equal(gw_blocktime_new((const int32_t[]){(int32_t)gettid()}, 1, &rig.blocktime, NULL), 0);
    config = (struct gw_uffd_config){.ask = rig_ask, .opaque = &rig, .clock = &rig.clock, .blocktime = rig.blocktime};
    assert_int_equal(gw_store_uffd_new(&rig.ram, &config, &rig.store, NULL), 0);
    assert_int_equal(rig.store->add(rig.store, rig.b, NULL), 0);
    rig_listen(&rig);
    s = (struct serve){&rig, 70000};
    assert_int_equal(pthread_create(&thread, NULL, serve, &s), 0);
    assert_int_equal(*(volatile uint8_t *)(rig.host + 17 * PAGE), 0x42);
    pthread_join(thread, NULL);
    gw_blocktime_figures(rig.blocktime, rig.now, &f, v, 2);
    assert_int_equal(f.vcpus, 1);
    assert_int_equal(f.faults, 1);
    assert_int_equal(f.others_faults, 0);
    assert_int_equal(f.total_ns, 70000);
    assert_int_equal(f.latency_ns, 70000);
    assert_int_equal(f.latency_dist[6], 1);
    assert_int_equal(v[0].blocked_ns, 70000);
    assert_int_equal(v[0].latency_ns, 70000);
    rig_close(&rig);
}

/* ---- what goes wrong ----------------------------------------------------------------------------------------------- */

/* Memory that was unmapped, and memory that another process fills: an error that says so, and nobody waits for good. */
static void unlucky(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig rig;
    struct touch t;
    uint8_t *alias;
    int fd;

    assert_true(rig_open(&rig, ANONYMOUS, PAGE, PAGE, PAGES * PAGE, 0));
    rig_listen(&rig);
    touch(&t, &rig, 4 * PAGE, false);
    assert_int_equal(rig_asked(&rig, 0), 4);
    assert_ptr_equal(mmap(rig.host, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), rig.host);
    assert_int_equal(rig_put(&rig, rig.store, 4, 1, &err), -ENOENT);
    assert_string_equal(err.text, "RAM block ram: UFFDIO_COPY at 0x4000: No such file or directory: it was unmapped, or mapped anew");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    assert_int_equal(gw_uffd_end(rig.store, NULL), 0);
    assert_int_equal(touched(&t), 0);
    rig_close(&rig);

    assert_true(rig_open(&rig, ANONYMOUS, PAGE, PAGE, PAGES * PAGE, 0));
    fd = memfd_create("ram", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, PAGES * PAGE), 0);
    assert_ptr_equal(mmap(rig.host, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), rig.host);
    alias = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    rig_listen(&rig);
    alias[3 * PAGE] = 1;
    assert_int_equal(rig_put(&rig, rig.store, 3, 2, &err), -EEXIST);
    assert_non_null(strstr(err.text, "RAM block ram: UFFDIO_COPY at 0x3000: File exists: something is there that did not come"));
    assert_false(gw_bitmap_test(gw_uffd_received(rig.store, rig.b), 3));
    munmap(alias, PAGES * PAGE);
    close(fd);
    rig_close(&rig);
}

static void bad_discards(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, PAGE, PAGE, PAGES * PAGE, 0));
    assert_int_equal(gw_uffd_discard(rig.store, rig.b, PAGES, 1, &err), -EPROTO);
    assert_int_equal(gw_uffd_discard(rig.store, rig.b, UINT64_MAX, 2, &err), -EPROTO);
    assert_int_equal(gw_uffd_discard(rig.store, rig.b, 1, UINT64_MAX, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_int_equal(gw_uffd_discard(rig.store, rig.b, PAGES, 0, &err), 0);
    rig.store->reset(rig.store);
    assert_null(gw_uffd_received(rig.store, rig.b));
    assert_int_equal(gw_uffd_discard(rig.store, rig.b, 0, 1, &err), -EPROTO);
    assert_string_equal(err.text, "pages of RAM block ram are discarded, which was not listed");
    rig_close(&rig);
}

/* Each allocation fails once: an error, and after it the same works. */
static void no_memory(void **state)
{
    struct gw_store *lane;
    struct touch t;
    struct rig rig;
    unsigned n = 0;

    for (bool whole = false; !whole; n++) {
        int r;

        assert_true(rig_open(&rig, ANONYMOUS, 1024, PAGE, PAGES * PAGE, 0));
        assert_int_equal(rig_put(&rig, rig.store, 0, 1, NULL), 0);
        fail_in = (int)n;
        r = gw_uffd_listen(rig.store, NULL);
        if (r >= 0)
            r = gw_uffd_lane(rig.store, &lane, NULL);
        whole = fail_in >= 0;
        fail_in = -1;
        if (!whole) {
            assert_int_equal(r, -ENOMEM);
            if (gw_uffd_listen(rig.store, NULL) != -EALREADY) /* the lane it was that failed */
                assert_int_equal(rig_put(&rig, rig.store, 1, 1, NULL), 0);
            assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
        }
        touch(&t, &rig, PAGE, false);
        assert_int_equal(rig_asked(&rig, 0), 1);
        for (unsigned i = 4; i < 8; i++)
            assert_int_equal(rig_put(&rig, lane, i, 7, NULL), 0);
        assert_int_equal(touched(&t), 7);
        lane->free(lane);
        rig_close(&rig);
    }
    assert_true(n > 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_once),
        cmocka_unit_test(before_it_listens),
        cmocka_unit_test(given_back),
        cmocka_unit_test(unplugged),
        cmocka_unit_test(asked_again),
        cmocka_unit_test(finished),
        cmocka_unit_test(ended),
        cmocka_unit_test(figures),
        cmocka_unit_test(vcpu_waits),
        cmocka_unit_test(unlucky),
        cmocka_unit_test(bad_discards),
        cmocka_unit_test(no_memory),
    };

    if (!may_answer_faults())
        return EXIT_SKIPPED;
    return cmocka_run_group_tests_name("uffd store", tests, NULL, NULL);
}
