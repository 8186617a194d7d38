/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>

#include "policy/record.h"

/* Every trace in the folder (sim-*: of the model, see test_simulate.c; real-*: of migrations on a busy machine): the same
 * questions get the same answers. The last answer is NOW; a real run may have asked again after draining the sockets. */
static void test_replay_traces(void **state)
{
    DIR *d = opendir(TRACES);
    struct dirent *e;
    unsigned files = 0;

    assert_non_null(d);
    while ((e = readdir(d))) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_replay r;
        char path[4096], line[GW_RECORD_LINE + 2];
        FILE *f;

        if (!strstr(e->d_name, ".txt"))
            continue;
        snprintf(path, sizeof path, "%s/%s", TRACES, e->d_name);
        f = fopen(path, "r");
        assert_non_null(f);
        gw_replay_init(&r);
        while (fgets(line, sizeof line, f)) {
            line[strcspn(line, "\n")] = 0;
            if (gw_replay_line(&r, line, &err))
                fail_msg("%s: line %u: %s", e->d_name, (unsigned)r.lines, err.text);
        }
        fclose(f);
        assert_in_range(r.switches, 1, 3);
        assert_int_equal(r.last.verdict, GW_SWITCH_NOW);
        files++;
    }
    closedir(d);
    assert_true(files >= 9);
}

static void test_difference_is_found(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_replay r;

    gw_replay_init(&r);
    assert_int_equal(gw_replay_line(&r, "d now=1000000000 allowed=1 pending=5", &err), 0);
    assert_int_equal(gw_replay_line(&r, "d now=1000000001 allowed=1 pending=5 -> sync pass-over 0 0", &err), -EILSEQ);
    assert_non_null(strstr(err.text, "pass-runs"));
    assert_int_equal(
        gw_replay_line(&r, "d now=1000000001 allowed=1 pending=5 -> continue pass-runs 18446744073709551615 0", &err),
        0);
}

static void test_malformed(void **state)
{
    static const char *const lines[] = {
        "x",
        "w",
        "w 1 2",
        "w 1 2 3 x", "w 1 2 3 4 5",
        "d now",
        "d now=",
        "d now=x",
        "d what=1",
        "t now=1 now",
        "t nosuch=1",
        "ww 1 2 3",
        "d =1",
        "d averyveryverylongkeyindeed=1",
        "d now=99999999999999999999999",
        "b",
        "b 1 2",
    };
    struct gw_error err = GW_ERROR_INIT;
    struct gw_replay r;

    for (unsigned i = 0; i < GW_ARRAY_LEN(lines); i++) {
        gw_replay_init(&r);
        if (gw_replay_line(&r, lines[i], &err) != -EINVAL)
            fail_msg("accepted: %s", lines[i]);
    }
    assert_int_equal(gw_replay_line(&r, "", &err), 0);
    assert_int_equal(gw_replay_line(&r, "# d nonsense", &err), 0);
}

static void test_longest_line(void **state)
{
    char line[GW_RECORD_LINE];
    struct gw_switch_in in;
    struct gw_switch_out out = {.verdict = GW_SWITCH_CONTINUE,
                                .reason = GW_SWITCH_NO_SHRINKING,
                                .predicted_ns = UINT64_MAX,
                                .threshold_bytes = UINT64_MAX};
    struct gw_throttle_params p = {true, true, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, true, UINT64_MAX};
    struct gw_throttle_out to = {true, UINT32_MAX, UINT64_MAX};

    memset(&in, 0xff, sizeof in);
    in.exact = in.dry = in.take = in.allowed = in.bandwidth.known = true;
    gw_record_switch(line, &in, &out);
    assert_true(strlen(line) < GW_RECORD_LINE - 1);
    gw_record_throttle(line, &p, UINT64_MAX, UINT64_MAX, UINT64_MAX, &to);
    assert_true(strlen(line) < GW_RECORD_LINE - 1);
    gw_record_window(line, &(struct gw_window_sample){UINT64_MAX, UINT64_MAX - 1, UINT64_MAX, UINT64_MAX});
    assert_true(strlen(line) < GW_RECORD_LINE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_traces),
        cmocka_unit_test(test_difference_is_found),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_longest_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
