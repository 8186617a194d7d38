/* SPDX-License-Identifier: MIT
 *
 * Two machines in one process, each behind a control socket, migrated by QMP alone, through the client of the command
 * line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "../owned.h"
#include "qmp_client.h"
#include "sim.h"

#define LIMIT_MS 3600000 /* check.py ends programs that hang long before this */

struct side {
    struct sim *sim;
    struct gw_control *control;
    struct gw_qmp *qmp;
    bool waits; /* started for an incoming migration */
    char path[64], events[4096]; /* names and data of all events, one after the other */
};

static const char *run_state(void *opaque)
{
    struct side *s = opaque;

    if (sim_runs(s->sim))
        return "running";
    if (s->waits && !atomic_load(&s->sim->arrived))
        return "inmigrate";
    return gw_vm_place(s->sim->vm) == GW_VM_LEFT ? "postmigrate" : "paused";
}

static int stop(void *opaque, struct gw_error *err)
{
    return sim_stop(((struct side *)opaque)->sim);
}

static int cont(void *opaque, struct gw_error *err)
{
    return sim_start(((struct side *)opaque)->sim);
}

static const struct gw_control_ops ops = {GW_SIZED(struct gw_control_ops), .run_state = run_state, .stop = stop, .cont = cont};

static void note(void *opaque, const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event")), *key;
    json_t *data = json_object_get(event, "data"), *value;
    struct side *s = opaque;
    size_t n = strlen(s->events), k = strlen(name);

    /* A slow host makes many passes; they are recorded as one. */
    if (!strcmp(name, "MIGRATION_PASS") && n > k && !strncmp(s->events + n - k - 1, name, k))
        return;
    n += (size_t)snprintf(s->events + n, sizeof s->events - n, "%s", name);
    json_object_foreach(data, key, value)
        if (json_is_string(value) && n < sizeof s->events)
            n += (size_t)snprintf(s->events + n, sizeof s->events - n, ":%s", json_string_value(value));
    if (n + 1 < sizeof s->events)
        strcat(s->events, " ");
}

static void end_side(void *what)
{
    struct side *s = what;

    gw_qmp_free(s->qmp);
    gw_control_free(s->control);
    free(s);
}

static struct side *open_side(uint64_t seed, const char *name)
{
    struct gw_error err = GW_ERROR_INIT;
    struct sim *sim = sim_new(seed, 16, NULL);
    struct side *s = calloc(1, sizeof *s);
    struct gw_control_config config = {.ops = &ops, .opaque = s, .name = name, .waits = !seed};
    struct gw_qmp_config client = {.event = note, .opaque = s, .timeout_ns = LIMIT_MS * 1000000ull};
    char uri[80];

    assert_non_null(s);
    owned(s, end_side);
    s->sim = sim;
    snprintf(s->path, sizeof s->path, "/tmp/gw-test-sim-%d-%s", (int)getpid(), name);
    snprintf(uri, sizeof uri, "unix:%s", s->path);
    config.uri = uri;
    client.address = s->path;
    s->waits = !seed;
    sim->device.level = (uint32_t)seed; /* before the machine's own thread exists */
    if (seed)
        sim_start(sim);
    if (gw_control_start(sim->vm, &config, &s->control, &err) || gw_qmp_open(&client, &s->qmp, &err))
        fail_msg("%s", err.text);
    assert_string_equal(gw_qmp_server(s->qmp), "godwit " GW_VERSION_TEXT);
    return s;
}

static void close_side(struct side *s)
{
    struct sim *sim = s->sim;

    owned_end(s);
    owned_end(sim);
}

/* Runs a command; wrong: text that the error must contain, NULL: it must succeed. A new reference, NULL when refused. */
static json_t *qmp(struct side *s, const char *wrong, const char *command, json_t *take_args)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *result = NULL;
    int r = gw_qmp_execute(s->qmp, command, take_args, &result, &err);

    if (!wrong && r)
        fail_msg("%s: %s", command, err.text);
    if (wrong && (!r || !strstr(err.text, wrong)))
        fail_msg("%s: '%s' instead of '%s'", command, r ? err.text : "done", wrong);
    return result;
}

static void run(struct side *s, const char *wrong, const char *command, json_t *take_args)
{
    json_decref(qmp(s, wrong, command, take_args));
}

static void set_capability(struct side *s, const char *name)
{
    run(s, NULL, "migrate-set-capabilities", json_pack("{s[{sssb}]}", "capabilities", "capability", name, "state", 1));
}

static void set_parameter(struct side *s, const char *name, int value)
{
    run(s, NULL, "migrate-set-parameters", json_pack("{si}", name, value));
}

/* Polls until the migration has the status, or has ended; a new reference to the last answer. */
static json_t *wait_status(struct side *s, const char *status)
{
    uint64_t since_ns = gw_now_ns(&gw_clock_real);
    char last[32] = "";

    for (int i = 0; i < LIMIT_MS / 5; i++) {
        json_t *info = qmp(s, NULL, "query-migrate", NULL);
        const char *now = json_string_value(json_object_get(info, "status"));

        if (now && !strcmp(now, status))
            return info;
        if (now && (!strcmp(now, "completed") || !strcmp(now, "failed") || !strcmp(now, "cancelled")))
            fail_msg("%s instead of %s: %s", now, status, json_string_value(json_object_get(info, "error-desc")));
        snprintf(last, sizeof last, "%s", now ? now : "");
        json_decref(info);
        sim_ease(s->sim, since_ns);
        assert_int_equal(gw_qmp_wait(s->qmp, 5000000, NULL), 0);
    }
    fail_msg("%s, not %s within %d ms", last, status, LIMIT_MS);
    return NULL;
}

static void check_state(struct side *s, const char *state)
{
    json_t *status = qmp(s, NULL, "query-status", NULL);

    assert_string_equal(json_string_value(json_object_get(status, "status")), state);
    json_decref(status);
}

static long long number(const json_t *info, const char *object, const char *key)
{
    json_t *v = json_object_get(object ? json_object_get(info, object) : info, key);

    if (!json_is_integer(v))
        fail_msg("%s.%s is missing", object ? object : "", key);
    return json_integer_value(v);
}

/* Waits until some memory was sent, so that the destination cannot go back to listening. */
static void wait_sent(struct side *s, long long bytes)
{
    for (int i = 0; i < LIMIT_MS / 5; i++) {
        json_t *info = qmp(s, NULL, "query-migrate", NULL);
        long long sent = number(info, "ram", "transferred");

        json_decref(info);
        if (sent >= bytes)
            return;
        assert_int_equal(gw_qmp_wait(s->qmp, 5000000, NULL), 0);
    }
    fail_msg("less than %lld bytes sent within %d ms", bytes, LIMIT_MS);
}

/* A guest whose memory is full and changes continuously: 16 MiB at 1 MiB/s take long enough to be observed by a delayed
 * thread. */
static void make_busy(struct side *s)
{
    atomic_store(&s->sim->words_per_ms, 50);
    sim_await_writes(s->sim, 20000);
    set_parameter(s, "max-bandwidth", 1 << 20);
}

/* Starts the destination; returns its URI. */
static json_t *listening(struct side *s)
{
    json_t *info, *address, *args;
    char uri[128];

    run(s, NULL, "migrate-incoming", json_pack("{ss}", "uri", "tcp:127.0.0.1:0"));
    info = qmp(s, NULL, "query-migrate", NULL);
    address = json_array_get(json_object_get(info, "socket-address"), 0);
    assert_non_null(address);
    snprintf(uri, sizeof uri, "tcp:%s:%s", json_string_value(json_object_get(address, "host")),
             json_string_value(json_object_get(address, "port")));
    args = json_pack("{ss}", "uri", uri);
    json_decref(info);
    return args;
}

/* The history agrees with the final statistics. */
static void check_history(struct side *from, const json_t *info)
{
    json_t *history = qmp(from, NULL, "x-godwit-query-history", NULL), *rounds = json_object_get(history, "rounds"), *r;
    json_t *samples = json_object_get(history, "samples"), *s = NULL;
    long long next = 1, sent = 0, at = 0, stopped = number(history, NULL, "stopped-us"), last = 0;
    size_t i;

    json_array_foreach(rounds, i, r) {
        assert_int_equal(number(r, NULL, "first"), next);
        next += number(r, NULL, "count");
        assert_true(number(r, NULL, "began-us") >= last);
        last = number(r, NULL, "began-us");
    }
    assert_int_equal(next - 1, number(info, "ram", "dirty-sync-count"));
    assert_true(last >= stopped); /* the last one began when the machine was stopped */
    assert_int_equal(number(json_array_get(rounds, 0), NULL, "remaining"), number(info, "ram", "total"));
    json_array_foreach(samples, i, s) {
        assert_true(number(s, NULL, "at-us") >= at && number(s, NULL, "transferred") >= sent);
        at = number(s, NULL, "at-us");
        sent = number(s, NULL, "transferred");
    }
    assert_int_equal(sent, number(info, "ram", "transferred"));
    assert_int_equal(number(s, NULL, "round"), number(info, "ram", "dirty-sync-count"));
    json_decref(history);
}

static void check_completed(const json_t *info, struct side *to)
{
    json_t *x = json_object_get(info, "x-godwit"), *value;
    long long sum = 0;
    const char *key;

    assert_string_equal(json_string_value(json_object_get(x, "owner")), "destination");
    json_object_foreach(json_object_get(x, "bytes-by-cause"), key, value)
        sum += json_integer_value(value);
    assert_int_equal(sum, number(info, "ram", "transferred"));
    assert_true(number(info, "ram", "total") >= 16 << 20);
    assert_true(number(info, "ram", "normal") + number(info, "ram", "duplicate") >= (16 << 20) / 4096);
    assert_true(number(info, "ram", "dirty-sync-count") >= 2);
    assert_int_equal(number(info, "ram", "page-size"), 4096);
    assert_true(number(info, NULL, "total-time") >= number(info, NULL, "downtime"));
    assert_true(json_array_size(json_object_get(x, "round")) >= 1);
    sum = 0;
    json_object_foreach(json_object_get(x, "downtime-by-cause-us"), key, value)
        sum += json_integer_value(value);
    /* Each is rounded down. */
    assert_in_range(number(x, NULL, "downtime-us") - sum, 0, GW_DOWNTIME_COUNT);
    assert_int_equal(sim_check(to->sim), 0);
}

static void test_migrate(void **state)
{
    struct side *from = open_side(7, "a"), *to = open_side(0, "b");
    json_t *info;

    atomic_store(&from->sim->words_per_ms, 20);
    set_capability(from, "events");
    set_capability(to, "events");
    set_parameter(from, "max-bandwidth", 0);
    check_state(to, "inmigrate");
    run(from, NULL, "migrate", listening(to));
    info = wait_status(from, "completed");
    json_decref(wait_status(to, "completed"));
    while (!strstr(to->events, "MIGRATION:completed ")) /* the event may come after the status */
        run(to, NULL, "query-status", NULL);
    run(to, NULL, "stop", NULL);
    check_completed(info, to);
    check_history(from, info);
    json_decref(info);
    check_state(from, "postmigrate");
    assert_non_null(strstr(from->events, "MIGRATION:setup "));
    assert_non_null(strstr(from->events, "MIGRATION_PASS "));
    assert_non_null(strstr(from->events, "MIGRATION:active "));
    assert_non_null(strstr(from->events, "STOP MIGRATION:device "));
    assert_non_null(strstr(from->events, "MIGRATION:completed "));
    assert_null(strstr(from->events, "RESUME"));
    assert_non_null(strstr(to->events, "MIGRATION:active "));
    assert_non_null(strstr(to->events, "RESUME MIGRATION:completed "));
    run(from, "the machine has gone to the other side", "migrate",
        json_pack("{ss}", "uri", "tcp:127.0.0.1:1"));
    run(to, "this machine waits for a migration already", "migrate-incoming",
        json_pack("{ss}", "uri", "tcp:127.0.0.1:0"));
    close_side(from);
    close_side(to);
}

/* Wherever a machine came from, once it has migrated away it cannot be sent a second time. */
static void test_gone_on(void **state)
{
    struct side *side[4];

    for (int i = 0; i < 4; i++)
        side[i] = open_side(i ? 0 : 17, (const char *const[]){"a", "b", "c", "d"}[i]);
    for (int i = 0; i < 2; i++) {
        set_parameter(side[i], "max-bandwidth", 0);
        run(side[i], NULL, "migrate", listening(side[i + 1]));
        json_decref(wait_status(side[i], "completed"));
        json_decref(wait_status(side[i + 1], "completed"));
        check_state(side[i], "postmigrate");
        run(side[i], "the machine has gone to the other side", "migrate",
            json_pack("{ss}", "uri", "tcp:127.0.0.1:1"));
    }
    /* Running it at the source again needs force: two machines could run, at the operator's risk. */
    run(side[2], NULL, "stop", NULL);
    run(side[1], "the destination said that it has this machine", "cont", NULL);
    check_state(side[1], "postmigrate");
    run(side[1], NULL, "cont", json_pack("{sb}", "x-godwit-force", 1));
    check_state(side[1], "running");
    run(side[1], NULL, "migrate", listening(side[3]));
    json_decref(wait_status(side[1], "completed"));
    for (int i = 0; i < 4; i++)
        close_side(side[i]);
}

static void test_steered(void **state)
{
    struct side *from = open_side(11, "a"), *to = open_side(0, "b"), *other = open_side(0, "c");
    json_t *info;

    make_busy(from);
    run(from, NULL, "migrate", listening(to));
    json_decref(wait_status(from, "active"));
    run(from, "a migration of this machine is under way", "migrate", json_pack("{ss}", "uri", "tcp:127.0.0.1:1"));
    run(from, "a migration of this machine is under way", "migrate-set-capabilities",
        json_pack("{s[{sssb}]}", "capabilities", "capability", "events", "state", 1));
    run(from, "no migration waits to be continued: its state is active", "migrate-continue",
        json_pack("{ss}", "state", "pre-switchover"));
    wait_sent(from, 1 << 20);
    run(from, NULL, "migrate_cancel", NULL);
    info = wait_status(from, "cancelled");
    assert_string_equal(json_string_value(json_object_get(json_object_get(info, "x-godwit"), "owner")), "source");
    json_decref(info);
    check_state(from, "running");
    json_decref(wait_status(to, "failed"));
    run(to, "did not complete", "cont", NULL);
    check_state(to, "inmigrate");

    /* Nobody there. */
    run(from, NULL, "migrate", json_pack("{ss}", "uri", "unix:/tmp/gw-test-nobody-there"));
    info = wait_status(from, "failed");
    assert_non_null(strstr(json_string_value(json_object_get(info, "error-desc")), "gw-test-nobody-there"));
    json_decref(info);
    info = qmp(from, NULL, "x-godwit-query-history", NULL);
    assert_int_equal(json_array_size(json_object_get(info, "rounds")) + json_array_size(json_object_get(info, "samples")), 0);
    assert_null(json_object_get(info, "stopped-us"));
    json_decref(info);
    check_state(from, "running");

    /* To the other machine: slowly, then faster while it runs, with a stop before the switchover. */
    set_capability(from, "pause-before-switchover");
    run(from, NULL, "migrate", listening(other));
    json_decref(wait_status(from, "active"));
    set_parameter(from, "max-bandwidth", 1 << 30);
    info = wait_status(from, "pre-switchover");
    assert_true(number(info, NULL, "expected-downtime") >= 0);
    json_decref(info);
    check_state(other, "inmigrate");
    run(from, "the last migration has not ended yet", "cont", NULL);
    assert_int_equal(gw_qmp_wait(from->qmp, 5000000, NULL), 0);
    run(from, NULL, "migrate-continue", json_pack("{ss}", "state", "pre-switchover"));
    info = wait_status(from, "completed");
    assert_true(number(json_object_get(info, "x-godwit"), "downtime-by-cause-us", "paused") >= 5000);
    check_history(from, info);
    json_decref(wait_status(other, "completed"));
    run(other, NULL, "stop", NULL);
    check_completed(info, other);
    json_decref(info);
    close_side(from);
    close_side(to);
    close_side(other);
}

static void test_yank_and_blockers(void **state)
{
    struct side *from = open_side(13, "a"), *to = open_side(0, "b");
    unsigned id;
    json_t *info, *uri;

    make_busy(from);
    uri = listening(to);
    assert_int_equal(gw_vm_add_blocker(from->sim->vm, "the cat sleeps on it", &id, NULL), 0);
    run(from, "the cat sleeps on it", "migrate", json_incref(uri));
    info = qmp(from, NULL, "query-migrate", NULL);
    assert_string_equal(json_string_value(json_array_get(json_object_get(info, "blocked-reasons"), 0)),
                        "the cat sleeps on it");
    json_decref(info);
    gw_vm_remove_blocker(from->sim->vm, id);
    run(from, "no peer is called 6.0", "migrate",
        json_pack("{ssss}", "uri", "tcp:127.0.0.1:1", "x-godwit-peer", "6.0"));
    run(from, NULL, "migrate", uri);
    json_decref(wait_status(from, "active"));
    run(from, NULL, "yank", json_pack("{s[{ss}]}", "instances", "type", "migration"));
    json_decref(wait_status(from, "failed"));
    check_state(from, "running");
    run(from, "nothing to yank: the instance is not of type migration, or no migration is under way", "yank",
        json_pack("{s[{ss}]}", "instances", "type", "migration"));
    /* Closing the server during a migration ends it. */
    run(from, NULL, "migrate", json_pack("{ss}", "uri", "exec:sleep 10000"));
    close_side(to);
    close_side(from);
}

/* ---- device state alone ------------------------------------------------------------------------------------------------ */

static void test_device_state(void **state)
{
    static const char begin[] = "QEVM\0\0\0\3\4";
    struct side *from = open_side(42, "from"), *to = open_side(0, "to");
    char name[96], got[sizeof begin - 1];
    struct stat st;
    FILE *f;

    snprintf(name, sizeof name, "%s.state", from->path);
    umask(0027);
    run(from, NULL, "xen-save-devices-state", json_pack("{ss}", "filename", name));
    assert_string_equal(from->events, "STOP RESUME ");
    assert_true(sim_runs(from->sim));
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    f = fopen(name, "rb");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, sizeof got, f), sizeof got);
    fclose(f);
    assert_memory_equal(got, begin, sizeof got); /* no configuration: the first section */
    run(from, "the devices of a machine that runs cannot be changed: stop it first", "xen-load-devices-state", json_pack("{ss}",
        "filename", name));
    run(to, NULL, "xen-load-devices-state", json_pack("{ss}", "filename", name));
    assert_false(sim_runs(to->sim));
    run(to, "/nowhere/x cannot be opened", "xen-load-devices-state", json_pack("{ss}", "filename", "/nowhere/x"));
    run(to, "/nowhere/x cannot be opened", "xen-save-devices-state", json_pack("{sssb}", "filename", "/nowhere/x", "live", 0));
    assert_int_equal(truncate(name, 40), 0);
    run(to, "section", "xen-load-devices-state", json_pack("{ss}", "filename", name));
    gw_control_free(to->control); /* joins its thread, so that its writes are visible */
    to->control = NULL;
    assert_int_equal(to->sim->device.level, 42);
    remove(name);
    close_side(from);
    close_side(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_migrate),
        owned_test(test_gone_on),
        owned_test(test_steered),
        owned_test(test_yank_and_blockers),
        owned_test(test_device_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
