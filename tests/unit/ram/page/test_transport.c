/* SPDX-License-Identifier: MIT
 *
 * The pages that an embedder's transport has: how many are due, who waits, and whose error it is. As a codec:
 * codec/test_transport.c; its records: layout/test_transport.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/page/transport.h"

static struct {
    struct gw_transport *t;
    int answer;
    unsigned early, aborts; /* pages that are complete before take answers; calls */
    int early_result;
    const char *text;
} f;

static int take(void *opaque, const struct gw_transport_page *page, struct gw_error *err)
{
    assert_ptr_equal(opaque, &f);
    if (f.early)
        gw_transport_taken(f.t, f.early, f.early_result);
    return f.text ? gw_fail(err, f.answer, GW_BLAME_LOCAL, "%s", f.text) : f.answer;
}

static void abort_all(void *opaque)
{
    f.aborts++;
}

static const struct gw_transport_page page = {.block = "ram", .bytes = 4096};

static void up(void (*abort)(void *))
{
    struct gw_page_transport_ops ops = {GW_SIZED(struct gw_page_transport_ops), .take = take, .abort = abort};
    struct gw_error err = GW_ERROR_INIT;

    memset(&f, 0, sizeof f);
    assert_int_equal(gw_transport_new(&ops, &f, &f.t, &err), 0);
    memset(&ops, 0xee, sizeof ops); /* they were copied */
}

static int ask(int answer, struct gw_error *err)
{
    f.answer = answer;
    *err = (struct gw_error)GW_ERROR_INIT;
    return gw_transport_take(f.t, &page, err);
}

static void test_answers(void **state)
{
    struct gw_error err;

    up(NULL);
    assert_int_equal(ask(GW_TAKE_DECLINED, &err), GW_TAKE_DECLINED);
    assert_int_equal(ask(GW_TAKE_DONE, &err), GW_TAKE_DONE);
    assert_int_equal(f.t->due, 0);
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(f.t->due, 2);
    /* No answer that is known. */
    assert_int_equal(ask(GW_TAKE_LATER + 1, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    assert_string_equal(err.text, "page transport: take returned 3, which is none of its results");
    /* An error without words, and one with: the embedder's, unless it says whose. */
    assert_int_equal(ask(-EIO, &err), -EIO);
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    assert_string_equal(err.text, "page transport: take: Input/output error");
    f.text = "the card is gone";
    assert_int_equal(ask(-ENXIO, &err), -ENXIO);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "page transport: take: the card is gone");
    assert_int_equal(f.t->due, 2);
    assert_int_equal(gw_transport_result(-EIO, "begin", NULL), -EIO);
    assert_int_equal(gw_transport_result(7, "begin", NULL), 7);
    gw_transport_taken(f.t, 2, 0);
    assert_int_equal(gw_transport_wait(f.t, NULL, &err), 0);
    gw_transport_free(f.t);
    assert_null(gw_transport_free(NULL));
}

/* A page may be complete before take has answered; and never are more complete than are due. */
static void test_early(void **state)
{
    struct gw_error err;

    up(NULL);
    f.early = 1;
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(f.t->due, 0);
    assert_int_equal(gw_transport_wait(f.t, NULL, &err), 0);
    f.early = 1000;
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(f.t->due, 0);
    assert_int_equal(ask(GW_TAKE_DONE, &err), GW_TAKE_DONE);
    assert_int_equal(f.t->due, 0);
    gw_transport_taken(f.t, UINT32_MAX, 0);
    assert_int_equal(f.t->due, 0);
    gw_transport_free(f.t);
}

/* The first bad result stays: no page is asked for any more, no wait waits, until it is forgotten. */
static void test_bad_results(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    up(abort_all);
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    gw_transport_taken(f.t, 1, 0);
    gw_transport_taken(f.t, 1, -EIO);
    gw_transport_taken(f.t, 0, -ENXIO);
    assert_int_equal(gw_transport_wait(f.t, NULL, &err), -EIO);
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    assert_string_equal(err.text, "page transport: a page that it accepted was not sent: Input/output error");
    f.early = 1; /* would complete the last one, if it were asked */
    assert_int_equal(ask(GW_TAKE_LATER, &err), -EIO);
    assert_int_equal(f.t->due, 1);
    gw_transport_abort(f.t);
    assert_int_equal(f.aborts, 1);
    assert_int_equal(f.t->due, 0);
    f.early = 0;
    assert_int_equal(ask(GW_TAKE_DONE, &err), GW_TAKE_DONE);
    assert_int_equal(gw_transport_wait(f.t, NULL, &err), 0);
    /* Nothing is due: there is nothing to abort. */
    gw_transport_abort(f.t);
    assert_int_equal(f.aborts, 1);
    gw_transport_free(f.t);
}

static void *complete(void *opaque)
{
    gw_transport_taken(f.t, 1, 0);
    gw_transport_taken(f.t, 1, 0);
    return NULL;
}

static void test_waits(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_cancel *cancel;
    pthread_t thread;

    up(NULL);
    assert_int_equal(gw_cancel_new(&cancel, &err), 0);
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(pthread_create(&thread, NULL, complete, NULL), 0);
    assert_int_equal(gw_transport_wait(f.t, cancel, &err), 0);
    assert_int_equal(f.t->due, 0);
    pthread_join(thread, NULL);
    /* A cancel ends the wait, and the pages stay due. */
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    assert_int_equal(ask(GW_TAKE_LATER, &err), GW_TAKE_LATER);
    gw_cancel_trigger(cancel);
    assert_int_equal(gw_transport_wait(f.t, cancel, &err), -ECANCELED);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_int_equal(f.t->due, 2);
    /* Who cannot abort is waited for. */
    assert_int_equal(pthread_create(&thread, NULL, complete, NULL), 0);
    gw_transport_abort(f.t);
    assert_int_equal(f.t->due, 0);
    pthread_join(thread, NULL);
    /* Nothing is due: a cancel changes nothing. */
    assert_int_equal(gw_transport_wait(f.t, cancel, &err), 0);
    gw_cancel_free(cancel);
    gw_transport_free(f.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_bad_results),
        cmocka_unit_test(test_waits),
    };

    return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
