/* SPDX-License-Identifier: MIT
 *
 * The lane of urgent pages: what is asked for is written at once, whole, and nothing else is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "base/endian.h"
#include "godwit/channel.h"
#include "ram/codec/plain.h"
#include "ram/codec/zero.h"
#include "ram/lane/urgent.h"
#include "ram/layout/stream.h"
#include "ram/source/dirty.h"

#define PAGE  4096u
#define PAGES 64u

struct rig {
    struct gw_ram ram;
    struct gw_tracker *tracker;
    struct gw_source *source;
    struct gw_requests *requests;
    struct gw_urgent *urgent;
    struct gw_channel *here, *there;
    uint8_t *mem;
    pthread_mutex_t lock;
    struct gw_error why; /* it failed */
};

static void must(int r, const struct gw_error *err)
{
    if (r < 0)
        print_error("%s\n", err->text);
    assert_true(r >= 0);
}

static void failed(void *opaque, const struct gw_error *why)
{
    struct rig *t = opaque;

    pthread_mutex_lock(&t->lock);
    t->why = *why;
    pthread_mutex_unlock(&t->lock);
}

static void wake(void *opaque)
{
}

static int open_rig(void **state)
{
    struct rig *t = calloc(1, sizeof *t);
    struct gw_ram_desc d = {.name = "r", .used_bytes = PAGES * PAGE};
    struct gw_urgent_config config = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_layout *layout = NULL;
    struct gw_codec *codec = NULL;
    struct gw_source *dirty;

    pthread_mutex_init(&t->lock, NULL);
    must(gw_ram_init(&t->ram, PAGE, NULL, &err), &err);
    d.host = t->mem = aligned_alloc(PAGE, PAGES * PAGE);
    for (unsigned i = 0; i < PAGES; i++)
        memset(t->mem + i * PAGE, (int)i, PAGE);
    must(gw_ram_add(&t->ram, &d, &err), &err);
    must(gw_tracker_explicit_new(&t->ram, &t->tracker, &err), &err);
    must(gw_source_dirty_new(&t->ram, t->tracker, false, &dirty, &err), &err);
    must(gw_source_requests_new(dirty, &t->ram, &t->source, &t->requests, &err), &err);
    must(t->source->begin(t->source, (const bool[]){true}, &err), &err);
    must(gw_layout_stream_new(&t->ram, &layout, &err), &err);
    must(gw_lane_new(layout, &config.take_lane, &err), &err);
    must(gw_codec_zero_new(&codec, &err), &err);
    must(gw_lane_add(config.take_lane, codec, &err), &err);
    must(gw_codec_plain_new(&codec, &err), &err);
    must(gw_lane_add(config.take_lane, codec, &err), &err);
    config.requests = t->requests;
    config.source = t->source;
    must(gw_urgent_new(&config, &t->urgent, &err), &err);
    must(gw_channel_memory_pair(1 << 20, &t->here, &t->there, &err), &err);
    gw_requests_open(t->requests);
    must(gw_urgent_begin(t->urgent, &(struct gw_urgent_run){.channel = t->here, .failed = failed, .wake = wake, .opaque = t}, &err),
         &err);
    *state = t;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *t = *state;

    gw_requests_close(t->requests);
    gw_urgent_free(t->urgent);
    gw_channel_free(t->here);
    gw_channel_free(t->there);
    t->source->end(t->source);
    t->source->free(t->source);
    gw_tracker_free(t->tracker);
    gw_ram_close(&t->ram);
    free(t->mem);
    pthread_mutex_destroy(&t->lock);
    free(t);
    return 0;
}

static void ask(struct rig *t, unsigned page)
{
    struct gw_error err = GW_ERROR_INIT;

    must(gw_requests_ask(t->requests, "r", (uint64_t)page * PAGE, PAGE, &err), &err);
}

static uint64_t head(struct rig *t)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t b[8];

    must(gw_channel_read_full(t->there, b, sizeof b, &err), &err);
    return gw_load_be64(b);
}

static void expect(struct rig *t, const void *what, size_t bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t b[PAGE];

    must(gw_channel_read_full(t->there, b, bytes, &err), &err);
    assert_memory_equal(b, what, bytes);
}

/* docs/wire-format.md 10.6 */
static void test_records(void **state)
{
    struct rig *t = *state;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_progress sum = {0};

    ask(t, 5);
    assert_int_equal(head(t), 5 * PAGE | 0x08);
    expect(t, "\1r", 2);
    expect(t, t->mem + 5 * PAGE, PAGE);
    ask(t, 0);
    assert_int_equal(head(t), 0x02 | 0x20); /* zeros, of the same block */
    expect(t, "", 1);
    ask(t, 5); /* it went */
    ask(t, 7);
    assert_int_equal(head(t), 7 * PAGE | 0x08 | 0x20);
    expect(t, t->mem + 7 * PAGE, PAGE);
    gw_requests_finish(t->requests);
    must(gw_urgent_finish(t->urgent, &err), &err);
    must(gw_urgent_put_end(t->urgent, &err), &err);
    assert_int_equal(head(t), 0x10);
    gw_urgent_progress(t->urgent, &sum);
    assert_int_equal(sum.plain_pages, 2);
    assert_int_equal(sum.zero_pages, 1);
    assert_int_equal(t->source->pending(t->source), PAGES - 3);
}

/* Nobody reads any more: that is told once, and requests go on to be taken until there are no more. */
static void test_failed(void **state)
{
    struct rig *t = *state;
    struct gw_error err = GW_ERROR_INIT;

    gw_channel_shutdown(t->there);
    for (unsigned i = 1; i < 40; i++)
        ask(t, i);
    while (t->source->pending(t->source) > PAGES - 39)
        sched_yield();
    gw_requests_finish(t->requests);
    assert_true(gw_urgent_finish(t->urgent, &err) < 0);
    assert_non_null(strstr(err.text, "channel of urgent pages"));
    assert_int_equal(t->why.code, err.code);
}

static void test_ended_unused(void **state)
{
    gw_requests_close(((struct rig *)*state)->requests);
    gw_urgent_end(((struct rig *)*state)->urgent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_failed, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_ended_unused, open_rig, close_rig),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
