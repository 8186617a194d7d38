/* SPDX-License-Identifier: MIT
 *
 * The channel of urgent pages at a source: whether there can be one, when it is dialled, how it ends, and what its failure does.
 */
#include "engine/pages.h"
#include "source.h"

#include "ram/codec/plain.h"
#include "ram/layout/stream.h"
#include "ram/source/dirty.h"

static struct gw_error err;
static struct gw_source *pages;
static struct gw_requests *requests;
static struct gw_channel *dialled, *there; /* the urgent one: what was dialled last, and its other end */
static int dial_fails;

static int dial(void *opaque, enum gw_link purpose, unsigned index, struct gw_cancel *cancel, struct gw_channel **ret, struct gw_error *e)
{
    rig_say("dial(%d,%u) ", (int)purpose, index);
    assert_ptr_equal(opaque, &dialled); /* on the test's own thread */
    assert_ptr_equal(cancel, s->session.cancel);
    if (dial_fails)
        return gw_fail(e, dial_fails, GW_BLAME_CHANNEL, "nobody listens");
    if (gw_channel_memory_pair(DUPLEX_BYTES, &dialled, &there, e) < 0)
        return -ENOMEM;
    *ret = dialled;
    return 0;
}

/* The plan has no lane of urgent pages. */
static int up(void **state)
{
    if (source_up(state))
        return -1;
    err = (struct gw_error)GW_ERROR_INIT;
    dialled = there = NULL;
    pages = NULL;
    requests = NULL;
    dial_fails = 0;
    rig.vm->dial_pages.dial = dial;
    rig.vm->dial_pages.opaque = &dialled;
    rig.log[0] = 0;
    return 0;
}

static int down(void **state)
{
    if (requests)
        gw_requests_close(requests);
    gw_preempt_end(s);
    s->plan.urgent = gw_urgent_free(s->plan.urgent);
    if (pages) {
        pages->end(pages);
        pages->free(pages);
    }
    gw_channel_free(there);
    return source_down(state);
}

/* It has one, for the pages of the machine. */
static void plan_urgent(void)
{
    struct gw_urgent_config config = {0};
    struct gw_layout *layout = NULL;
    struct gw_codec *codec = NULL;
    struct gw_source *dirty = NULL;

    assert_int_equal(gw_source_dirty_new(&rig.vm->ram, rig.vm->tracker, false, &dirty, &err), 0);
    assert_int_equal(gw_source_requests_new(dirty, &rig.vm->ram, &pages, &requests, &err), 0);
    assert_int_equal(pages->begin(pages, (const bool[]){true}, &err), 0);
    assert_int_equal(gw_layout_stream_new(&rig.vm->ram, &layout, &err), 0);
    assert_int_equal(gw_lane_new(layout, &config.take_lane, &err), 0);
    assert_int_equal(gw_codec_plain_new(&codec, &err), 0);
    assert_int_equal(gw_lane_add(config.take_lane, codec, &err), 0);
    config.requests = requests;
    config.source = pages;
    assert_int_equal(gw_urgent_new(&config, &s->plan.urgent, &err), 0);
    gw_requests_open(requests);
}

static void begin(void)
{
    plan_urgent();
    assert_int_equal(gw_preempt_open(s, s->preempt_first, &err), 0);
    assert_int_equal(gw_preempt_begin(s, &err), 0);
}

static void ask(unsigned page)
{
    assert_int_equal(gw_requests_ask(requests, "ram", (uint64_t)page * RIG_PAGE, RIG_PAGE, &err), 0);
}

static void test_not_planned(void **state)
{
    for (unsigned first = 0; first < 2; first++) {
        s->preempt_first = first;
        assert_int_equal(gw_preempt_open(s, first, &err), 0);
        assert_int_equal(gw_preempt_begin(s, &err), 0);
        assert_int_equal(gw_preempt_finish(s, &err), 0);
        assert_int_equal(gw_preempt_put_end(s, &err), 0);
        gw_preempt_end(s);
    }
    assert_null(s->urgent);
    rig_said("");
}

/* At its time only, once, and one of the session's channels until it ends. */
static void test_dialled(void **state)
{
    plan_urgent();
    for (unsigned first = 0; first < 2; first++) {
        s->preempt_first = first;
        assert_int_equal(gw_preempt_open(s, !first, &err), 0);
        assert_null(s->urgent);
        rig_said("");
        assert_int_equal(gw_preempt_open(s, first, &err), 0);
        assert_ptr_equal(s->urgent, dialled);
        assert_ptr_equal(s->session.links.place[GW_LINK_URGENT], dialled);
        assert_true(s->urgent->timeout_ns == s->timeout_ns);
        rig_said("dial(1,0) ");
        gw_preempt_end(s);
        assert_null(s->urgent);
        assert_null(s->session.links.place[GW_LINK_URGENT]);
        there = gw_channel_free(there);
    }
}

static void test_nobody_listens(void **state)
{
    plan_urgent();
    dial_fails = -ECONNREFUSED;
    rig_fails(gw_preempt_open(s, false, &err), -ECONNREFUSED, &err, "channel of urgent pages: nobody listens");
    assert_null(s->urgent);
    assert_null(s->session.links.place[GW_LINK_URGENT]);
    gw_preempt_end(s);
}

/* What comes by the urgent channel: one page; and behind it, at the end, the mark, or nothing. */
static void goes(bool first)
{
    static uint8_t got[8 + 1 + 3 + RIG_PAGE];

    s->preempt_first = first;
    begin();
    ask(3);
    assert_int_equal(gw_channel_read_full(there, got, sizeof got, &err), 0);
    assert_int_equal(gw_load_be64(got), 3 * RIG_PAGE | 0x08);
    assert_memory_equal(got + 12, rig.ram + 3 * RIG_PAGE, RIG_PAGE);
    gw_requests_finish(requests);
    assert_int_equal(gw_preempt_finish(s, &err), 0);
    assert_int_equal(gw_preempt_put_end(s, &err), 0);
    assert_int_equal(gw_channel_close(s->urgent, &err), 0);
    if (first) {
        assert_int_equal(gw_channel_read_full(there, got, 8, &err), 0);
        assert_int_equal(gw_load_be64(got), 0x10);
    }
    assert_true(gw_channel_read_full(there, got, 1, NULL) < 0); /* and nothing else */
    assert_int_equal(s->urgent_error.code, 0);
    assert_string_equal(sent(), ""); /* on the main channel */
}

static void test_newer_peers(void **state)
{
    goes(false);
}

static void test_old_peers(void **state)
{
    goes(true);
}

/* The session's thread may be waiting for the main channel: that ends, and why is kept. */
static void test_fails(void **state)
{
    uint8_t byte;

    begin();
    gw_channel_shutdown(there);
    ask(1);
    assert_true(gw_channel_read_full(far, &byte, 1, NULL) < 0); /* waits for the end of the main channel */
    gw_requests_finish(requests);
    assert_true(gw_preempt_finish(s, &err) < 0);
    assert_non_null(strstr(err.text, "channel of urgent pages"));
    pthread_mutex_lock(&s->session.lock);
    assert_int_equal(s->urgent_error.code, err.code);
    assert_string_equal(s->urgent_error.text, err.text);
    pthread_mutex_unlock(&s->session.lock);
}

#define preempt_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        preempt_test(test_not_planned), preempt_test(test_dialled), preempt_test(test_nobody_listens), preempt_test(test_newer_peers),
        preempt_test(test_old_peers),   preempt_test(test_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
