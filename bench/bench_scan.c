/* SPDX-License-Identifier: MIT
 *
 * bench_scan [zero|dirty|find]: the cost of scanning memory. Prints one JSON object a line. Rates of scans are of wall
 * time; the rest is CPU time of the one thread that does it, which other work on the machine changes less.
 *
 *   zero_scan    GB/s of each variant over resident zero pages, beside the read bandwidth of the same memory; the best
 *                of some interleaved rounds, as other work on the machine takes from both
 *   data_scan    pages with data: millions a second
 *   dirty_sync   one sync and one clean, for sparse memory of 1 GiB to 1 TiB and for dense memory
 *   find_next    searching a dirty map
 *   overhead     memory of the dirty maps, as a share of RAM
 */
#include "bench.h"

#include "ram/page/zero.h"
#include "ram/tracker/tracker.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PAGE   4096u
#define ROUNDS 7

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *map(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        bench_die("mmap");
    return p;
}

/* ---- zero pages ----------------------------------------------------------------------------------------------------
 */

static uint64_t sum_plain(const void *p, size_t bytes)
{
    const uint64_t *w = p;
    uint64_t a = 0, b = 0, c = 0, d = 0;

    for (size_t i = 0; i < bytes / 8; i += 4) {
        a += w[i];
        b += w[i + 1];
        c += w[i + 2];
        d += w[i + 3];
    }
    return a + b + c + d;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t sum_avx2(const void *p, size_t bytes)
{
    const __m256i *v = p;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (size_t i = 0; i < bytes / 32; i += 4) {
        a = _mm256_add_epi64(a, v[i]);
        b = _mm256_add_epi64(b, v[i + 1]);
        c = _mm256_add_epi64(c, v[i + 2]);
        d = _mm256_add_epi64(d, v[i + 3]);
    }
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    return (uint64_t)(_mm256_extract_epi64(a, 0) + _mm256_extract_epi64(a, 1) + _mm256_extract_epi64(a, 2) +
                      _mm256_extract_epi64(a, 3));
}
#endif

static uint64_t sum(const void *p, size_t bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return sum_avx2(p, bytes);
#endif
    return sum_plain(p, bytes);
}

static void zero_scan(uint64_t bytes, bool huge)
{
    uint8_t *raw = map(bytes + BENCH_HUGE);
    uint8_t *p = (uint8_t *)(((uintptr_t)raw + BENCH_HUGE - 1) & ~(uintptr_t)(BENCH_HUGE - 1));
    uint64_t *result = gw_bitmap_new(bytes / PAGE), best_read = UINT64_MAX, best[8], sink = 0;
    const struct gw_zero *z;

    madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (uint64_t i = 0; i < bytes; i += PAGE)
        ((volatile uint8_t *)p)[i] = 0;
    memset(best, 0xff, sizeof best);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t t = bench_now_ns();

        sink += sum(p, bytes);
        t = bench_now_ns() - t;
        best_read = t < best_read ? t : best_read;
        for (unsigned v = 0; (z = gw_zero_variant(v)); v++) {
            t = bench_now_ns();
            if (gw_zero_classify(z, p, PAGE, bytes / PAGE, result, 0) != bytes / PAGE)
                bench_die("pages that are not zero");
            t = bench_now_ns() - t;
            best[v] = t < best[v] ? t : best[v];
        }
    }
    for (unsigned v = 0; (z = gw_zero_variant(v)); v++)
        printf("{\"bench\": \"zero_scan\", \"variant\": \"%s\", \"picked\": %s, \"bytes\": %" PRIu64
               ", \"huge_pages\": %s, \"gb_per_s\": %.2f, \"read_gb_per_s\": %.2f, \"of_read\": %.3f}\n",
               z->name, v ? "false" : "true", bytes, huge ? "true" : "false", (double)bytes / (double)best[v],
               (double)bytes / (double)best_read, (double)best_read / (double)best[v]);
    /* Pages with data: a random byte somewhere, as a guest's pages have many; here one in the first cache line. */
    for (uint64_t i = 0; i < bytes; i += PAGE)
        p[i + i / PAGE % 64] = 1;
    memset(best, 0xff, sizeof best);
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned v = 0; (z = gw_zero_variant(v)); v++) {
            uint64_t t = bench_now_ns();

            sink += gw_zero_classify(z, p, PAGE, bytes / PAGE, result, 0);
            t = bench_now_ns() - t;
            best[v] = t < best[v] ? t : best[v];
        }
    for (unsigned v = 0; (z = gw_zero_variant(v)); v++)
        printf("{\"bench\": \"data_scan\", \"variant\": \"%s\", \"huge_pages\": %s, \"mpages_per_s\": %.2f}\n", z->name,
               huge ? "true" : "false", (double)bytes / PAGE * 1000 / (double)best[v]);
    if (sink == 42)
        printf("\n");
    gw_bitmap_free(result, bytes / PAGE);
    munmap(raw, bytes + BENCH_HUGE);
}

/* ---- dirty tracking ------------------------------------------------------------------------------------------------
 */

static void must(int r, const struct gw_error *err)
{
    if (r < 0) {
        fprintf(stderr, "bench: %s\n", err->text);
        exit(1);
    }
}

struct costs {
    uint64_t start_ns, arm_ns, idle_ns, sync_ns, clean_ns, stop_ns, found, maps_bytes, tables_bytes;
};

/* Costs of the first clean of everything, a sync with nothing written, a sync with `writes` pages, and the clean of
 * their chunks. */
static struct costs costs_of(enum gw_tracker_kind kind, uint8_t *p, uint64_t bytes, uint64_t writes)
{
    struct gw_tracker_config config = {.kind = kind};
    struct gw_ram_desc desc = {.name = "ram", .host = p, .used_bytes = bytes};
    uint64_t pages = bytes / PAGE, t, n, rss, tables;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_tracker *tracker;
    struct gw_ram_block *b;
    struct costs c = {0};
    struct gw_ram ram;

    must(gw_ram_init(&ram, PAGE, NULL, &err), &err);
    must(gw_ram_add(&ram, &desc, &err), &err);
    must(gw_tracker_new(&ram, &config, &tracker, &err), &err);
    b = ram.blocks[0];
    rss = bench_status_bytes("VmRSS");
    tables = bench_status_bytes("VmPTE");
    t = cpu_ns();
    must(gw_tracker_start(tracker, NULL, &err), &err);
    c.start_ns = cpu_ns() - t;
    t = cpu_ns();
    must(gw_tracker_drop(tracker, b, 0, pages, &n, &err), &err);
    c.arm_ns = cpu_ns() - t;
    t = cpu_ns();
    must(gw_tracker_sync(tracker, &n, &err), &err);
    c.idle_ns = cpu_ns() - t;
    /* Our own memory, before the guest touches more. */
    c.maps_bytes = bench_status_bytes("VmRSS") - rss;
    c.tables_bytes = bench_status_bytes("VmPTE") - tables;
    for (uint64_t i = 0; i < writes; i++) {
        uint64_t page = (uint64_t)((double)pages / (double)writes * (double)i);

        ((volatile uint8_t *)p)[page * PAGE] = 1;
        if (kind == GW_TRACKER_EXPLICIT)
            gw_tracker_mark(tracker, b, page, 1);
    }
    t = cpu_ns();
    must(gw_tracker_sync(tracker, &c.found, &err), &err);
    c.sync_ns = cpu_ns() - t;
    t = cpu_ns();
    for (uint64_t page = 0; (page = gw_bitmap_next_set(b->dirty, pages, page)) < pages;) {
        must(gw_tracker_clean(tracker, b, page, &n, &err), &err);
        page = GW_MIN((page / GW_CHUNK_PAGES + 1) * GW_CHUNK_PAGES, pages);
    }
    c.clean_ns = cpu_ns() - t;
    t = cpu_ns();
    gw_tracker_stop(tracker);
    c.stop_ns = cpu_ns() - t;
    gw_tracker_free(tracker);
    gw_ram_close(&ram);
    return c;
}

static void dirty_sync(enum gw_tracker_kind kind, uint64_t gib, bool dense, uint64_t writes)
{
    const char *name = kind == GW_TRACKER_PAGEMAP ? "pagemap" : "explicit";
    uint64_t bytes = gib * GW_GIB;
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct costs c;

    if (p == MAP_FAILED) {
        printf("{\"bench\": \"dirty_sync\", \"tracker\": \"%s\", \"gib\": %" PRIu64 ", \"skipped\": \"%s\"}\n", name,
               gib, strerror(errno));
        return;
    }
    madvise(p, bytes, MADV_NOHUGEPAGE);
    if (dense)
        memset(p, 1, bytes);
    c = costs_of(kind, p, bytes, writes);
    munmap(p, bytes);
    printf("{\"bench\": \"dirty_sync\", \"tracker\": \"%s\", \"gib\": %" PRIu64
           ", \"dense\": %s, \"written_pages\": %" PRIu64 ", \"found_pages\": %" PRIu64
           ", \"start_ms\": %.3f, \"arm_all_ms\": %.3f, \"idle_sync_ms\": %.3f, \"sync_ms\": %.3f, \"clean_ms\": %.3f, "
           "\"stop_ms\": %.3f}\n",
           name, gib, dense ? "true" : "false", writes, c.found, (double)c.start_ns / 1e6, (double)c.arm_ns / 1e6,
           (double)c.idle_ns / 1e6, (double)c.sync_ns / 1e6, (double)c.clean_ns / 1e6, (double)c.stop_ns / 1e6);
    printf(
        "{\"bench\": \"overhead\", \"tracker\": \"%s\", \"gib\": %" PRIu64 ", \"dense\": %s, \"maps_bytes\": %" PRIu64
        ", \"of_ram_percent\": %.5f, \"page_tables_bytes\": %" PRIu64 "}\n",
        name, gib, dense ? "true" : "false", c.maps_bytes, (double)c.maps_bytes * 100 / (double)bytes, c.tables_bytes);
    fflush(stdout);
}

/* ---- searching -----------------------------------------------------------------------------------------------------
 */

static void find_next(uint64_t gib)
{
    uint64_t bits = gib * GW_GIB / PAGE, *map_ = gw_bitmap_new(bits), t, found = 0, step = 100, empty, count;

    gw_bitmap_set_range(map_, 0, bits);
    gw_bitmap_clear_range(map_, 0, bits); /* makes it resident, as in a later round */
    t = cpu_ns();
    if (gw_bitmap_next_set(map_, bits, 0) != bits)
        bench_die("a bit in an empty map");
    empty = cpu_ns() - t;
    for (uint64_t i = 0; i < bits; i += step)
        gw_bitmap_set(map_, i);
    t = cpu_ns();
    count = gw_bitmap_count(map_, bits);
    count = count ? cpu_ns() - t : 0;
    t = cpu_ns();
    for (uint64_t i = 0; (i = gw_bitmap_next_set(map_, bits, i)) < bits; i++)
        found++;
    t = cpu_ns() - t;
    printf("{\"bench\": \"find_next\", \"gib\": %" PRIu64 ", \"map_bytes\": %" PRIu64
           ", \"empty_ms\": %.3f, \"count_ms\": %.3f, \"found\": %" PRIu64 ", \"ns_per_found\": %.2f}\n",
           gib, bits / 8, (double)empty / 1e6, (double)count / 1e6, found, (double)t / (double)found);
    gw_bitmap_free(map_, bits);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    static const uint64_t gib[] = {1, 4, 16, 64, 256, 1024};
    uint64_t memory = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_tracker *t = NULL;
    struct gw_ram none = {0};
    bool pagemap = gw_tracker_pagemap_new(&none, &t, &err) == 0;

    if (!pagemap)
        fprintf(stderr, "bench: no pagemap tracker here: %s\n", err.text);
    gw_tracker_free(t);
    for (int huge = 0; huge < 2 && (!*only || !strcmp(only, "zero")); huge++)
        zero_scan(GW_GIB, huge);
    for (unsigned i = 0; i < GW_ARRAY_LEN(gib) && (!*only || !strcmp(only, "dirty")); i++) {
        if (pagemap)
            dirty_sync(GW_TRACKER_PAGEMAP, gib[i], false, 1000);
        dirty_sync(GW_TRACKER_EXPLICIT, gib[i], false, 1000);
    }
    for (uint64_t g = 1; g <= 4 && pagemap && (!*only || !strcmp(only, "dirty")) && (g + 1) * GW_GIB < memory; g *= 2) {
        dirty_sync(GW_TRACKER_PAGEMAP, g, true, 1000);
        dirty_sync(GW_TRACKER_PAGEMAP, g, true, g * GW_GIB / PAGE / 100);
    }
    for (unsigned i = 0; i < GW_ARRAY_LEN(gib) && (!*only || !strcmp(only, "find")); i++)
        find_next(gib[i]);
    return 0;
}
