/* SPDX-License-Identifier: MIT */
#include "model.h"

#include "ram/tracker/rate.h"

#define PAGES 65536u

/* A guest that writes `pages_per_s` distinct pages, in an order without pattern. */
struct writer {
    struct model *m;
    uint64_t pages_per_s, written, now_ns, random;
    bool stop, *cancel;
};

static void write_up_to(struct writer *w, uint64_t count)
{
    for (; w->written < count; __atomic_store_n(&w->written, w->written + 1, __ATOMIC_RELEASE)) {
        uint64_t page = w->written * 40503 % PAGES; /* odd: goes through all of them */
        unsigned block = page >= PAGES / 4;

        if (block)
            page -= PAGES / 4;
        __atomic_store_n((uint64_t *)(w->m->mem[block] + page * PAGE) + w->written % 512, w->written + 1,
                         __ATOMIC_RELAXED);
        if (w->m->marks)
            gw_tracker_mark(w->m->tracker, w->m->ram.blocks[block], page, 1);
    }
}

/* The deterministic one writes while the measurement sleeps on its clock. */
static uint64_t virtual_now(void *opaque)
{
    return ((struct writer *)opaque)->now_ns;
}

static void virtual_sleep(void *opaque, uint64_t ns)
{
    struct writer *w = opaque;

    w->now_ns += ns;
    write_up_to(w, (uint64_t)((double)w->now_ns / 1e9 * (double)w->pages_per_s));
    if (w->cancel && w->now_ns > GW_NS_PER_S / 2)
        *w->cancel = true;
}

static uint64_t virtual_random(void *opaque)
{
    return model_random(&((struct writer *)opaque)->random);
}

static void open_ram(struct model *m)
{
    model_init(m, 1);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t pages = i ? PAGES - PAGES / 4 : PAGES / 4;
        void *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        assert_ptr_not_equal(p, MAP_FAILED);
        memset(p, 1, pages * PAGE);
        model_add(m, p, pages, 0);
    }
}

static void close_ram(struct model *m)
{
    uint64_t sizes[2] = {m->pages[0] * PAGE, m->pages[1] * PAGE};

    model_close(m);
    for (unsigned i = 0; i < 2; i++)
        munmap(m->mem[i], sizes[i]);
}

static bool within(uint64_t rate, uint64_t truth, unsigned percent)
{
    return rate * 100 >= truth * (100 - percent) && rate * 100 <= truth * (100 + percent);
}

static void test_exact(void **state)
{
    static const uint64_t rates[] = {0, 1000, 10000, 30000};

    for (unsigned i = 0; i < GW_ARRAY_LEN(rates); i++)
        for (int explicit = 0; explicit < 2; explicit ++) {
            struct model m;
            struct writer w = {.m = &m, .pages_per_s = rates[i], .now_ns = 1};
            struct gw_clock clock = {sizeof clock, virtual_now, virtual_sleep, virtual_random, &w};
            struct gw_rate_config c = {.mode = GW_RATE_TRACK, .duration_ns = GW_NS_PER_S, .clock = &clock};
            struct gw_rate rate = {0};

            open_ram(&m);
            m.marks = explicit;
            if (explicit)
                must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
            else if (gw_tracker_pagemap_new(&m.ram, &m.tracker, NULL) < 0) {
                print_message("no pagemap here\n");
                close_ram(&m);
                continue;
            }
            must(gw_rate_measure(&m.ram, m.tracker, &c, &rate, err));
            assert_int_equal(rate.pages, w.written);
            assert_true(within(rate.pages_per_s, rates[i], 1));
            assert_int_equal(rate.total_pages, PAGES);
            assert_int_equal(rate.bytes_per_s / PAGE, rate.pages_per_s);
            assert_null(m.ram.blocks[0]->dirty); /* stopped */
            close_ram(&m);
        }
}

static void test_sampled(void **state)
{
    static const uint64_t rates[] = {0, 10000, 20000, 50000};

    for (unsigned i = 0; i < GW_ARRAY_LEN(rates); i++) {
        struct model m;
        struct writer w = {.m = &m, .pages_per_s = rates[i], .now_ns = 1, .random = i};
        struct gw_clock clock = {sizeof clock, virtual_now, virtual_sleep, virtual_random, &w};
        struct gw_rate_config c = {.duration_ns = GW_NS_PER_S, .clock = &clock, .sample_pages_per_gib = 16384};
        struct gw_rate rate = {0};

        open_ram(&m);
        must(gw_rate_measure(&m.ram, NULL, &c, &rate, err));
        print_message("true %" PRIu64 ", sampled %" PRIu64 " pages/s of %" PRIu64 " samples\n", rates[i],
                      rate.pages_per_s, rate.sampled_pages);
        assert_true(rates[i] ? within(rate.pages_per_s, rates[i], 10) : !rate.pages);
        assert_int_equal(rate.total_pages, PAGES);
        assert_int_equal(rate.sampled_pages, 4096);
        close_ram(&m);
    }
}

/* A thread that writes whenever it is let run. Time passes with what it writes: a sleep lasts until it has written as
 * much as pages_per_s says, so no measurement depends on how late the thread is. The clock notes what was written when
 * the measurement begins to sleep and when it has slept. All of it is static: it must be there for as long as the
 * thread, which the teardown ends. */
static struct model real_model;
static struct writer real_writer;
static uint64_t before_sleep, after_sleep;
static bool slept, running;
static pthread_t writing;

static uint64_t written(void)
{
    return __atomic_load_n(&real_writer.written, __ATOMIC_ACQUIRE);
}

static void noted_sleep(void *opaque, uint64_t ns)
{
    struct writer *w = opaque;
    uint64_t now = written(), until = now + (uint64_t)((double)ns / 1e9 * (double)w->pages_per_s);

    if (!slept)
        before_sleep = now;
    slept = true;
    while (written() < until)
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS / 2);
    w->now_ns += ns;
    after_sleep = written();
}

static void *write_all_the_time(void *arg)
{
    while (!__atomic_load_n(&real_writer.stop, __ATOMIC_RELAXED)) {
        write_up_to(&real_writer, written() + 10);
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS / 2);
    }
    return NULL;
}

static void stop_writing(void)
{
    __atomic_store_n(&real_writer.stop, true, __ATOMIC_RELAXED);
    pthread_join(writing, NULL);
    running = false;
}

static int end_thread(void **state)
{
    if (running) {
        stop_writing();
        close_ram(&real_model);
    }
    return 0;
}

/* With a real thread. How much that is let write is up to the machine: the measure is what it did write. */
static void test_thread(void **state)
{
    for (enum gw_rate_mode mode = GW_RATE_SAMPLE; mode <= GW_RATE_TRACK; mode++) {
        struct gw_clock clock = {GW_SIZED(struct gw_clock), virtual_now, noted_sleep, virtual_random, &real_writer};
        struct gw_rate_config c = {
            .mode = mode, .duration_ns = GW_NS_PER_S, .clock = &clock, .sample_pages_per_gib = 16384};
        uint64_t before, least, most, error = 0;
        struct gw_rate rate = {0};

        real_writer = (struct writer){.m = &real_model, .pages_per_s = 20000, .now_ns = 1, .random = 7};
        open_ram(&real_model);
        if (gw_tracker_pagemap_new(&real_model.ram, &real_model.tracker, NULL) < 0)
            must(gw_tracker_explicit_new(&real_model.ram, &real_model.tracker, err));
        real_model.marks = true;
        slept = false;
        assert_int_equal(pthread_create(&writing, NULL, write_all_the_time, NULL), 0);
        running = true;
        before = written();
        must(gw_rate_measure(&real_model.ram, real_model.tracker, &c, &rate, err));
        most = GW_MIN(written() + 1 - before, PAGES); /* one may be under way */
        stop_writing();
        assert_true(slept);
        least = GW_MIN(after_sleep - before_sleep, PAGES) - 1; /* it may have been written, and not counted, before */
        /* One page of 16 is looked at: five times the deviation that this has. */
        if (mode == GW_RATE_SAMPLE)
            while (error * error < 25 * 16 * most)
                error++;
        print_message("%s: %" PRIu64 " to %" PRIu64 " pages, found %" PRIu64 " in %" PRIu64 " ms: %" PRIu64 " MiB/s\n",
                      mode == GW_RATE_TRACK ? "track" : "sample", least, most, rate.pages,
                      (uint64_t)(rate.duration_ns / GW_NS_PER_MS), rate.mib_per_s);
        assert_true(rate.pages + error >= least && rate.pages <= most + error);
        assert_int_equal(rate.duration_ns, GW_NS_PER_S);
        assert_true(within(rate.pages_per_s, (uint64_t)((double)rate.pages * 1e9 / (double)rate.duration_ns), 1));
        close_ram(&real_model);
    }
}

static void test_refusals(void **state)
{
    struct gw_error e = GW_ERROR_INIT;
    struct gw_rate rate = {.pages = 77};
    struct model m;
    bool cancel = false;
    struct writer w = {.m = &m, .now_ns = 1, .cancel = &cancel};
    struct gw_clock clock = {sizeof clock, virtual_now, virtual_sleep, virtual_random, &w};
    struct gw_rate_config c = {.mode = GW_RATE_TRACK, .duration_ns = 0, .clock = &clock, .cancel = &cancel};

    open_ram(&m);
    must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
    assert_int_equal(gw_rate_measure(&m.ram, m.tracker, &c, &rate, &e), -EINVAL);
    c.duration_ns = 61 * GW_NS_PER_S;
    assert_int_equal(gw_rate_measure(&m.ram, m.tracker, &c, &rate, &e), -EINVAL);
    c.duration_ns = 10 * GW_NS_PER_S;
    assert_int_equal(gw_rate_measure(&m.ram, m.tracker, &c, &rate, &e), -ECANCELED);
    assert_true(w.now_ns < GW_NS_PER_S);
    assert_null(m.ram.blocks[0]->dirty);
    c.mode = GW_RATE_SAMPLE;
    assert_int_equal(gw_rate_measure(&m.ram, m.tracker, &c, &rate, &e), -ECANCELED);
    assert_int_equal(rate.pages, 77);
    close_ram(&m);
}

/* ---- beside a session --------------------------------------------------------------------------------------------- */

static struct beside {
    struct writer w;
    unsigned slept, start_at, sync_at, stop_at; /* in which slice the session does it; 0: never */
    uint64_t found, sent;
} beside;

static void session_sleep(void *opaque, uint64_t ns)
{
    struct model *m = beside.w.m;
    uint64_t n = 0;

    virtual_sleep(&beside.w, ns);
    beside.slept++;
    if (beside.slept == beside.start_at)
        must(gw_tracker_start(m->tracker, NULL, err));
    if (beside.slept == beside.stop_at)
        gw_tracker_stop(m->tracker);
    /* A session sends the first chunk of each block, whose writes from here on are its own too. */
    if (beside.slept == beside.sync_at) {
        must(gw_tracker_sync(m->tracker, &n, err));
        beside.found += n;
        for (unsigned i = 0; i < m->ram.count; i++, beside.sent += n)
            must(gw_tracker_drop(m->tracker, m->ram.blocks[i], 0, GW_CHUNK_PAGES, &n, err));
    }
}

/* The count is exact whether a session is there before, comes, goes, or sends meanwhile. */
static void test_beside(void **state)
{
    static const struct {
        unsigned start, sync, stop;
        bool before;
    } cases[] = {{.before = true, .sync = 20},
                 {.before = true, .sync = 5, .stop = 49},
                 {.start = 20},
                 {.start = 10, .sync = 20, .stop = 30}};

    for (unsigned i = 0; i < 2 * GW_ARRAY_LEN(cases); i++) {
        struct gw_clock clock = {sizeof clock, virtual_now, session_sleep, virtual_random, &beside.w};
        struct gw_rate_config c = {.mode = GW_RATE_TRACK, .duration_ns = GW_NS_PER_S, .clock = &clock};
        struct gw_rate rate = {0};
        struct model m;
        uint64_t n;

        open_ram(&m);
        m.marks = i % 2;
        if (m.marks)
            must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
        else if (gw_tracker_pagemap_new(&m.ram, &m.tracker, NULL) < 0) {
            close_ram(&m);
            continue;
        }
        beside = (struct beside){.w = {.m = &m, .pages_per_s = 20000, .now_ns = 1}, .start_at = cases[i / 2].start,
                                 .sync_at = cases[i / 2].sync, .stop_at = cases[i / 2].stop};
        if (cases[i / 2].before) {
            must(gw_tracker_start(m.tracker, NULL, err));
            for (unsigned k = 0; k < m.ram.count; k++) /* all of it was sent */
                must(gw_tracker_drop(m.tracker, m.ram.blocks[k], 0, m.ram.blocks[k]->pages, &n, err));
        }
        must(gw_rate_measure(&m.ram, m.tracker, &c, &rate, err));
        assert_int_equal(rate.pages, beside.w.written);
        assert_int_equal(rate.total_pages, PAGES);
        /* The session's own count is whole: what the measurement found for it is told by its next sync. */
        if (cases[i / 2].before && !beside.stop_at) {
            must(gw_tracker_sync(m.tracker, &n, err));
            assert_int_equal(beside.found + n, beside.w.written);
            assert_int_equal(m.ram.dirty_pages, beside.found + n - beside.sent);
        }
        if (m.tracker->started)
            gw_tracker_stop(m.tracker);
        assert_null(m.ram.blocks[0]->dirty);
        assert_null(m.ram.blocks[0]->counted);
        close_ram(&m);
    }
}

static void read_holes(void *opaque, uint64_t ns)
{
    struct writer *w = opaque;

    w->now_ns += ns;
    for (uint64_t i = 0; i < 64; i++)
        w->written += *(volatile uint8_t *)(w->m->mem[0] + i * PAGE) + (i % 16 == 0);
    for (uint64_t i = 0; i < 64; i += 16)
        w->m->mem[0][i * PAGE] = 1;
}

/* Memory that was never touched, read and written: only writes count. */
static void test_holes(void **state)
{
    struct model m;
    struct writer w = {.m = &m, .now_ns = 1};
    struct gw_clock clock = {sizeof clock, virtual_now, read_holes, virtual_random, &w};
    struct gw_rate_config c = {.mode = GW_RATE_TRACK, .duration_ns = 10 * GW_NS_PER_MS, .clock = &clock};
    struct gw_rate rate = {0};
    void *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    model_init(&m, 1);
    model_add(&m, p, 64, 0);
    if (gw_tracker_pagemap_new(&m.ram, &m.tracker, NULL) == 0) {
        must(gw_rate_measure(&m.ram, m.tracker, &c, &rate, err));
        assert_int_equal(w.written, 4); /* the rest read as zeros */
        assert_int_equal(rate.pages, 4);
    }
    model_close(&m);
    munmap(p, 64 * PAGE);
}

static uint64_t count_dirtied(void *opaque, unsigned vcpu)
{
    struct writer *w = opaque;

    return (vcpu ? w->written / 4 : w->written - w->written / 4) * PAGE + 77; /* from any number on */
}

static void test_vcpus(void **state)
{
    struct model m;
    struct writer w = {.m = &m, .pages_per_s = 8000, .now_ns = 1};
    struct gw_clock clock = {sizeof clock, virtual_now, virtual_sleep, virtual_random, &w};
    uint64_t pages[2];
    struct gw_rate_config c = {.mode = GW_RATE_VCPUS, .duration_ns = GW_NS_PER_S / 2, .clock = &clock, .vcpus = 2,
                               .vcpu_pages = pages, .dirtied = count_dirtied, .opaque = &w};
    struct gw_rate rate = {0};

    open_ram(&m);
    must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
    must(gw_rate_measure(&m.ram, m.tracker, &c, &rate, err));
    assert_int_equal(w.written, 4000);
    assert_int_equal(pages[0], 3000);
    assert_int_equal(pages[1], 1000);
    assert_int_equal(rate.pages, 4000);
    assert_true(within(rate.pages_per_s, 8000, 1));
    close_ram(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_sampled),
        cmocka_unit_test(test_beside),
        cmocka_unit_test(test_vcpus),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test_teardown(test_thread, end_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
