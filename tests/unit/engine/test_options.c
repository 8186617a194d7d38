/* SPDX-License-Identifier: MIT */
#include "options_rig.h"

#include <pthread.h>

static void test_defaults(void **state)
{
    static const char *const presets[][2] = {
        {"announce-initial", "50"},
        {"announce-max", "550"},
        {"announce-rounds", "5"},
        {"announce-step", "100"},
        {"throttle-trigger-threshold", "50"},
        {"cpu-throttle-initial", "20"},
        {"cpu-throttle-increment", "10"},
        {"cpu-throttle-tailslow", "off"},
        {"max-cpu-throttle", "99"},
        {"tls-creds", ""},
        {"tls-hostname", ""},
        {"tls-authz", ""},
        {"max-bandwidth", "134217728"},
        {"avail-switchover-bandwidth", "0"},
        {"downtime-limit", "300"},
        {"x-godwit-downtime-ceiling", "0"},
        {"x-checkpoint-delay", "20000"},
        {"multifd-channels", "2"},
        {"multifd-compression", "none"},
        {"multifd-zlib-level", "1"},
        {"multifd-zstd-level", "1"},
        {"multifd-qatzip-level", "1"},
        {"compress-level", "1"},
        {"compress-threads", "8"},
        {"decompress-threads", "2"},
        {"compress-wait-thread", "on"},
        {"xbzrle-cache-size", "67108864"},
        {"max-postcopy-bandwidth", "0"},
        {"x-vcpu-dirty-limit-period", "1000"},
        {"vcpu-dirty-limit", "1"},
        {"mode", "normal"},
        {"zero-page-detection", "multifd"},
        {"direct-io", "off"},
        {"block-incremental", "off"},
    };
    static const char *const absent[] = {"block-bitmap-mapping"};
    char buf[GW_STRING_SIZE];
    const char *name, *help;
    size_t n = 0;

    for (size_t i = 0; i < GW_ARRAY_LEN(presets); i++)
        expect_text(*state, presets[i][0], presets[i][1]);
    for (size_t i = 0; i < GW_ARRAY_LEN(absent); i++) {
        assert_int_equal(gw_options_get_parameter(*state, absent[i], buf, sizeof buf, NULL), -ENOTSUP);
        assert_int_equal(gw_options_set_parameter(*state, absent[i], "1", NULL), -ENOTSUP);
    }
    while (gw_options_parameter_at(n, &name, NULL, &help)) {
        assert_true(*name && *help);
        n++;
    }
    assert_int_equal(n, GW_ARRAY_LEN(presets) + GW_ARRAY_LEN(absent));
    assert_int_equal(gw_options_zero_detection(*state), GW_ZERO_MULTIFD);
    assert_int_equal(gw_options_get_parameter(*state, "max-bandwidth", buf, 9, NULL), -ENOSPC);
}

static void test_parameter_values(void **state)
{
    static const struct {
        const char *name, *value;
        int r;
        const char *after; /* the value read back, or words of the error's text */
    } cases[] = {
        {"downtime-limit", "0", 0, "0"},
        {"downtime-limit", "2000000", 0, "2000000"},
        {"downtime-limit", "2000001", -ERANGE, "parameter downtime-limit is a whole number from 0 to 2000000, not"},
        {"downtime-limit", "-1", -EINVAL, "number from 0 to 2000000"},
        {"downtime-limit", "1.5", -EINVAL, "whole number"},
        {"downtime-limit", "", -EINVAL, "whole number"},
        {"downtime-limit", " 1", -EINVAL, "whole number"},
        {"cpu-throttle-initial", "0", -ERANGE, "number from 1 to 99"},
        {"cpu-throttle-initial", "100", -ERANGE, "number from 1 to 99"},
        {"cpu-throttle-initial", "99", 0, "99"},
        {"max-cpu-throttle", "98", -ERANGE, "parameter max-cpu-throttle (98) is below cpu-throttle-initial (99): raise it, or lower the other"},
        {"cpu-throttle-initial", "30", 0, "30"},
        {"max-cpu-throttle", "30", 0, "30"},
        {"cpu-throttle-initial", "31", -ERANGE, "max-cpu-throttle"},
        {"max-bandwidth", "1K", 0, "1024"},
        {"max-bandwidth", "2m", 0, "2097152"},
        {"max-bandwidth", "3G", 0, "3221225472"},
        {"max-bandwidth", "4T", 0, "4398046511104"},
        {"max-bandwidth", "18446744073709551615", 0, "18446744073709551615"},
        {"max-bandwidth", "18446744073709551616", -ERANGE, "a whole number of at most 64 bits"},
        {"max-bandwidth", "18446744073709551615K", -ERANGE, "a whole number of at most 64 bits"},
        {"max-bandwidth", "1KB", -EINVAL, "a whole number of at most 64 bits"},
        {"max-bandwidth", "K", -EINVAL, "a whole number of at most 64 bits"},
        {"max-bandwidth", "fast", -EINVAL, "not 'fast'"},
        {"xbzrle-cache-size", "5000", -EINVAL, "a cache of 5000 bytes cannot be made, only one of a page, two, four and so on"},
        {"xbzrle-cache-size", "2048", -ERANGE, "number from 4096"},
        {"xbzrle-cache-size", "1G", 0, "1073741824"},
        {"multifd-channels", "0", -ERANGE, "1 to 255"},
        {"multifd-channels", "256", -ERANGE, "1 to 255"},
        {"multifd-channels", "255", 0, "255"},
        {"multifd-zlib-level", "10", -ERANGE, "0 to 9"},
        {"multifd-zstd-level", "20", 0, "20"},
        {"multifd-zstd-level", "21", -ERANGE, "0 to 20"},
        {"multifd-qatzip-level", "0", -ERANGE, "1 to 9"},
        {"announce-initial", "100001", -ERANGE, "0 to 100000"},
        {"announce-max", "100001", -ERANGE, "0 to 100000"},
        {"announce-rounds", "1001", -ERANGE, "0 to 1000"},
        {"announce-step", "0", -ERANGE, "1 to 10000"},
        {"announce-step", "10001", -ERANGE, "1 to 10000"},
        {"throttle-trigger-threshold", "0", -ERANGE, "1 to 100"},
        {"throttle-trigger-threshold", "101", -ERANGE, "1 to 100"},
        {"cpu-throttle-increment", "100", -ERANGE, "1 to 99"},
        {"x-checkpoint-delay", "4294967295", 0, "4294967295"},
        {"x-checkpoint-delay", "4294967296", -ERANGE, "4294967295"},
        {"x-vcpu-dirty-limit-period", "0", -ERANGE, "1 to 1000"},
        {"x-vcpu-dirty-limit-period", "1001", -ERANGE, "1 to 1000"},
        {"vcpu-dirty-limit", "0", -ERANGE, "number from 1 to"},
        {"cpu-throttle-tailslow", "true", 0, "on"},
        {"cpu-throttle-tailslow", "off", 0, "off"},
        {"cpu-throttle-tailslow", "3", -EINVAL, "on or off"},
        {"multifd-compression", "zstd", 0, "zstd"},
        {"multifd-compression", "lz4", -EINVAL, "cannot be 'lz4', only one of: none zlib zstd"},
        {"multifd-compression", "none zlib", -EINVAL, "cannot be"},
        {"multifd-compression", "", -EINVAL, "cannot be"},
        {"zero-page-detection", "legacy", 0, "legacy"},
        {"zero-page-detection", "legac", -EINVAL, "cannot be"},
        {"mode", "cpr-reboot", -ENOTSUP, "parameter mode: this build of godwit cannot do 'cpr-reboot': choose another value"},
        {"mode", "normal", 0, "normal"},
        {"tls-creds", "", 0, ""},
        {"tls-creds", "tls0", -ENOTSUP, "cannot do what parameter tls-creds asks for"},
        {"compress-threads", "0", -ERANGE, "number from 1 to 255"},
        {"compress-threads", "256", -ERANGE, "number from 1 to 255"},
        {"decompress-threads", "0", -ERANGE, "number from 1 to 255"},
        {"compress-level", "10", -ERANGE, "number from 0 to 9"},
        {"compress-level", "9", 0, "9"},
        {"bandwidth", "1", -ENOENT, "there is no parameter 'bandwidth'"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_error err = GW_ERROR_INIT;
        char before[GW_STRING_SIZE] = "", after[GW_STRING_SIZE] = "";
        int r;

        gw_options_get_parameter(*state, cases[i].name, before, sizeof before, NULL);
        r = gw_options_set_parameter(*state, cases[i].name, cases[i].value, &err);
        if (r != cases[i].r)
            fail_msg("%s=%s gives %d (%s), not %d", cases[i].name, cases[i].value, r, err.text, cases[i].r);
        if (r == 0) {
            expect_text(*state, cases[i].name, cases[i].after);
            continue;
        }
        if (!strstr(err.text, cases[i].after))
            fail_msg("%s=%s: '%s' lacks '%s'", cases[i].name, cases[i].value, err.text, cases[i].after);
        assert_int_equal(err.code, r);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        gw_options_get_parameter(*state, cases[i].name, after, sizeof after, NULL);
        assert_string_equal(before, after);
    }
}

static void test_parameters_all_or_nothing(void **state)
{
    const char *names[] = {"cpu-throttle-initial", "max-cpu-throttle", "downtime-limit"};
    const char *good[] = {"50", "60", "1"}, *bad[] = {"70", "80", "x"}, *lower[] = {"10", "15", "2"};

    /* Neither order of one at a time would do for both directions. */
    assert_int_equal(gw_options_set_parameters(*state, names, good, 3, NULL), 0);
    assert_int_equal(gw_options_set_parameters(*state, names, bad, 3, NULL), -EINVAL);
    expect_text(*state, "cpu-throttle-initial", "50");
    expect_text(*state, "max-cpu-throttle", "60");
    assert_int_equal(gw_options_set_parameters(*state, names, lower, 3, NULL), 0);
    assert_int_equal(gw_options_param(*state, GW_PARAM_MAX_CPU_THROTTLE), 15);
    assert_int_equal(gw_options_param(*state, GW_PARAM_DOWNTIME_LIMIT), 2);
    assert_int_equal(gw_options_set_parameters(*state, names, bad, 0, NULL), 0);
}

static void test_capabilities(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    const char *name;
    bool supported, on;
    size_t n = 0;

    for (; gw_options_capability_at(n, &name, &supported); n++) {
        on = true;
        assert_int_equal(gw_options_get_capability(*state, name, &on, &err), 0);
        assert_false(on);
        assert_int_equal(gw_options_set_capability(*state, name, false, &err), 0);
        if (!supported) {
            assert_int_equal(gw_options_set_capability(*state, name, true, &err), -ENOTSUP);
            assert_non_null(strstr(err.text, name));
            assert_int_equal(gw_options_get_capability(*state, name, &on, &err), 0);
            assert_false(on);
        }
    }
    assert_int_equal(n, 26);
    assert_int_equal(gw_options_set_capability(*state, "events", true, &err), 0);
    assert_true(gw_options_cap(*state, GW_CAP_EVENTS));
    assert_int_equal(gw_options_set_capability(*state, "eventz", true, &err), -ENOENT);
    assert_string_equal(err.text, "there is no capability 'eventz'");
    assert_int_equal(gw_options_get_capability(*state, "eventz", &on, &err), -ENOENT);
}

static void test_capabilities_all_or_nothing(void **state)
{
    const char *names[] = {"events", "auto-converge", "dirty-limit"};
    const bool all[] = {true, true, true}, two[] = {true, true, false}, swap[] = {true, false, true};
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_options_set_capabilities(*state, names, all, 3, &err), -EINVAL);
    assert_string_equal(err.text, "capability dirty-limit cannot be on together with auto-converge: both slow the guest down");
    assert_false(gw_options_cap(*state, GW_CAP_EVENTS));
    assert_int_equal(gw_options_set_capabilities(*state, names, two, 3, &err), 0);
    /* Judged on the outcome: one goes, the other comes. */
    assert_int_equal(gw_options_set_capabilities(*state, names, swap, 3, &err), 0);
    assert_false(gw_options_cap(*state, GW_CAP_AUTO_CONVERGE));
    assert_true(gw_options_cap(*state, GW_CAP_DIRTY_LIMIT));
}

static void test_locked(void **state)
{
    struct gw_error err = GW_ERROR_INIT;

    gw_options_lock(*state, true);
    gw_options_lock(*state, true);
    gw_options_lock(*state, false);
    assert_int_equal(gw_options_set_capability(*state, "events", true, &err), -EBUSY);
    assert_string_equal(err.text, "a migration of this machine is under way, and keeps the capabilities it began with: set them when "
                                  "it is over");
    assert_int_equal(gw_options_set_parameter(*state, "downtime-limit", "5", &err), 0);
    gw_options_lock(*state, false);
    assert_int_equal(gw_options_set_capability(*state, "events", true, &err), 0);
}

static void test_copy(void **state)
{
    struct gw_options *other = NULL;

    assert_int_equal(gw_options_new(&other, NULL), 0);
    assert_int_equal(gw_options_set_capability(*state, "events", true, NULL), 0);
    assert_int_equal(gw_options_set_parameter(*state, "multifd-compression", "zlib", NULL), 0);
    gw_options_lock(*state, true);
    gw_options_copy(other, *state);
    assert_true(gw_options_cap(other, GW_CAP_EVENTS));
    expect_text(other, "multifd-compression", "zlib");
    assert_int_equal(gw_options_set_capability(other, "events", false, NULL), 0);
    gw_options_copy(*state, *state);
    assert_true(gw_options_cap(*state, GW_CAP_EVENTS));
    gw_options_free(other);
}

struct race {
    struct gw_options *o;
    atomic_bool stop;
};

static void *reader(void *opaque)
{
    struct race *race = opaque;
    char buf[GW_STRING_SIZE];
    uint64_t wrong = 0;

    while (!atomic_load(&race->stop)) {
        uint64_t v = gw_options_param(race->o, GW_PARAM_DOWNTIME_LIMIT);

        wrong += v != 300 && v != 100 && v != 200;
        gw_options_string(race->o, GW_STRING_TLS_CREDS, buf);
        wrong += buf[0] != 0;
    }
    return (void *)(uintptr_t)wrong;
}

/* Static, for it must be there for as long as the thread, which the teardown ends before the options go. */
static struct race race;
static pthread_t racer;
static bool racing;

static void *race_over(void)
{
    void *wrong;

    atomic_store(&race.stop, true);
    pthread_join(racer, &wrong);
    racing = false;
    return wrong;
}

static int race_gone(void **state)
{
    if (racing)
        race_over();
    return gone(state);
}

static void test_readers_beside_writers(void **state)
{
    race.o = *state;
    assert_int_equal(pthread_create(&racer, NULL, reader, &race), 0);
    racing = true;
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(gw_options_set_parameter(*state, "downtime-limit", i % 2 ? "100" : "200", NULL), 0);
        assert_int_equal(gw_options_set_capability(*state, "events", i % 2, NULL), 0);
        assert_int_equal(gw_options_set_parameter(*state, "tls-creds", "", NULL), 0);
    }
    assert_null(race_over());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        T(test_defaults),
        T(test_parameter_values),
        T(test_parameters_all_or_nothing),
        T(test_capabilities),
        T(test_capabilities_all_or_nothing),
        T(test_locked),
        T(test_copy),
        cmocka_unit_test_setup_teardown(test_readers_beside_writers, fresh, race_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
