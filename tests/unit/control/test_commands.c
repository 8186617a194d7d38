/* SPDX-License-Identifier: MIT
 *
 * Commands that are not about a session: run state and options.
 */
#include "rig.h"

static void test_run_state(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    ask(cl, "{\"execute\": \"query-status\"}",
        "{\"return\":{\"running\":true,\"singlestep\":false,\"status\":\"running\"}}");
    say(cl, "{\"execute\": \"stop\"}");
    check_event(cl, "STOP", NULL);
    check_next(cl, "stop", OK);
    ask(cl, "{\"execute\": \"stop\"}", OK);
    ask(cl, "{\"execute\": \"query-status\"}",
        "{\"return\":{\"running\":false,\"singlestep\":false,\"status\":\"paused\"}}");
    say(cl, "{\"execute\": \"cont\"}");
    check_event(cl, "RESUME", NULL);
    check_next(cl, "cont", OK);
    say(cl, "{\"execute\": \"quit\"}");
    check_event(cl, "SHUTDOWN", "{\"guest\":false,\"reason\":\"host-qmp-quit\"}");
    check_next(cl, "quit", OK);
    while (!atomic_load(&rig->quits))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    assert_int_equal(atomic_load(&rig->quits), 1);
    bye(cl);
}

static void test_options(void **state)
{
    static const char *const cases[][2] = {
        {"{\"execute\":\"migrate-set-capabilities\"}", E("argument 'capabilities' is missing")},
        {"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":3}}",
         E("argument 'capabilities' must have type array")},
        {"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[3]}}",
         E("argument 'capabilities[0]' must have type object")},
        {"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{\"capability\":\"events\"}]}}",
         E("argument 'capabilities[0].state' is missing")},
        {"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{\"capability\":\"events\","
         "\"state\":3}]}}",
         E("argument 'capabilities[0].state' must have type boolean")},
        {"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{\"capability\":\"events\","
         "\"state\":true,\"x\":3}]}}",
         E("there is no argument 'capabilities[0].x'")},
        {"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{\"capability\":\"events\","
         "\"state\":true},{\"capability\":\"foo\",\"state\":true}]}}",
         E("there is no capability 'foo'")},
        {"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[]}}", OK},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"foo\":1}}", E("there is no argument 'foo'")},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"max-bandwidth\":\"1K\"}}",
         E("argument 'max-bandwidth' must have type integer")},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"downtime-limit\":1.5}}",
         E("argument 'downtime-limit' must have type integer")},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"downtime-limit\":-1}}",
         E("parameter downtime-limit is a whole number from 0 to 2000000, not '-1'")},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"cpu-throttle-tailslow\":3}}",
         E("argument 'cpu-throttle-tailslow' must have type boolean")},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"tls-creds\":3}}",
         E("argument 'tls-creds' must have type StrOrNull")},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"tls-creds\":null}}", OK},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"multifd-compression\":\"foo\"}}",
         E("parameter multifd-compression cannot be 'foo', only one of: none zlib zstd")},
        {"{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"downtime-limit\":77,\"max-cpu-throttle\":25,"
         "\"cpu-throttle-initial\":24,\"cpu-throttle-tailslow\":true,\"multifd-compression\":\"zstd\"}}",
         OK},
    };
    struct client *cl = ready(*state);
    json_t *o, *item;
    size_t i, on = 0;

    for (i = 0; i < GW_ARRAY_LEN(cases); i++)
        ask(cl, cases[i][0], cases[i][1]);
    o = result_of(cl, "{\"execute\":\"query-migrate-parameters\"}");
    assert_int_equal(json_integer_value(json_object_get(o, "downtime-limit")), 77);
    assert_int_equal(json_integer_value(json_object_get(o, "max-cpu-throttle")), 25);
    assert_true(json_is_true(json_object_get(o, "cpu-throttle-tailslow")));
    assert_string_equal(json_string_value(json_object_get(o, "multifd-compression")), "zstd");
    assert_string_equal(json_string_value(json_object_get(o, "tls-creds")), "");
    assert_int_equal(json_integer_value(json_object_get(o, "compress-level")), 1);
    assert_true(json_is_false(json_object_get(o, "block-incremental")));
    json_decref(o);
    ask(cl,
        "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[{\"capability\":\"events\","
        "\"state\":true}]}}",
        OK);
    o = result_of(cl, "{\"execute\":\"query-migrate-capabilities\"}");
    assert_int_equal(json_array_size(o), GW_CAP_COUNT);
    json_array_foreach(o, i, item) {
        if (json_is_true(json_object_get(item, "state"))) {
            assert_string_equal(json_string_value(json_object_get(item, "capability")), "events");
            on++;
        }
    }
    assert_int_equal(on, 1);
    json_decref(o);
    bye(cl);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_run_state),
        T(test_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
