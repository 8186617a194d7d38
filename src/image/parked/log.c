/* SPDX-License-Identifier: MIT */
#include "image/parked/log.h"

#include "image/parked/append.h"
#include "image/parked/tail.h"
#include "image/parked/write.h"
#include "image/parked/spool.h"
#include "ram/page/zero.h"

#define SEGMENT     GW_PARKED_LOG_SEGMENT
#define HEAD        GW_PARKED_HEADER_BYTES
#define NOBODY      UINT64_MAX
#define NONE        UINT32_MAX
#define CLEANED_MAX 8u    /* segments being cleaned at once */
#define SLACK       16u   /* segments of garbage that never trigger cleaning */
#define LOOK        4096u /* segments examined to choose those to clean */

enum state { FREE, OPEN, WRITTEN, CLEANED };

struct segment {
    enum state state;
    uint32_t live;      /* page numbers of it in use */
    uint32_t next_free; /* the next FREE segment; NONE: the last */
    uint32_t *crc;      /* of each frame */
    uint64_t owner[];   /* for each number in use: block << 40 | page */
};

struct block {
    uint32_t *number; /* for each page: number + 1; 0: zeros */
    uint64_t pages;
};

struct gw_parked_log {
    struct gw_spool *spool;
    void (*again)(void *opaque, unsigned block, uint64_t page);
    void *opaque;
    const struct gw_zero *zero;
    struct gw_parked_tail tail;
    const struct gw_image_others *others; /* NULL: none */
    uint32_t page_bytes, frame_bytes;
    uint32_t numbers, frames; /* per segment */

    struct block *blocks;
    unsigned block_count;
    struct segment **segments;
    uint32_t count, room;
    uint32_t free;         /* the first, or NONE */
    uint32_t open, filled; /* the segment being filled, or NONE; numbers used of it */
    uint8_t *piece;        /* the buffer of the open segment */
    unsigned cleaned;
    uint32_t looked;
    uint64_t live;
    struct gw_parked_runs runs;

    struct gw_append append; /* used by finish */
};

/* ---- segments -----------------------------------------------------------------------------------------------------
 */

static int spool_failed(struct gw_parked_log *log, struct gw_error *err)
{
    return gw_spool_flush(log->spool, err);
}

static int add_segment(struct gw_parked_log *log, uint32_t *ret, struct gw_error *err)
{
    struct segment *s;

    if ((uint64_t)(log->count + 1) * log->numbers > GW_PARKED_NUMBERS_MAX)
        return gw_fail(err, -EFBIG, GW_BLAME_LOCAL, "more pages than a parked file can have");
    if (log->count == log->room) {
        uint32_t room = GW_MAX(log->room * 2, 64u);
        struct segment **grown = realloc(log->segments, room * sizeof *grown);

        if (!grown)
            return gw_nomem(err, "segments of a parked file");
        log->segments = grown;
        log->room = room;
    }
    s = malloc(sizeof *s + log->numbers * sizeof *s->owner + log->frames * sizeof *s->crc);
    if (!s)
        return gw_nomem(err, "segment of a parked file");
    s->crc = (uint32_t *)(s->owner + log->numbers);
    log->segments[log->count] = s;
    *ret = log->count++;
    return 0;
}

static void give_back(struct gw_parked_log *log, uint32_t number)
{
    struct segment *s = log->segments[number];

    log->cleaned -= s->state == CLEANED;
    s->state = FREE;
    s->next_free = log->free;
    log->free = number;
}

static void clean(struct gw_parked_log *log, struct segment *s)
{
    s->state = CLEANED;
    log->cleaned++;
    for (uint32_t i = 0; i < log->numbers; i++)
        if (s->owner[i] != NOBODY)
            log->again(log->opaque, (unsigned)(s->owner[i] >> 40), s->owner[i] & ((1ull << 40) - 1));
}

/* Picks the segments with the least live data, if too much of the file is garbage. Examines only a few, whatever the file's size. */
static void clean_some(struct gw_parked_log *log)
{
    uint64_t enough = gw_div_up(log->live * 5 / 4, log->numbers - 1) + SLACK;

    if (log->count <= enough || log->free != NONE)
        return;
    while (log->cleaned < CLEANED_MAX) {
        struct segment *least = NULL;

        for (uint32_t i = 0; i < GW_MIN(log->count, LOOK); i++) {
            struct segment *s = log->segments[log->looked++ % log->count];

            if (s->state == WRITTEN && (!least || s->live < least->live))
                least = s;
        }
        if (!least || least->live > log->numbers / 10 * 9)
            return;
        clean(log, least);
    }
}

static int open_segment(struct gw_parked_log *log, struct gw_error *err)
{
    struct segment *s;
    uint32_t number = 0;
    int r = 0;

    clean_some(log);
    log->piece = gw_spool_room(log->spool);
    if (!log->piece)
        return spool_failed(log, err);
    if (log->free != NONE) {
        number = log->free;
        log->free = log->segments[number]->next_free;
    } else if ((r = add_segment(log, &number, err)) < 0) {
        return r;
    }
    s = log->segments[number];
    s->state = OPEN;
    s->live = 0;
    for (uint32_t i = 0; i < log->numbers; i++)
        s->owner[i] = NOBODY;
    log->open = number;
    log->filled = 0;
    return 0;
}

/* Fills the first bytes of a segment: the file's header, or the end of the number that is never used. */
static void put_head(struct gw_parked_log *log, uint32_t number)
{
    if (number) {
        memset(log->piece, 0, HEAD);
        return;
    }
    /* Live sections start before the first page arrives. */
    log->tail.trailer.needs = GW_PARKED_NEEDS_END | (log->others ? gw_parked_needs(log->others) : 0);
    gw_parked_put_header(log->piece, &log->tail.trailer);
}

/* Checksums of the first `frames` frames of the open segment, of which the last has `bytes`. */
static void sum(struct gw_parked_log *log, uint32_t frames, uint32_t bytes)
{
    static const uint8_t zeros[HEAD];
    struct segment *s = log->segments[log->open];

    for (uint32_t i = 0; i < frames; i++) {
        size_t at = HEAD + (size_t)i * log->frame_bytes, n = i + 1 < frames ? log->frame_bytes : bytes;
        size_t here = GW_MIN(n, SEGMENT - at);

        s->crc[i] = gw_crc32c(0, log->piece + at, here);
        if (here < n)
            s->crc[i] = gw_crc32c(s->crc[i], zeros, n - here);
    }
}

static void write_segment(struct gw_parked_log *log)
{
    uint32_t number = log->open;
    size_t end = HEAD + (size_t)log->filled * log->page_bytes;

    put_head(log, number);
    memset(log->piece + end, 0, SEGMENT - end);
    sum(log, log->frames, log->frame_bytes);
    gw_spool_put(log->spool, (uint64_t)number * SEGMENT, SEGMENT);
    log->open = NONE;
    log->segments[number]->state = WRITTEN;
    if (!log->segments[number]->live)
        give_back(log, number);
}

/* ---- pages --------------------------------------------------------------------------------------------------------
 */

/* The guest may write to its memory while it is read here; then the page arrives again. */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize_thread, noinline)) static void copy(void *dst, const void *src, size_t bytes)
{
    const volatile uint64_t *from = src;
    uint64_t *to = dst;

    for (size_t i = 0; i < bytes / 8; i++)
        to[i] = from[i];
}
#else
static void copy(void *dst, const void *src, size_t bytes)
{
    memcpy(dst, src, bytes);
}
#endif

static void drop(struct gw_parked_log *log, struct block *b, uint64_t page)
{
    uint32_t number = b->number[page];
    struct segment *s;

    if (!number)
        return;
    b->number[page] = 0;
    number--;
    s = log->segments[number / log->numbers];
    s->owner[number % log->numbers] = NOBODY;
    s->live--;
    log->live--;
    if (!s->live && s->state != OPEN)
        give_back(log, number / log->numbers);
}

int gw_parked_log_page(struct gw_parked_log *log, unsigned block, uint64_t page, const void *src, struct gw_error *err)
{
    struct block *b = &log->blocks[block];
    struct segment *s;
    uint8_t *to;
    int r = log->open == NONE ? open_segment(log, err) : 0;

    if (r < 0)
        return r;
    to = log->piece + HEAD + (size_t)log->filled * log->page_bytes;
    copy(to, src, log->page_bytes);
    drop(log, b, page);
    /* `to` is not aligned to 64, as gw_zero_page requires. */
    if (log->zero->all(to, log->page_bytes))
        return 0;
    s = log->segments[log->open];
    s->owner[log->filled] = (uint64_t)block << 40 | page;
    s->live++;
    log->live++;
    b->number[page] = log->open * log->numbers + log->filled + 1;
    /* The segment's last number is never used. */
    if (++log->filled == log->numbers - 1)
        write_segment(log);
    return 0;
}

/* ---- the end ------------------------------------------------------------------------------------------------------
 */

static int put(void *opaque, const void *src, size_t bytes, struct gw_error *err)
{
    struct gw_parked_log *log = opaque;

    return gw_append_put(&log->append, src, bytes, err);
}

/* The tail begins after the last page of the open segment or, if that is full, in a new segment. */
static int begin_tail(struct gw_parked_log *log, struct gw_error *err)
{
    struct gw_parked_tail *t = &log->tail;
    uint64_t at;
    size_t fill;

    if (log->open != NONE && !log->segments[log->open]->live) {
        /* It is the last one, or what lies there since it was last written has the checksums that it had. */
        give_back(log, log->open);
        log->open = NONE;
    }
    if (log->open != NONE && log->open + 1 < log->count)
        write_segment(log);
    if (log->open == NONE) {
        while (log->count && log->segments[log->count - 1]->state == FREE)
            free(log->segments[--log->count]);
        log->filled = 0;
        log->piece = gw_spool_room(log->spool);
        if (!log->piece)
            return spool_failed(log, err);
        put_head(log, log->count);
        at = (uint64_t)log->count * SEGMENT;
        t->trailer.numbers = (uint64_t)log->count * log->numbers;
    } else {
        uint32_t bytes = log->filled * log->page_bytes, frames = (uint32_t)gw_div_up(bytes, log->frame_bytes);

        put_head(log, log->open);
        sum(log, frames, bytes - (frames ? (frames - 1) * log->frame_bytes : 0));
        at = (uint64_t)log->open * SEGMENT;
        t->trailer.numbers = (uint64_t)log->open * log->numbers + log->filled;
    }
    fill = HEAD + (size_t)log->filled * log->page_bytes;
    gw_append_begin(&log->append, log->spool, SEGMENT, log->piece, at, fill);
    log->piece = NULL;
    t->at = at + fill;
    return 0;
}

static int add_frames(struct gw_parked_log *log, struct gw_error *err)
{
    uint64_t left = log->tail.trailer.numbers * log->page_bytes;
    int r = 0;

    for (uint32_t i = 0; left && r >= 0; i++) {
        uint32_t bytes = (uint32_t)GW_MIN(left, log->frame_bytes);

        r = gw_parked_tail_frame(&log->tail, bytes, log->segments[i / log->frames]->crc[i % log->frames], err);
        left -= bytes;
    }
    return r;
}

static int add_group(struct gw_parked_log *log, const struct block *b, uint64_t first, struct gw_error *err)
{
    uint64_t end = GW_MIN(b->pages, first + GW_PARKED_GROUP_PAGES);
    uint32_t from = 0;

    for (uint64_t i = first; i < end && !from; i++)
        from = b->number[i];
    from -= from > 0;
    gw_parked_runs_begin(&log->runs, from);
    for (uint64_t i = first; i < end; i++)
        if (b->number[i])
            gw_parked_runs_page(&log->runs, b->number[i] - 1);
        else
            gw_parked_runs_zero(&log->runs, 1);
    gw_parked_runs_end(&log->runs);
    return gw_parked_tail_group(&log->tail, &log->runs, from, err);
}

int gw_parked_log_finish(struct gw_parked_log *log, const struct gw_image *image, const char *xml, uint64_t *ret_bytes,
                         struct gw_error *err)
{
    int r = begin_tail(log, err);

    if (r >= 0 && gw_parked_needs(&image->others) & ~log->tail.trailer.needs)
        r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "a live section that is not known started behind the first pages");
    if (r >= 0)
        r = add_frames(log, err);
    for (unsigned i = 0; i < log->block_count && r >= 0; i++)
        for (uint64_t at = 0; at < log->blocks[i].pages && r >= 0; at += GW_PARKED_GROUP_PAGES)
            r = add_group(log, &log->blocks[i], at, err);
    if (r >= 0)
        r = gw_parked_tail_write(&log->tail, image, xml, NULL, err);
    if (r >= 0)
        r = gw_append_end(&log->append, err);
    if (r >= 0)
        *ret_bytes = log->tail.at;
    return r;
}

/* ---- life ---------------------------------------------------------------------------------------------------------
 */

int gw_parked_log_new(struct gw_spool *spool, uint32_t page_bytes,
                      void (*again)(void *opaque, unsigned block, uint64_t page), void *opaque,
                      struct gw_parked_log **ret, struct gw_error *err)
{
    struct gw_parked_log *log = calloc(1, sizeof *log);

    if (!log)
        return gw_nomem(err, "parked file");
    *log = (struct gw_parked_log){.spool = spool,
                                  .again = again,
                                  .opaque = opaque,
                                  .zero = gw_zero_pick(),
                                  .page_bytes = page_bytes,
                                  .numbers = SEGMENT / page_bytes,
                                  .free = NONE,
                                  .open = NONE};
    log->tail.put = put;
    log->tail.opaque = log;
    log->tail.trailer.page_bytes = page_bytes;
    log->tail.trailer.frame_pages = gw_parked_frame_pages(page_bytes);
    log->frame_bytes = log->tail.trailer.frame_pages * page_bytes;
    log->frames = SEGMENT / log->frame_bytes;
    *ret = log;
    return 0;
}

void gw_parked_log_carries(struct gw_parked_log *log, const struct gw_image_others *others)
{
    log->others = others;
}

void gw_parked_log_header(const struct gw_parked_log *log, uint8_t ret[64])
{
    gw_parked_put_header(ret, &log->tail.trailer);
}

void gw_parked_log_free(struct gw_parked_log *log)
{
    if (!log)
        return;
    for (unsigned i = 0; i < log->block_count; i++)
        free(log->blocks[i].number);
    free(log->blocks);
    for (uint32_t i = 0; i < log->count; i++)
        free(log->segments[i]);
    free(log->segments);
    gw_parked_tail_close(&log->tail);
    free(log);
}

int gw_parked_log_block(struct gw_parked_log *log, uint64_t pages, struct gw_error *err)
{
    struct block *grown = realloc(log->blocks, (log->block_count + 1) * sizeof *grown), *b;

    if (!grown)
        return gw_nomem(err, "RAM blocks");
    log->blocks = grown;
    b = &grown[log->block_count];
    *b = (struct block){calloc(GW_MAX(pages, 1u), sizeof *b->number), pages};
    if (!b->number)
        return gw_nomem(err, "numbers of pages");
    log->block_count++;
    return 0;
}
