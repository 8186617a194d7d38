/* SPDX-License-Identifier: MIT
 *
 * snapshot-save, -load and -delete: what the engine is asked for, events, and arguments that are refused.
 */
#include "with_disk.h"

#define DO(what, id, more) "{\"execute\":\"snapshot-" what "\",\"arguments\":{\"job-id\":\"" id "\",\"tag\":\"s\"," more "}}"
#define STATUS(id, name)   check_event(cl, "JOB_STATUS_CHANGE", "{\"id\":\"" id "\",\"status\":\"" name "\"}")

static int up(void **state)
{
    return up_with_disk(state, "n0");
}

/* The job ends well, with STOP and RESUME where the machine is told to stand. */
static void done(struct rig *rig, struct client *cl, const char *text, bool stands, const char *asked)
{
    atomic_store(&rig->vm.snapshot_held, true); /* its end may be told before the answer */
    say(cl, text);
    STATUS("j", "created");
    STATUS("j", "running");
    check_next(cl, text, OK);
    atomic_store(&rig->vm.snapshot_held, false);
    if (stands) {
        check_event(cl, "STOP", NULL);
        check_event(cl, "RESUME", NULL);
    }
    STATUS("j", "waiting");
    STATUS("j", "pending");
    STATUS("j", "concluded");
    fake_now();
    assert_string_equal(rig->vm.snapshot, asked);
    say(cl, "{\"execute\":\"job-dismiss\",\"arguments\":{\"id\":\"j\"}}");
    STATUS("j", "null");
    check_next(cl, "dismiss", OK);
}

static void test_calls(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    atomic_store(&rig->vm.snapshot_held, true);
    rig->run_state = "paused";
    say(cl, DO("save", "j", "\"vmstate\":\"n0\",\"devices\":[\"n0\"]"));
    STATUS("j", "created");
    STATUS("j", "running");
    check_next(cl, "save", OK);
    ask(cl, "{\"execute\":\"query-status\"}", "{\"return\":{\"running\":false,\"singlestep\":false,\"status\":\"save-vm\"}}");
    atomic_store(&rig->vm.snapshot_held, false);
    check_event(cl, "STOP", NULL);
    check_event(cl, "RESUME", NULL);
    STATUS("j", "waiting");
    STATUS("j", "pending");
    STATUS("j", "concluded");
    ask(cl, "{\"execute\":\"query-status\"}", "{\"return\":{\"running\":false,\"singlestep\":false,\"status\":\"paused\"}}");
    say(cl, "{\"execute\":\"job-dismiss\",\"arguments\":{\"id\":\"j\"}}");
    STATUS("j", "null");
    check_next(cl, "dismiss", OK);
    done(rig, cl, DO("save", "j", "\"vmstate\":\"d0\",\"devices\":[\"d0\"]"), true, "save s 1 state");
    done(rig, cl, DO("load", "j", "\"vmstate\":\"n0\",\"devices\":[\"n0\"]"), true, "load s 1 state");
    done(rig, cl, DO("delete", "j", "\"devices\":[\"n0\",\"d0\"]"), false, "delete s 2");
    bye(cl);
}

/* Also what is left; nothing of it when none is saved. */
static void test_figures(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    ask(cl, "{\"execute\":\"query-migrate\"}", "{\"return\":{}}");
    atomic_store(&rig->vm.snapshot_held, true);
    say(cl, DO("save", "j", "\"vmstate\":\"n0\",\"devices\":[\"n0\"]"));
    STATUS("j", "created");
    STATUS("j", "running");
    check_next(cl, "save", OK);
    ask(cl, "{\"execute\":\"query-jobs\"}", "{\"return\":[{\"current-progress\":0,\"id\":\"j\",\"status\":\"running\",\"total-progress\":1,...");
    atomic_store(&rig->vm.saving, 3000);
    ask(cl, "{\"execute\":\"query-jobs\"}",
        "{\"return\":[{\"current-progress\":1000,\"id\":\"j\",\"status\":\"running\",\"total-progress\":4000,...");
    ask(cl, "{\"execute\":\"query-migrate\"}",
        "{\"return\":{\"x-godwit-snapshot\":{\"percent\":25,\"remaining\":3000,\"status\":\"active\",\"total\":4000,\"transferred\":1234}}}");
    atomic_store(&rig->vm.saving, 0);
    atomic_store(&rig->vm.snapshot_held, false);
    check_event(cl, "STOP", NULL);
    check_event(cl, "RESUME", NULL);
    STATUS("j", "waiting");
    STATUS("j", "pending");
    STATUS("j", "concluded");
    ask(cl, "{\"execute\":\"query-jobs\"}", "{\"return\":[{\"current-progress\":1,\"id\":\"j\",\"status\":\"concluded\",\"total-progress\":1,...");
    ask(cl, "{\"execute\":\"query-migrate\"}", "{\"return\":{}}");
    bye(cl);
}

/* The job ends at once, so its last states may be told before the answer. */
static void fails(struct client *cl, const char *text, const char *why)
{
    char want[512];

    say(cl, text);
    for (bool answered = false, concluded = false; !answered || !concluded;) {
        GW_AUTOFREE char *line = next_line(cl);

        assert_non_null(line);
        answered |= strstr(line, "\"return\"") != NULL;
        concluded |= strstr(line, "concluded") != NULL;
        assert_null(strstr(line, "STOP"));
        assert_null(strstr(line, "pending"));
    }
    snprintf(want, sizeof want, "{\"return\":[{\"current-progress\":1,\"error\":\"%s\",\"id\":\"j\",\"status\":\"concluded\",...",
             why);
    ask(cl, "{\"execute\":\"query-jobs\"}", want);
    say(cl, "{\"execute\":\"job-dismiss\",\"arguments\":{\"id\":\"j\"}}");
    STATUS("j", "null");
    check_next(cl, "dismiss", OK);
}

static void test_refused(void **state)
{
    struct client *cl = ready(*state);

    ask(cl, DO("save", "j", "\"devices\":[\"n0\"]"), E("argument 'vmstate' is missing"));
    ask(cl, DO("save", "j", "\"vmstate\":\"n0\",\"devices\":[]"), E("argument 'devices' has 1 to 256 names"));
    ask(cl, DO("delete", "j", "\"devices\":[\"n0\",7]"), E("argument 'devices[1]' must be a string"));
    fails(cl, DO("save", "j", "\"vmstate\":\"n0\",\"devices\":[\"nope\"]"), "there is no disk with the device or node name 'nope'");
    fails(cl, DO("load", "j", "\"vmstate\":\"nope\",\"devices\":[\"n0\"]"),
          "the disk for the machine's state (vmstate), nope, is none of the devices");
    bye(cl);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down_with_disk)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_calls), T(test_figures), T(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
