/* SPDX-License-Identifier: MIT
 *
 * transaction: all of its changes of dirty bitmaps, or none, and what is refused.
 */
#include "with_disk.h"

#define DO(actions)  "{\"execute\":\"transaction\",\"arguments\":{\"actions\":[" actions "]}}"
#define A(what, more) "{\"type\":\"block-dirty-bitmap-" what "\",\"data\":{\"node\":\"n0\"," more "}}"

static int up(void **state)
{
    return up_with_disk(state, "n0");
}

/* "a 4096, " for each: how much is dirty, with ! where it does not record. */
static void have(struct rig *rig, const char *want)
{
    struct gw_bitmap_info info;
    char text[300] = "";
    size_t n = 0;

    for (unsigned i = 0; !gw_disk_bitmap_at(rig->vm.disk, i, &info); i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %u, ", info.name, info.recording ? "" : "!", (unsigned)info.dirty_bytes);
    assert_string_equal(text, want);
}

static void test_backup(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    ask(cl, DO(A("add", "\"name\":\"a\",\"granularity\":4096") "," A("add", "\"name\":\"b\",\"granularity\":4096,\"disabled\":true")), OK);
    gw_disk_wrote(rig->vm.disk, 0, 5000);
    have(rig, "a 8192, b! 0, ");
    ask(cl, DO(A("merge", "\"target\":\"b\",\"bitmaps\":[\"a\",{\"node\":\"d0\",\"name\":\"b\"}]") "," A("clear", "\"name\":\"a\"") ","
               A("enable", "\"name\":\"b\"") "," A("disable", "\"name\":\"a\"")), OK);
    have(rig, "a! 0, b 8192, ");
    ask(cl, "{\"execute\":\"transaction\",\"arguments\":{\"actions\":[" A("remove", "\"name\":\"a\"")
            "],\"properties\":{\"completion-mode\":\"grouped\"}}}", OK);
    have(rig, "b 8192, ");
    ask(cl, DO(""), OK);
    bye(cl);
}

static void test_none(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    ask(cl, DO(A("add", "\"name\":\"a\",\"granularity\":4096")), OK);
    gw_disk_wrote(rig->vm.disk, 0, 5000);
    ask(cl, DO(A("clear", "\"name\":\"a\"") "," A("add", "\"name\":\"b\"") "," A("merge", "\"target\":\"b\",\"bitmaps\":[\"a\",\"x\"]")),
        E("actions[2]: nothing was changed: disk d0 has no dirty bitmap x"));
    ask(cl, DO(A("clear", "\"name\":\"a\"") ",{\"type\":\"drive-backup\",\"data\":{}}"),
        E("actions[1]: a transaction cannot do 'drive-backup' here: only block-dirty-bitmap-add, -remove, -clear, -enable, -disable and "
          "-merge"));
    ask(cl, DO(A("clear", "\"name\":\"a\"") ",7"), E("argument 'actions[1]' must have type object"));
    ask(cl, DO(A("clear", "\"name\":7")), E("argument 'actions[0].data.name' must have type string"));
    ask(cl, DO("{\"type\":\"block-dirty-bitmap-clear\",\"data\":{\"node\":\"x\",\"name\":\"a\"}}"),
        E("there is no disk with the device or node name 'x'"));
    have(rig, "a 8192, ");
    bye(cl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_backup, up, down_with_disk),
        cmocka_unit_test_setup_teardown(test_none, up, down_with_disk),
    };

    return cmocka_run_group_tests_name("control/transaction", tests, NULL, NULL);
}
