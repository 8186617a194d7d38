/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "trace/trace.h"

static unsigned calls;
static char last_name[32], last_text[256];

static void keep(void *opaque, const struct gw_trace_record *r)
{
    assert_ptr_equal(opaque, &calls);
    assert_true(r->at_ns > 0);
    calls++;
    snprintf(last_name, sizeof last_name, "%s", r->name);
    snprintf(last_text, sizeof last_text, "%s", r->text);
}

static void test_names(void **state)
{
    const char *name, *format, *sentence;
    struct gw_error err = GW_ERROR_INIT;
    uint64_t set = 1;
    size_t n = 0;

    (void)state;
    for (; gw_trace_at(n, &name, &format, &sentence); n++) {
        assert_true(*name && *format && *sentence);
        assert_int_equal(gw_trace_parse(name, &set, &err), 0);
        assert_int_equal(set, 1ull << n);
    }
    assert_int_equal(n, GW_TRACE_COUNT);
    assert_int_equal(gw_trace_parse("", &set, &err), 0);
    assert_int_equal(set, 0);
    assert_int_equal(gw_trace_parse("*", &set, &err), 0);
    assert_int_equal(set, (1ull << GW_TRACE_COUNT) - 1);
    assert_int_equal(gw_trace_parse("ram_*,phase", &set, &err), 0);
    assert_int_equal(set, 1ull << GW_TRACE_phase | 1ull << GW_TRACE_ram_sync | 1ull << GW_TRACE_ram_clean |
                              1ull << GW_TRACE_ram_block | 1ull << GW_TRACE_ram_written_back);
    assert_int_equal(gw_trace_parse("phase,ramp*", &set, &err), -ENOENT);
    assert_non_null(strstr(err.text, "'ramp*'"));
    assert_int_equal(gw_trace_parse("phas", &set, &err), -ENOENT);
}

static void test_emit(void **state)
{
    struct gw_trace t;

    (void)state;
    gw_trace_init(&t, &gw_clock_real);
    gw_trace_phase(&t, "a", "b");
    gw_trace_phase(NULL, "a", "b");
    assert_int_equal(calls, 0);
    gw_trace_set(&t, 1ull << GW_TRACE_phase, keep, &calls);
    gw_trace_phase(&t, "active", "stopped");
    gw_trace_step(&t, 1, 2, 3);
    assert_int_equal(calls, 1);
    assert_string_equal(last_name, "phase");
    assert_string_equal(last_text, "active -> stopped");
    gw_trace_set(&t, ~0ull, NULL, NULL); /* nobody to tell */
    gw_trace_phase(&t, "a", "b");
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_emit)};

    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
