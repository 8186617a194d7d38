/* SPDX-License-Identifier: MIT
 *
 * Real threads wait for pages of real memory, which come or not.
 */
#include "uffd_rig.h"

#include "ram/page/batch.h"

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
        assert_string_equal(err.text, "RAM block ram: the page at 0x0 comes after the last one");
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

/* ---- host pages ---------------------------------------------------------------------------------------------------- */

static void all_is(const uint8_t *p, uint8_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != value)
            fail_msg("byte %zu is 0x%x and not 0x%x", i, p[i], value);
}

/* Target pages of a host page come one by one, and the guest sees all of it at once. 3 units, the last one cut. */
static void put_together(enum memory kind, uint32_t page, size_t host)
{
    unsigned n = (unsigned)(host / page);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_store *lane;
    struct touch t;
    struct rig rig;

    assert_true(rig_open(&rig, kind, page, host, 3 * host - page, 0));
    if (rig.b->pages != 3 * n - 1)
        fail_msg("%" PRIu64 " pages", rig.b->pages);
    rig_listen(&rig);
    assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
    touch(&t, &rig, host + 1, false);
    assert_int_equal(rig_asked(&rig, 0), 1);
    for (unsigned i = 0; i < n; i++) { /* a zero page among others, also as the first, and one that comes twice */
        assert_int_equal(rig.store->missing(rig.store, rig.b), 3 * n - 1);
        assert_int_equal(gw_uffd_waiting(rig.store), 1);
        if (i % 3 == 0)
            assert_int_equal(lane->zero(lane, rig.b, n + i, NULL), 0);
        else
            assert_int_equal(rig_put(&rig, lane, n + i, (uint8_t)(i | 1), NULL), 0);
        if (i == 1)
            assert_int_equal(rig_put(&rig, lane, n + i, 0x77, NULL), 0);
    }
    assert_int_equal(touched(&t), 0);
    for (unsigned i = 0; i < n; i++)
        all_is(rig.host + host + i * page, i % 3 == 0 ? 0 : i == 1 ? 0x77 : (uint8_t)(i | 1), page);
    assert_int_equal(lane->missing(lane, rig.b), 2 * n - 1);
    /* All of it zeros; and a unit of which a part is behind the end. */
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(lane->zero(lane, rig.b, i, NULL), 0);
    all_is(rig.host, 0, host);
    for (unsigned i = 0; i + 1 < n; i++)
        assert_int_equal(rig_put(&rig, lane, 2 * n + i, 9, NULL), 0);
    all_is(rig.host + 2 * host, 9, host - page);
    all_is(rig.host + 3 * host - page, 0, page);
    assert_int_equal(rig.store->missing(rig.store, rig.b), 0);
    assert_int_equal(rig_figures(&rig).requests, 1);
    lane->free(lane);

    /* Another host page before the end. What came of the first is forgotten with the lane. */
    rig.store->reset(rig.store);
    assert_int_equal(rig.store->add(rig.store, rig.b, NULL), 0);
    rig_listen(&rig);
    assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
    assert_int_equal(rig_put(&rig, lane, 0, 1, NULL), 0);
    assert_int_equal(lane->zero(lane, rig.b, 1, NULL), n == 2);
    if (n > 2) {
        assert_int_equal(rig_put(&rig, lane, n, 1, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, "comes while the host page at 0x0 of block ram is not complete (2 of "));
    }
    lane->free(lane);
    assert_int_equal(gw_bitmap_count(gw_uffd_received(rig.store, rig.b), rig.b->pages), 0);
    assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(rig_put(&rig, lane, i, 5, NULL), 0);
    all_is(rig.host, 5, host);
    lane->free(lane);
    rig_close(&rig);
}

static void small_pages_put_together(void **state)
{
    put_together(ANONYMOUS, 1024, PAGE);
    put_together(MEMFD, 1024, PAGE);
    put_together(ANONYMOUS, 4096, 16 * PAGE);
    put_together(MEMFD, 4096, HUGE);
}

/* A target page may be larger than the host's. */
static void large_target_pages(void **state)
{
    struct touch t;
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, 16 * 1024, PAGE, PAGES * PAGE, 0));
    rig_listen(&rig);
    touch(&t, &rig, 7 * PAGE, false);
    assert_int_equal(rig_asked(&rig, 0), 1);
    assert_int_equal(rig_put(&rig, rig.store, 1, 0x31, NULL), 0);
    assert_int_equal(touched(&t), 0x31);
    all_is(rig.host + 4 * PAGE, 0x31, 4 * PAGE);
    assert_int_equal(rig.store->zero(rig.store, rig.b, 3, NULL), 0);
    all_is(rig.host + 12 * PAGE, 0, 4 * PAGE);
    assert_int_equal(rig_asks(&rig), 1);
    rig_close(&rig);
}

/* What a unit that came in part holds stays; the rest of it does not come any more. */
static void came_in_part(void **state)
{
    struct rig rig;

    assert_true(rig_open(&rig, ANONYMOUS, 1024, PAGE, PAGES * PAGE, 0));
    assert_int_equal(rig_put(&rig, rig.store, 5, 0x5, NULL), 0);
    assert_int_equal(rig_put(&rig, rig.store, 9, 0x9, NULL), 0);
    assert_int_equal(gw_uffd_discard(rig.store, rig.b, 8, 4, NULL), 0);
    rig_listen(&rig);
    all_is(rig.host + PAGE, 0, 1024);
    all_is(rig.host + PAGE + 1024, 5, 1024);
    assert_int_equal(rig.store->missing(rig.store, rig.b), PAGES * 4 - 4);
    assert_int_equal(rig_asks(&rig), 0);
    rig_close(&rig);
}

/* Places may be given ahead: all pages of a packet, then their contents. */
static void packets(void **state)
{
    struct rig rig;
    struct gw_store *lane;
    uint8_t *at[128];

    for (unsigned turn = 0; turn < 2; turn++) {
        assert_true(rig_open(&rig, ANONYMOUS, turn ? 1024 : PAGE, PAGE, 128 * PAGE, 0));
        rig_listen(&rig);
        assert_int_equal(gw_uffd_lane(rig.store, &lane, NULL), 0);
        for (unsigned from = 0; from < rig.b->pages; from += 128) {
            for (unsigned i = 0; i < 128; i++)
                at[i] = lane->where(lane, rig.b, from + i, GW_STORE_OVERWRITE);
            for (unsigned i = 0; i < 128; i++)
                memset(at[i], (int)i, rig.ram.page_bytes);
            for (unsigned i = 0; i < 128; i++)
                assert_int_equal(lane->place(lane, rig.b, from + i, NULL), 0);
        }
        for (unsigned i = 0; i < rig.b->pages; i++)
            all_is(rig.host + i * rig.ram.page_bytes, i % 128, rig.ram.page_bytes);
        lane->free(lane);
        rig_close(&rig);
    }
}

static void huge_pages(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct touch t;
    struct rig rig;

    if (huge_reserve(6) < 0)
        skip();
    for (unsigned i = 0; i < 2; i++) {
        enum memory kind = i ? HUGE_SHARED : HUGE_PRIVATE;

        put_together(kind, PAGE, HUGE);
        /* What came before, what was discarded, what never comes. */
        assert_true(rig_open(&rig, kind, PAGE, HUGE, 3 * HUGE, 0));
        assert_int_equal(rig_put(&rig, rig.store, 700, 0x70, NULL), 0);
        assert_int_equal(rig_put(&rig, rig.store, 1300, 0x13, NULL), 0);
        assert_int_equal(gw_uffd_discard(rig.store, rig.b, 1024, 1, &err), -EPROTO);
        assert_int_equal(gw_uffd_discard(rig.store, rig.b, 1025, 512, &err), -EPROTO);
        assert_int_equal(gw_uffd_discard(rig.store, rig.b, 1024, 512, NULL), 0);
        rig_listen(&rig);
        all_is(rig.host + 700 * PAGE, 0x70, PAGE);
        assert_int_equal(rig.store->missing(rig.store, rig.b), 1024);
        touch(&t, &rig, 2 * HUGE + 5, false);
        assert_int_equal(rig_asked(&rig, 0), 2);
        assert_int_equal(gw_uffd_finish(rig.store, NULL), 0);
        assert_int_equal(touched(&t), 0);
        assert_int_equal(rig.host[5], 0);
        rig_close(&rig);
        /* Its size was not told. */
        assert_true(rig_open(&rig, kind, PAGE, HUGE, HUGE, 0));
        rig.b->page_bytes = PAGE;
        assert_int_equal(gw_uffd_listen(rig.store, &err), -EINVAL);
        assert_non_null(strstr(err.text, "RAM block ram cannot do postcopy: it is of huge TLB pages"));
        rig_close(&rig);
    }
    huge_give_back(6);
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
        cmocka_unit_test(small_pages_put_together),
        cmocka_unit_test(large_target_pages),
        cmocka_unit_test(came_in_part),
        cmocka_unit_test(packets),
        cmocka_unit_test(huge_pages),
        cmocka_unit_test(figures),
        cmocka_unit_test(vcpu_waits),
        cmocka_unit_test(unlucky),
        cmocka_unit_test(bad_discards),
    };

    return cmocka_run_group_tests_name("uffd store", tests, NULL, NULL);
}
