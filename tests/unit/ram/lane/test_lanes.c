/* SPDX-License-Identifier: MIT
 *
 * What lanes.h promises, with one lane on the caller's thread and with several in threads: every batch goes back to its
 * source once, no body is touched before its bytes are out, and a barrier separates what was put before it from what is
 * put after it.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/lane/lanes.h"

#define PAGES 4000u
#define MARK  (1ull << 63) /* a record that is a barrier; its kind behind it */
#define LANES 5u

static struct gw_ram_block block = {.name = "ram", .pages = PAGES};

/* ---- a source whose bodies are its own -----------------------------------------------------------------------------
 */

struct source {
    struct gw_source source;
    pthread_mutex_t lock;
    unsigned given, sent;  /* batches */
    uint64_t seed, number; /* of the next page that is given */
};

struct record {
    uint64_t page, number;
};

static uint64_t rnd(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static int next(struct gw_source *source, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    struct source *s = GW_CONTAINER(source, struct source, source);
    unsigned count = 1 + (unsigned)(rnd(&s->seed) % max);
    struct record *r = calloc(count, sizeof *r);

    batch->block = &block;
    batch->held = r;
    for (unsigned i = 0; i < count; i++) {
        r[i] = (struct record){rnd(&s->seed) % PAGES, ++s->number};
        batch->page[i] = r[i].page;
        batch->form[i] = GW_FORM_OPEN;
        batch->body[i] = (struct gw_body){(const uint8_t *)&r[i], sizeof r[i]};
    }
    batch->count = count;
    s->given++;
    return 0;
}

static void sent(struct gw_source *source, struct gw_batch *batch)
{
    struct source *s = GW_CONTAINER(source, struct source, source);

    memset(batch->held, 0xee, batch->count * sizeof(struct record)); /* who reads it later shows */
    free(batch->held);
    batch->held = NULL;
    pthread_mutex_lock(&s->lock);
    s->sent++;
    pthread_mutex_unlock(&s->lock);
}

/* ---- a codec that claims all, a layout that writes bodies and marks ------------------------------------------------
 */

static _Atomic unsigned codecs, layouts;

static int encode(struct gw_codec *c, struct gw_batch *batch, struct gw_error *err)
{
    memset(batch->form, GW_FORM_PLAIN, batch->count);
    return 0;
}

static struct gw_codec *codec_free(struct gw_codec *c)
{
    codecs--;
    free(c);
    return NULL;
}

static void put(struct gw_layout *l, const struct gw_batch *batch, struct gw_writer *w)
{
    for (unsigned i = 0; i < batch->count; i++)
        gw_put_ref(w, batch->body[i].data, batch->body[i].bytes);
    atomic_fetch_add(&l->pages[GW_FORM_PLAIN], batch->count);
}

static void mark(struct gw_layout *l, enum gw_barrier kind, struct gw_writer *w)
{
    struct record r = {MARK, kind};

    gw_put_bytes(w, &r, sizeof r);
}

static struct gw_layout *layout_free(struct gw_layout *l)
{
    layouts--;
    free(l);
    return NULL;
}

static struct gw_lane *make_lane(void)
{
    struct gw_layout *l = calloc(1, sizeof *l);
    struct gw_codec *c = calloc(1, sizeof *c);
    struct gw_lane *lane = NULL;

    *l = (struct gw_layout){.put = put, .barrier = mark, .free = layout_free};
    *c = (struct gw_codec){.encode = encode, .free = codec_free};
    layouts++;
    codecs++;
    assert_int_equal(gw_lane_new(l, &lane, NULL), 0);
    assert_int_equal(gw_lane_add(lane, c, NULL), 0);
    return lane;
}

/* ---- the far end: a thread for each channel, which keeps all records ----------------------------------------------
 */

struct far {
    struct gw_channel *here, *there;
    pthread_t thread;
    struct record *got;
    size_t count, cap;
    uint64_t cut_at; /* shuts its channel down behind so many records; 0: never */
};

struct rig {
    struct source source;
    struct far far[LANES];
    unsigned lanes, opens, fail_open; /* fail_open: the n-th open fails; 0: none */
    struct gw_lanes *out;
    struct gw_writer main;
};

static void *read_all(void *arg)
{
    struct far *f = arg;

    for (;;) {
        struct record r;

        if (f->cut_at && f->count >= f->cut_at) {
            gw_channel_shutdown(f->there);
            break;
        }
        if (gw_channel_read_full(f->there, &r, sizeof r, NULL) < 0)
            break;
        if (f->count == f->cap) {
            f->cap = f->cap ? f->cap * 2 : 4096;
            f->got = realloc(f->got, f->cap * sizeof *f->got);
        }
        f->got[f->count++] = r;
    }
    return NULL;
}

static int open_lane(void *opaque, unsigned i, struct gw_channel **ret, struct gw_error *err)
{
    struct rig *g = opaque;

    if (++g->opens == g->fail_open)
        return gw_fail(err, -ECONNREFUSED, GW_BLAME_CHANNEL, "nobody is there");
    *ret = g->far[i].here;
    return 0;
}

static void open_rig(struct rig *g, unsigned lanes, bool threads)
{
    struct gw_lanes_config config = {.open = threads ? open_lane : NULL, .opaque = g};

    g->lanes = lanes;
    g->source.source = (struct gw_source){.next = next, .sent = sent};
    pthread_mutex_init(&g->source.lock, NULL);
    assert_int_equal(gw_lanes_new(&config, &g->out, NULL), 0);
    for (unsigned i = 0; i < lanes; i++) {
        assert_int_equal(gw_channel_memory_pair(3000, &g->far[i].here, &g->far[i].there, NULL), 0);
        assert_int_equal(gw_lanes_add(g->out, make_lane(), NULL), 0);
    }
    assert_int_equal(gw_writer_init(&g->main, g->far[0].here, NULL), 0);
}

static void start_readers(struct rig *g)
{
    for (unsigned i = 0; i < g->lanes; i++)
        assert_int_equal(pthread_create(&g->far[i].thread, NULL, read_all, &g->far[i]), 0);
}

/* Ends the lanes first, as a session does that has failed: it shuts the channels down. */
static void end_rig(struct rig *g, bool readers)
{
    for (unsigned i = 0; i < g->lanes; i++)
        gw_channel_shutdown(g->far[i].here);
    gw_lanes_end(g->out);
    for (unsigned i = 0; readers && i < g->lanes; i++)
        pthread_join(g->far[i].thread, NULL);
    assert_int_equal(g->source.sent, g->source.given);
    assert_null(gw_lanes_free(g->out));
    assert_int_equal(codecs, 0);
    assert_int_equal(layouts, 0);
    gw_writer_close(&g->main);
    for (unsigned i = 0; i < g->lanes; i++) {
        gw_channel_free(g->far[i].here);
        gw_channel_free(g->far[i].there);
        free(g->far[i].got);
    }
    pthread_mutex_destroy(&g->source.lock);
    free(g);
}

static struct gw_progress progress(const struct gw_lanes *l)
{
    struct gw_progress sum = {0};

    gw_lanes_progress(l, &sum);
    return sum;
}

static int send_some(struct rig *g, unsigned batches, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < batches; i++) {
        struct gw_batch *b = NULL;

        r = gw_lanes_batch(g->out, &g->source.source, &g->main, &b, err);
        if (r < 0)
            break;
        assert_int_equal(b->count, 0);
        if (i % 7 != 3) /* a source may have nothing */
            next(&g->source.source, b, 1 + (unsigned)(rnd(&g->source.seed) % GW_BATCH_PAGES), NULL);
        r = gw_lanes_submit(g->out, b, &g->main, err);
    }
    return r;
}

/* Numbers grow in the order of submission, so behind the n-th mark every number is above all of those before it. */
static void check_order(struct rig *g, unsigned marks, const uint64_t *number_at)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < g->lanes; i++) {
        struct far *f = &g->far[i];
        unsigned n = 0;

        for (size_t k = 0; k < f->count; k++) {
            if (f->got[k].page == MARK) {
                n++;
                continue;
            }
            assert_true(f->got[k].page < PAGES); /* not a body that was given back too early */
            assert_true(!n || f->got[k].number > number_at[n - 1]);
            assert_true(n == marks || f->got[k].number <= number_at[n]);
            seen++;
        }
        assert_int_equal(n, marks);
    }
    assert_int_equal(seen, g->source.number);
}

static void run_barriers(unsigned lanes, bool threads)
{
    struct rig *g = calloc(1, sizeof *g);
    struct gw_error err = GW_ERROR_INIT;
    uint64_t number_at[8];

    open_rig(g, lanes, threads);
    start_readers(g);
    assert_int_equal(gw_lanes_begin(g->out, &err), 0);
    for (unsigned m = 0; m < GW_ARRAY_LEN(number_at); m++) {
        assert_int_equal(send_some(g, m == 5 ? 0 : 40, &err), 0);
        assert_int_equal(gw_lanes_barrier(g->out, GW_BARRIER_ROUND, &g->main, &err), 0);
        number_at[m] = g->source.number;
        if (threads)
            assert_int_equal(g->source.sent, g->source.given);
    }
    assert_int_equal(gw_writer_flush(&g->main, &err), 0);
    assert_int_equal(progress(g->out).plain_pages, g->source.number);
    assert_int_equal(gw_lanes_bytes(g->out),
                     threads ? (g->source.number + lanes * GW_ARRAY_LEN(number_at)) * sizeof(struct record) : 0);
    gw_lanes_end(g->out);
    for (unsigned i = 0; i < lanes; i++)
        gw_channel_close(g->far[i].here, NULL);
    for (unsigned i = 0; i < lanes; i++)
        pthread_join(g->far[i].thread, NULL);
    check_order(g, GW_ARRAY_LEN(number_at), number_at);
    end_rig(g, false);
}

static void test_barriers(void **state)
{
    run_barriers(1, false);
    for (unsigned lanes = 1; lanes <= LANES; lanes++)
        run_barriers(lanes, true);
}

/* One of the channels breaks behind any record: the next submit or barrier says so, nothing hangs, everything comes
 * back. */
static void test_broken(void **state)
{
    for (unsigned turn = 0; turn < 60; turn++) {
        struct rig *g = calloc(1, sizeof *g);
        struct gw_error err = GW_ERROR_INIT;
        bool threads = turn % 4;
        int r = 0;

        g->source.seed = turn;
        open_rig(g, threads ? turn % 4 : 1, threads);
        g->far[g->lanes - 1].cut_at = 1 + turn * 29;
        start_readers(g);
        assert_int_equal(gw_lanes_begin(g->out, &err), 0);
        for (unsigned i = 0; r >= 0 && i < 1000; i++) {
            r = send_some(g, 3, &err);
            if (r >= 0)
                r = gw_lanes_barrier(g->out, GW_BARRIER_STEP, &g->main, &err);
            if (r >= 0 && !threads)
                r = gw_writer_flush(&g->main, &err);
        }
        assert_true(r < 0);
        assert_int_equal(err.code, r);
        assert_int_equal(err.blame, GW_BLAME_CHANNEL);
        if (threads)
            assert_non_null(strstr(err.text, "page channel"));
        end_rig(g, true);
    }
}

/* Ended with batches anywhere, and when not all of the lanes began. */
static void test_ended(void **state)
{
    for (unsigned turn = 0; turn < 40; turn++) {
        struct rig *g = calloc(1, sizeof *g);
        struct gw_error err = GW_ERROR_INIT;
        unsigned lanes = 1 + turn % LANES;

        g->source.seed = turn;
        g->fail_open = turn % 8 == 7 ? lanes : 0;
        open_rig(g, lanes, true);
        start_readers(g);
        if (g->fail_open) {
            assert_int_equal(gw_lanes_begin(g->out, &err), -ECONNREFUSED);
        } else {
            assert_int_equal(gw_lanes_begin(g->out, &err), 0);
            assert_int_equal(send_some(g, turn % 6, &err), 0);
        }
        end_rig(g, true);
    }
    assert_null(gw_lanes_free(NULL));
}

/* ---- postcopy ------------------------------------------------------------------------------------------------------ */

static struct gw_batch *one(struct rig *g, bool urgent, bool goes_on)
{
    struct gw_batch *b = NULL;

    assert_int_equal(gw_lanes_batch(g->out, &g->source.source, &g->main, &b, NULL), 0);
    assert_false(b->urgent || b->goes_on); /* nothing of what it was before */
    next(&g->source.source, b, 8, NULL);
    b->urgent = urgent;
    b->goes_on = goes_on;
    return b;
}

static bool has(const struct far *f, uint64_t number)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->got[i].page != MARK && f->got[i].number == number)
            return true;
    return false;
}

/* What somebody waits for goes on the main stream and is gone when this returns; what goes on in a host page goes by the lane of what
 * was before it; and no lane stops at the end of a step. */
static void test_following(void **state)
{
    struct rig *g = calloc(1, sizeof *g);
    struct gw_error err = GW_ERROR_INIT;
    uint64_t on_main = 0, first[30];

    open_rig(g, 3, true);
    gw_writer_close(&g->main);
    assert_int_equal(gw_writer_init_memory(&g->main, NULL), 0);
    gw_lanes_set_urgent(g->out, make_lane());
    start_readers(g);
    assert_int_equal(gw_lanes_begin(g->out, &err), 0);
    assert_int_equal(gw_lanes_barrier(g->out, GW_BARRIER_POSTCOPY, &g->main, &err), 0);
    assert_int_equal(gw_writer_offset(&g->main), sizeof(struct record)); /* its mark */
    for (unsigned i = 0; i < 30; i++) {
        struct gw_batch *b;

        first[i] = g->source.number + 1;
        assert_int_equal(gw_lanes_submit(g->out, one(g, false, i % 10), &g->main, &err), 0);
        if (i % 3)
            continue;
        b = one(g, true, i % 2);
        on_main += b->count;
        assert_int_equal(gw_lanes_submit(g->out, b, &g->main, &err), 0);
        assert_null(b->held); /* its source has it back */
        assert_int_equal(gw_writer_passed(&g->main), gw_writer_offset(&g->main));
        assert_int_equal(gw_lanes_barrier(g->out, GW_BARRIER_STEP, &g->main, &err), 0);
    }
    assert_int_equal(gw_writer_offset(&g->main), (on_main + 11) * sizeof(struct record));
    assert_int_equal(gw_lanes_barrier(g->out, GW_BARRIER_END, &g->main, &err), 0);
    assert_int_equal(progress(g->out).plain_pages, g->source.number);
    gw_lanes_end(g->out);
    for (unsigned i = 0; i < 3; i++)
        gw_channel_close(g->far[i].here, NULL);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(g->far[i].thread, NULL);
    for (unsigned i = 0; i < 30; i++) /* each run of ten on one */
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(has(&g->far[k], first[i]), has(&g->far[k], first[i - i % 10]));
    for (unsigned k = 0; k < 3; k++) {
        unsigned marks = 0;

        for (size_t i = 0; i < g->far[k].count; i++)
            marks += g->far[k].got[i].page == MARK;
        assert_int_equal(marks, 2); /* POSTCOPY and END */
    }
    end_rig(g, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_following),
    };

    return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
