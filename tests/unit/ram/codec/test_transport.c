/* SPDX-License-Identifier: MIT
 *
 * What a page transport is asked for, what becomes of its answers, and who waits for what is not complete.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ram/codec/transport.h"

#define PAGE 4096u

static struct fake {
    struct gw_transport *t;
    struct gw_codec *codec;
    struct gw_account account;
    struct gw_cancel *cancel;
    const int *answers; /* of take, one after the other */
    unsigned asked, aborts;
    uint64_t offset[8];
    struct gw_ram_block block;
    struct gw_batch batch;
    uint8_t memory[8][PAGE];
} f;

static int take(void *opaque, const struct gw_transport_page *page, struct gw_error *err)
{
    int r = f.answers[f.asked];

    assert_string_equal(page->block, "ram");
    assert_int_equal(page->bytes, PAGE);
    assert_ptr_equal(page->data, f.memory[page->offset / PAGE]);
    f.offset[f.asked++] = page->offset;
    return r;
}

static void abort_all(void *opaque)
{
    f.aborts++;
}

static int up_with(void (*abort)(void *))
{
    struct gw_page_transport_ops ops = {GW_SIZED(struct gw_page_transport_ops), .take = take, .abort = abort};

    memset(&f, 0, sizeof f);
    strcpy(f.block.name, "ram");
    f.batch.block = &f.block;
    f.batch.count = 5;
    for (unsigned i = 0; i < f.batch.count; i++) {
        f.batch.page[i] = i;
        f.batch.body[i] = (struct gw_body){f.memory[i], PAGE};
    }
    gw_account_init(&f.account, NULL);
    return gw_cancel_new(&f.cancel, NULL) || gw_transport_new(&ops, NULL, &f.t, NULL) ||
           gw_codec_transport_new(f.t, f.cancel, &f.account, &f.codec, NULL);
}

static int up(void **state)
{
    return up_with(abort_all);
}

static int down(void **state)
{
    f.codec->free(f.codec);
    gw_transport_free(f.t);
    gw_cancel_free(f.cancel);
    return 0;
}

static int barrier(enum gw_barrier kind)
{
    return f.codec->barrier(f.codec, kind, NULL);
}

static void test_answers(void **state)
{
    static const int answers[] = {GW_TAKE_DECLINED, GW_TAKE_DONE, GW_TAKE_LATER, GW_TAKE_DECLINED};
    static const uint8_t forms[] = {GW_FORM_OPEN, GW_FORM_SAME, GW_FORM_ZERO, GW_FORM_SAME, GW_FORM_OPEN};
    struct gw_progress sum = {0};

    f.answers = answers;
    f.batch.form[2] = GW_FORM_ZERO; /* claimed already: not asked */
    assert_int_equal(f.codec->encode(f.codec, &f.batch, NULL), 0);
    assert_int_equal(f.asked, 4);
    assert_memory_equal(f.batch.form, forms, sizeof forms);
    assert_int_equal(f.offset[2], 3 * PAGE);
    f.codec->progress(f.codec, &sum);
    assert_int_equal(sum.plain_pages, 2);
    assert_int_equal(gw_account_bytes(&f.account), 2 * PAGE);
    assert_int_equal(barrier(GW_BARRIER_STEP), 0); /* a pass goes on */
    gw_transport_taken(f.t, 1, 0);
    gw_transport_taken(f.t, 7, 0); /* more than were taken */
    for (enum gw_barrier kind = 0; kind < GW_BARRIER_COUNT; kind++)
        assert_int_equal(barrier(kind), 0);
    f.codec->end(f.codec);
    assert_int_equal(f.aborts, 0);
}

static void test_failures(void **state)
{
    static const int bad[] = {-EIO, 3}, later[] = {GW_TAKE_LATER, GW_TAKE_LATER, GW_TAKE_LATER, GW_TAKE_LATER, GW_TAKE_LATER};
    struct gw_error err = GW_ERROR_INIT;

    f.answers = bad;
    assert_int_equal(f.codec->encode(f.codec, &f.batch, &err), -EIO);
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    err = (struct gw_error)GW_ERROR_INIT;
    assert_int_equal(f.codec->encode(f.codec, &f.batch, &err), -EINVAL);
    assert_string_equal(err.text, "page transport: take returned 3, which is none of its results");
    assert_int_equal(barrier(GW_BARRIER_END), 0); /* nothing is due of these */
    f.answers = later;
    f.asked = 0;
    assert_int_equal(f.codec->encode(f.codec, &f.batch, NULL), 0);
    gw_transport_taken(f.t, 1, -ENOLINK);
    assert_int_equal(barrier(GW_BARRIER_ROUND), -ENOLINK); /* at once: four are due, and will not be waited for */
    f.batch.form[0] = GW_FORM_OPEN;
    assert_int_equal(f.codec->encode(f.codec, &f.batch, &err), -ENOLINK);
    f.codec->end(f.codec);
    assert_int_equal(f.aborts, 1);
    assert_int_equal(barrier(GW_BARRIER_END), 0); /* forgotten: another session may begin */
}

static void *complete(void *arg)
{
    for (unsigned i = 0; i < 5; i++) {
        gw_clock_real.sleep_ns(NULL, GW_NS_PER_MS);
        gw_transport_taken(f.t, 1, 0);
    }
    return NULL;
}

static void test_waits(void **state)
{
    static const int later[] = {GW_TAKE_LATER, GW_TAKE_LATER, GW_TAKE_LATER, GW_TAKE_LATER, GW_TAKE_LATER};

    for (unsigned way = 0; way < 4; way++) {
        pthread_t thread;

        down(state);
        assert_int_equal(up_with(way == 3 ? NULL : abort_all), 0);
        f.answers = later;
        assert_int_equal(f.codec->encode(f.codec, &f.batch, NULL), 0);
        if (way == 2) {
            gw_cancel_trigger(f.cancel);
            assert_int_equal(barrier(GW_BARRIER_SWITCH), -ECANCELED);
            f.codec->end(f.codec);
            assert_int_equal(f.aborts, 1);
            continue;
        }
        assert_int_equal(pthread_create(&thread, NULL, complete, NULL), 0);
        if (way == 3)
            f.codec->end(f.codec); /* no abort: waits until all are complete */
        else
            assert_int_equal(barrier(way ? GW_BARRIER_END : GW_BARRIER_ROUND), 0);
        assert_int_equal(f.t->due, 0);
        pthread_join(thread, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, up, down),
        cmocka_unit_test_setup_teardown(test_failures, up, down),
        cmocka_unit_test_setup_teardown(test_waits, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
