/* SPDX-License-Identifier: MIT
 *
 * How a destination handles streams that are cut, damaged or assembled incorrectly. Each ends in an error that says
 * where (head or section, byte) and why, or in a load that changed nothing but contents. The machine is never started
 * after an error, nothing outside its memory is written, and it can be loaded again at once.
 *
 * GODWIT_LOADER_CASES: how many damaged streams (20,000 unless given); GODWIT_LOADER_FIRST: number of the first one, to
 * repeat a case.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <malloc.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "../owned.h"
#include "mutate.h"
#include "rig.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "max_allocation_size_mb=64:allocator_may_return_null=1";
}

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%d %s: %s\n", r, gw_blame_name(err->blame), err->text);
    assert_true(r >= 0);
}

static bool bad(const struct rig *g, const struct rig_outcome *o, const char *what, uint64_t number)
{
    const char *why = rig_judge(g, o);

    if (why)
        print_error("%s %llu: %s: %d %s: %s\n", what, (unsigned long long)number, why, o->r, gw_blame_name(o->err.blame),
                    o->err.text);
    return why != NULL;
}

/* ---- the streams -------------------------------------------------------------------------------------------------- */

#define SEED  7
#define PAGES 16

static struct source {
    const char *peer;
    bool duplex;
    struct rig_bytes stream;
    struct anatomy anatomy;
} sources[] = {{"7.2", false}, {"10.0", false}, {"10.0", true}, {"godwit", true}};

static int make_streams(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    for (unsigned i = 0; i < GW_ARRAY_LEN(sources); i++) {
        must(rig_stream(SEED + i, PAGES, sources[i].peer, sources[i].duplex, &sources[i].stream, NULL, &err), &err);
        anatomy_of(&sources[i].stream, &sources[i].anatomy);
    }
    return 0;
}

static int drop_streams(void **state)
{
    for (unsigned i = 0; i < GW_ARRAY_LEN(sources); i++)
        free(sources[i].stream.data);
    return 0;
}

/* Whole streams arrive unchanged, however they are divided into reads. */
static void test_whole(void **state)
{
    struct rig *g = owned_rig(0, 0);

    for (unsigned i = 0; i < GW_ARRAY_LEN(sources); i++) {
        struct rig *want = owned_rig(SEED + i, PAGES);

        for (unsigned split = RIG_WHOLE; split <= RIG_BYTES; split++) {
            struct rig_outcome o;

            rig_reset(g, 0, 0);
            o = rig_load(g, sources[i].stream.data, sources[i].stream.bytes, (enum rig_split)split, i);
            assert_false(bad(g, &o, "whole", i));
            must(o.r, &o.err);
            assert_int_equal(g->starts, 1);
            assert_true(rig_same(g, want));
        }
        owned_end(want);
    }
    owned_end(g);
}

#ifdef __SANITIZE_THREAD__
#define CUT_STEP 7 /* the effects of a cut are tested in the other builds; TSan tests the threads */
#else
#define CUT_STEP 1
#endif

/* ---- cut ---------------------------------------------------------------------------------------------------------- */

static void test_truncated(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig *g = owned_rig(0, 0);
    unsigned wrong = 0;

    for (unsigned i = 0; i < GW_ARRAY_LEN(sources); i++) {
        struct rig_bytes few;
        size_t eof = 0;

        /* Few pages, since all bytes of a page are alike. The last two, long because of their pages, are only for the
         * extras of a return path. */
        must(rig_stream(SEED, i < 2 ? 4 : 2, sources[i].peer, sources[i].duplex, &few, NULL, &err), &err);
        {
            struct anatomy a;

            anatomy_of(&few, &a);
            for (unsigned k = 0; k < a.parts; k++)
                if (a.part[k].end == a.part[k].begin + 1)
                    eof = a.part[k].end;
        }
        for (size_t n = 0; n < few.bytes && wrong < 10; n += CUT_STEP) {
            struct rig_bytes cut = {few.data, n, n};
            struct rig_outcome o;

            rig_reset(g, 0, 0);
            o = rig_load(g, cut.data, cut.bytes, n % 3 ? RIG_WHOLE : RIG_PIECES, n);
            wrong += bad(g, &o, sources[i].peer, n);
            /* A missing description is allowed; everything else must be there. */
            if (o.r >= 0 && (n != eof || (sources[i].duplex && !strcmp(sources[i].peer, "godwit")))) {
                print_error("%s: loaded from the first %zu of %zu bytes\n", sources[i].peer, n, few.bytes);
                wrong++;
            }
        }
        free(few.data);
    }
    owned_end(g);
    assert_int_equal(wrong, 0);
}

/* ---- damaged ------------------------------------------------------------------------------------------------------ */

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static size_t live_bytes(void)
{
    return mallinfo2().uordblks;
}

static void test_damaged(void **state)
{
    uint64_t first = from_env("GODWIT_LOADER_FIRST", 0), cases = from_env("GODWIT_LOADER_CASES", 20000), loaded = 0;
    struct rig_bytes out = {0};
    unsigned wrong = 0;
    struct rig *g = owned_rig(0, 0);
    size_t before = 0;
    struct timespec t0, t1;

    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (uint64_t k = first; k < first + cases && wrong < 10; k++) {
        struct zoo_rng rng = {k * 0x9E3779B97F4A7C15ull + 1};
        const struct source *s = &sources[zoo_random(&rng) % GW_ARRAY_LEN(sources)];
        const struct source *d = &sources[zoo_random(&rng) % GW_ARRAY_LEN(sources)];
        const char *what = mutate(&s->stream, &s->anatomy, &d->stream, &d->anatomy, &rng, &out);
        uint64_t dice = zoo_random(&rng);
        struct rig_outcome o;

        rig_reset(g, 0, 0);
        o = rig_load(g, out.data, out.bytes, dice % 3 == 0 ? RIG_PIECES : dice % 50 == 1 ? RIG_BYTES : RIG_WHOLE, k);
        loaded += o.r >= 0;
        wrong += bad(g, &o, what, k);
        if (k % 1000)
            continue;
        /* A whole stream in between: whatever came before, this machine can be loaded, and nothing of it remains. */
        rig_reset(g, 0, 0);
        o = rig_load(g, sources[0].stream.data, sources[0].stream.bytes, RIG_WHOLE, k);
        must(o.r, &o.err);
        rig_reset(g, 0, 0);
        if (before && !SANITIZED && live_bytes() > before + 65536) {
            print_error("case %llu: %zu bytes in use, %zu before\n", (unsigned long long)k, live_bytes(), before);
            wrong++;
        }
        if (!before)
            before = live_bytes();
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    print_message("%llu damaged streams, %llu still loaded, %.1f s\n", (unsigned long long)cases,
                  (unsigned long long)loaded,
                  (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9);
    free(out.data);
    owned_end(g);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_whole),
        owned_test(test_truncated),
        owned_test(test_damaged),
    };

    if (!SANITIZED)
        setrlimit(RLIMIT_AS, &(struct rlimit){256 << 20, 256 << 20});
    return cmocka_run_group_tests(tests, make_streams, drop_streams);
}
