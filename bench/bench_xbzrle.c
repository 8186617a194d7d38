/* SPDX-License-Identifier: MIT
 *
 * bench_xbzrle: the cost of a page with XBZRLE. Prints one JSON object a line; times are CPU time of the one thread,
 * the best of some interleaved rounds.
 *
 *   encode   ns for each page pair, for each pattern of change and each variant. hot: a few pairs that stay in the
 *            caches; cold: pairs spread over 256 MiB
 *   decode   the same for the way back; delta_bytes: the average length
 *   path     all that a page costs at the source when it is found in the cache: fetch ahead, find, copy the page,
 *            encode, and bring the cache up to date. `miss`: find, put and copy, with the cache's memory resident
 *   memcpy   a copy of a page, to compare with
 */
#include "bench.h"

#include "ram/codec/xbzrle_cache.h"
#include "ram/codec/xbzrle_delta.h"

#define PAGE   4096u
#define ROUNDS 9
#define HOT    8u     /* pairs */
#define COLD   32768u /* pairs; 256 MiB */

static uint64_t seed = 1;

static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void put_words(uint8_t *page, uint32_t at, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        uint64_t v = rnd() << 33 ^ rnd();

        memcpy(page + at + 8 * i, &v, 8);
    }
}

static void same(uint8_t *page)
{
}

static void word(uint8_t *page)
{
    put_words(page, (uint32_t)(rnd() % 512) * 8, 1);
}

static void line(uint8_t *page)
{
    put_words(page, (uint32_t)(rnd() % 64) * 64, 8);
}

/* A change like that of counters and flags. */
static void bytes8(uint8_t *page)
{
    for (unsigned i = 0; i < 8; i++)
        page[rnd() % PAGE]++;
}

static void words10(uint8_t *page)
{
    for (unsigned i = 0; i < 51; i++)
        word(page);
}

static void quarter(uint8_t *page)
{
    put_words(page, (uint32_t)(rnd() % 4) * 1024, 128);
}

static void all(uint8_t *page)
{
    put_words(page, 0, PAGE / 8);
}

static const struct pattern {
    const char *name;
    void (*change)(uint8_t *page);
} patterns[] = {{"unchanged", same},  {"one word", word},         {"64 bytes", line}, {"8 bytes", bytes8},
                {"quarter", quarter}, {"10 % of words", words10}, {"all", all}};

/* Other load and the CPU's frequency vary, so each measurement covers some ten thousand pages. */
static uint32_t repeats(uint32_t pairs)
{
    return pairs == HOT ? 4000 : 1;
}

static double encode_ns(const struct gw_xbzrle *x, const uint8_t *old, const uint8_t *new, uint32_t pairs, uint8_t *out,
                        int *lengths)
{
    uint64_t t = cpu_ns();

    for (uint32_t k = 0; k < repeats(pairs); k++)
        for (uint32_t i = 0; i < pairs; i++)
            lengths[i] = x->encode(old + (size_t)i * PAGE, new + (size_t)i *PAGE, PAGE, out, PAGE);
    return (double)(cpu_ns() - t) / pairs / repeats(pairs);
}

static double decode_ns(uint8_t *page, const uint8_t *deltas, const int *lengths, uint32_t pairs, uint32_t *ret_coded)
{
    uint64_t t = cpu_ns();
    uint32_t n = 0;

    for (uint32_t k = 0; k < repeats(pairs); k++)
        for (uint32_t i = 0; i < pairs; i++)
            if (lengths[i] > 0) {
                if (gw_xbzrle_decode(deltas + (size_t)i * PAGE, (uint32_t)lengths[i], page + (size_t)i * PAGE, PAGE,
                                     NULL))
                    bench_die("decode");
                n++;
            }
    *ret_coded = n / repeats(pairs);
    return n ? (double)(cpu_ns() - t) / n : 0;
}

static void pairs_of(const struct pattern *p, uint32_t pairs, uint8_t *old, uint8_t *new, uint8_t *deltas)
{
    int *lengths = calloc(pairs, sizeof *lengths);
    const struct gw_xbzrle *x;
    double best[8], undo = 1e30;
    uint32_t coded = 0;
    uint64_t sum = 0;
    uint8_t out[PAGE];

    if (!lengths)
        bench_die("memory");
    for (uint32_t i = 0; i < pairs; i++) {
        put_words(old + (size_t)i * PAGE, 0, PAGE / 8);
        memcpy(new + (size_t)i *PAGE, old + (size_t)i * PAGE, PAGE);
        p->change(new + (size_t)i *PAGE);
    }
    for (unsigned v = 0; v < 8; v++)
        best[v] = 1e30;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned v = 0; (x = gw_xbzrle_variant(v)); v++) {
            double ns = encode_ns(x, old, new, pairs, out, lengths);

            best[v] = GW_MIN(best[v], ns);
        }
    for (uint32_t i = 0; i < pairs; i++) {
        lengths[i] = gw_xbzrle_pick()->encode(old + (size_t)i * PAGE, new + (size_t)i *PAGE, PAGE,
                                              deltas + (size_t)i * PAGE, PAGE);
        sum += lengths[i] > 0 ? (uint64_t)lengths[i] : 0;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        double ns = decode_ns(old, deltas, lengths, pairs, &coded);

        undo = GW_MIN(undo, ns);
    }
    for (unsigned v = 0; (x = gw_xbzrle_variant(v)); v++)
        printf("{\"bench\": \"encode\", \"pattern\": \"%s\", \"variant\": \"%s\", \"memory\": \"%s\", "
               "\"ns_per_page\": %.1f}\n",
               p->name, x->name, pairs == HOT ? "hot" : "cold", best[v]);
    if (coded)
        printf("{\"bench\": \"decode\", \"pattern\": \"%s\", \"memory\": \"%s\", \"delta_bytes\": %.1f, "
               "\"ns_per_page\": %.1f}\n",
               p->name, pairs == HOT ? "hot" : "cold", (double)sum / coded, undo);
    fflush(stdout);
    free(lengths);
}

/* Guest memory of COLD pages, each of which is changed once and then sent. Only the sending is measured. */
static void path(const struct pattern *p, uint8_t *guest)
{
    const struct gw_xbzrle *x = gw_xbzrle_pick();
    double hit = 1e30, miss = 1e30;
    struct gw_xbzrle_cache *cache;
    uint64_t t;

    if (gw_xbzrle_cache_new((uint64_t)COLD * PAGE, PAGE, &cache, NULL) < 0)
        bench_die("cache");
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t copy[PAGE] __attribute__((aligned(64))), out[PAGE];

        for (unsigned i = 0; i < GW_XBZRLE_CACHE_SYNCS; i++)
            gw_xbzrle_cache_sync(cache);
        t = cpu_ns();
        for (uint64_t i = 0; i < COLD; i++) { /* different keys in each round: all lookups miss */
            uint64_t key = i + (uint64_t)round * COLD;
            uint8_t *slot;

            if (i + 4 < COLD)
                gw_xbzrle_cache_prefetch(cache, key + 4);
            slot = gw_xbzrle_cache_find(cache, key);
            if (slot || !(slot = gw_xbzrle_cache_put(cache, key)))
                bench_die("a page that is there");
            memcpy(slot, guest + i * PAGE, PAGE);
        }
        t = cpu_ns() - t;
        miss = round ? GW_MIN(miss, (double)t / COLD) : miss; /* the first round makes the memory resident */
        for (uint64_t i = 0; i < COLD; i++)
            p->change(guest + i * PAGE);
        t = cpu_ns();
        for (uint64_t i = 0; i < COLD; i++) {
            uint64_t key = i + (uint64_t)round * COLD;
            uint8_t *slot;
            int n;

            if (i + 4 < COLD)
                gw_xbzrle_cache_prefetch(cache, key + 4);
            slot = gw_xbzrle_cache_find(cache, key);
            if (!slot)
                bench_die("a page that is not there");
            memcpy(copy, guest + i * PAGE, PAGE);
            n = x->encode(slot, copy, PAGE, out, PAGE);
            if (n > 0 && n < 128)
                gw_xbzrle_decode(out, (uint32_t)n, slot, PAGE, NULL);
            else if (n)
                memcpy(slot, copy, PAGE);
        }
        t = cpu_ns() - t;
        hit = GW_MIN(hit, (double)t / COLD);
    }
    printf("{\"bench\": \"path\", \"pattern\": \"%s\", \"variant\": \"%s\", \"ns_per_page\": %.1f, "
           "\"miss_ns_per_page\": %.1f}\n",
           p->name, x->name, hit, miss);
    fflush(stdout);
    gw_xbzrle_cache_free(cache);
}

static void copies(uint8_t *a, const uint8_t *b, uint32_t pairs)
{
    double best = 1e30;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t t = cpu_ns();

        for (uint32_t k = 0; k < repeats(pairs); k++)
            for (uint32_t i = 0; i < pairs; i++) {
                memcpy(a + (size_t)i * PAGE, b + (size_t)i * PAGE, PAGE);
                __asm__ volatile("" ::: "memory");
            }
        best = GW_MIN(best, (double)(cpu_ns() - t) / pairs / repeats(pairs));
    }
    printf("{\"bench\": \"memcpy\", \"memory\": \"%s\", \"ns_per_page\": %.1f}\n", pairs == HOT ? "hot" : "cold", best);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    size_t bytes = (size_t)COLD * PAGE;
    uint8_t *old = bench_memory(bytes, false), *new = bench_memory(bytes, false), *deltas = bench_memory(bytes, false);

    memset(old, 1, bytes);
    memset(new, 1, bytes);
    for (unsigned cold = 0; cold < 2; cold++) {
        if (*only && strcmp(only, cold ? "cold" : "hot"))
            continue;
        copies(old, new, cold ? COLD : HOT);
        for (unsigned i = 0; i < GW_ARRAY_LEN(patterns); i++)
            pairs_of(&patterns[i], cold ? COLD : HOT, old, new, deltas);
    }
    for (unsigned i = 0; i < GW_ARRAY_LEN(patterns) && (!*only || !strcmp(only, "path")); i++)
        path(&patterns[i], new);
    return 0;
}
