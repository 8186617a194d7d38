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
    for (; w->written < count; w->written++) {
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
            struct gw_clock clock = {virtual_now, virtual_sleep, virtual_random, &w};
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
        struct gw_clock clock = {virtual_now, virtual_sleep, virtual_random, &w};
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

static void *thread(void *arg)
{
    struct writer *w = arg;
    uint64_t start = gw_now_ns(&gw_clock_real);

    while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
        struct timespec pause = {.tv_nsec = 500000};

        write_up_to(w, (uint64_t)((double)(gw_now_ns(&gw_clock_real) - start) / 1e9 * (double)w->pages_per_s));
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* With real time and a real thread. A loaded machine may keep the writer from its rate: then it is tried again. */
static void test_thread(void **state)
{
    for (enum gw_rate_mode mode = GW_RATE_SAMPLE; mode <= GW_RATE_TRACK; mode++) {
        bool good = false;

        for (unsigned attempt = 0; attempt < 12 && !good; attempt++) {
            struct model m;
            struct writer w = {.m = &m, .pages_per_s = 20000};
            struct gw_rate_config c = {
                .mode = mode, .duration_ns = GW_NS_PER_S, .clock = &gw_clock_real, .sample_pages_per_gib = 16384};
            struct gw_rate rate = {0};
            pthread_t t;

            open_ram(&m);
            if (gw_tracker_pagemap_new(&m.ram, &m.tracker, NULL) < 0)
                must(gw_tracker_explicit_new(&m.ram, &m.tracker, err));
            m.marks = true;
            assert_int_equal(pthread_create(&t, NULL, thread, &w), 0);
            must(gw_rate_measure(&m.ram, m.tracker, &c, &rate, err));
            __atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
            pthread_join(t, NULL);
            good = within(rate.pages_per_s, w.pages_per_s, 10);
            print_message("%s: true %" PRIu64 ", measured %" PRIu64 " pages/s, %" PRIu64 " MiB/s\n",
                          mode == GW_RATE_TRACK ? "track" : "sample", w.pages_per_s, rate.pages_per_s, rate.mib_per_s);
            close_ram(&m);
        }
        assert_true(good);
    }
}

static void test_refusals(void **state)
{
    struct gw_error e = GW_ERROR_INIT;
    struct gw_rate rate = {.pages = 77};
    struct model m;
    bool cancel = false;
    struct writer w = {.m = &m, .now_ns = 1, .cancel = &cancel};
    struct gw_clock clock = {virtual_now, virtual_sleep, virtual_random, &w};
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
    c.mode = GW_RATE_TRACK; /* beside a migration */
    must(gw_tracker_start(m.tracker, NULL, err));
    assert_int_equal(gw_rate_measure(&m.ram, m.tracker, &c, &rate, &e), -EBUSY);
    assert_non_null(m.ram.blocks[0]->dirty);
    assert_int_equal(rate.pages, 77);
    close_ram(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_sampled),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
