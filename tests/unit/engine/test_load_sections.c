/* SPDX-License-Identifier: MIT
 *
 * Live sections as they come: which there may be, in which version, under which number, and what follows them.
 */
#include "load_rig.h"

static void test_unknown_section(void **state)
{
    put_start(1, "c", 1);
    refused("section c/0 at byte 0 (START): this machine has no such live state");
}

static void test_instance(void **state)
{
    gw_section_put_head(&out, GW_ELEMENT_START, &(struct gw_section_head){.id = 1, .instance = 1, .version = 3, .name = "a"});
    refused("section a/1 at byte 0 (START): this machine has no such live state");
}

/* What a START changes counts too. */
static void test_touched(void **state)
{
    put_start(1, "a", 3);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(false);
    assert_int_equal(load(), 0);
    assert_true(r->touched);
}

static void test_version(void **state)
{
    put_start(1, "a", 2);
    refused("section a at byte 0 has version 2, 3 is known");
}

static void test_started_twice(void **state)
{
    put_start(1, "a", 3);
    put_start(2, "a", 3);
    refused("section a at byte 20 was started before");
}

static void test_number_taken(void **state)
{
    put_start(1, "a", 3);
    put_start(1, "b", 4);
    refused("section 1 (b/0) at byte 20: another section has this id");
}

static void test_never_started(void **state)
{
    put_part(GW_ELEMENT_PART, 9);
    refused("PART section at byte 0: section 9 was never started");
}

static void test_ended_before(void **state)
{
    put_start(1, "a", 3);
    put_part(GW_ELEMENT_END, 1);
    put_part(GW_ELEMENT_END, 1);
    refused("END section at byte 30: 1 (a) has ended before");
}

static void test_footer(void **state)
{
    put_start(1, "a", 3);
    gw_section_put_part(&out, GW_ELEMENT_PART, 1);
    gw_section_put_footer(&out, 2);
    put(false);
    assert_true(load() < 0);
    assert_non_null(strstr(err.text, "section a (PART) at byte 20: "));
}

static void test_without_footers(void **state)
{
    rig.vm->without = GW_STREAM_FOOTERS;
    gw_section_put_head(&out, GW_ELEMENT_START, &(struct gw_section_head){.id = 1, .version = 3, .name = "a"});
    gw_section_put_part(&out, GW_ELEMENT_END, 1);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(false);
    assert_int_equal(load(), 0);
}

#define T(f) sink_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_unknown_section), T(test_instance), T(test_touched), T(test_version), T(test_started_twice),
        T(test_number_taken), T(test_never_started), T(test_ended_before), T(test_footer), T(test_without_footers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
