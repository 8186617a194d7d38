/* SPDX-License-Identifier: MIT */
#include "image/parked/pack.h"

#include "base/workers.h"

struct job {
    uint8_t *raw, *packed;
    uint32_t raw_bytes, packed_bytes, crc;
};

struct gw_pack {
    struct gw_workers *workers;
    struct job *jobs; /* one for each slot */
    unsigned count, threads;
    uint64_t put, taken;        /* jobs: taken <= put <= taken + count */
    bool lent;                  /* job number `taken` was given to the caller; the next call releases it */
    struct gw_packer **packers; /* one per thread; NULL: not compressed */
    uint32_t page_bytes;
};

/* 512 bytes have 130816 pairs, of which chance makes 511 equal, and 23 more or less. 640: Huffman would save 3 %. */
#define NOISE_BYTES 512u
#define NOISE_PAIRS 640u

bool gw_pack_noise(const uint8_t *page, size_t bytes)
{
    size_t step = bytes / NOISE_BYTES;
    uint16_t seen[256] = {0};
    uint32_t pairs = 0;

    for (size_t i = 0; i < NOISE_BYTES; i++)
        pairs += seen[page[i * step + i % step]]++;
    return pairs < NOISE_PAIRS;
}

/* If one page of a frame compresses, zstd gets the whole frame. */
static bool all_noise(const struct gw_pack *p, const struct job *j)
{
    for (uint32_t at = 0; at < j->raw_bytes; at += p->page_bytes)
        if (!gw_pack_noise(j->raw + at, p->page_bytes))
            return false;
    return true;
}

static int pack(void *opaque, unsigned thread, uint64_t n, unsigned slot, struct gw_error *err)
{
    struct gw_pack *p = opaque;
    struct job *j = &p->jobs[slot];
    /* A smaller saving is not worth the time to unpack. */
    uint32_t room = j->raw_bytes - j->raw_bytes / 64;

    j->packed_bytes = 0;
    if (p->packers && !all_noise(p, j))
        j->packed_bytes = (uint32_t)gw_packer_pack(p->packers[thread], j->raw, j->raw_bytes, j->packed, room);
    if (!j->packed_bytes)
        j->packed_bytes = j->raw_bytes;
    j->crc = gw_crc32c(0, j->packed_bytes == j->raw_bytes ? j->raw : j->packed, j->packed_bytes);
    return 0;
}

static int make_jobs(struct gw_pack *p, int level, const struct gw_dictionary *dictionary, uint32_t frame_bytes,
                     struct gw_error *err)
{
    bool plain = !level;
    int r = 0;

    p->count = 2 * p->threads + 1;
    p->jobs = calloc(p->count, sizeof *p->jobs);
    p->packers = plain ? NULL : calloc(p->threads, sizeof *p->packers);
    if (!p->jobs || (!plain && !p->packers))
        return gw_nomem(err, "frames");
    for (unsigned i = 0; i < p->count; i++) {
        struct job *j = &p->jobs[i];

        j->raw = aligned_alloc(64, gw_div_up(frame_bytes, 64) * 64);
        j->packed = plain ? NULL : malloc(frame_bytes);
        if (!j->raw || (!plain && !j->packed))
            return gw_nomem(err, "frames");
    }
    for (unsigned i = 0; i < p->threads && !plain && r >= 0; i++)
        r = gw_packer_new(level, dictionary, &p->packers[i], err);
    return r;
}

int gw_pack_new(unsigned threads, int level, const struct gw_dictionary *dictionary, uint32_t page_bytes,
                uint32_t frame_pages, struct gw_pack **ret, struct gw_error *err)
{
    static const struct gw_workers_ops ops = {.work = pack};
    struct gw_pack *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return gw_nomem(err, "frames");
    p->page_bytes = page_bytes;
    p->threads = gw_workers_threads(threads, GW_WORKERS_MAX);
    r = make_jobs(p, level, dictionary, frame_pages * page_bytes, err);
    if (r >= 0)
        r = gw_workers_new(&ops, p, p->threads, p->count, &p->workers, err);
    if (r < 0) {
        gw_pack_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void gw_pack_free(struct gw_pack *p)
{
    if (!p)
        return;
    gw_workers_free(p->workers);
    for (unsigned i = 0; p->jobs && i < p->count; i++) {
        free(p->jobs[i].raw);
        free(p->jobs[i].packed);
    }
    for (unsigned i = 0; p->packers && i < p->threads; i++)
        gw_packer_free(p->packers[i]);
    free(p->jobs);
    free(p->packers);
    free(p);
}

static void take_back(struct gw_pack *p)
{
    if (p->lent)
        gw_workers_release(p->workers, ++p->taken);
    p->lent = false;
}

uint8_t *gw_pack_room(struct gw_pack *p)
{
    take_back(p);
    return p->put - p->taken < p->count ? p->jobs[p->put % p->count].raw : NULL;
}

void gw_pack_put(struct gw_pack *p, uint32_t bytes)
{
    p->jobs[p->put % p->count].raw_bytes = bytes;
    gw_workers_submit(p->workers, ++p->put);
}

bool gw_pack_take(struct gw_pack *p, struct gw_packed *ret)
{
    const struct job *j;

    take_back(p);
    if (p->taken == p->put)
        return false;
    j = &p->jobs[p->taken % p->count];
    gw_workers_take(p->workers, p->taken, NULL); /* it cannot fail */
    p->lent = true;
    *ret =
        (struct gw_packed){j->packed_bytes == j->raw_bytes ? j->raw : j->packed, j->packed_bytes, j->raw_bytes, j->crc};
    return true;
}
