/* SPDX-License-Identifier: MIT
 *
 * announce-self: what becomes of its arguments.
 */
#include "rig.h"

#define ANNOUNCE(more) "{\"execute\":\"announce-self\",\"arguments\":{\"initial\":50,\"max\":550,\"rounds\":5,\"step\":100" more "}}"

static void asked(struct client *cl, const char *text, const char *want)
{
    fake_now();
    ask(cl, text, want);
    fake_now();
}

static void test_arguments(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    const struct gw_announce_config *a = &rig->vm.announce;

    asked(cl, ANNOUNCE(""), OK);
    assert_true(a->initial_ms == 50 && a->max_ms == 550 && a->rounds == 5 && a->step_ms == 100);
    assert_string_equal(rig->vm.announced, "-: all");
    asked(cl, ANNOUNCE(",\"id\":\"mine\",\"interfaces\":[\"net0\",\"net7\"]"), OK);
    assert_string_equal(rig->vm.announced, "mine: net0 net7");
    /* None is not all. */
    asked(cl, ANNOUNCE(",\"id\":\"\",\"interfaces\":[]"), OK);
    assert_string_equal(rig->vm.announced, ":");
    bye(cl);
}

static void test_refusals(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    asked(cl, "{\"execute\":\"announce-self\"}", E("argument 'initial' is missing"));
    asked(cl, "{\"execute\":\"announce-self\",\"arguments\":{\"initial\":50,\"max\":550,\"rounds\":-1,\"step\":100}}",
          E("so many rounds"));
    asked(cl, ANNOUNCE(",\"interfaces\":[\"net0\",7]"), E("argument 'interfaces[1]' must have type string"));
    asked(cl, ANNOUNCE(",\"interfaces\":\"net0\""), E("argument 'interfaces' must have type array"));
    asked(cl, ANNOUNCE(",\"id\":1"), E("argument 'id' must have type string"));
    bye(cl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arguments, rig_up, rig_down),
        cmocka_unit_test_setup_teardown(test_refusals, rig_up, rig_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
