/* SPDX-License-Identifier: MIT
 *
 * A channel that is simulated: what a way costs in CPU time for a byte, how small it makes pages, and how fast the link is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/choose.h"

#define PACKET (512u << 10)

/* Level 6, level 1, as it is. */
static const struct {
    double cpu_ns, size;
} ways[] = {{40, 0.30}, {12, 0.35}, {0, 1}};

struct channel {
    struct gw_choose choose;
    double write_ns; /* for a byte */
    uint64_t link;
    unsigned allowed;
    unsigned count[GW_CHOOSE_WAYS];
};

static struct channel fresh(double mib_per_s, uint64_t link)
{
    struct channel c = {.write_ns = 1e9 / 1048576 / mib_per_s, .link = link, .allowed = 7};

    gw_choose_init(&c.choose, 3);
    return c;
}

static void go(struct channel *c, unsigned packets)
{
    memset(c->count, 0, sizeof c->count);
    for (unsigned i = 0; i < packets; i++) {
        unsigned way = gw_choose_next(&c->choose, c->allowed);
        struct gw_choose_sample s = {.page_bytes = PACKET, .link_bytes_per_s = c->link};

        s.wire_bytes = (uint64_t)(PACKET * ways[way].size);
        s.cpu_ns = (uint64_t)(PACKET * ways[way].cpu_ns);
        s.write_ns = (uint64_t)((double)s.wire_bytes * c->write_ns);
        c->count[way]++;
        gw_choose_sent(&c->choose, &s);
    }
}

static void expect(const struct channel *c, unsigned way, unsigned packets)
{
    if (c->count[way] * 10 < packets * 9)
        fail_msg("%u %u %u, not 90 %% of way %u", c->count[0], c->count[1], c->count[2], way);
}

/* A fast link: as it is. A slow one: compressed the more the slower it is. */
static void test_links(void **state)
{
    struct channel fast = fresh(3000, 0), middle = fresh(50, 0), slow = fresh(1, 0), paced = fresh(3000, 1 << 20);

    go(&fast, 60);
    go(&fast, 2000);
    expect(&fast, 2, 2000);
    go(&middle, 60);
    go(&middle, 2000);
    expect(&middle, 1, 2000);
    go(&slow, 60);
    go(&slow, 2000);
    expect(&slow, 0, 2000);
    go(&paced, 60); /* the rate limit is a link, too */
    go(&paced, 2000);
    expect(&paced, 0, 2000);
}

/* It is found out when the link changes, within so many packets. */
static void test_change(void **state)
{
    struct channel c = fresh(3000, 0);

    go(&c, 1000);
    assert_int_equal(c.choose.best, 2);
    c.write_ns = fresh(1, 0).write_ns;
    go(&c, GW_CHOOSE_BLOCK * (GW_CHOOSE_LAST_REST + 4) * 3);
    assert_int_equal(c.choose.best, 0);
    c.write_ns = fresh(3000, 0).write_ns;
    go(&c, GW_CHOOSE_BLOCK * (GW_CHOOSE_LAST_REST + 4) * 3);
    assert_int_equal(c.choose.best, 2);
}

/* What the peer does not take is not used; what it takes from some time on is. */
static void test_allowed(void **state)
{
    struct channel c = fresh(3000, 0);

    c.allowed = 1;
    go(&c, 500);
    assert_int_equal(c.count[0], 500);
    c.allowed = 3;
    go(&c, 500);
    assert_int_equal(c.choose.best, 1);
    assert_int_equal(c.count[2], 0);
    c.allowed = 7;
    go(&c, 500);
    assert_int_equal(c.choose.best, 2);
    c.allowed = 1;
    go(&c, 500);
    assert_int_equal(c.count[0], 500);
}

/* Trials of what does not pay cost little, also of a level that takes a hundred times as long. */
static void test_trials_are_cheap(void **state)
{
    struct channel c = fresh(3000, 0);
    double spent = 0;

    go(&c, 60);
    go(&c, 5000);
    for (unsigned i = 0; i < 3; i++)
        spent += c.count[i] * (ways[i].cpu_ns + ways[i].size * c.write_ns);
    print_message("%u %u %u: %.2f of the best\n", c.count[0], c.count[1], c.count[2], spent / (5000 * c.write_ns));
    assert_true(spent < 5000 * c.write_ns * 1.6);
}

static void test_extremes(void **state)
{
    struct gw_choose_sample s = {UINT64_MAX, UINT64_MAX, UINT64_MAX / 2, UINT64_MAX / 2, 1};
    struct gw_choose c;

    gw_choose_init(&c, GW_CHOOSE_WAYS);
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(gw_choose_next(&c, i) < GW_CHOOSE_WAYS);
        gw_choose_sent(&c, &s);
        s = (struct gw_choose_sample){0};
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links),            cmocka_unit_test(test_change),   cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_trials_are_cheap), cmocka_unit_test(test_extremes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
