/* SPDX-License-Identifier: MIT
 *
 * bench_uffd: the cost of a page fault at the destination of postcopy, without a network. Prints one JSON object a
 * line.
 *
 *   fault       a thread touches pages in random order; another thread copies and places each requested page at once:
 *   the
 *               time of the touch, ns, at p50, p90, p99 and the longest
 *   loaded      the same beside a thread that places background pages as fast as it can (their rate: background_mb_s)
 *   local       a touch of a page that is known to be zeros
 *   place, zero a page placed by one thread while nobody waits: ns of CPU time; mb_s if the thread had a CPU of its own
 *   plain       a touch of plain memory that was never touched, to compare with
 *
 *   bench_uffd [MIB [TOUCHES]]
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "ram/store/uffd.h"

#define PAGE 4096u

static struct {
    struct gw_ram ram;
    struct gw_ram_block *b;
    struct gw_store *store;
    uint8_t *host, *source;
    size_t bytes;
    uint64_t pages;
    sem_t asked;
    uint64_t ring[64];
    _Atomic uint64_t head, tail;
    atomic_bool stop;
    _Atomic uint64_t background;
} w;

static uint64_t seed = 1;

static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

static void ask(void *opaque, const struct gw_ram_block *b, uint64_t offset, uint64_t bytes)
{
    w.ring[w.head % 64] = offset / PAGE;
    w.head++;
    sem_post(&w.asked);
}

static void put(struct gw_store *lane, uint64_t page)
{
    struct gw_error err = GW_ERROR_INIT;

    memcpy(lane->where(lane, w.b, page, GW_STORE_OVERWRITE), w.source + page * PAGE, PAGE);
    if (lane->place(lane, w.b, page, &err) < 0) {
        fprintf(stderr, "bench: %s\n", err.text);
        exit(1);
    }
}

static struct gw_store *new_lane(void)
{
    struct gw_store *lane;

    if (gw_uffd_lane(w.store, &lane, NULL) < 0)
        bench_die("lane");
    return lane;
}

static void *serve(void *opaque)
{
    struct gw_store *lane = new_lane();

    for (;;) {
        while (sem_wait(&w.asked) < 0)
            ;
        if (w.stop && w.tail == w.head)
            break;
        put(lane, w.ring[w.tail % 64]);
        w.tail++;
    }
    lane->free(lane);
    return NULL;
}

static void *fill(void *opaque)
{
    struct gw_store *lane = new_lane();

    for (uint64_t page = 0; page < w.pages && !w.stop; page++, w.background++)
        put(lane, page);
    lane->free(lane);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print(const char *what, uint64_t *ns, size_t n, double mb_s)
{
    qsort(ns, n, sizeof *ns, by_value);
    printf("{\"what\": \"%s\", \"touches\": %zu, \"p50_ns\": %" PRIu64 ", \"p90_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 ", \"max_ns\": %" PRIu64,
           what, n, ns[n / 2], ns[n * 9 / 10], ns[n * 99 / 100], ns[n - 1]);
    if (mb_s > 0)
        printf(", \"background_mb_s\": %.0f", mb_s);
    printf("}\n");
}

static void begin(void)
{
    static const struct gw_uffd_config config = {.ask = ask};
    struct gw_uffd_config c = config;
    struct gw_error err = GW_ERROR_INIT;

    c.clock = gw_clock_system();
    w.stop = false;
    w.background = w.head = w.tail = 0;
    if (gw_store_uffd_new(&w.ram, &c, &w.store, &err) < 0 || w.store->add(w.store, w.b, &err) < 0 || gw_uffd_listen(w.store, &err) < 0) {
        fprintf(stderr, "bench: %s\n", err.text);
        exit(1);
    }
}

static void end(void)
{
    w.store = w.store->free(w.store);
    madvise(w.host, w.bytes, MADV_DONTNEED);
}

static size_t touch(uint64_t *ns, size_t n, uint64_t limit)
{
    size_t done = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t page = rnd() % w.pages, t = bench_now_ns();
        volatile uint8_t *p = w.host + page * PAGE;

        if (gw_uffd_received(w.store, w.b) && gw_bitmap_test_atomic(gw_uffd_received(w.store, w.b), page))
            continue; /* the page is there already */
        *p = 1;
        ns[done++] = bench_now_ns() - t;
        if (limit && w.background >= limit)
            break;
    }
    return done;
}

static void faults(uint64_t *ns, size_t n, bool loaded)
{
    pthread_t server, filler;
    uint64_t t;
    double mb_s = 0;

    begin();
    pthread_create(&server, NULL, serve, NULL);
    t = bench_now_ns();
    if (loaded)
        pthread_create(&filler, NULL, fill, NULL);
    n = touch(ns, n, loaded ? w.pages * 95 / 100 : 0);
    if (loaded)
        mb_s = (double)w.background * PAGE * 1000 / (double)(bench_now_ns() - t);
    w.stop = true;
    sem_post(&w.asked);
    pthread_join(server, NULL);
    if (loaded)
        pthread_join(filler, NULL);
    print(loaded ? "loaded" : "fault", ns, n, mb_s);
    end();
}

static void places(bool zero)
{
    struct gw_store *lane;
    uint64_t t;

    begin();
    lane = new_lane();
    t = bench_cpu_ns();
    for (uint64_t page = 0; page < w.pages; page++) {
        if (zero)
            lane->zero(lane, w.b, page, NULL);
        else
            put(lane, page);
    }
    t = bench_cpu_ns() - t;
    printf("{\"what\": \"%s\", \"pages\": %" PRIu64 ", \"ns\": %.0f, \"mb_s\": %.0f}\n", zero ? "zero" : "place", w.pages,
           (double)t / (double)w.pages, (double)w.bytes * 1000 / (double)t);
    lane->free(lane);
    end();
}

static void local(uint64_t *ns, size_t n)
{
    begin();
    gw_uffd_finish(w.store, NULL);
    print("local", ns, touch(ns, n, 0), 0);
    end();
}

int main(int argc, char **argv)
{
    struct gw_ram_desc d = {.name = "ram"};
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 0) : 20000;
    uint64_t *ns = calloc(n, sizeof *ns);

    w.bytes = (argc > 1 ? strtoul(argv[1], NULL, 0) : 512) << 20;
    w.pages = w.bytes / PAGE;
    w.host = bench_memory(w.bytes, false);
    w.source = bench_memory(w.bytes, true);
    bench_warm_host(w.bytes * 2);
    for (size_t i = 0; i < w.bytes; i += 8)
        *(uint64_t *)(w.source + i) = i | 1;
    sem_init(&w.asked, 0, 0);
    d.host = w.host;
    d.used_bytes = w.bytes;
    if (!ns || gw_ram_init(&w.ram, PAGE, NULL, NULL) < 0 || gw_ram_add(&w.ram, &d, NULL) < 0)
        bench_die("ram");
    w.b = w.ram.blocks[0];
    faults(ns, n, false);
    faults(ns, n, true);
    local(ns, n);
    places(false);
    places(true);
    for (size_t i = 0; i < n; i++) {
        uint64_t t = bench_now_ns();

        *(volatile uint8_t *)(w.host + i % w.pages * PAGE) = 1;
        ns[i] = bench_now_ns() - t;
    }
    print("plain", ns, n, 0);
    gw_ram_close(&w.ram);
    return 0;
}
