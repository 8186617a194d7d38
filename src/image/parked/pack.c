/* SPDX-License-Identifier: MIT */
#include "image/parked/pack.h"

#include <pthread.h>

#define THREADS_MAX 64u

struct job {
    uint8_t *raw, *packed;
    uint32_t raw_bytes, packed_bytes, crc;
    bool done;
};

/* Jobs are a ring: taken <= begun <= put <= taken + count. */
struct gw_pack {
    pthread_mutex_t lock;
    pthread_cond_t work, progress;
    struct job *jobs;
    unsigned count, thread_count;
    uint64_t put, begun, taken;
    bool stop, lent; /* lent: the oldest was handed out and is freed by the next call */
    pthread_t *threads;
    struct gw_packer **packers; /* of each thread; NULL: plain */
    unsigned started;           /* threads that have found out which they are */
};

static void pack(struct gw_packer *packer, struct job *j)
{
    /* What saves less than this is not worth unpacking. */
    uint32_t room = j->raw_bytes - j->raw_bytes / 64;

    j->packed_bytes = packer ? (uint32_t)gw_packer_pack(packer, j->raw, j->raw_bytes, j->packed, room) : 0;
    if (!j->packed_bytes)
        j->packed_bytes = j->raw_bytes;
    j->crc = gw_crc32c(0, j->packed_bytes == j->raw_bytes ? j->raw : j->packed, j->packed_bytes);
}

static void *run(void *opaque)
{
    struct gw_pack *p = opaque;
    struct gw_packer *packer;

    pthread_mutex_lock(&p->lock);
    packer = p->packers ? p->packers[p->started] : NULL;
    p->started++;
    for (;;) {
        struct job *j;

        while (!p->stop && p->begun == p->put)
            pthread_cond_wait(&p->work, &p->lock);
        if (p->stop)
            break;
        j = &p->jobs[p->begun++ % p->count];
        pthread_mutex_unlock(&p->lock);
        pack(packer, j);
        pthread_mutex_lock(&p->lock);
        j->done = true;
        pthread_cond_signal(&p->progress);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int make_jobs(struct gw_pack *p, unsigned threads, bool plain, int level, uint32_t frame_bytes,
                     struct gw_error *err)
{
    int r = 0;

    p->count = 2 * threads + 1;
    p->jobs = calloc(p->count, sizeof *p->jobs);
    p->threads = calloc(threads, sizeof *p->threads);
    p->packers = plain ? NULL : calloc(threads, sizeof *p->packers);
    if (!p->jobs || !p->threads || (!plain && !p->packers))
        return gw_nomem(err, "frames");
    for (unsigned i = 0; i < p->count; i++) {
        struct job *j = &p->jobs[i];

        j->raw = aligned_alloc(64, gw_div_up(frame_bytes, 64) * 64);
        j->packed = plain ? NULL : malloc(frame_bytes);
        if (!j->raw || (!plain && !j->packed))
            return gw_nomem(err, "frames");
    }
    for (unsigned i = 0; i < threads && !plain && r >= 0; i++)
        r = gw_packer_new(level, &p->packers[i], err);
    return r;
}

int gw_pack_new(unsigned threads, bool plain, int level, uint32_t frame_bytes, struct gw_pack **ret,
                struct gw_error *err)
{
    struct gw_pack *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return gw_nomem(err, "frames");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->progress, NULL);
    threads = GW_MIN(threads, THREADS_MAX);
    r = make_jobs(p, threads, plain, level, frame_bytes, err);
    while (r >= 0 && p->thread_count < threads) {
        int e = pthread_create(&p->threads[p->thread_count], NULL, run, p);

        if (e && !p->thread_count)
            r = gw_fail(err, -e, GW_BLAME_LOCAL, "a thread to compress: %s", strerror(e));
        if (e)
            break; /* those that there are do it */
        p->thread_count++;
    }
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
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    for (unsigned i = 0; p->jobs && i < p->count; i++) {
        free(p->jobs[i].raw);
        free(p->jobs[i].packed);
        if (p->packers && i < p->count / 2)
            gw_packer_free(p->packers[i]);
    }
    free(p->jobs);
    free(p->threads);
    free(p->packers);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->progress);
    free(p);
}

static void give_back(struct gw_pack *p)
{
    if (p->lent) {
        p->jobs[p->taken++ % p->count].done = false;
        p->lent = false;
    }
}

/* put, taken and lent change only in the owner's calls. */
uint8_t *gw_pack_room(struct gw_pack *p)
{
    give_back(p);
    return p->put - p->taken < p->count ? p->jobs[p->put % p->count].raw : NULL;
}

void gw_pack_put(struct gw_pack *p, uint32_t bytes)
{
    p->jobs[p->put % p->count].raw_bytes = bytes;
    pthread_mutex_lock(&p->lock);
    p->put++;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

bool gw_pack_take(struct gw_pack *p, struct gw_packed *ret)
{
    struct job *j;

    give_back(p);
    if (p->taken == p->put)
        return false;
    j = &p->jobs[p->taken % p->count];
    pthread_mutex_lock(&p->lock);
    while (!j->done)
        pthread_cond_wait(&p->progress, &p->lock);
    pthread_mutex_unlock(&p->lock);
    p->lent = true;
    *ret =
        (struct gw_packed){j->packed_bytes == j->raw_bytes ? j->raw : j->packed, j->packed_bytes, j->raw_bytes, j->crc};
    return true;
}
