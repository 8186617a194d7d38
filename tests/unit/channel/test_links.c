/* SPDX-License-Identifier: MIT */
#include <sched.h>

#include "helpers.h"

#include "channel/links.h"
#include "engine/classify.h"
#include "wire/greeting.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

#define SILENT_NS (30 * MS)

static const uint8_t uuid[16] = "a machine's uuid";
static const char head[] = "QEVM and what follows";

struct rig {
    struct gw_links links;
    struct gw_classify expect;
    _Atomic unsigned dropped;
    _Atomic int code; /* of the last one */
};

static void dropped(void *opaque, const char *name, const struct gw_error *why)
{
    struct rig *g = GW_CONTAINER(opaque, struct rig, expect);

    g->code = why->code;
    g->dropped++;
}

static const struct gw_links_ops ops = {.classify = gw_classify, .dropped = dropped};

static void begin(struct rig *g, unsigned pages, uint64_t hello_ns)
{
    *g = (struct rig){.expect = {.pages = pages}};
    memcpy(g->expect.uuid, uuid, sizeof uuid);
    gw_links_init(&g->links, &ops, &g->expect, hello_ns);
}

static void wait_dropped(struct rig *g, unsigned n)
{
    while (g->dropped < n)
        sched_yield();
}

static void make_pair(bool sockets, struct gw_channel **ret_a, struct gw_channel **ret_b)
{
    struct gw_error err = GW_ERROR_INIT;
    int fds[2];

    if (!sockets) {
        assert_ok(gw_channel_memory_pair(4096, ret_a, ret_b, &err), err);
        return;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_ok(gw_channel_from_fd(fds[0], "a", ret_a, &err), err);
    assert_ok(gw_channel_from_fd(fds[1], "b", ret_b, &err), err);
}

/* A source's connection, with these bytes written; it is admitted. */
static struct gw_channel *connection(struct rig *g, bool sockets, const void *bytes, size_t n)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;

    make_pair(sockets, &a, &b);
    if (n)
        assert_ok(gw_channel_write_full(a, bytes, n, &err), err);
    assert_ok(gw_links_admit(&g->links, b, &err), err);
    return a;
}

static struct gw_channel *pages_channel(struct rig *g, bool sockets, unsigned id)
{
    uint8_t bytes[GW_GREETING_BYTES + 2];
    struct gw_greeting greeting = {.channel = (uint8_t)id};

    memcpy(greeting.uuid, uuid, sizeof uuid);
    gw_greeting_put(bytes, &greeting);
    bytes[GW_GREETING_BYTES] = (uint8_t)id;
    bytes[GW_GREETING_BYTES + 1] = 77;
    return connection(g, sockets, bytes, sizeof bytes);
}

/* What came is taken and begins with these bytes; the other end goes. */
static void take(struct rig *g, enum gw_link purpose, unsigned index, const void *bytes, size_t n, struct gw_channel *a)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *channel = NULL;
    struct gw_reader *reader = NULL;
    uint8_t got[64];

    assert_ok(gw_links_wait(&g->links, purpose, index, PATIENCE_NS, &channel, &reader, &err), err);
    /* No more was read than it took to know the channel. */
    assert_true(gw_reader_buffered(reader) <= (purpose == GW_LINK_PAGES ? 0 : 4));
    assert_ok(gw_get_bytes(reader, got, n, &err), err);
    assert_memory_equal(got, bytes, n);
    gw_links_put(&g->links, purpose, index, NULL);
    gw_reader_close(reader);
    free(reader);
    gw_channel_free(channel);
    gw_channel_free(a);
}

static void test_any_order(void **state)
{
    for (unsigned order = 0; order < 24; order++) {
        struct gw_channel *a[4] = {0};
        bool sockets = order & 1;
        struct rig g;
        unsigned code = order, left[4] = {0, 1, 2, 3};

        begin(&g, 3, PATIENCE_NS);
        for (unsigned n = 4; n; code /= n--) {
            unsigned k = code % n, which = left[k];

            left[k] = left[n - 1];
            a[which] = which == 3 ? connection(&g, sockets, head, sizeof head) : pages_channel(&g, sockets, which);
        }
        take(&g, GW_LINK_MAIN, 0, head, sizeof head, a[3]);
        for (unsigned i = 0; i < 3; i++)
            take(&g, GW_LINK_PAGES, i, (uint8_t[]){(uint8_t)i, 77}, 2, a[i]);
        gw_links_fini(&g.links);
        assert_int_equal(g.dropped, 0);
    }
}

static void test_byte_by_byte(void **state)
{
    struct gw_greeting greeting = {.channel = 1};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t bytes[GW_GREETING_BYTES];
    struct gw_channel *a;
    struct rig g;

    begin(&g, 2, PATIENCE_NS);
    memcpy(greeting.uuid, uuid, sizeof uuid);
    gw_greeting_put(bytes, &greeting);
    a = connection(&g, true, NULL, 0);
    for (unsigned i = 0; i < sizeof bytes; i++, sched_yield())
        assert_ok(gw_channel_write_full(a, bytes + i, 1, &err), err);
    assert_ok(gw_channel_write_full(a, "x", 1, &err), err);
    take(&g, GW_LINK_PAGES, 1, "x", 1, a);
    gw_links_fini(&g.links);
}

static void test_duplicates(void **state)
{
    struct gw_channel *a[2], *b[2];
    struct rig g;

    begin(&g, 2, PATIENCE_NS);
    for (unsigned i = 0; i < 2; i++) {
        a[i] = i ? connection(&g, true, head, sizeof head) : pages_channel(&g, false, 1);
        for (bool there = false; !there; sched_yield()) {
            pthread_mutex_lock(&g.links.lock);
            there = g.links.place[i ? GW_LINK_MAIN : GW_LINK_PAGES + 1].channel;
            pthread_mutex_unlock(&g.links.lock);
        }
        b[i] = i ? connection(&g, true, head, sizeof head) : pages_channel(&g, true, 1);
        wait_dropped(&g, i + 1);
        assert_int_equal(g.code, -EEXIST);
        gw_channel_free(b[i]);
    }
    take(&g, GW_LINK_PAGES, 1, (uint8_t[]){1, 77}, 2, a[0]);
    take(&g, GW_LINK_MAIN, 0, head, sizeof head, a[1]);
    gw_links_fini(&g.links);
}

static void test_strangers(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int code;
    } cases[] = {
        {"GET / HTTP/1.1", 14, -EPROTO},
        {"\0\0\0\0\0\0\0\x08", 8, -EPROTO}, /* a record: nothing urgent is expected */
        {"\x08\0\x0a\0\2\1r", 7, -EPROTO},  /* recovery: nothing is broken */
        {"QEV", 3, -ENODATA},
        {"", 0, -ENODATA},
    };
    struct rig g;
    unsigned n = 0;

    begin(&g, 4, PATIENCE_NS);
    for (unsigned i = 0; i < GW_ARRAY_LEN(cases); i++) {
        gw_channel_free(connection(&g, false, cases[i].bytes, cases[i].n));
        wait_dropped(&g, ++n);
        assert_int_equal(g.code, cases[i].code);
    }
    for (unsigned cut = 0; cut <= GW_GREETING_BYTES; cut++)
        for (unsigned wrong = 0; wrong < 3; wrong++) {
            struct gw_greeting greeting = {.channel = wrong == 0 ? 4 : wrong == 1 ? 255 : 0};
            uint8_t bytes[GW_GREETING_BYTES];

            memcpy(greeting.uuid, uuid, sizeof uuid);
            greeting.uuid[15] ^= wrong == 2;
            gw_greeting_put(bytes, &greeting);
            gw_channel_free(connection(&g, cut & 1, bytes, cut));
            wait_dropped(&g, ++n);
            assert_int_equal(g.code, cut < GW_GREETING_BYTES ? -ENODATA : -EPROTO);
        }
    g.expect.pages = 0;
    gw_channel_free(pages_channel(&g, false, 0));
    wait_dropped(&g, ++n);
    assert_int_equal(g.code, -EPROTO);
    for (unsigned i = 0; i < GW_ARRAY_LEN(g.links.place); i++)
        assert_null(g.links.place[i].channel);
    gw_links_fini(&g.links);
}

/* Silent ones go after their time; so do those that stop in the middle. Where an urgent channel is expected, one that
 * says nothing is it, and what comes later is read. */
static void test_silence(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a[3];
    struct rig g;

    begin(&g, 2, SILENT_NS);
    a[0] = connection(&g, true, NULL, 0);
    a[1] = connection(&g, false, "QE", 2);
    wait_dropped(&g, 2);
    assert_int_equal(g.code, -ETIMEDOUT);
    g.expect.urgent = true;
    a[2] = connection(&g, true, NULL, 0);
    assert_int_equal(gw_links_wait(&g.links, GW_LINK_PAGES, 0, 2 * SILENT_NS, NULL, NULL, &err), -ETIMEDOUT);
    assert_text(err, "has not come");
    assert_ok(gw_channel_write_full(a[2], "later", 5, &err), err);
    take(&g, GW_LINK_URGENT, 0, "later", 5, a[2]);
    a[2] = connection(&g, false, "\0\0\0\0\0\0\0\x08", 8);
    take(&g, GW_LINK_URGENT, 0, "\0\0\0\0\0\0\0\x08", 8, a[2]);
    g.expect.recover = true;
    a[2] = connection(&g, false, "\x08\0\x0a\0\2\1r", 7);
    take(&g, GW_LINK_RECOVER, 0, "\x08\0\x0a\0\2\1r", 7, a[2]);
    gw_channel_free(connection(&g, false, head, sizeof head)); /* not now */
    wait_dropped(&g, 3);
    gw_channel_free(a[0]);
    gw_channel_free(a[1]);
    gw_links_fini(&g.links);
}

static void test_too_many(void **state)
{
    struct gw_channel *a[GW_LINKS_ADMIT], *x, *y;
    struct gw_error err = GW_ERROR_INIT;
    struct rig g;

    begin(&g, 2, PATIENCE_NS);
    for (unsigned i = 0; i < GW_LINKS_ADMIT; i++)
        a[i] = connection(&g, false, NULL, 0);
    make_pair(true, &x, &y);
    assert_int_equal(gw_links_admit(&g.links, y, &err), -EBUSY);
    gw_channel_free(x);
    gw_channel_free(a[5]);
    wait_dropped(&g, 1);
    for (x = NULL; !x; sched_yield()) { /* its thread is about to end */
        make_pair(true, &x, &y);
        if (gw_links_admit(&g.links, y, &err) < 0)
            x = gw_channel_free(x);
    }
    assert_ok(gw_channel_write_full(x, head, sizeof head, &err), err);
    take(&g, GW_LINK_MAIN, 0, head, sizeof head, x);
    gw_links_fini(&g.links); /* ends the silent ones */
    for (unsigned i = 0; i < GW_LINKS_ADMIT; i++)
        if (i != 5)
            gw_channel_free(a[i]);
}

struct dialer {
    struct gw_links *links;
    struct gw_channel *other;
    bool shut; /* while it dials */
};

static int dial(void *opaque, enum gw_link purpose, unsigned index, struct gw_cancel *cancel, struct gw_channel **ret,
                struct gw_error *err)
{
    struct dialer *d = opaque;
    int r;

    if (index == 7)
        return gw_fail(err, -ECONNREFUSED, GW_BLAME_CHANNEL, "nobody listens");
    r = gw_channel_memory_pair(4096, ret, &d->other, err);
    if (d->shut)
        gw_links_shut(d->links);
    return r;
}

static void test_dialing(void **state)
{
    struct gw_channel *main_channel = NULL, *b = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_links l;
    struct dialer d = {.links = &l};

    gw_links_init(&l, NULL, NULL, 0);
    assert_ok(gw_links_open(&l, dial, &d, GW_LINK_MAIN, 0, NULL, &main_channel, &err), err);
    gw_channel_free(d.other);
    assert_int_equal(gw_links_open(&l, dial, &d, GW_LINK_MAIN, 0, NULL, &b, &err), -EEXIST);
    gw_channel_free(d.other);
    assert_int_equal(gw_links_open(&l, dial, &d, GW_LINK_MAIN, 1, NULL, &b, &err), -ERANGE);
    assert_int_equal(gw_links_open(&l, dial, &d, GW_LINK_PAGES, GW_LINKS_PAGES, NULL, &b, &err), -ERANGE);
    assert_int_equal(gw_links_open(&l, dial, &d, GW_LINK_PAGES, 7, NULL, &b, &err), -ECONNREFUSED);
    assert_null(b);
    d.shut = true;
    assert_ok(gw_links_open(&l, dial, &d, GW_LINK_PAGES, GW_LINKS_PAGES - 1, NULL, &b, &err), err);
    assert_int_equal(gw_channel_write_full(b, "x", 1, &err), -ECANCELED);
    assert_int_equal(gw_channel_write_full(main_channel, "x", 1, &err), -ECANCELED);
    gw_links_fini(&l);
    gw_channel_free(main_channel);
    gw_channel_free(b);
    gw_channel_free(d.other);
}

static void *shut_main(void *opaque)
{
    gw_links_shut(opaque);
    return NULL;
}

/* Another thread shuts at a random moment of everything: nobody hangs, nothing leaks, nothing is usable afterwards. */
static void test_cancel(void **state)
{
    for (unsigned i = 0; i < 150; i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_channel *a[3] = {0}, *b[3] = {0}, *channel = NULL;
        struct gw_reader *reader = NULL;
        pthread_t thread;
        struct rig g;
        int r;

        begin(&g, 2, PATIENCE_NS);
        for (unsigned k = 0; k < 3; k++) {
            make_pair(i & 1, &a[k], &b[k]);
            if (k < 2) /* the last one says nothing */
                gw_channel_write_full(a[k], head, sizeof head, &err);
        }
        assert_int_equal(pthread_create(&thread, NULL, shut_main, &g.links), 0);
        for (unsigned k = 0; k < i % 9; k++)
            sched_yield();
        for (unsigned k = 0; k < 3; k++) {
            r = gw_links_admit(&g.links, b[k], &err);
            assert_true(r == 0 || r == -ECANCELED);
        }
        r = gw_links_wait(&g.links, GW_LINK_MAIN, 0, 0, &channel, &reader, &err);
        assert_true(r == 0 || r == -ECANCELED);
        pthread_join(thread, NULL);
        assert_int_equal(gw_links_wait(&g.links, GW_LINK_PAGES, 0, 0, &channel, &reader, &err), -ECANCELED);
        if (r == 0) {
            assert_int_equal(gw_channel_write_full(channel, "x", 1, &err), -ECANCELED);
            gw_links_put(&g.links, GW_LINK_MAIN, 0, NULL);
            gw_reader_close(reader);
            free(reader);
            gw_channel_free(channel);
        }
        gw_links_fini(&g.links);
        for (unsigned k = 0; k < 3; k++)
            gw_channel_free(a[k]);
    }
}

/* Put after the shut: shut at once. Put and removed: left alone. */
static void test_put(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_links l;

    gw_links_init(&l, NULL, NULL, 0);
    make_pair(false, &a, &b);
    gw_links_put(&l, GW_LINK_PAGES, GW_LINKS_PAGES - 1, a);
    gw_links_put(&l, GW_LINK_PAGES, GW_LINKS_PAGES - 1, NULL);
    gw_links_shut(&l);
    assert_ok(gw_channel_write_full(a, "x", 1, &err), err);
    gw_links_put(&l, GW_LINK_URGENT, 0, a);
    assert_int_equal(gw_channel_write_full(a, "x", 1, &err), -ECANCELED);
    gw_links_fini(&l);
    gw_channel_free(a);
    gw_channel_free(b);
}

static void test_nothing_left(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    unsigned n = 0;
    int r = -1;

    while (r < 0) {
        struct gw_channel *a, *b;
        struct rig g;

        begin(&g, 2, PATIENCE_NS);
        make_pair(true, &a, &b);
        countdown = ++n;
        r = gw_links_admit(&g.links, b, &err);
        countdown = 0;
        if (r < 0)
            assert_int_equal(r, -ENOMEM);
        gw_links_fini(&g.links);
        gw_channel_free(a);
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),    cmocka_unit_test(test_byte_by_byte), cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_strangers),    cmocka_unit_test(test_silence),      cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_dialing),      cmocka_unit_test(test_cancel),       cmocka_unit_test(test_put),
        cmocka_unit_test(test_nothing_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
