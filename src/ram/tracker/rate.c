/* SPDX-License-Identifier: MIT */
#include "ram/tracker/rate.h"

#define SLICE_NS          (20 * GW_NS_PER_MS)
#define SAMPLES_PER_GIB   512u
#define SAMPLES_PER_BLOCK 128u

struct sample {
    const uint8_t *page;
    uint64_t hash;
};

/* The sample of one block: `count` pages that represent `pages`. */
struct share {
    uint64_t pages, count;
};

static bool cancelled(const struct gw_rate_config *c)
{
    return c->cancel && __atomic_load_n(c->cancel, __ATOMIC_SEQ_CST);
}

/* Sleeps until `end`. -ECANCELED at once after a cancel. */
static int wait_until(const struct gw_rate_config *c, uint64_t end, struct gw_error *err)
{
    uint64_t now;

    for (;;) {
        if (cancelled(c))
            return gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "measuring the dirty rate was cancelled");
        now = gw_now_ns(c->clock);
        if (now >= end)
            return 0;
        c->clock->sleep_ns(c->clock->opaque, GW_MIN(end - now, SLICE_NS));
    }
}

static void finish(const struct gw_ram *ram, uint64_t start, const struct gw_rate_config *c, struct gw_rate *rate)
{
    double seconds;

    rate->duration_ns = GW_MAX(gw_now_ns(c->clock) - start, 1u);
    seconds = (double)rate->duration_ns / (double)GW_NS_PER_S;
    rate->pages_per_s = (uint64_t)((double)rate->pages / seconds);
    rate->bytes_per_s = (uint64_t)((double)rate->pages * ram->page_bytes / seconds);
    rate->mib_per_s = rate->bytes_per_s / GW_MIB;
}

/* The guest writes meanwhile; a torn read is a changed page. */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize_thread))
#endif
static uint64_t
hash_page(const uint8_t *page, size_t bytes)
{
    const uint64_t *w = (const uint64_t *)page;
    uint64_t a = 0x9e3779b97f4a7c15ull, b = 0xc2b2ae3d27d4eb4full;

    for (size_t i = 0; i < bytes / 8; i += 2) {
        a = (a ^ w[i]) * 0xff51afd7ed558ccdull;
        b = (b ^ w[i + 1]) * 0xc4ceb9fe1a85ec53ull;
        a ^= a >> 29;
        b ^= b >> 31;
    }
    a = (a ^ b >> 17) * 0x94d049bb133111ebull;
    return a ^ a >> 32 ^ b;
}

static uint64_t samples_of(const struct gw_ram *ram, const struct gw_ram_block *b, const struct gw_rate_config *c)
{
    uint64_t per_gib = c->sample_pages_per_gib ? c->sample_pages_per_gib : SAMPLES_PER_GIB;
    uint64_t n = (uint64_t)((double)b->used_bytes / (double)GW_GIB * (double)per_gib);

    return GW_MIN(GW_MAX(n, SAMPLES_PER_BLOCK), b->pages);
}

static int sample_all(struct gw_ram *ram, const struct gw_rate_config *c, struct sample *samples, struct share *shares,
                      struct gw_rate *rate, struct gw_error *err)
{
    uint64_t start = gw_now_ns(c->clock), n = 0;
    double changed_pages = 0;
    int r;

    for (unsigned i = 0; i < ram->count; i++) {
        const struct gw_ram_block *b = ram->blocks[i];

        /* One page of each of `count` equal stretches: random, and spread evenly. */
        for (uint64_t k = 0; k < shares[i].count && !cancelled(c); k++) {
            uint64_t first = (uint64_t)((double)b->pages * (double)k / (double)shares[i].count);
            uint64_t end = (uint64_t)((double)b->pages * (double)(k + 1) / (double)shares[i].count);
            uint64_t page = first + c->clock->random(c->clock->opaque) % GW_MAX(end - first, 1u);

            page = GW_MIN(page, b->pages - 1);
            samples[n].page = b->host + (page << ram->page_bits);
            samples[n].hash = hash_page(samples[n].page, ram->page_bytes);
            n++;
        }
    }
    r = wait_until(c, start + c->duration_ns, err);
    if (r < 0)
        return r;
    rate->sampled_pages = n;
    n = 0;
    for (unsigned i = 0; i < ram->count; i++) {
        uint64_t changed = 0;

        for (uint64_t k = 0; k < shares[i].count && !cancelled(c); k++, n++)
            changed += hash_page(samples[n].page, ram->page_bytes) != samples[n].hash;
        if (!shares[i].count)
            continue;
        changed_pages += (double)changed / (double)shares[i].count * (double)shares[i].pages;
        rate->total_pages += shares[i].pages;
    }
    rate->pages = (uint64_t)(changed_pages + 0.5);
    finish(ram, start, c, rate);
    return wait_until(c, start, err); /* after a cancel the hashes are incomplete */
}

static int by_sampling(struct gw_ram *ram, const struct gw_rate_config *c, struct gw_rate *rate, struct gw_error *err)
{
    struct share *shares = calloc(GW_MAX(ram->count, 1u), sizeof *shares);
    struct sample *samples;
    uint64_t n = 0;
    int r;

    pthread_mutex_lock(&ram->lock); /* a session may begin and change flags */
    for (unsigned i = 0; shares && i < ram->count; i++) {
        const struct gw_ram_block *b = ram->blocks[i];

        shares[i] = (struct share){b->pages, gw_ram_writable(b) ? samples_of(ram, b, c) : 0};
        n += shares[i].count;
    }
    pthread_mutex_unlock(&ram->lock);
    samples = calloc(GW_MAX(n, 1u), sizeof *samples);
    r = shares && samples ? sample_all(ram, c, samples, shares, rate, err) : gw_nomem(err, "dirty rate samples");
    free(samples);
    free(shares);
    return r;
}

static int track_all(struct gw_ram *ram, struct gw_tracker *t, const struct gw_rate_config *c, struct gw_rate *rate,
                     struct gw_error *err)
{
    int r = gw_tracker_count_begin(t, err), e;
    uint64_t start = gw_now_ns(c->clock);

    if (r < 0)
        return r;
    r = wait_until(c, start + c->duration_ns, err);
    e = gw_tracker_count_end(t, &rate->pages, &rate->total_pages, r < 0 ? NULL : err);
    finish(ram, start, c, rate);
    return r < 0 ? r : e;
}

/* With rings, the tracker empties them meanwhile. Otherwise uses the embedder's counters. */
static int by_vcpus(struct gw_ram *ram, struct gw_tracker *t, const struct gw_rate_config *c, struct gw_rate *rate,
                    struct gw_error *err)
{
    bool rings = t && t->ops->ring_count;
    uint64_t start = gw_now_ns(c->clock);
    int r;

    for (unsigned i = 0; !rings && i < c->vcpus; i++)
        c->vcpu_pages[i] = c->dirtied(c->opaque, i);
    r = rings ? track_all(ram, t, c, rate, err) : wait_until(c, start + c->duration_ns, err);
    if (r < 0)
        return r;
    rate->pages = 0;
    for (unsigned i = 0; i < c->vcpus; i++) {
        c->vcpu_pages[i] =
            rings ? t->ops->ring_count(t, i) : (c->dirtied(c->opaque, i) - c->vcpu_pages[i]) >> ram->page_bits;
        rate->pages += c->vcpu_pages[i];
    }
    finish(ram, start, c, rate);
    return 0;
}

int gw_rate_measure(struct gw_ram *ram, struct gw_tracker *tracker, const struct gw_rate_config *config,
                    struct gw_rate *ret, struct gw_error *err)
{
    struct gw_rate rate = {0};
    int r;

    if (config->duration_ns < GW_NS_PER_MS || config->duration_ns > 60 * GW_NS_PER_S)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                       "the dirty rate is measured over 1 ms to 60 s, not %" PRIu64 " ns", config->duration_ns);
    if (config->mode == GW_RATE_SAMPLE)
        r = by_sampling(ram, config, &rate, err);
    else if (config->mode == GW_RATE_TRACK)
        r = track_all(ram, tracker, config, &rate, err);
    else
        r = by_vcpus(ram, tracker, config, &rate, err);
    if (r == 0)
        *ret = rate;
    return r;
}
