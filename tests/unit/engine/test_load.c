/* SPDX-License-Identifier: MIT
 *
 * Elements of a stream as they come: in which order, and when it is whole.
 */
#include "load_rig.h"

static void test_whole(void **state)
{
    a.body = b.body = 0;
    put_start(1, "a", 3);
    put_start(2, "b", 4);
    put_part(GW_ELEMENT_PART, 2);
    put_part(GW_ELEMENT_END, 1);
    put_part(GW_ELEMENT_END, 2);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(false);
    assert_int_equal(load(), 0);
    rig_said("setup(a) load(a,1) setup(b) load(b,1) load(b,2) load(a,3) load(b,3) ended(a,2) ended(b,2) over(a) ");
    assert_true(r->ended && r->touched && r->heard && !r->snapshot);
}

/* A section without END is a sign that the source runs on; without START it says so to the section. */
static void test_open_sections(void **state)
{
    a.note = "a word";
    put_start(1, "a", 3);
    put_part(GW_ELEMENT_PART, 1);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(false);
    assert_int_equal(load(), 0);
    rig_said("setup(a) load(a,1) load(a,2) ended(a,1) a word; ended(b,0) over(a) ");
    assert_true(r->snapshot);
}

static void test_not_whole(void **state)
{
    b.ended = -EPROTO;
    gw_put_u8(&out, GW_ELEMENT_EOF);
    refused("the stream ends at byte 0: b is not whole");
    rig_said("ended(a,0) ended(b,0) "); /* over of neither */
}

static void test_order(void **state)
{
    put_start(1, "a", 3);
    put_part(GW_ELEMENT_END, 1);
    put_start(2, "b", 4);
    put(false);
    assert_int_equal(load(), -EPROTO);
    assert_non_null(strstr(err.text, "element 0x01 (START) at byte 30 is not allowed here"));
}

static void test_description(void **state)
{
    gw_put_u8(&out, GW_ELEMENT_EOF);
    gw_wire_put_vmdesc(&out, "{}", 2);
    gw_put_u8(&out, 0x55); /* somebody else's */
    put(false);
    assert_int_equal(load(), 0);
    assert_int_equal(gw_reader_offset(&r->reader), 1 + 5 + 2);
    assert_int_equal(r->grammar, GW_GRAMMAR_DESCRIBED);
}

/* A file that is cut in its description is damaged. */
static void test_cut_description(void **state)
{
    gw_put_u8(&out, GW_ELEMENT_EOF);
    gw_put_u8(&out, GW_ELEMENT_VMDESC);
    gw_put_u32(&out, 100);
    put(false);
    assert_int_equal(load(), -ENODATA);
    assert_non_null(strstr(err.text, "the description of the devices at byte 1"));
}

static void test_cancelled(void **state)
{
    put_start(1, "a", 3);
    put_start(2, "b", 4);
    put(false);
    r->session.cancelled = true;
    assert_int_equal(load(), -ECANCELED);
    rig_said("setup(a) load(a,1) "); /* looked at between two elements */
}

#define T(f) sink_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_whole), T(test_open_sections), T(test_not_whole), T(test_order), T(test_description),
        T(test_cut_description), T(test_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
