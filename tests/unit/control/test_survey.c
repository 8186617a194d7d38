/* SPDX-License-Identifier: MIT
 *
 * The survey as our own commands have it.
 */
#include "rig.h"

#define SURVEY(args) "{\"execute\":\"x-godwit-survey\",\"arguments\":{" args "}}"
#define QUERY        "{\"execute\":\"x-godwit-query-survey\"}"

static void asked(struct client *cl, const char *text, const char *want)
{
    fake_now();
    ask(cl, text, want);
    fake_now();
}

static void test_start(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);

    asked(cl, SURVEY(""), OK);
    assert_true(!rig->vm.survey_config.duration_ns && !rig->vm.survey_config.sample_pages && !rig->vm.probe[0]);
    asked(cl, SURVEY("\"time-ms\":500,\"sample-pages\":100,\"probe\":\"tcp:h:1\""), OK);
    assert_int_equal(rig->vm.survey_config.duration_ns, 500 * GW_NS_PER_MS);
    assert_int_equal(rig->vm.survey_config.sample_pages, 100);
    assert_string_equal(rig->vm.probe, "tcp:h:1");
    /* 0 is no word for the usual here: the library refuses it. */
    asked(cl, SURVEY("\"time-ms\":0,\"sample-pages\":-1"), OK);
    assert_int_equal(rig->vm.survey_config.duration_ns, 1);
    assert_int_equal(rig->vm.survey_config.sample_pages, 1);
    asked(cl, SURVEY("\"time-ms\":\"1\""), E("argument 'time-ms' must have type integer"));
    asked(cl, SURVEY("\"more\":1"), E("there is no argument 'more'"));
    bye(cl);
}

static void test_query(void **state)
{
    struct rig *rig = *state;
    struct client *cl = ready(rig);
    struct gw_survey *s = &rig->vm.survey;

    asked(cl, QUERY, "{\"return\":{\"status\":\"unstarted\"}}");
    s->status = GW_DIRTY_RATE_MEASURING;
    asked(cl, QUERY, "{\"return\":{\"status\":\"measuring\"}}");
    s->status = GW_DIRTY_RATE_FAILED;
    gw_fail(&s->error, -EIO, GW_BLAME_LOCAL, "why");
    asked(cl, QUERY, "{\"return\":{\"error-desc\":\"why\",\"status\":\"failed\"}}");
    *s = (struct gw_survey){.status = GW_DIRTY_RATE_MEASURED,
                            .in = {.ram_bytes = 8192,
                                   .page_bytes = 4096,
                                   .zero_share = 0.5,
                                   .zero_error = 0.25,
                                   .page_ns = 2,
                                   .zero_ns = 1,
                                   .slowdown = 2,
                                   .cpus = 4,
                                   .vcpus = 2,
                                   .points = 1,
                                   .dirty = {{1000, 4096, 0.5}},
                                   .zstd = {true, 0.25, 0.125, 8}},
                            .sampled_pages = 2,
                            .zero_pages = 1,
                            .changed_pages = 1};
    gw_fail(&s->probe_error, -EIO, GW_BLAME_LOCAL, "no way");
    asked(cl, QUERY,
          "{\"return\":{\"changed-pages\":1,\"cpus\":4,\"dirty\":[{\"bytes\":4096,\"error\":0.5,\"ns\":1000}],\"dirty-zero-share\":0.0,"
          "\"page-bytes\":4096,\"page-ns\":2.0,\"probe-error\":\"no way\",\"ram-bytes\":8192,\"sampled-pages\":2,\"slowdown\":2.0,\"status\":\"measured\","
          "\"vcpus\":2,\"zero-error\":0.25,\"zero-ns\":1.0,\"zero-pages\":1,\"zero-share\":0.5,"
          "\"zstd\":{\"error\":0.125,\"ns\":8.0,\"ratio\":0.25}}}");
    s->in.points = 0;
    s->in.zstd.known = false;
    s->probed = true;
    s->in.link_bytes_per_s = 1000;
    s->in.link_error = 0.5;
    s->in.round_trip_ns = 7;
    asked(cl, QUERY,
          "{\"return\":{\"changed-pages\":1,\"cpus\":4,\"dirty\":[],\"dirty-zero-share\":0.0,"
          "\"link\":{\"bytes-per-second\":1000,\"error\":0.5,\"round-trip-ns\":7},"
          "\"page-bytes\":4096,\"page-ns\":2.0,\"ram-bytes\":8192,\"sampled-pages\":2,\"slowdown\":2.0,\"status\":\"measured\","
          "\"vcpus\":2,\"zero-error\":0.25,\"zero-ns\":1.0,\"zero-pages\":1,\"zero-share\":0.5}}");
    bye(cl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start, rig_up, rig_down),
        cmocka_unit_test_setup_teardown(test_query, rig_up, rig_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
