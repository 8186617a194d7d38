/* SPDX-License-Identifier: MIT
 *
 * What a connection at the door is, told by what it says; and one that says nothing.
 */
#include "rig.h"

#include <sched.h>

#include "engine/recv.h"
#include "engine/visitor.h"
#include "wire/numbers.h"

static struct gw_recv *r;
static struct gw_visitor v;
static struct gw_channel *far;

static int up(void **state)
{
    if (rig_up(state))
        return -1;
    r = calloc(1, sizeof *r);
    r->hello_ns = 3600 * GW_NS_PER_S;
    v = (struct gw_visitor){.used = false};
    far = NULL;
    return gw_session_init(&r->session, rig.vm, rig_event, NULL, NULL);
}

static int down(void **state)
{
    if (v.used)
        gw_visitor_drop(&v);
    gw_channel_free(far);
    gw_session_close(&r->session);
    free(r);
    return rig_down(state);
}

static void comes(const void *says, size_t bytes)
{
    struct gw_channel *near;

    if (v.used)
        gw_visitor_drop(&v);
    gw_channel_free(far);
    assert_int_equal(gw_channel_memory_pair(4096, &near, &far, NULL), 0);
    if (bytes)
        assert_int_equal(gw_channel_write_full(far, says, bytes, NULL), 0);
    assert_int_equal(gw_visitor_begin(&v, r, near, NULL), 0);
}

static bool is(const bool *what)
{
    bool is;

    pthread_mutex_lock(&r->session.lock);
    is = *what;
    pthread_mutex_unlock(&r->session.lock);
    return is;
}

static void done(void)
{
    while (!is(&v.done))
        sched_yield();
}

/* Offset 0 has four bytes that are zeros in front. */
static void test_urgent(void **state)
{
    static const uint8_t records[][8] = {{0, 0, 0, 0, 0, 0, 0x10, 8}, {0, 0, 1, 0, 0, 0, 0, 2}, {0, 0, 0, 0, 0, 0, 0, 0x10}};

    r->classify.urgent = true;
    for (size_t i = 0; i < GW_ARRAY_LEN(records); i++) {
        const uint8_t *first;

        comes(records[i], 8);
        done();
        assert_int_equal(v.result, 0);
        assert_true(v.urgent);
        assert_int_equal(gw_reader_need(&v.reader, 8, &first, NULL), 0); /* nothing of it is lost */
        assert_memory_equal(first, records[i], 8);
    }
    r->classify.urgent = false;
    comes(records[0], 8);
    done();
    assert_true(v.result < 0 && !v.urgent);
    r->classify.urgent = true;
    comes("GET / HTTP/1.0\r\n", 16);
    done();
    assert_true(v.result < 0 && !v.urgent);
    assert_non_null(strstr(v.error.text, "not a migration stream"));
}

/* It has all the time until it has begun, and then as much as others. */
static void test_silent(void **state)
{
    r->classify.urgent = true;
    comes(NULL, 0);
    assert_false(is(&v.spoke));
    assert_int_equal(v.channel->timeout_ns, 0);
    assert_int_equal(gw_channel_write_full(far, "\0\0\0\0", 4, NULL), 0);
    while (!is(&v.spoke))
        sched_yield();
    assert_int_equal(v.channel->timeout_ns, r->hello_ns);
    assert_false(is(&v.done));
    gw_channel_write_full(far, "\0\0\x10\x02", 4, NULL);
    done();
    assert_true(v.urgent);
    r->classify.urgent = false;
    comes(NULL, 0);
    assert_int_equal(v.channel->timeout_ns, r->hello_ns);
}

static void test_recover(void **state)
{
    r->classify.recover = true;
    comes("\x08\0\x0a\0\4\3ram", 9);
    done();
    assert_int_equal(v.result, 0);
    assert_true(v.recover && !v.urgent);
    comes("QEVM\0\0\0\3", 8);
    done();
    assert_int_equal(v.result, -EPROTO);
    comes(NULL, 0);
    assert_int_equal(gw_channel_close(far, NULL), 0);
    done();
    rig_fails(v.result, -ENODATA, &v.error, "ended before it sent anything");
}

/* One that says nothing for ever goes at once. */
static void test_dropped(void **state)
{
    uint8_t byte;

    r->classify.urgent = true;
    comes(NULL, 0);
    gw_visitor_drop(&v);
    assert_false(v.used);
    assert_true(gw_channel_read_full(far, &byte, 1, NULL) < 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_urgent), T(test_silent), T(test_recover), T(test_dropped)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
