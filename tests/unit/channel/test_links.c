/* SPDX-License-Identifier: MIT */
#include "helpers.h"

#include "channel/links.h"

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

    gw_links_init(&l);
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

/* Put after the shut: shut at once. Put and removed: left alone. */
static void test_put(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_links l;

    gw_links_init(&l);
    assert_ok(gw_channel_memory_pair(4096, &a, &b, &err), err);
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

/* The channels for pages alone; and all, whoever has put them. */
static void test_shut(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a[2], *b[2];
    struct gw_links l;

    gw_links_init(&l);
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(gw_channel_memory_pair(4096, &a[i], &b[i], &err), err);
        gw_links_put(&l, i ? GW_LINK_PAGES : GW_LINK_MAIN, 0, a[i]);
    }
    gw_links_shut_pages(&l);
    assert_ok(gw_channel_write_full(a[0], "x", 1, &err), err);
    assert_int_equal(gw_channel_write_full(a[1], "x", 1, &err), -ECANCELED);
    gw_links_shut(&l);
    assert_int_equal(gw_channel_write_full(a[0], "x", 1, &err), -ECANCELED);
    gw_links_fini(&l);
    for (unsigned i = 0; i < 2; i++) {
        gw_channel_free(a[i]);
        gw_channel_free(b[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dialing), cmocka_unit_test(test_put), cmocka_unit_test(test_shut)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
