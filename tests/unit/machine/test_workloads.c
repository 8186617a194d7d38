/* SPDX-License-Identifier: MIT
 *
 * Every workload runs, verifies what it writes, writes no more than its rate, and its guest sees time go by.
 */
#include "box.h"
#include "rests.h"

static const char *const workloads[] = {
    "idle",          "uniform,rate=20M", "hotset,rate=20M", "sequential,rate=20M", "sparse,rate=20M",
    "zero,rate=20M", "uniform"};

/* Of all vCPUs together. */
static uint64_t pages_written(struct gw_machine *m)
{
    uint64_t pages = 0;

    for (unsigned i = 0; i < m->cpus; i++)
        pages += box_mail(m, i).pages_written;
    return pages;
}

/* Waits until so many pages more are written. How soon that is depends on the host. */
static void writes(struct gw_machine *m, uint64_t pages)
{
    uint64_t before = pages_written(m);

    while (pages_written(m) < before + pages)
        box_runs_clean(m, 20);
}

/* Waits until this was printed on the serial port. */
static void says(struct gw_machine *m, const char *words)
{
    char text[1000];

    while (gw_machine_serial_tail(m, text, sizeof(text)), !strstr(text, words))
        box_runs_clean(m, 20);
}

static void runs(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned a = 0; a < n; a++) {
        for (unsigned w = 0; w < sizeof(workloads) / sizeof(workloads[0]); w++) {
            struct gw_machine_config c = box_config(workloads[w], accels[a]);
            c.cpus = 1 + w % 2;
            struct gw_machine *m = box_new(&c);
            uint64_t written = 0, seconds = 0;

            box_start(m);
            says(m, "beat 0 up_ms 1"); /* after a second, or whenever it is looked at in time */
            for (unsigned i = 0; i < c.cpus; i++) {
                struct gw_guest_mailbox mail = box_verified(m, i, 1);
                while (mail.polls <= 50 || mail.pages_verified <= 100 || mail.virtual_ns <= BOX_S / 2) {
                    box_runs_clean(m, 20);
                    mail = box_mail(m, i);
                }
            }
            if (c.workload.kind != GW_GUEST_IDLE)
                writes(m, 1000);
            box_stop(m);
            for (unsigned i = 0; i < c.cpus; i++) {
                struct gw_guest_mailbox mail = box_mail(m, i);
                assert_int_equal(mail.errors, 0);
                written += mail.pages_written;
                seconds = mail.virtual_ns / BOX_S > seconds ? mail.virtual_ns / BOX_S : seconds;
            }
            print_message("%s %s: %llu pages written\n", gw_machine_accel_name(m), workloads[w],
                          (unsigned long long)written);
            if (c.workload.kind == GW_GUEST_IDLE)
                assert_int_equal(written, 0);
            else if (c.workload.rate_bytes_per_s)
                assert_true(written <= 20 * 256 * (seconds + 1)); /* of its own time */
            box_free(m);
        }
    }
}

/* Every page that the guest says to have written holds what the shared description of its contents says. */
static void contents(void **state)
{
    struct gw_machine_config c = box_config("uniform", GW_MACHINE_ACCEL_AUTO);
    uint64_t pages = 0;

    c.cpus = 3;
    c.memory[1].bytes = 6 * BOX_MIB;
    c.memory[1].backing = GW_MACHINE_ANONYMOUS;
    c.memory_count = 2;
    for (int k = 0; k < 3; k++) {
        static const enum gw_guest_workload kinds[] = {GW_GUEST_UNIFORM, GW_GUEST_SPARSE, GW_GUEST_ZERO};
        c.workload.kind = kinds[k];
        c.workload.filled = k == 1;
        struct gw_machine *m = box_new(&c);
        box_start(m);
        for (unsigned i = 0; i < c.cpus; i++)
            while (box_mail(m, i).pages_written < 500)
                box_runs_clean(m, 20);
        box_stop(m);
        const struct gw_guest_params *p = gw_machine_memory_at(m, GW_GUEST_PARAMS_GPA, GW_GUEST_PAGE);
        unsigned torn = 0;
        for (unsigned r = 0; r < p->ranges; r++) {
            for (unsigned cpu = 0; cpu < p->cpus; cpu++) {
                struct gw_guest_slice s = gw_guest_slice_of(p, r, cpu);
                const uint64_t *entry = gw_machine_memory_at(m, s.table_gpa, s.data_pages * 8);
                assert_true(s.data_pages > 0);
                for (uint64_t i = 0; i < s.data_pages; i++) {
                    uint64_t gpa = s.data_gpa + i * GW_GUEST_PAGE;
                    const uint64_t *word = gw_machine_memory_at(m, gpa, GW_GUEST_PAGE);
                    uint32_t generation = (uint32_t)entry[i];
                    bool wrong = false;
                    assert_true(entry[i] == gw_guest_entry(p->seed, gpa, generation));
                    for (unsigned j = 0; j < GW_GUEST_PAGE_WORDS; j++)
                        wrong |= word[j] != gw_guest_word(p->workload, p->seed, gpa, generation, j);
                    torn += wrong;
                    pages += generation != 0;
                }
            }
        }
        assert_true(torn <= c.cpus); /* the page that each was writing when it was stopped */
        box_free(m);
    }
    assert_true(pages > 1000);
}

/* At most so many pages a second, over two seconds. Time is looked at before and after the pages: what this thread is
 * late makes the time longer. */
static void writes_at_most(struct gw_machine *m, uint64_t pages_per_s)
{
    uint64_t began = gw_clock_monotonic_ns(), pages = pages_written(m), ns;

    box_runs_clean(m, 2000);
    pages = pages_written(m) - pages;
    ns = gw_clock_monotonic_ns() - began;
    print_message("%llu pages in %.2f s\n", (unsigned long long)pages, (double)ns / 1e9);
    assert_true(pages * BOX_S <= pages_per_s * ns);
}

static void limits(void **state)
{
    struct gw_machine_config c = box_config("uniform", GW_MACHINE_ACCEL_AUTO);
    struct gw_machine *m = box_new(&c);
    uint64_t held_ns;
    unsigned before;

    rests_begin();
    box_start(m);
    writes(m, 1000);
    assert_int_equal(atomic_load(&rests.all), 0);
    gw_machine_dirty_limit(m, 4 * BOX_MIB); /* 1024 pages a second */
    while (atomic_load(&rests.all) < 3)
        box_runs_clean(m, 20);
    writes_at_most(m, 1300);
    writes(m, 100);

    gw_machine_dirty_limit(m, 0);
    writes(m, 1000);
    held_ns = gw_machine_limited_ns(m);
    writes(m, 10000);
    assert_int_equal(gw_machine_limited_ns(m), held_ns);

    /* It rests again and again, and works in between. How long a rest is, is for test_pace.c to say. */
    before = atomic_load(&rests.all);
    gw_machine_throttle(m, 90);
    while (atomic_load(&rests.all) < before + 10)
        box_runs_clean(m, 20);
    writes(m, 1);
    gw_machine_throttle(m, 0);
    writes(m, 1000);
    before = atomic_load(&rests.all);
    writes(m, 1000);
    assert_int_equal(atomic_load(&rests.all), before);

    /* A stop wakes a vCPU that rests: these rests have no other end. */
    atomic_store(&rests.endless, true);
    for (unsigned i = 0; i < 3; i++) {
        gw_machine_throttle(m, 99);
        while (!atomic_load(&rests.now))
            box_runs_clean(m, 1);
        box_stop(m);
        assert_int_equal(atomic_load(&rests.now), 0);
        box_start(m);
    }
    box_free(m);
    atomic_store(&rests.endless, false);
}

static void refusals(void **state)
{
    struct gw_machine_workload w;
    struct gw_machine_config c;
    struct gw_machine *m = NULL;
    struct gw_error err = GW_ERROR_INIT;
    static const char *const bad[] = {"",
                                      "busy",
                                      "uniform,rate",
                                      "uniform,rate=fast",
                                      "uniform,set=1X",
                                      "uniform,speed=1",
                                      "uniform,fill=maybe",
                                      "uniform,set=99999999999999999999",
                                      "uniform,set=20000000000G"};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(gw_machine_workload_parse(bad[i], &w, &err) < 0);
    box_must(gw_machine_workload_parse("hotset,rate=1M,set=2M,seed=7,verify=3M,stores=cpu,fill=on", &w, &err), &err);
    assert_true(w.kind == GW_GUEST_HOTSET && w.rate_bytes_per_s == BOX_MIB && w.set_bytes == 2 * BOX_MIB &&
                w.seed == 7 && w.verify_bytes_per_s == 3 * BOX_MIB && w.stores == GW_GUEST_STORES_CPU && w.filled);

    c = box_config("idle", GW_MACHINE_ACCEL_AUTO);
    c.memory[0].bytes = BOX_MIB;
    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL);
    c = box_config("idle", GW_MACHINE_ACCEL_AUTO);
    c.cpus = 0;
    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL);
    c.cpus = 33;
    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL);
    c = box_config("idle", GW_MACHINE_ACCEL_AUTO);
    c.memory_count = 2;
    c.memory[1].bytes = BOX_MIB;
    strcpy(c.memory[1].name, "ram0");
    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL);
    c = box_config("idle", GW_MACHINE_ACCEL_AUTO);
    c.memory[0].bytes = 128ull << 30;
    c.memory[1].bytes = 4096;
    c.memory_count = 2;
    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL);
    c = box_config("idle", GW_MACHINE_ACCEL_AUTO);
    c.serial = "carrier-pigeon";
    assert_int_equal(gw_machine_new(&c, &m, &err), -EINVAL);
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(runs),
        box_test(contents),
        box_test(limits),
        box_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
