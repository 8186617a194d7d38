/* SPDX-License-Identifier: MIT
 *
 * The history of a migration as our own command has it.
 */
#include "rig.h"

#define QUERY "{\"execute\":\"x-godwit-query-history\"}"

static void test_none(void **state)
{
    struct client *cl = ready(*state);

    ask(cl, QUERY, E("no migration was started here"));
    bye(cl);
}

static void test_all(void **state)
{
    struct client *cl = ready(*state);

    ask(cl, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:h:1\"}}", OK);
    ask(cl, QUERY,
        "{\"return\":{\"rounds\":[{\"began-us\":0,\"bytes\":7,\"count\":1,\"dirty-bytes\":0,\"duration-us\":2,\"first\":1,\"limit\":8,"
        "\"pages\":0,\"remaining\":0,\"zero-pages\":0}],\"samples\":[{\"at-us\":1,\"remaining\":3,\"round\":4,\"throttle\":5,"
        "\"transferred\":2}],\"stopped-us\":5}}");
    ask(cl, "{\"execute\":\"x-godwit-query-history\",\"arguments\":{\"a\":1}}", E("there is no argument 'a'"));
    bye(cl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_none, rig_up, rig_down),
                                       cmocka_unit_test_setup_teardown(test_all, rig_up, rig_down)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
