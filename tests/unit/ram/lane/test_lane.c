/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/lane/lane.h"

static struct gw_ram_block block = {.name = "ram", .pages = 100};

/* A batch of pages from..from+count-1. */
static struct gw_batch *pages(unsigned from, unsigned count)
{
    static struct gw_batch batch;

    batch.block = &block;
    for (batch.count = 0; batch.count < count; batch.count++) {
        batch.form[batch.count] = GW_FORM_OPEN;
        batch.page[batch.count] = from + batch.count;
    }
    return &batch;
}

/* Claims every step-th page that is open, and writes down when it was asked. */
struct claims {
    struct gw_codec codec;
    unsigned step;
    enum gw_form form;
    int fails, begins, ends, frees;
    unsigned seen_open;
};

static int begin(struct gw_codec *codec, struct gw_error *err)
{
    struct claims *c = GW_CONTAINER(codec, struct claims, codec);

    c->begins++;
    return c->fails == -EIO ? gw_fail(err, -EIO, GW_BLAME_LOCAL, "begin") : 0;
}

static int encode(struct gw_codec *codec, struct gw_batch *batch, struct gw_error *err)
{
    struct claims *c = GW_CONTAINER(codec, struct claims, codec);

    for (unsigned i = 0; i < batch->count; i++) {
        c->seen_open += batch->form[i] == GW_FORM_OPEN;
        if (batch->form[i] == GW_FORM_OPEN && batch->page[i] % c->step == 0)
            batch->form[i] = (uint8_t)c->form;
    }
    return c->fails == -EPROTO ? gw_fail(err, -EPROTO, GW_BLAME_LOCAL, "encode") : 0;
}

static void end(struct gw_codec *codec)
{
    GW_CONTAINER(codec, struct claims, codec)->ends++;
}

static struct gw_codec *counted(struct gw_codec *codec)
{
    GW_CONTAINER(codec, struct claims, codec)->frees++;
    return NULL;
}

struct records {
    struct gw_layout layout;
    unsigned puts, open, frees;
};

static void put(struct gw_layout *layout, const struct gw_batch *batch, struct gw_writer *w)
{
    struct records *r = GW_CONTAINER(layout, struct records, layout);

    r->puts++;
    for (unsigned i = 0; i < batch->count; i++) {
        r->open += batch->form[i] == GW_FORM_OPEN;
        layout->pages[batch->form[i]]++;
        gw_put_u8(w, batch->form[i]);
    }
}

static struct gw_layout *gone(struct gw_layout *layout)
{
    GW_CONTAINER(layout, struct records, layout)->frees++;
    return NULL;
}

static struct gw_progress progress(const struct gw_lane *l)
{
    struct gw_progress sum = {0};

    gw_lane_progress(l, &sum);
    return sum;
}

#define CLAIMS(n, what)                                                                                                \
    {                                                                                                                  \
        .codec = {.begin = begin, .encode = encode, .end = end, .free = counted}, .step = n, .form = what              \
    }

static void test_chain(void **state)
{
    struct claims zero = CLAIMS(3, GW_FORM_ZERO), plain = CLAIMS(1, GW_FORM_PLAIN);
    struct records records = {.layout = {.put = put, .free = gone}};
    struct gw_lane *lane = NULL;
    struct gw_writer w;

    (void)state;
    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    assert_int_equal(gw_lane_new(&records.layout, &lane, NULL), 0);
    assert_int_equal(gw_lane_add(lane, &zero.codec, NULL), 0);
    assert_int_equal(gw_lane_add(lane, &plain.codec, NULL), 0);
    assert_int_equal(gw_lane_begin(lane, NULL), 0);
    for (unsigned from = 0; from < 100; from += 7)
        assert_int_equal(gw_lane_put(lane, pages(from, GW_MIN(7u, 100 - from)), &w, NULL), 0);
    assert_int_equal(records.puts, 15);
    assert_int_equal(records.open, 0);
    assert_int_equal(progress(lane).zero_pages, 34);
    assert_int_equal(progress(lane).plain_pages, 66);
    assert_int_equal(zero.seen_open, 100); /* the first one saw all, the second what was left */
    assert_int_equal(plain.seen_open, 66);
    gw_lane_end(lane);
    assert_null(gw_lane_free(lane));
    assert_int_equal(zero.begins + zero.ends + zero.frees + plain.begins + plain.ends + plain.frees, 6);
    assert_int_equal(records.frees, 1);
    gw_writer_close(&w);
}

/* Whoever fails, the others are not asked, nothing is put, and everything is freed once. */
static void test_failures(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        struct claims first = CLAIMS(2, GW_FORM_ZERO), second = CLAIMS(1, GW_FORM_PLAIN);
        struct records records = {.layout = {.put = put, .free = gone}};
        struct gw_error err = GW_ERROR_INIT;
        struct gw_lane *lane = NULL;
        struct gw_writer w;
        int r;

        first.fails = what == 0 ? -EIO : what == 1 ? -EPROTO : 0;
        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        assert_int_equal(gw_lane_new(&records.layout, &lane, NULL), 0);
        assert_int_equal(gw_lane_add(lane, &first.codec, NULL), 0);
        assert_int_equal(gw_lane_add(lane, &second.codec, NULL), 0);
        if (what == 2)
            gw_fail(&w.out.error, -ENOSPC, GW_BLAME_CHANNEL, "full"); /* the writer keeps it until it is asked */
        r = gw_lane_begin(lane, &err);
        if (r >= 0)
            r = gw_lane_put(lane, pages(0, 10), &w, &err);
        assert_int_equal(r, what == 0 ? -EIO : what == 1 ? -EPROTO : -ENOSPC);
        assert_int_equal(err.code, r);
        assert_int_equal(second.begins, what != 0);
        assert_int_equal(second.seen_open, what == 2 ? 5 : 0);
        assert_int_equal(records.puts, what == 2);
        gw_lane_end(lane);
        gw_lane_free(lane);
        assert_int_equal(first.ends + first.frees + second.ends + second.frees + (int)records.frees, 5);
        gw_writer_close(&w);
    }
}

/* What is given to a lane is the lane's, also when it has no room for it. */
static void test_ownership(void **state)
{
    struct claims c = CLAIMS(1, GW_FORM_PLAIN);
    struct records records = {.layout = {.put = put, .free = gone}};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_lane *lane = NULL;

    (void)state;
    assert_int_equal(gw_lane_new(&records.layout, &lane, NULL), 0);
    for (unsigned i = 0; i < GW_LANE_CODECS; i++)
        assert_int_equal(gw_lane_add(lane, &c.codec, NULL), 0);
    assert_int_equal(gw_lane_add(lane, &c.codec, &err), -ENOSPC);
    assert_int_equal(c.frees, 1);
    gw_lane_free(lane);
    assert_int_equal(c.frees, GW_LANE_CODECS + 1);
    assert_int_equal(gw_lane_new(NULL, &lane, &err), -ENOMEM);
    assert_null(gw_lane_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_ownership),
    };

    return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
