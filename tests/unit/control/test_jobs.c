/* SPDX-License-Identifier: MIT
 *
 * Jobs: their states as events and in query-jobs, until they are dismissed; IDs; what is refused while one is under way.
 */
#include "with_disk.h"

#define DELETE(id, tag)                                                                                                            \
    "{\"execute\":\"snapshot-delete\",\"arguments\":{\"job-id\":\"" id "\",\"tag\":\"" tag "\",\"devices\":[\"d0\"]}}"
#define STATUS(id, name) check_event(cl, "JOB_STATUS_CHANGE", "{\"id\":\"" id "\",\"status\":\"" name "\"}")
#define JOB(now, id, status)                                                                                                       \
    "{\"return\":[{\"current-progress\":" now ",\"id\":\"" id "\",\"status\":\"" status                                            \
    "\",\"total-progress\":1,\"type\":\"snapshot-delete\"}]}"
#define DISMISS(id) "{\"execute\":\"job-dismiss\",\"arguments\":{\"id\":\"" id "\"}}"
#define CANCEL(id)  "{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"" id "\"}}"
#define QUERY       "{\"execute\":\"query-jobs\"}"

static int up(void **state)
{
    return up_with_disk(state, NULL);
}

static void test_states(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    ask(cl, QUERY, "{\"return\":[]}");
    atomic_store(&rig->vm.snapshot_held, true);
    say(cl, DELETE("a.1", "s"));
    STATUS("a.1", "created");
    STATUS("a.1", "running");
    check_next(cl, "delete", OK);
    ask(cl, QUERY, JOB("0", "a.1", "running"));
    ask(cl, DELETE("a.1", "s"), E("there is a job 'a.1' already: job-dismiss takes one away that has concluded"));
    ask(cl, DISMISS("a.1"), E("job 'a.1' cannot be dismissed: it is running"));
    ask(cl, CANCEL("a.1"), E("job 'a.1' cannot be cancelled: it is running"));
    ask(cl, "{\"execute\":\"stop\"}", E("a job is under way that stops and starts the machine (snapshot-delete)"));
    ask(cl, "{\"execute\":\"cont\"}", E("a job is under way that stops and starts the machine (snapshot-delete)"));
    atomic_store(&rig->vm.snapshot_held, false);
    STATUS("a.1", "waiting");
    STATUS("a.1", "pending");
    STATUS("a.1", "concluded");
    ask(cl, QUERY, JOB("1", "a.1", "concluded"));
    say(cl, DISMISS("a.1"));
    STATUS("a.1", "null");
    check_next(cl, "dismiss", OK);
    ask(cl, DISMISS("a.1"), E("there is no job 'a.1'"));
    ask(cl, QUERY, "{\"return\":[]}");
    bye(cl);
}

static void test_fails(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    atomic_store(&rig->vm.snapshot_held, true); /* its end may be told before the answer */
    say(cl, DELETE("b", "bad"));
    STATUS("b", "created");
    STATUS("b", "running");
    check_next(cl, "delete", OK);
    atomic_store(&rig->vm.snapshot_held, false);
    STATUS("b", "aborting");
    STATUS("b", "concluded");
    ask(cl, QUERY,
        "{\"return\":[{\"current-progress\":1,\"error\":\"no luck\",\"id\":\"b\",\"status\":\"concluded\",\"total-progress\":1,"
        "\"type\":\"snapshot-delete\"}]}");
    bye(cl);
}

static void test_ids(void **state)
{
    struct client *cl = ready(*state);

    ask(cl, DELETE("1", "s"), E("job ID '1': it begins with a letter, and has up to 255 letters, digits and - . _"));
    ask(cl, DELETE("", "s"), "{\"error\":{\"class\":\"GenericError\",\"desc\":\"job ID '': ...");
    ask(cl, DELETE("a b", "s"), "{\"error\":{\"class\":\"GenericError\",\"desc\":\"job ID 'a b': ...");
    bye(cl);
}

/* The server ends while one is under way: it waits. */
static void test_end(void **state)
{
    struct client *cl = ready(*state);

    say(cl, DELETE("c", "s"));
    STATUS("c", "created");
    bye(cl);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down_with_disk)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_states), T(test_fails), T(test_ids), T(test_end)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
