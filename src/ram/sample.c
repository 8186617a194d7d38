/* SPDX-License-Identifier: MIT */
#include "ram/sample.h"

#include <math.h>
#include <time.h>

#include "ram/codec/packing.h"
#include "ram/codec/xbzrle_delta.h"
#include "ram/codec/zpage.h"
#include "ram/page/holes.h"
#include "ram/page/zero.h"

#define CODED_PAGES 512u /* at most so many are compressed: zlib takes about 50 us for one */
#define PACKET      32u  /* pages that are compressed together */
#define ENOUGH      8u   /* with so many changed pages their average is representative */

struct page {
    const uint8_t *host;
    bool hole, zero;
};

struct gw_sample {
    struct gw_sample_config config;
    uint32_t page_bytes;
    unsigned count;
    struct page *pages;
    uint8_t *copies; /* contents of all pages, in order */
    uint8_t *now;    /* room for one page */
    uint8_t *room;   /* output of a codec for one packet */
    size_t room_bytes;
};

static double read_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* CPU time of this thread. */
static double cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static bool cancelled(const struct gw_sample *s)
{
    return s->config.cancel && __atomic_load_n(s->config.cancel, __ATOMIC_SEQ_CST);
}

static int check(const struct gw_sample *s, struct gw_error *err)
{
    return cancelled(s) ? gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "the sampling of pages was cancelled") : 0;
}

/* Not instrumented: the guest writes meanwhile. */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize_thread))
#endif
static void
copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
    const volatile uint64_t *f = (const volatile uint64_t *)from;
    uint64_t *t = (uint64_t *)to;

    for (size_t i = 0; i < bytes / 8; i++)
        t[i] = f[i];
}

static uint8_t *copy_of(const struct gw_sample *s, unsigned i)
{
    return s->copies + (size_t)i * s->page_bytes;
}

static void free_sample(struct gw_sample *s)
{
    free(s->pages);
    free(s->copies);
    free(s->now);
    free(s->room);
    free(s);
}

/* Picks one page of each of `n` equal stretches of a block: random, and spread evenly. */
static void pick(struct gw_sample *s, const struct gw_ram *ram, const struct gw_ram_block *b, const struct gw_holes *holes,
                 uint64_t n)
{
    const struct gw_clock *clock = s->config.clock;

    for (uint64_t k = 0; k < n; k++) {
        uint64_t first = (uint64_t)((double)b->pages * (double)k / (double)n);
        uint64_t end = (uint64_t)((double)b->pages * (double)(k + 1) / (double)n), map = 0;
        uint64_t page = GW_MIN(first + clock->random(clock->opaque) % GW_MAX(end - first, 1u), b->pages - 1);
        struct page *p = &s->pages[s->count++];

        p->host = b->host + (page << ram->page_bits);
        p->hole = gw_holes_find(holes, b, page, 1, &map) == 1;
    }
}

static int pick_all(struct gw_sample *s, struct gw_ram *ram, struct gw_error *err)
{
    struct gw_holes *holes = NULL;
    uint64_t total = 0;
    int r = gw_holes_new(ram, &holes, err);

    if (r < 0)
        return r;
    pthread_mutex_lock(&ram->lock); /* a session may begin and change flags */
    for (unsigned i = 0; i < ram->count; i++)
        total += gw_ram_migrates(ram->blocks[i]) ? ram->blocks[i]->pages : 0;
    for (unsigned i = 0; i < ram->count; i++) {
        const struct gw_ram_block *b = ram->blocks[i];
        uint64_t n = total && gw_ram_migrates(b) ? (uint64_t)((double)s->config.pages * (double)b->pages / (double)total) : 0;

        pick(s, ram, b, holes, GW_MIN(n, b->pages));
    }
    pthread_mutex_unlock(&ram->lock);
    gw_holes_free(holes);
    return 0;
}

int gw_sample_begin(struct gw_ram *ram, const struct gw_sample_config *config, struct gw_sample **ret, struct gw_error *err)
{
    const struct gw_zero *zero = gw_zero_pick();
    struct gw_sample *s = calloc(1, sizeof *s);
    size_t bytes = (size_t)config->pages * ram->page_bytes;
    int r;

    if (!s)
        return gw_nomem(err, "a sample of pages");
    s->config = *config;
    s->page_bytes = ram->page_bytes;
    s->room_bytes = (size_t)PACKET * ram->page_bytes * 2;
    s->pages = calloc(config->pages, sizeof *s->pages);
    s->copies = aligned_alloc(GW_RAM_ALIGNMENT, bytes);
    s->now = aligned_alloc(GW_RAM_ALIGNMENT, ram->page_bytes);
    s->room = malloc(s->room_bytes);
    r = s->pages && s->copies && s->now && s->room ? pick_all(s, ram, err) : gw_nomem(err, "a sample of pages");
    for (unsigned i = 0; r >= 0 && i < s->count; i++) {
        struct page *p = &s->pages[i];

        if (p->hole)
            memset(copy_of(s, i), 0, s->page_bytes);
        else
            copy(copy_of(s, i), p->host, s->page_bytes);
        p->zero = p->hole || gw_zero_page(zero, copy_of(s, i), s->page_bytes);
        r = check(s, err);
    }
    if (r < 0)
        free_sample(s);
    else
        *ret = s;
    return r;
}

/* ---- figures ------------------------------------------------------------------------------------------------------ */

/* Figures of one codec, page by page or packet by packet. */
struct seen {
    double n, sum, squares, ns, pages;
};

static void note(struct seen *c, double ratio, double pages, double ns)
{
    c->n++;
    c->sum += ratio;
    c->squares += ratio * ratio;
    c->pages += pages;
    c->ns += ns;
}

static void conclude(const struct seen *c, double least, struct gw_forecast_codec *ret)
{
    double mean, variance;

    if (c->n < 1 || c->pages < least)
        return;
    mean = c->sum / c->n;
    variance = GW_MAX(c->squares / c->n - mean * mean, 0.0);
    *ret = (struct gw_forecast_codec){true, mean, sqrt(variance / c->n) + 0.3 / c->pages, c->ns / c->pages};
}

/* Measures the time to examine a page and to hand it on. */
static void time_pages(struct gw_sample *s, struct gw_sample_figures *f)
{
    const struct gw_zero *zero = gw_zero_pick();
    unsigned full = s->count - f->zero_pages;
    volatile unsigned sink = 0;
    double t = cpu_ns();

    for (unsigned i = 0; i < s->count; i++)
        if (s->pages[i].zero)
            sink += gw_zero_page(zero, copy_of(s, i), s->page_bytes);
    (void)sink;
    f->zero_ns = f->zero_pages ? (cpu_ns() - t) / f->zero_pages : 0;
    t = cpu_ns();
    for (unsigned i = 0; i < s->count; i++)
        if (!s->pages[i].zero)
            memcpy(s->now, copy_of(s, i), s->page_bytes);
    f->page_ns = full ? (cpu_ns() - t) / full : 0;
}

/* Compresses the pages that are not zeros, in packets. */
static int pack_all(struct gw_sample *s, struct gw_packing *p, struct gw_forecast_codec *ret, struct gw_error *err)
{
    const uint8_t *packet[PACKET];
    struct seen seen = {0};
    unsigned n = 0, done = 0;
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < s->count && done < CODED_PAGES; i++) {
        size_t bytes = 0;
        double t;

        if (s->pages[i].zero)
            continue;
        packet[n++] = copy_of(s, i);
        done++;
        if (n < PACKET)
            continue;
        t = cpu_ns();
        r = p->pack(p, packet, n, s->page_bytes, s->room, s->room_bytes, &bytes, err);
        note(&seen, (double)bytes / ((double)n * s->page_bytes), n, cpu_ns() - t);
        n = 0;
        if (r >= 0)
            r = check(s, err);
    }
    if (r >= 0)
        conclude(&seen, PACKET, ret);
    return r;
}

/* A codec that this build does not have stays unknown. */
static int pack_with(struct gw_sample *s, int (*make)(bool in, int level, struct gw_packing **ret, struct gw_error *err),
                     enum gw_packet_coding coding, int level, struct gw_forecast_codec *ret, struct gw_error *err)
{
    struct gw_packing *p;
    int r;

    if (!gw_packing_known(coding))
        return 0;
    r = make(false, level, &p, err);
    if (r < 0)
        return r;
    r = pack_all(s, p, ret, err);
    p->free(p);
    return r;
}

static int deflate_all(struct gw_sample *s, struct gw_forecast_codec *ret, struct gw_error *err)
{
    struct gw_zpack *p;
    struct seen seen = {0};
    unsigned done = 0;
    int r = GW_HAVE_ZPAGE ? gw_zpack_new(s->config.deflate_level, &p, err) : 1;

    if (r)
        return r < 0 ? r : 0;
    for (unsigned i = 0; r >= 0 && i < s->count && done < CODED_PAGES; i++) {
        double t = cpu_ns();
        uint32_t bytes;

        if (s->pages[i].zero)
            continue;
        done++;
        bytes = gw_zpack_hopeless(copy_of(s, i), s->page_bytes)
                    ? 0
                    : gw_zpack(p, copy_of(s, i), s->page_bytes, s->room, s->page_bytes - s->page_bytes / 16);
        note(&seen, bytes ? (double)(bytes + 4) / s->page_bytes : 1, 1, cpu_ns() - t);
        r = check(s, err);
    }
    gw_zpack_free(p);
    if (r >= 0)
        conclude(&seen, ENOUGH, ret);
    return r;
}

/* Compares all pages with their copies, and measures the differences. */
static int compare_all(struct gw_sample *s, struct gw_sample_figures *f, struct gw_error *err)
{
    const struct gw_xbzrle *xbzrle = gw_xbzrle_pick();
    const struct gw_zero *zero = gw_zero_pick();
    struct seen seen = {0};
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < s->count; i++) {
        double t;
        int n;

        if (s->pages[i].hole) /* a page that changed from zeros would not have been in the cache */
            continue;
        copy(s->now, s->pages[i].host, s->page_bytes);
        r = check(s, err);
        if (!memcmp(s->now, copy_of(s, i), s->page_bytes))
            continue;
        f->changed++;
        f->changed_zero += gw_zero_page(zero, s->now, s->page_bytes);
        t = cpu_ns();
        n = xbzrle->encode(copy_of(s, i), s->now, s->page_bytes, s->room, s->page_bytes);
        note(&seen, n >= 0 ? (double)(n + 3) / s->page_bytes : 1, 1, cpu_ns() - t);
    }
    if (r >= 0)
        conclude(&seen, ENOUGH, &f->xbzrle);
    return r;
}

static int zstd_packer(bool in, int level, struct gw_packing **ret, struct gw_error *err)
{
    return gw_packing_zstd_new(in, level, 1, ret, err);
}

int gw_sample_end(struct gw_sample *s, struct gw_sample_figures *ret, struct gw_error *err)
{
    struct gw_sample_figures f = {0};
    double wall = read_ns(CLOCK_MONOTONIC), cpu = cpu_ns();
    int r = 0;

    if (ret) {
        f.pages = s->count;
        for (unsigned i = 0; i < s->count; i++)
            f.zero_pages += s->pages[i].zero;
        r = compare_all(s, &f, err); /* first: the guest goes on writing */
        if (r >= 0)
            time_pages(s, &f);
        if (r >= 0)
            r = pack_with(s, zstd_packer, GW_PACKET_ZSTD, s->config.zstd_level, &f.zstd, err);
        if (r >= 0)
            r = pack_with(s, gw_packing_zlib_new, GW_PACKET_ZLIB, s->config.zlib_level, &f.zlib, err);
        if (r >= 0)
            r = deflate_all(s, &f.deflate, err);
        cpu = cpu_ns() - cpu;
        wall = read_ns(CLOCK_MONOTONIC) - wall;
        f.slowdown = cpu > 0 && wall > cpu ? wall / cpu : 1;
        if (r >= 0)
            *ret = f;
    }
    free_sample(s);
    return r;
}
