/* SPDX-License-Identifier: MIT */
#include "image/parked/stage.h"

#include <pthread.h>

#include "base/bitmap.h"
#include "base/thread.h"
#include "godwit/clock.h"
#include "image/held.h"
#include "image/parked/log.h"
#include "image/parked/parked.h"
#include "image/parked/write.h"
#include "image/parked/spool.h"

#define PIECES      8u
#define REST_NS     (1 * GW_NS_PER_MS)  /* pause after a sweep that found little, and */
#define REST_MAX_NS (50 * GW_NS_PER_MS) /* the longest pause, after many that found nothing */
#define LITTLE      256u                /* pages */

struct block {
    const uint8_t *host;
    uint64_t pages, *landed;
};

struct gw_stage {
    struct gw_image *image;
    struct gw_image_write_options options;
    struct gw_parked_style style;
    char *path;

    bool began, committed;
    int failed; /* error of an attempt that began: why there will be no file */
    struct gw_error error;
    struct gw_image_out out;
    struct gw_image_inode own; /* the committed file */
    struct gw_spool *spool;
    struct gw_parked_log *log;
    pthread_t thread;
    bool running;

    pthread_mutex_t lock; /* protects the members below */
    pthread_cond_t changed;
    struct block **blocks; /* the list grows; a block in it does not change */
    unsigned block_count;
    bool last; /* all marks have been set */
    atomic_bool stop;
};

/* ---- the thread ---------------------------------------------------------------------------------------------------
 */

/* The log asks for a page again: its mark is set as on arrival. Stage thread only; known blocks stay. */
static void again(void *opaque, unsigned block, uint64_t page)
{
    struct gw_stage *s = opaque;
    struct block *b;

    pthread_mutex_lock(&s->lock);
    b = s->blocks[block];
    pthread_mutex_unlock(&s->lock);
    gw_bitmap_set_atomic(b->landed, page);
}

static int sweep_block(struct gw_stage *s, const struct block *b, unsigned number, uint64_t *taken,
                       struct gw_error *err)
{
    unsigned bits = s->image->page_bits;

    for (size_t w = 0; w < gw_bitmap_words(b->pages); w++) {
        uint64_t word;

        if (!__atomic_load_n(&b->landed[w], __ATOMIC_RELAXED))
            continue;
        if (atomic_load_explicit(&s->stop, memory_order_relaxed))
            return -ECANCELED;
        for (word = gw_bitmap_take_word_atomic(b->landed, w); word; word &= word - 1) {
            uint64_t page = w * 64 + (unsigned)__builtin_ctzll(word);
            int r = gw_parked_log_page(s->log, number, page, b->host + (page << bits), err);

            if (r < 0)
                return r;
            ++*taken;
        }
    }
    return 0;
}

/* One pass over all blocks. *ret_last: all marks had been set before it began. */
static int sweep(struct gw_stage *s, unsigned *known, uint64_t *ret_taken, bool *ret_last, struct gw_error *err)
{
    unsigned count;
    int r = 0;

    *ret_taken = 0;
    if (atomic_load(&s->stop)) /* checked even when no page is marked */
        return -ECANCELED;
    pthread_mutex_lock(&s->lock);
    count = s->block_count;
    *ret_last = s->last;
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < count && r >= 0; i++) {
        const struct block *b;

        pthread_mutex_lock(&s->lock);
        b = s->blocks[i];
        pthread_mutex_unlock(&s->lock);
        if (i == *known) {
            r = gw_parked_log_block(s->log, b->pages, err);
            *known += r >= 0;
        }
        if (r >= 0)
            r = sweep_block(s, b, i, ret_taken, err);
    }
    return r;
}

static void rest(struct gw_stage *s, uint64_t ns)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += (uint64_t)t.tv_nsec;
    t.tv_sec += (time_t)(ns / GW_NS_PER_S);
    t.tv_nsec = (long)(ns % GW_NS_PER_S);
    pthread_mutex_lock(&s->lock);
    if (!s->last && !atomic_load(&s->stop))
        pthread_cond_timedwait(&s->changed, &s->lock, &t);
    pthread_mutex_unlock(&s->lock);
}

/* The header records where the file ends: an export, or a volume to which the file is copied, may be larger. */
static int write_header(struct gw_stage *s, struct gw_error *err)
{
    uint8_t header[GW_PARKED_HEADER_BYTES];

    gw_parked_log_header(s->log, header);
    return gw_spool_patch(s->spool, header, sizeof header, 0, err);
}

static int write_file(struct gw_stage *s, struct gw_error *err)
{
    uint64_t rest_ns = REST_NS, bytes, taken;
    unsigned known = 0;
    bool last;
    int r;

    do {
        uint64_t began = gw_now_ns(&gw_clock_real);

        r = sweep(s, &known, &taken, &last, err);
        if (r < 0 || last || taken >= LITTLE)
            continue;
        /* While a large machine arrives slowly, at most a tenth of the time is spent on sweeps. */
        rest_ns = taken ? REST_NS : GW_MIN(rest_ns * 2, REST_MAX_NS);
        rest(s, GW_MAX(rest_ns, (gw_now_ns(&gw_clock_real) - began) * 10));
    } while (r >= 0 && !(last && !taken));
    if (r >= 0)
        r = gw_parked_log_finish(s->log, s->image, s->options.libvirt_xml, &bytes, err);
    if (r >= 0)
        r = write_header(s, err);
    if (r >= 0 && !s->out.far && ftruncate(s->out.fd, (off_t)bytes) < 0)
        r = gw_fail(err, -errno, GW_BLAME_LOCAL, "giving it %" PRIu64 " bytes: %s", bytes, strerror(errno));
    return r;
}

/* Removes everything: the room may be needed. */
static void clear(struct gw_stage *s)
{
    gw_spool_free(s->spool);
    gw_parked_log_free(s->log);
    s->spool = NULL;
    s->log = NULL;
    gw_image_out_close(&s->out);
}

static void *run(void *opaque)
{
    struct gw_stage *s = opaque;

    s->failed = write_file(s, &s->error);
    if (s->failed < 0) {
        if (!s->out.far) /* errors of a server name it already */
            gw_context(&s->error, "%s", s->path);
        clear(s);
    }
    return NULL;
}

static void join(struct gw_stage *s)
{
    if (!s->running)
        return;
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->running = false;
}

/* ---- the owner ----------------------------------------------------------------------------------------------------
 */

int gw_stage_new(struct gw_image *image, const char *path, const struct gw_image_write_options *options,
                 struct gw_stage **ret, struct gw_error *err)
{
    struct gw_stage *s;
    struct gw_parked_style style;
    pthread_condattr_t attr;
    int r;

    if (options->format != GW_IMAGE_PARKED || !strcmp(path, "-"))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: only parked files can be written while the machine arrives",
                       path);
    r = gw_parked_style(options, &style, err);
    if (r < 0)
        return r;
    s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(path))) {
        free(s);
        return gw_nomem(err, "stage");
    }
    s->image = image;
    s->options = *options;
    s->style = style;
    s->out.fd = -1;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return 0;
}

void gw_stage_free(struct gw_stage *s)
{
    if (!s)
        return;
    gw_stage_forget(s);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s->path);
    free(s);
}

static int open_file(struct gw_stage *s, struct gw_error *err)
{
    int r = gw_image_out_open_anywhere(&s->out, s->path, s->options.replace, err);

    if (r >= 0)
        r = s->out.far ? gw_spool_new_far(gw_held_bytes(s->out.far), GW_PARKED_LOG_SEGMENT, PIECES, &s->spool, err)
                       : gw_spool_new(s->out.fd, GW_PARKED_LOG_SEGMENT, PIECES, &s->spool, err);
    if (r >= 0)
        r = gw_parked_log_new(s->spool, s->image->page_bytes, again, s, &s->log, err);
    if (r >= 0)
        gw_parked_log_carries(s->log, &s->image->others);
    if (r >= 0)
        r = gw_thread_start(&s->thread, run, s, err);
    s->running = r >= 0;
    return r;
}

/* `failed` and `error` belong to the thread from its start on. */
static void begin(struct gw_stage *s)
{
    struct gw_error err = GW_ERROR_INIT;
    int r = open_file(s, &err);

    s->began = true;
    if (r >= 0)
        return;
    s->failed = r;
    s->error = err;
    clear(s);
}

int gw_stage_block(struct gw_stage *s, const uint8_t *host, uint64_t pages, uint64_t **ret_landed, struct gw_error *err)
{
    struct block **grown, *b = calloc(1, sizeof *b);

    if (!b || !(b->landed = gw_bitmap_new(pages))) {
        free(b);
        return gw_nomem(err, "map of landed pages");
    }
    b->host = host;
    b->pages = pages;
    pthread_mutex_lock(&s->lock);
    grown = realloc(s->blocks, (s->block_count + 1) * sizeof(struct block *));
    if (grown) {
        s->blocks = grown;
        s->blocks[s->block_count++] = b;
    }
    pthread_mutex_unlock(&s->lock);
    if (!grown) {
        gw_bitmap_free(b->landed, pages);
        free(b);
        return gw_nomem(err, "RAM blocks");
    }
    if (!s->began)
        begin(s);
    *ret_landed = b->landed;
    return 0;
}

int gw_stage_commit(struct gw_stage *s, struct gw_error *err)
{
    if (!s->began) /* a machine without RAM */
        begin(s);
    pthread_mutex_lock(&s->lock);
    s->last = true;
    pthread_mutex_unlock(&s->lock);
    join(s);
    if (s->failed < 0) {
        if (err)
            *err = s->error;
        return s->failed;
    }
    s->out.keep = s->options.revertible;
    s->failed = s->out.keep ? gw_image_keep(s->image, &s->error) : 0;
    if (s->failed >= 0)
        s->failed = gw_image_out_commit(&s->out, &s->error);
    if (s->failed >= 0) {
        s->own = s->out.own;
        s->committed = !s->out.far; /* a server's file cannot be replaced atomically */
        s->image->far_bytes = s->out.far ? gw_held_end(s->out.far) : 0;
        gw_close_fd(&s->out.fd);
    }
    if (s->failed >= 0 && s->out.keep) { /* the output outlives this cleanup */
        *s->image->kept = s->out;
        s->out = (struct gw_image_out){.fd = -1};
    }
    clear(s);
    if (s->failed < 0) {
        if (err)
            *err = s->error;
        return s->failed;
    }
    return 0;
}

void gw_stage_forget(struct gw_stage *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    join(s);
    clear(s);
    for (unsigned i = 0; i < s->block_count; i++) {
        gw_bitmap_free(s->blocks[i]->landed, s->blocks[i]->pages);
        free(s->blocks[i]);
    }
    free(s->blocks);
    s->blocks = NULL;
    s->block_count = 0;
    s->began = s->last = false;
    atomic_store(&s->stop, false);
    s->failed = 0;
    s->error = (struct gw_error)GW_ERROR_INIT;
}

int gw_stage_pack(struct gw_stage *s, bool (*progress)(void *opaque, uint64_t done_bytes, uint64_t total_bytes),
                  void *opaque, struct gw_error *err)
{
    struct gw_image_write_options o = s->options;
    struct gw_image_out out;
    int r;

    if (!s->committed)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: there is no file to be packed", s->path);
    gw_image_let_go(s->image);
    if (s->style.plain)
        return 0;
    o.progress = progress;
    o.opaque = opaque;
    r = gw_image_out_open(&out, s->path, true, err);
    if (r < 0)
        return r;
    out.only = s->own;
    r = gw_parked_write(s->image, &o, out.fd, err);
    if (r < 0)
        gw_context(err, "%s", s->path);
    else
        r = gw_image_out_commit(&out, err);
    gw_image_out_close(&out);
    return r;
}
