/* SPDX-License-Identifier: MIT
 *
 * Sessions behind a control socket: who may start one, and what of it is told.
 */
#include "rig.h"

#define MIGRATE "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:127.0.0.1:1\"}}"

/* fake_status() as the engine has it, with the place of the machine. */
static void ends(enum gw_status status, enum gw_owner owner, enum gw_vm_place place)
{
    fake_now()->session->owner = owner;
    fake_now()->place = place;
    fake_status(fake_now()->session, status);
}

#define RESUME   "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:127.0.0.1:2\",\"resume\":true}}"
#define NO_PAUSE E("there is no postcopy under way here that could be paused")
#define NO_RESUME E("there is no migration that was interrupted and could be resumed")

static void test_paused(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    json_t *o;

    ask(cl, RESUME, NO_RESUME);
    ask(cl, MIGRATE, OK);
    fake_status(fake_now()->session, GW_STATUS_ACTIVE);
    ask(cl, "{\"execute\":\"migrate-pause\"}", NO_PAUSE);
    ask(cl, RESUME, E("a migration of this machine is under way"));
    fake_status(fake_now()->session, GW_STATUS_POSTCOPY_ACTIVE);
    ask(cl, "{\"exec-oob\":\"migrate-pause\"}", OK);
    assert_int_equal(fake_now()->session->pauses, 1);
    ends(GW_STATUS_POSTCOPY_PAUSED, GW_OWNER_DESTINATION, GW_VM_LEFT);
    o = result_of(cl, "{\"execute\":\"query-migrate\"}");
    assert_string_equal(json_string_value(json_object_get(o, "status")), "postcopy-paused");
    json_decref(o);
    ask(cl, "{\"execute\":\"migrate-pause\"}", NO_PAUSE);
    ask(cl, "{\"execute\":\"query-yank\"}", "{\"return\":[]}");

    /* A start that is refused leaves it as it was. */
    fake_now()->start_fails = -EINVAL;
    ask(cl, RESUME, E("no luck"));
    fake_now()->start_fails = 0;
    ask(cl, RESUME, OK);
    assert_true(fake_now()->session->resumes);
    for (unsigned status = GW_STATUS_POSTCOPY_RECOVER_SETUP; status <= GW_STATUS_POSTCOPY_RECOVER; status++) {
        fake_status(fake_now()->session, (enum gw_status)status);
        ask(cl, "{\"exec-oob\":\"migrate-pause\"}", OK);
    }
    assert_int_equal(fake_now()->session->pauses, 2);
    ends(GW_STATUS_FAILED, GW_OWNER_UNDECIDED, GW_VM_UNDECIDED);
    ask(cl, RESUME, OK);
    /* Who started it here has another machine. */
    ends(GW_STATUS_POSTCOPY_PAUSED, GW_OWNER_DESTINATION, GW_VM_HERE);
    ask(cl, RESUME, NO_RESUME);
    fake_now()->place = GW_VM_LEFT;
    ask(cl, RESUME, OK);
    ends(GW_STATUS_COMPLETED, GW_OWNER_DESTINATION, GW_VM_LEFT);
    ask(cl, RESUME, NO_RESUME);
    fake_now()->place = GW_VM_HERE;
    bye(cl);
}

#define INCOMING "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"tcp::1\"}}"

static void test_outgoing(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    struct gw_stats stats;
    bool incoming;
    json_t *o, *x;

    assert_false(gw_control_stats(rig->c, &stats, &incoming));
    ask(cl, "{\"execute\":\"query-migrate\"}", OK);
    ask(cl, "{\"execute\":\"migrate_cancel\"}", OK);
    ask(cl, "{\"execute\":\"yank\",\"arguments\":{\"instances\":[{\"type\":\"migration\"}]}}",
        "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"nothing to yank: the instance is not of type migration, or no "
            "migration is under way\"}}");
    ask(cl, "{\"execute\":\"migrate-start-postcopy\"}", E("there is no outgoing migration that could switch to postcopy"));
    assert_int_equal(gw_options_set_capability(rig->vm.options, "events", true, NULL), 0);
    say(cl, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:h:1\",\"detach\":true,\"x-godwit-peer\":\"7.2\","
            "\"x-godwit-timeout-ms\":1500}}");
    check_event(cl, "MIGRATION", "{\"status\":\"setup\"}");
    check_next(cl, "migrate", OK);
    assert_string_equal(fake_now()->session->uri, "tcp:h:1");
    assert_string_equal(fake_now()->session->peer, "7.2");
    assert_int_equal(fake_now()->session->timeout_ns, 1500000000);
    ask(cl, "{\"execute\":\"migrate-start-postcopy\"}", OK);
    assert_int_equal(fake_now()->session->postcopies, 1);
    ask(cl, MIGRATE, E("a migration of this machine is under way"));
    ask(cl, "{\"execute\":\"migrate-continue\",\"arguments\":{\"state\":\"pre-switchover\"}}",
        E("no migration waits to be continued: its state is setup"));

    fake_now()->session->stats = (struct gw_stats){
        .transferred_bytes = 1000, .remaining_bytes = 2000, .total_bytes = 3000, .normal_pages = 4, .page_size = 4096,
        .expected_downtime_ns = 55999999, .downtime_ns = 66123999, .total_time_ns = 77000000, .setup_time_ns = 8000000,
        .mbps = 12.5, .cpu_throttle_percentage = 20, .rounds = 70, .rounds_kept = 2,
        .round = {{.bytes = 10, .duration_ns = 5000}, {.pages = 20}}, .bytes_by = {[GW_CAUSE_VMDESC] = 9},
    };
    fake_event(fake_now()->session, GW_EVENT_PASS, 1);
    fake_status(fake_now()->session, GW_STATUS_ACTIVE);
    check_event(cl, "MIGRATION_PASS", "{\"pass\":1}");
    check_event(cl, "MIGRATION", "{\"status\":\"active\"}");
    assert_true(gw_control_stats(rig->c, &stats, &incoming));
    assert_int_equal(stats.remaining_bytes, 2000);
    assert_false(incoming);
    o = result_of(cl, "{\"execute\":\"query-migrate\"}");
    assert_string_equal(json_string_value(json_object_get(o, "status")), "active");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "ram"), "remaining")), 2000);
    assert_int_equal(json_integer_value(json_object_get(o, "expected-downtime")), 55);
    assert_null(json_object_get(o, "downtime"));
    assert_int_equal(json_integer_value(json_object_get(o, "cpu-throttle-percentage")), 20);
    json_decref(o);
    ask(cl, "{\"execute\":\"query-yank\"}", "{\"return\":[{\"type\":\"migration\"}]}");
    ask(cl, "{\"exec-oob\":\"yank\",\"arguments\":{\"instances\":[{\"type\":\"migration\"}]}}", OK);
    assert_int_equal(fake_now()->session->yanks, 1);
    ask(cl, "{\"execute\":\"migrate_cancel\"}", OK);
    assert_int_equal(fake_now()->session->cancels, 1);

    fake_event(fake_now()->session, GW_EVENT_STOP, 0);
    fake_status(fake_now()->session, GW_STATUS_PRE_SWITCHOVER);
    check_event(cl, "STOP", NULL);
    check_event(cl, "MIGRATION", "{\"status\":\"pre-switchover\"}");
    ask(cl, "{\"execute\":\"cont\"}", OK);
    rig->run_state = "paused";
    ask(cl, "{\"execute\":\"cont\"}", E("the last migration has not ended yet"));
    assert_string_equal(rig->run_state, "paused");
    ask(cl, "{\"execute\":\"migrate-continue\",\"arguments\":{\"state\":\"device\"}}",
        E("no migration waits to be continued: its state is pre-switchover"));
    ask(cl, "{\"execute\":\"migrate-continue\",\"arguments\":{\"state\":\"pre-switchover\"}}", OK);
    assert_int_equal(fake_now()->session->continues, 1);
    fake_now()->session->refuse = -EALREADY;
    ask(cl, "{\"execute\":\"migrate_cancel\"}", E("too late"));

    fake_now()->session->owner = GW_OWNER_DESTINATION;
    fake_status(fake_now()->session, GW_STATUS_COMPLETED);
    check_event(cl, "MIGRATION", "{\"status\":\"completed\"}");
    o = result_of(cl, "{\"execute\":\"query-migrate\"}");
    assert_int_equal(json_integer_value(json_object_get(o, "downtime")), 66);
    assert_null(json_object_get(o, "expected-downtime"));
    x = json_object_get(o, "x-godwit");
    assert_string_equal(json_string_value(json_object_get(x, "owner")), "destination");
    assert_string_equal(json_string_value(json_object_get(x, "side")), "source");
    assert_int_equal(json_integer_value(json_object_get(x, "downtime-us")), 66123);
    assert_int_equal(json_integer_value(json_object_get(x, "rounds")), 70);
    assert_int_equal(json_array_size(json_object_get(x, "round")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(x, "bytes-by-cause"), "vmdesc")), 9);
    json_decref(o);
    assert_true(atomic_load(&rig->seen) >= 5);

    assert_int_equal(atomic_load(&rig->vm.came_back), 1);
    rig->run_state = "postmigrate";
    atomic_store(&rig->vm.elsewhere, true);
    ask(cl, "{\"execute\":\"cont\"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the destination said that it has "
        "this machine...");
    ask(cl, "{\"execute\":\"cont\",\"arguments\":{\"x-godwit-force\":false}}",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the destination said that it has this machine...");
    assert_int_equal(atomic_load(&rig->vm.came_back), 1);
    atomic_store(&rig->vm.memory_given, true);
    ask(cl, "{\"execute\":\"cont\",\"arguments\":{\"x-godwit-force\":true}}",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"memory of this machine was given back to the host...");
    atomic_store(&rig->vm.memory_given, false);
    say(cl, "{\"execute\":\"cont\",\"arguments\":{\"x-godwit-force\":true}}");
    check_event(cl, "RESUME", NULL);
    check_next(cl, "cont", OK);
    assert_int_equal(atomic_load(&rig->vm.came_back), 2);
    gw_options_set_capability(rig->vm.options, "events", false, NULL);
    ask(cl, MIGRATE, OK);
    assert_int_equal(fake_now()->started, 2);
    assert_int_equal(fake_now()->freed, 1);
    fake_now()->session->stats.error = (struct gw_error){-ECONNREFUSED, GW_BLAME_CHANNEL, "nobody is there"};
    fake_status(fake_now()->session, GW_STATUS_FAILED);
    say(cl, "{\"execute\":\"query-migrate\"}");
    check_next(cl, "failed", "{\"return\":{\"error-desc\":\"nobody is there\",\"status\":\"failed\",\"x-godwit\":{...");
    /* A start that fails leaves what there is to tell of the last. */
    fake_now()->start_fails = -ENOSYS;
    ask(cl, MIGRATE, E("no luck"));
    say(cl, "{\"execute\":\"query-migrate\"}");
    check_next(cl, "failed", "{\"return\":{\"error-desc\":\"nobody is there\",\"status\":\"failed\",\"x-godwit\":{...");
    fake_now()->start_fails = 0;
    rig->vm.blocker = "a device holds on";
    ask(cl, MIGRATE, E("migration is blocked: a device holds on"));
    say(cl, "{\"execute\":\"query-migrate\"}");
    check_next(cl, "blocked", "{\"return\":{\"blocked-reasons\":[\"a device holds on\"],\"error-desc\":...");
    bye(cl);
}

static void test_incoming(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    struct gw_stats stats;
    bool incoming;

    ask(cl, "{\"execute\":\"cont\"}", E("the machine has not arrived here yet"));
    ask(cl, MIGRATE, E("the machine has not arrived here yet"));
    fake_now()->start_fails = -EADDRINUSE;
    ask(cl, "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"tcp::1\"}}", E("no luck"));
    fake_now()->start_fails = 0;
    ask(cl, "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"tcp::1\",\"exit-on-error\":false}}", OK);
    assert_string_equal(fake_now()->session->uri, "tcp::1");
    assert_true(fake_now()->session->start_paused);
    assert_int_equal(fake_now()->session->timeout_ns, 22 * GW_NS_PER_S);
    ask(cl, "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"tcp::1\"}}",
        E("this machine waits for a migration already"));
    assert_int_equal(gw_control_incoming(rig->c, "tcp::1", NULL), -EBUSY);
    assert_true(gw_control_stats(rig->c, &stats, &incoming));
    assert_true(incoming);
    say(cl, "{\"execute\":\"query-migrate\"}");
    check_next(cl, "query",
               "{\"return\":{\"socket-address\":[{\"host\":\"127.0.0.1\",\"port\":\"4321\",\"type\":\"inet\"}],"
               "\"status\":\"setup\",\"x-godwit\":{\"bytes-by-cause\":...");
    ask(cl, MIGRATE, E("the machine has not arrived here yet"));
    ask(cl, "{\"execute\":\"cont\"}", E("the machine has not arrived here yet"));
    ask(cl, "{\"execute\":\"migrate_cancel\"}", OK);
    assert_int_equal(fake_now()->session->cancels, 1);
    fake_now()->session->owner = GW_OWNER_UNDECIDED;
    fake_status(fake_now()->session, GW_STATUS_FAILED);
    ask(cl, "{\"execute\":\"cont\"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the incoming migration did not "
                                      "complete, and it is not known who owns the guest...");
    /* It may still run, until it comes to a page that it lacks. */
    rig->run_state = "running";
    ask(cl, "{\"execute\":\"cont\"}", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the incoming migration did not "
        "complete...");
    rig->run_state = "paused";
    ask(cl, MIGRATE, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the incoming migration did not complete...");
    ask(cl, "{\"execute\":\"x-godwit-claim\"}", OK);
    ask(cl, "{\"execute\":\"x-godwit-query-history\"}", E("no migration was started here"));
    assert_int_equal(fake_now()->session->claims, 1);
    say(cl, "{\"execute\":\"cont\"}");
    check_event(cl, "RESUME", NULL);
    check_next(cl, "cont", OK);
    ask(cl, MIGRATE, OK);
    ask(cl, "{\"execute\":\"x-godwit-query-history\"}",
        "{\"return\":{\"rounds\":[{\"began-us\":0,\"bytes\":7,\"count\":1,\"dirty-bytes\":0,\"duration-us\":2,\"first\":1,"
        "\"limit\":8,\"pages\":0,\"remaining\":0,\"zero-pages\":0}],\"samples\":[{\"at-us\":1,\"remaining\":3,\"round\":4,"
        "\"throttle\":5,\"transferred\":2}],\"stopped-us\":5}}");
    assert_false(fake_now()->incoming);
    assert_int_equal(fake_now()->session->timeout_ns, 21 * GW_NS_PER_S);
    fake_status(fake_now()->session, GW_STATUS_FAILED);
    ask(cl, INCOMING, E("this machine waits for a migration already"));
    bye(cl);
}

/* What would be overwritten decides: nothing, or a guest. */
static void test_who_can_be_filled(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    for (int i = 0; i < 3; i++) {
        ask(cl, INCOMING, OK);
        ask(cl, INCOMING, E("this machine waits for a migration already"));
        fake_status(fake_now()->session, i ? GW_STATUS_FAILED : GW_STATUS_CANCELLED);
    }
    /* The next one does not even begin: it waits still. */
    fake_now()->start_fails = -EADDRINUSE;
    ask(cl, INCOMING, E("no luck"));
    ask(cl, "{\"execute\":\"cont\"}", E("the machine has not arrived here yet"));
    fake_now()->start_fails = 0;
    ask(cl, "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"tcp::1\",\"x-godwit-timeout-ms\":7}}", OK);
    assert_int_equal(fake_now()->session->timeout_ns, 7000000);
    fake_now()->session->touched = true;
    fake_status(fake_now()->session, GW_STATUS_FAILED);
    ask(cl, INCOMING, E("this machine waits for a migration already"));
    bye(cl);
}

static void test_who_cannot_be_filled(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    ask(cl, INCOMING, E("this machine was not started to wait for a migration"));
    rig->run_state = "paused";
    ask(cl, INCOMING, E("this machine was not started to wait for a migration"));
    assert_int_equal(fake_now()->started, 0);
    /* Whoever starts one by hand says that it can be, and has another try as well. */
    assert_int_equal(gw_control_incoming(rig->c, "tcp::1", NULL), 0);
    assert_false(fake_now()->session->start_paused);
    fake_status(fake_now()->session, GW_STATUS_FAILED);
    ask(cl, INCOMING, OK);
    bye(cl);
}

static void test_addresses(void **state)
{
#define CH(addr) "{\"execute\":\"migrate\",\"arguments\":{\"channels\":[{\"channel-type\":\"main\",\"addr\":{" addr "}}]}}"
    static const struct {
        const char *ask, *uri, *error;
    } cases[] = {
        {CH("\"transport\":\"socket\",\"type\":\"inet\",\"host\":\"h\",\"port\":\"12\""), "tcp:h:12", NULL},
        {CH("\"transport\":\"socket\",\"type\":\"inet\",\"host\":\"::1\",\"port\":\"12\""), "tcp:[::1]:12", NULL},
        {CH("\"transport\":\"socket\",\"type\":\"unix\",\"path\":\"/x\""), "unix:/x", NULL},
        {CH("\"transport\":\"socket\",\"type\":\"vsock\",\"cid\":\"2\",\"port\":\"12\""), "vsock:2:12", NULL},
        {CH("\"transport\":\"socket\",\"type\":\"fd\",\"str\":\"12\""), NULL,
         "there is no file descriptor named '12': over QMP it has the name that getfd gave it"},
        {CH("\"transport\":\"exec\",\"args\":[\"/bin/sh\",\"-c\",\"cat > /dev/null\"]"), "exec:cat > /dev/null", NULL},
        {CH("\"transport\":\"exec\",\"args\":[\"cat\",\"it's $x\"]"), "exec:exec 'cat' 'it'\\''s $x'", NULL},
        {CH("\"transport\":\"file\",\"filename\":\"/x\",\"offset\":0"), "file:/x", NULL},
        {CH("\"transport\":\"file\",\"filename\":\"/x\",\"offset\":4096"), "file:/x,offset=4096", NULL},
        {CH("\"transport\":\"file\",\"filename\":\"/x\",\"offset\":-1"), NULL,
         "the file's offset is negative, or its name has ',offset=' in it, which means an offset in a URI"},
        {CH("\"transport\":\"file\",\"filename\":\"/x\""), NULL, "argument 'channels[0].addr.offset' is missing"},
        {CH("\"transport\":\"exec\",\"args\":[1]"), NULL,
         "argument 'channels[0].addr.args[0]' must have type string"},
        {CH("\"transport\":\"exec\",\"args\":[]"), NULL, "argument 'channels[0].addr.args' is empty"},
        {CH("\"transport\":\"rdma\""), NULL, "argument 'transport' cannot be 'rdma'"},
        {CH("\"transport\":\"socket\""), NULL, "argument 'channels[0].addr.type' is missing"},
        {CH("\"transport\":\"socket\",\"type\":\"inet\",\"host\":\"h\""), NULL,
         "argument 'channels[0].addr.port' is missing"},
        {CH(""), NULL, "argument 'channels[0].addr.transport' is missing"},
        {"{\"execute\":\"migrate\",\"arguments\":{\"channels\":[]}}", NULL,
         "argument 'channels' must list one channel, of type 'main'"},
        {"{\"execute\":\"migrate\",\"arguments\":{\"channels\":[7]}}", NULL,
         "argument 'channels[0]' must have type object"},
        {"{\"execute\":\"migrate\"}", NULL, "argument 'uri' is missing"},
        {"{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:h:1\",\"channels\":[]}}", NULL,
         "arguments 'uri' and 'channels' both give the address: one of them is enough"},
        {"{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:h:1\",\"resume\":true}}", NULL,
         "there is no migration that was interrupted and could be resumed"},
    };
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    char want[512];

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        snprintf(want, sizeof want, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"%s\"}}",
                 cases[i].error ? cases[i].error : "");
        ask(cl, cases[i].ask, cases[i].error ? want : OK);
        if (cases[i].error)
            continue;
        assert_string_equal(fake_now()->session->uri, cases[i].uri);
        fake_status(fake_now()->session, GW_STATUS_FAILED);
    }
    ask(cl, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"foo:bar\"}}",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":...");
    bye(cl);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)
#define W(f) cmocka_unit_test_setup_teardown(f, rig_up_waiting, rig_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_outgoing),
        T(test_paused),
        T(test_who_cannot_be_filled),
        T(test_addresses),
        W(test_incoming),
        W(test_who_can_be_filled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
