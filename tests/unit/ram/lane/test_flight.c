/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/lane/flight.h"

static const uint8_t body[8] = "contents";

/* One lane over a memory channel. Its codec makes all pages `form`; with `finish` it is one that has threads. */
struct rig {
    struct gw_codec codec;
    struct gw_layout layout;
    struct gw_source source;
    struct gw_channel *here, *there;
    struct gw_writer writer;
    struct gw_pool pool;
    struct gw_flight flight;
    enum gw_form form;
    bool fails;
    unsigned started, finished, put, marks, put_at_mark, sent, sent_at_end;
};

static int encode(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct rig *g = GW_CONTAINER(codec, struct rig, codec);

    g->started++;
    memset(batch->form, (int)g->form, batch->count);
    return g->fails ? gw_fail(err, -EIO, GW_BLAME_LOCAL, "encode") : 0;
}

static int finish(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    (void)batch;
    (void)err;
    GW_CONTAINER(codec, struct rig, codec)->finished++;
    return 0;
}

static void end(struct gw_codec *codec)
{
    struct rig *g = GW_CONTAINER(codec, struct rig, codec);

    g->sent_at_end = g->sent;
}

static struct gw_codec *codec_free(struct gw_codec *codec)
{
    (void)codec;
    return NULL;
}

static void put(struct gw_layout *layout, const struct gw_batch *batch, struct gw_writer *w)
{
    GW_CONTAINER(layout, struct rig, layout)->put++;
    for (unsigned i = 0; i < batch->count; i++)
        gw_put_ref(w, body, sizeof body);
}

static void mark(struct gw_layout *layout, enum gw_barrier kind, struct gw_writer *w)
{
    struct rig *g = GW_CONTAINER(layout, struct rig, layout);

    (void)kind;
    (void)w;
    g->marks++;
    g->put_at_mark = g->put;
}

static struct gw_layout *layout_free(struct gw_layout *layout)
{
    (void)layout;
    return NULL;
}

static void sent(struct gw_source *source, struct gw_batch *batch)
{
    (void)batch;
    GW_CONTAINER(source, struct rig, source)->sent++;
}

static void open_rig(struct rig *g, enum gw_form form, bool threads)
{
    *g = (struct rig){
        .codec = {.encode = encode, .finish = threads ? finish : NULL, .end = end, .free = codec_free},
        .layout = {.put = put, .barrier = mark, .free = layout_free},
        .source = {.sent = sent},
        .form = form,
    };
    gw_pool_init(&g->pool);
    assert_int_equal(gw_pool_fill(&g->pool, 4, NULL), 0);
    assert_int_equal(gw_channel_memory_pair(4096, &g->here, &g->there, NULL), 0);
    assert_int_equal(gw_writer_init(&g->writer, g->here, NULL), 0);
    g->flight.pool = &g->pool;
    assert_int_equal(gw_lane_new(&g->layout, &g->flight.lane, NULL), 0);
    assert_int_equal(gw_lane_add(g->flight.lane, &g->codec, NULL), 0);
}

/* Every batch is back in the pool, once. */
static void close_rig(struct rig *g)
{
    gw_writer_close(&g->writer);
    gw_flight_end(&g->flight);
    assert_null(g->flight.held);
    assert_null(g->flight.flying);
    for (unsigned i = 0; i < 4; i++) {
        assert_false(gw_pool_empty(&g->pool));
        free(gw_pool_take(&g->pool, NULL));
    }
    assert_true(gw_pool_empty(&g->pool));
    gw_pool_destroy(&g->pool);
    gw_lane_free(g->flight.lane);
    gw_channel_free(g->here);
    gw_channel_free(g->there);
}

static int put_one(struct rig *g)
{
    struct gw_batch *b = gw_pool_take(&g->pool, &g->source);

    b->count = 2;
    return gw_flight_put(&g->flight, b, &g->writer, NULL);
}

/* What records reference stays until the writer has passed it on; the rest goes back at once. */
static void test_references(void **state)
{
    struct rig g;

    (void)state;
    open_rig(&g, GW_FORM_PLAIN, false);
    assert_int_equal(put_one(&g), 0);
    assert_int_equal(put_one(&g), 0);
    gw_flight_land(&g.flight, &g.writer);
    assert_int_equal(g.sent, 0);
    assert_int_equal(gw_flight_flush(&g.flight, &g.writer, NULL), 0);
    assert_int_equal(g.sent, 2);

    assert_int_equal(put_one(&g), 0);
    assert_int_equal(gw_writer_flush(&g.writer, NULL), 0);
    assert_int_equal(put_one(&g), 0);
    gw_flight_land(&g.flight, &g.writer); /* the older one only */
    assert_int_equal(g.sent, 3);
    assert_int_equal(gw_flight_await(&g.flight, &g.writer, NULL), 0);
    assert_int_equal(g.sent, 4);

    g.form = GW_FORM_ZERO;
    assert_int_equal(put_one(&g), 0);
    assert_int_equal(g.sent, 5);
    close_rig(&g);
}

/* One is held while the codec's threads work on it, and put when the next one comes, or nothing comes any more. */
static void test_held(void **state)
{
    struct rig g;

    (void)state;
    open_rig(&g, GW_FORM_PLAIN, true);
    assert_int_equal(gw_flight_finish(&g.flight, &g.writer, NULL), 0); /* of nothing */
    assert_int_equal(put_one(&g), 0);
    assert_int_equal(g.started, 1);
    assert_int_equal(g.put, 0);
    assert_int_equal(put_one(&g), 0);
    assert_int_equal(g.started, 2);
    assert_int_equal(g.put, 1);
    assert_int_equal(gw_flight_barrier(&g.flight, GW_BARRIER_STEP, &g.writer, NULL), 0);
    assert_int_equal(g.marks, 1);
    assert_int_equal(g.put_at_mark, 2);
    assert_int_equal(put_one(&g), 0);
    assert_int_equal(gw_flight_finish(&g.flight, &g.writer, NULL), 0);
    assert_int_equal(g.put, 3);
    assert_int_equal(g.finished, 3);
    close_rig(&g);
    assert_int_equal(g.sent, 3);
}

/* At the end the codec lets go of what is held before that goes back. */
static void test_end(void **state)
{
    struct rig g;

    (void)state;
    open_rig(&g, GW_FORM_PLAIN, true);
    assert_int_equal(put_one(&g), 0);
    assert_int_equal(put_one(&g), 0);
    close_rig(&g);
    assert_int_equal(g.sent_at_end, 1); /* the one that flew */
    assert_int_equal(g.sent, 2);
}

/* A batch goes back also when it could not be put, and all do when the writer has failed. */
static void test_failures(void **state)
{
    struct rig g;

    (void)state;
    for (unsigned threads = 0; threads < 2; threads++) {
        open_rig(&g, GW_FORM_PLAIN, threads);
        assert_int_equal(put_one(&g), 0);
        g.fails = true;
        assert_int_equal(put_one(&g), -EIO);
        g.fails = false;
        close_rig(&g);
        assert_int_equal(g.sent, 2);
        assert_int_equal(g.put, threads ? 0 : 1);
    }

    open_rig(&g, GW_FORM_PLAIN, false);
    assert_int_equal(put_one(&g), 0);
    gw_channel_shutdown(g.here);
    assert_true(gw_flight_flush(&g.flight, &g.writer, NULL) < 0);
    assert_int_equal(g.sent, 1);
    assert_true(put_one(&g) < 0);
    gw_flight_land(&g.flight, &g.writer);
    assert_int_equal(g.sent, 2);
    assert_true(gw_flight_barrier(&g.flight, GW_BARRIER_END, &g.writer, NULL) >= 0); /* the writer's error is told by its flush */
    assert_true(gw_flight_flush(&g.flight, &g.writer, NULL) < 0);
    close_rig(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
