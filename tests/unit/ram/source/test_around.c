/* SPDX-License-Identifier: MIT
 *
 * A source around another one: what is passed on, and what is not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ram/source/around.h"

/* The inner source: which call came last, whether its arguments were those of this test, and what it returns. */
static struct {
    const char *called;
    bool right;
    int returns;
    struct gw_ram_block block;
    struct gw_batch batch;
    struct gw_error err;
    bool goes[1];
} in;

static struct gw_source fake;

static void came(const char *what, const struct gw_source *s, bool right)
{
    in.called = what;
    in.right = s == &fake && right;
}

static int fake_begin(struct gw_source *s, const bool *goes, struct gw_error *err)
{
    came("begin", s, goes == in.goes && err == &in.err);
    return in.returns;
}

static int fake_next(struct gw_source *s, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    came("next", s, batch == &in.batch && max == 7 && err == &in.err);
    return in.returns;
}

static int fake_sync(struct gw_source *s, uint64_t *ret_fresh, struct gw_error *err)
{
    came("sync", s, err == &in.err);
    *ret_fresh = 77;
    return in.returns;
}

static uint64_t fake_pending(struct gw_source *s)
{
    came("pending", s, true);
    return 1ull << 40;
}

static void fake_sent(struct gw_source *s, struct gw_batch *batch)
{
    came("sent", s, batch == &in.batch);
}

static int fake_wait(struct gw_source *s, uint64_t ns, struct gw_error *err)
{
    came("wait", s, ns == 1ull << 41 && err == &in.err);
    return in.returns;
}

static void fake_end(struct gw_source *s)
{
    came("end", s, true);
}

static bool fake_due(struct gw_source *s, const struct gw_ram_block *b, uint64_t from, uint64_t *ret_first, uint64_t *ret_end)
{
    came("due", s, b == &in.block && from == 3);
    *ret_first = 4;
    *ret_end = 6;
    return true;
}

static void fake_owe(struct gw_source *s, struct gw_ram_block *b, uint64_t first, uint64_t count)
{
    came("owe", s, b == &in.block && first == 8 && count == 9);
}

static int fake_settle(struct gw_source *s, struct gw_ram_block *b, uint64_t first, uint64_t count, struct gw_error *err)
{
    came("settle", s, b == &in.block && first == 10 && count == 11 && err == &in.err);
    return in.returns;
}

static int fake_take(struct gw_source *s, struct gw_batch *batch, struct gw_ram_block *b, uint64_t first, uint64_t count,
                     struct gw_error *err)
{
    came("take", s, batch == &in.batch && b == &in.block && first == 12 && count == 13 && err == &in.err);
    return in.returns;
}

static const struct gw_source all = {.begin = fake_begin, .next = fake_next, .sync = fake_sync, .pending = fake_pending,
                                     .sent = fake_sent, .wait = fake_wait, .once = true, .end = fake_end, .due = fake_due,
                                     .owe = fake_owe, .settle = fake_settle, .take = fake_take};

static void reached(const char *what)
{
    assert_non_null(in.called);
    assert_string_equal(in.called, what);
    assert_true(in.right);
    in.called = NULL;
}

static int up(void **state)
{
    fake = all;
    in.called = NULL;
    in.returns = 0;
    return 0;
}

/* Each call arrives with what it was given, and what it returned comes back. */
static void test_passed_on(void **state)
{
    struct gw_around around = {0};
    struct gw_source *s = &around.source;
    uint64_t fresh, first, end;

    gw_around_init(&around, &fake);
    assert_true(s->once);
    for (in.returns = -5; in.returns <= 1; in.returns += 6) {
        assert_int_equal(s->begin(s, in.goes, &in.err), in.returns);
        reached("begin");
        assert_int_equal(s->next(s, &in.batch, 7, &in.err), in.returns);
        reached("next");
        fresh = 0;
        assert_int_equal(s->sync(s, &fresh, &in.err), in.returns);
        assert_int_equal(fresh, 77);
        reached("sync");
        assert_int_equal(s->wait(s, 1ull << 41, &in.err), in.returns);
        reached("wait");
        assert_int_equal(s->settle(s, &in.block, 10, 11, &in.err), in.returns);
        reached("settle");
        assert_int_equal(s->take(s, &in.batch, &in.block, 12, 13, &in.err), in.returns);
        reached("take");
    }
    assert_true(s->pending(s) == 1ull << 40);
    reached("pending");
    s->sent(s, &in.batch);
    reached("sent");
    assert_true(s->due(s, &in.block, 3, &first, &end));
    assert_int_equal(first, 4);
    assert_int_equal(end, 6);
    reached("due");
    s->owe(s, &in.block, 8, 9);
    reached("owe");
    s->end(s);
    reached("end");
}

/* Who looks whether a source can do something sees what the inner one can. */
static void test_not_there(void **state)
{
    struct gw_around around;

    fake.sent = NULL;
    fake.wait = NULL;
    fake.due = NULL;
    fake.owe = NULL;
    fake.settle = NULL;
    fake.take = NULL;
    fake.once = false;
    memset(&around, 0xff, sizeof around);
    gw_around_init(&around, &fake);
    assert_null(around.source.sent);
    assert_null(around.source.wait);
    assert_null(around.source.due);
    assert_null(around.source.owe);
    assert_null(around.source.settle);
    assert_null(around.source.take);
    assert_false(around.source.once);
    assert_null(around.source.free); /* whose it is sets it */
    assert_non_null(around.source.next);
}

static int own_next(struct gw_source *s, struct gw_batch *batch, unsigned max, struct gw_error *err)
{
    return 42;
}

/* What is set in place is not passed on; the rest is. */
static void test_in_place(void **state)
{
    struct gw_around around = {0};
    struct gw_source *s = &around.source;

    gw_around_init(&around, &fake);
    s->next = own_next;
    assert_int_equal(s->next(s, &in.batch, 7, &in.err), 42);
    assert_null(in.called);
    s->end(s);
    reached("end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_passed_on, up),
        cmocka_unit_test_setup(test_not_there, up),
        cmocka_unit_test_setup(test_in_place, up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
