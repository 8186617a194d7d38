/* SPDX-License-Identifier: MIT
 *
 * block-dirty-bitmap-*, query-block, query-named-block-nodes, and the parameter block-bitmap-mapping.
 */
#include "with_disk.h"

#define DO(name, more) "{\"execute\":\"block-dirty-bitmap-" name "\",\"arguments\":{\"node\":\"n0\"," more "}}"
#define INFO(rest) "[{\"busy\":false,\"count\":" rest "]"
#define NODES(list) "{\"return\":[{\"dirty-bitmaps\":" list ",\"image\":{\"virtual-size\":1048576},\"node-name\":\"n0\",\"ro\":true}]}"

static int up(void **state)
{
    return up_with_disk(state, "n0");
}

static void test_changes(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    ask(cl, "{\"execute\":\"query-named-block-nodes\"}", NODES("[]"));
    ask(cl, DO("add", "\"name\":\"a\",\"granularity\":4096,\"persistent\":true"), OK);
    ask(cl, DO("add", "\"name\":\"b\",\"disabled\":true"), OK);
    ask(cl, DO("add", "\"name\":\"a\""), E("disk d0 has a dirty bitmap a already"));
    ask(cl, DO("add", "\"name\":\"c\",\"granularity\":0"),
        E("dirty bitmap c of disk d0: the granularity of a dirty bitmap is a power of two from 512 bytes to 2 GiB, not 1"));
    gw_disk_wrote(rig->vm.disk, 0, 5000);
    ask(cl, DO("merge", "\"target\":\"b\",\"bitmaps\":[\"a\",{\"node\":\"d0\",\"name\":\"a\"}]"), OK);
    ask(cl, DO("merge", "\"target\":\"b\",\"bitmaps\":[\"a\",\"x\"]"), E("disk d0 has no dirty bitmap x"));
    ask(cl, DO("merge", "\"target\":\"b\",\"bitmaps\":[7]"), E("argument 'bitmaps[0]' must be a name, or have node and name"));
    ask(cl, "{\"execute\":\"query-named-block-nodes\"}",
        NODES(INFO("8192,\"granularity\":4096,\"name\":\"a\",\"persistent\":true,\"recording\":true},"
                   "{\"busy\":false,\"count\":65536,\"granularity\":65536,\"name\":\"b\",\"persistent\":false,\"recording\":false}")));
    ask(cl, DO("clear", "\"name\":\"a\""), OK);
    ask(cl, DO("disable", "\"name\":\"a\""), OK);
    ask(cl, DO("enable", "\"name\":\"b\""), OK);
    ask(cl, DO("remove", "\"name\":\"b\""), OK);
    ask(cl, DO("remove", "\"name\":\"b\""), E("disk d0 has no dirty bitmap b"));
    ask(cl, "{\"execute\":\"block-dirty-bitmap-clear\",\"arguments\":{\"node\":\"other\",\"name\":\"a\"}}",
        E("there is no disk with the device or node name 'other'"));
    ask(cl, "{\"execute\":\"query-block\"}",
        "{\"return\":[{\"device\":\"d0\",\"inserted\":{\"dirty-bitmaps\":" INFO(
            "0,\"granularity\":4096,\"name\":\"a\",\"persistent\":true,\"recording\":false}") ",\"image\":...");
    bye(cl);
}

#define MAP(value) "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"block-bitmap-mapping\":" value "}}"

static void test_mapping(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    ask(cl, MAP("[{\"node-name\":\"n\",\"alias\":\"x\",\"bitmaps\":[{\"name\":\"a\",\"alias\":\"1\"},"
                "{\"name\":\"b\",\"alias\":\"2\",\"transform\":{\"persistent\":true}},"
                "{\"name\":\"c\",\"alias\":\"3\",\"transform\":{\"persistent\":false}}]}]"),
        OK);
    fake_now();
    assert_string_equal(rig->vm.mapped, "n=x/a=1 n=x/b=2+ n=x/c=3- ");
    ask(cl, MAP("[]"), OK);
    fake_now();
    assert_string_equal(rig->vm.mapped, "");
    ask(cl, MAP("null"), OK);
    fake_now();
    assert_string_equal(rig->vm.mapped, "none");
    ask(cl, MAP("7"), E("argument 'block-bitmap-mapping' must have type array"));
    ask(cl, MAP("[7]"), E("argument 'block-bitmap-mapping[0]' must have type object"));
    ask(cl, MAP("[{\"node-name\":\"n\",\"alias\":\"x\"}]"), E("argument 'block-bitmap-mapping[0].bitmaps' is missing"));
    ask(cl, MAP("[{\"node-name\":\"n\",\"alias\":\"x\",\"bitmaps\":[{\"name\":\"a\"}]}]"),
        E("argument 'block-bitmap-mapping[0].bitmaps[0].alias' is missing"));
    bye(cl);
}

/* As it is set: bitmaps of one disk stand together. */
static void test_mapping_is_told(void **state)
{
    static const struct gw_bitmap_alias aliases[] = {{"n", "x", "a", "1"},
                                                     {"m", "y", "a", "2", .set_persistent = true},
                                                     {"n", "x", "b", "3", .set_persistent = true, .persistent = true}};
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    for (unsigned k = 0; k < 3; k++) { /* none, one that is empty, this one */
        json_t *o, *want;

        fake_now();
        rig->vm.aliases = k ? aliases : NULL;
        rig->vm.alias_count = k == 2 ? 3 : 0;
        fake_now();
        o = result_of(cl, "{\"execute\":\"query-migrate-parameters\"}");
        want = k == 0 ? NULL
               : k == 1
                   ? json_array()
                   : json_pack("[{s:s,s:s,s:[{s:s,s:s},{s:s,s:s,s:{s:b}}]},{s:s,s:s,s:[{s:s,s:s,s:{s:b}}]}]", "node-name", "n", "alias",
                               "x", "bitmaps", "name", "a", "alias", "1", "name", "b", "alias", "3", "transform", "persistent", 1,
                               "node-name", "m", "alias", "y", "bitmaps", "name", "a", "alias", "2", "transform", "persistent", 0);
        if (k)
            assert_true(json_equal(json_object_get(o, "block-bitmap-mapping"), want));
        else
            assert_null(json_object_get(o, "block-bitmap-mapping"));
        json_decref(want);
        json_decref(o);
    }
    fake_now();
    rig->vm.aliases = NULL;
    rig->vm.alias_count = 0;
    fake_now();
    bye(cl);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down_with_disk)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_changes), T(test_mapping), T(test_mapping_is_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
