/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/options.h"

static const uint64_t *presets(uint64_t *params)
{
    struct gw_options *o = NULL;

    assert_int_equal(gw_options_new(&o, NULL), 0);
    for (size_t i = 0; i < GW_PARAM_COUNT; i++)
        params[i] = gw_options_param(o, (enum gw_parameter)i);
    gw_options_free(o);
    return params;
}

#define B(c) (1ull << GW_CAP_##c)
#define SNAPSHOT(other)                                                                                                \
    "capability background-snapshot cannot be on together with " other                                                 \
    ": a snapshot goes out in one pass, and its machine stays here"

static void test_conflicts(void **state)
{
    static const struct {
        uint64_t caps;
        const char *text;
    } cases[] = {
        {0, NULL},
        {B(POSTCOPY_RAM) | B(POSTCOPY_PREEMPT) | B(RETURN_PATH) | B(RELEASE_RAM), NULL},
        {B(MULTIFD) | B(ZERO_COPY_SEND) | B(MAPPED_RAM), NULL},
        {B(POSTCOPY_PREEMPT), "capability postcopy-preempt needs postcopy-ram, which is off: only in postcopy does the guest "
            "wait for pages"},
        {B(ZERO_COPY_SEND), "capability zero-copy-send needs multifd, which is off: only multifd channels can send without "
            "copying"},
        {B(ZERO_COPY_SEND) | B(MULTIFD) | B(XBZRLE),
         "capability zero-copy-send cannot be on together with xbzrle: pages are sent as they are in memory"},
        {B(ZERO_COPY_SEND) | B(MULTIFD) | B(COMPRESS),
         "capability zero-copy-send cannot be on together with compress: pages are sent as they are in memory"},
        {B(POSTCOPY_RAM) | B(IGNORE_SHARED), "capability postcopy-ram cannot be on together with x-ignore-shared: memory that "
            "is not sent cannot be asked for"},
        {B(POSTCOPY_RAM) | B(POSTCOPY_PREEMPT) | B(MULTIFD) | B(RELEASE_RAM), NULL},
        {B(MULTIFD) | B(COMPRESS), "capability multifd cannot be on together with compress: its channels compress by "
            "multifd-compression"},
        {B(POSTCOPY_RAM) | B(POSTCOPY_PREEMPT) | B(COMPRESS), "capability postcopy-preempt cannot be on together with compress: "
            "pages that compression threads finish go out on the main channel"},
        {B(MULTIFD) | B(XBZRLE), "capability multifd cannot be on together with xbzrle: differences go over the main channel"},
        {B(SWITCHOVER_ACK), "capability switchover-ack needs return-path, which is off: the destination acknowledges on it"},
        {B(SWITCHOVER_ACK) | B(RETURN_PATH), NULL},
        {B(AUTO_CONVERGE) | B(DIRTY_LIMIT),
         "capability dirty-limit cannot be on together with auto-converge: both slow the guest down"},
        {B(MAPPED_RAM) | B(XBZRLE), "capability mapped-ram cannot be on together with xbzrle: each page has its fixed place in "
            "the file, as it is in memory"},
        {B(MAPPED_RAM) | B(POSTCOPY_RAM), "capability mapped-ram cannot be on together with postcopy-ram: a file cannot ask for "
            "pages"},
        {B(BACKGROUND_SNAPSHOT), NULL},
        {B(BACKGROUND_SNAPSHOT) | B(EVENTS), NULL},
        {B(BACKGROUND_SNAPSHOT) | B(MULTIFD), SNAPSHOT("multifd")},
        {B(BACKGROUND_SNAPSHOT) | B(XBZRLE), SNAPSHOT("xbzrle")},
        {B(BACKGROUND_SNAPSHOT) | B(COLO), SNAPSHOT("x-colo")},
        {B(BACKGROUND_SNAPSHOT) | B(VALIDATE_UUID), SNAPSHOT("validate-uuid")},
        {B(BACKGROUND_SNAPSHOT) | B(LATE_BLOCK_ACTIVATE),
         SNAPSHOT("late-block-activate")},
        {B(BACKGROUND_SNAPSHOT) | B(RDMA_PIN_ALL), SNAPSHOT("rdma-pin-all")},
        {B(BACKGROUND_SNAPSHOT) | B(POSTCOPY_RAM) | B(IGNORE_SHARED),
         SNAPSHOT("postcopy-ram")},
    };
    uint64_t params[GW_PARAM_COUNT];
    struct gw_error err;

    presets(params);
    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        int r = gw_features_judge(cases[i].caps, params, &err);

        assert_int_equal(r, cases[i].text ? -EINVAL : 0);
        if (cases[i].text)
            assert_string_equal(err.text, cases[i].text);
    }
    params[GW_PARAM_MULTIFD_COMPRESSION] = GW_MULTIFD_ZSTD;
    assert_int_equal(gw_features_judge(B(MULTIFD), params, &err), 0);
    assert_int_equal(gw_features_judge(B(MULTIFD) | B(ZERO_COPY_SEND), params, &err), -EINVAL);
    assert_int_equal(gw_features_judge(B(MULTIFD) | B(MAPPED_RAM), params, &err), -EINVAL);
}

/* The tables say what they mean: every feature is explained, every rule can be broken and says so. */
static void test_tables(void **state)
{
    uint64_t params[GW_PARAM_COUNT];
    const struct gw_feature_rule *rule;
    struct gw_error err;
    size_t n = 0;

    (void)state;
    presets(params);
    for (int c = 0; c < GW_CAP_COUNT; c++)
        assert_true(*gw_feature((enum gw_capability)c)->name && *gw_feature((enum gw_capability)c)->help);
    for (; (rule = gw_feature_rule(n)); n++) {
        assert_true(!rule->needs != !rule->not_with);
        assert_false(rule->with & (rule->needs | rule->not_with));
        for (int c = 0; c < GW_CAP_COUNT; c++)
            if (rule->not_with >> c & 1)
                assert_int_equal(gw_features_judge(rule->with | 1ull << c, params, &err), -EINVAL);
        if (rule->needs)
            assert_int_equal(gw_features_judge(rule->with, params, &err), -EINVAL);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_tables),
    };

    return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
