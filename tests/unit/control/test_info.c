/* SPDX-License-Identifier: MIT
 *
 * What is told of a migration in which state, and what only where there is something to tell.
 */
#include "rig.h"

static struct gw_vm vm;
static struct gw_control c;
static struct gw_stats stats;

static int up(void **state)
{
    memset(&vm, 0, sizeof vm);
    memset(&c, 0, sizeof c);
    stats = (struct gw_stats){.status = GW_STATUS_ACTIVE, .eta_ns = GW_ETA_UNKNOWN, .total_time_ns = 5 * GW_NS_PER_MS,
                              .downtime_ns = 7 * GW_NS_PER_MS, .expected_downtime_ns = 9 * GW_NS_PER_MS};
    c.vm = &vm;
    return gw_options_new(&vm.options, NULL);
}

static int down(void **state)
{
    gw_options_free(vm.options);
    return 0;
}

static json_t *built(bool incoming, const char *address)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *o = NULL;

    assert_int_equal(gw_info_build(&c, incoming, &stats, GW_OWNER_UNDECIDED, address, &o, &err), 0);
    return o;
}

/* The keys of an object, or of one in it. */
static void has(bool incoming, const char *in, const char *key, bool there)
{
    json_t *o = built(incoming, NULL), *x = in ? json_object_get(o, in) : o;

    if ((json_object_get(x, key) != NULL) != there)
        fail_msg("%s: %s", key, there ? "is not there" : "is there");
    json_decref(o);
}

static json_int_t number(const char *in, const char *key)
{
    json_t *o = built(false, NULL);
    json_int_t n = json_integer_value(json_object_get(in ? json_object_get(o, in) : o, key));

    json_decref(o);
    return n;
}

static void test_none(void **state)
{
    json_t *o;

    stats.status = GW_STATUS_NONE;
    o = built(false, NULL);
    assert_int_equal(json_object_size(o), 0);
    json_decref(o);
}

/* Figures of RAM come with the states in which there are some, and only of a source. */
static void test_ram(void **state)
{
    has(false, NULL, "ram", true);
    has(true, NULL, "ram", false);
    stats.status = GW_STATUS_SETUP;
    has(false, NULL, "ram", false);
    stats.status = GW_STATUS_FAILED;
    has(false, NULL, "ram", false);
    stats.status = GW_STATUS_CANCELLING;
    has(false, NULL, "ram", true);
    stats.status = GW_STATUS_POSTCOPY_PAUSED;
    has(false, NULL, "ram", true);
    stats.transferred_bytes = 123;
    assert_int_equal(number("ram", "transferred"), 123);
}

/* How long it stood is known when it is over; before, what is expected. */
static void test_downtime(void **state)
{
    assert_int_equal(number(NULL, "expected-downtime"), 9);
    has(false, NULL, "downtime", false);
    stats.status = GW_STATUS_POSTCOPY_ACTIVE;
    assert_int_equal(number(NULL, "downtime"), 7);
    stats.status = GW_STATUS_COMPLETED;
    assert_int_equal(number(NULL, "downtime"), 7);
    has(false, NULL, "expected-downtime", false);
    assert_int_equal(number(NULL, "total-time"), 5);
    assert_int_equal(number("x-godwit", "downtime-us"), 7000);
    stats.downtime_by[GW_DOWNTIME_SYNC] = 2000;
    has(false, "x-godwit", "downtime-by-cause-us", true);
}

/* What was not on is not told. */
static void test_features(void **state)
{
    static const char *const keys[] = {"xbzrle-cache", "compression", "cpu-throttle-percentage", "dirty-limit-throttle-time-per-round"};

    for (unsigned i = 0; i < GW_ARRAY_LEN(keys); i++)
        has(false, NULL, keys[i], false);
    stats.xbzrle.cache_bytes = 1;
    stats.compression.threads = 1;
    stats.cpu_throttle_percentage = 20;
    gw_options_set_capability(vm.options, "dirty-limit", true, NULL);
    for (unsigned i = 0; i < GW_ARRAY_LEN(keys); i++)
        has(false, NULL, keys[i], true);
}

static void test_extras(void **state)
{
    has(false, "x-godwit", "converges", true);
    has(true, "x-godwit", "converges", false);
    has(false, "x-godwit", "tracker", true);
    has(true, "x-godwit", "tracker", false);
    has(false, "x-godwit", "eta-ms", false);
    stats.eta_ns = 3 * GW_NS_PER_MS;
    assert_int_equal(number("x-godwit", "eta-ms"), 3);
    stats.status = GW_STATUS_DEVICE;
    has(false, "x-godwit", "converges", false);
    has(false, "x-godwit", "downtime-limit-ms", false);
    has(false, "x-godwit", "tended", false);
    stats.downtime_limit_ns = 4 * GW_NS_PER_MS;
    strcpy(stats.tended, "words");
    has(false, "x-godwit", "downtime-limit-ms", true);
    has(false, "x-godwit", "tended", true);
}

static void test_failed(void **state)
{
    json_t *o;

    has(false, NULL, "error-desc", false);
    stats.status = GW_STATUS_FAILED;
    gw_fail(&stats.error, -EIO, GW_BLAME_PEER, "why");
    o = built(true, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "error-desc")), "why");
    assert_string_equal(json_string_value(json_object_get(json_object_get(o, "x-godwit"), "blame")), "peer");
    assert_string_equal(json_string_value(json_object_get(json_object_get(o, "x-godwit"), "owner")), "undecided");
    assert_string_equal(json_string_value(json_object_get(json_object_get(o, "x-godwit"), "side")), "destination");
    json_decref(o);
}

static void test_address_and_blockers(void **state)
{
    json_t *o = built(true, "tcp:127.0.0.1:44");

    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(o, "socket-address"), 0), "port")), "44");
    assert_null(json_object_get(o, "blocked-reasons"));
    json_decref(o);
    vm.blocker = "a reason";
    o = built(true, "");
    assert_null(json_object_get(o, "socket-address"));
    assert_string_equal(json_string_value(json_array_get(json_object_get(o, "blocked-reasons"), 0)), "a reason");
    json_decref(o);
}

/* Never more rounds than are kept, whatever the number says. */
static void test_rounds(void **state)
{
    json_t *o;

    stats.rounds_kept = GW_ROUNDS_KEPT + 5;
    stats.round[0].duration_ns = 2000;
    o = built(false, NULL);
    assert_int_equal(json_array_size(json_object_get(json_object_get(o, "x-godwit"), "round")), GW_ROUNDS_KEPT);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(json_object_get(o, "x-godwit"), "round"), 0), "duration-us")), 2);
    json_decref(o);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_none),   T(test_ram),    T(test_downtime),             T(test_features),
                                       T(test_extras), T(test_failed), T(test_address_and_blockers), T(test_rounds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
