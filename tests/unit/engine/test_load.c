/* SPDX-License-Identifier: MIT
 *
 * Elements of a stream as they come: which sections there may be, which commands are done, and when it is whole.
 */
#include "sink.h"

static struct gw_error err;

static int load(void)
{
    err = (struct gw_error)GW_ERROR_INIT;
    sink_phase(GW_PHASE_LOADING);
    return gw_recv_load(r, &err);
}

static void refused(const char *text)
{
    put(false);
    assert_true(load() < 0);
    assert_string_equal(err.text, text);
    assert_int_equal(err.blame, GW_BLAME_PEER);
}

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
    rig_said("setup(a) load(a,1) setup(b) load(b,1) load(b,2) load(a,3) load(b,3) ended(a,2) ended(b,2) ");
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
    rig_said("setup(a) load(a,1) load(a,2) ended(a,1) a word; ended(b,0) ");
    assert_true(r->snapshot);
}

static void test_not_whole(void **state)
{
    b.ended = -EPROTO;
    gw_put_u8(&out, GW_ELEMENT_EOF);
    refused("the stream ends at byte 0: b is not whole");
}

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
    refused("section 1 (b/0) at byte 20: the id is taken");
}

static void test_never_started(void **state)
{
    put_part(GW_ELEMENT_PART, 9);
    refused("PART section at byte 0: 9 was never started");
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

static void test_order(void **state)
{
    put_start(1, "a", 3);
    put_part(GW_ELEMENT_END, 1);
    put_start(2, "b", 4);
    put(false);
    assert_int_equal(load(), -EPROTO);
    assert_non_null(strstr(err.text, "element 0x01 (START) at byte 30 may not come here"));
}

/* ---- commands ---- */

static void test_ping_too_early(void **state)
{
    put_command(GW_COMMAND_PING, 5);
    refused("command PING at byte 0: PING before OPEN_RETURN_PATH: there is no way to answer");
}

static void test_return_path(void **state)
{
    put_command(GW_COMMAND_OPEN_RETURN_PATH, 0);
    put_command(GW_COMMAND_OPEN_RETURN_PATH, 0); /* once is enough */
    put_command(GW_COMMAND_PING, 0x1234);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(false);
    assert_int_equal(load(), 0);
    assert_string_equal(answered(), "0002000400001234");
    assert_true(r->return_path && r->heard && !r->extended);
}

/* The cookie is answered by PONG and HELLO; the PING behind it says what the source knows. */
static void test_cookie(void **state)
{
    put_command(GW_COMMAND_OPEN_RETURN_PATH, 0);
    put_command(GW_COMMAND_PING, GW_PING_COOKIE);
    put(true);
    put_command(GW_COMMAND_PING, GW_EXTENSION_REASON);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(false);
    assert_int_equal(load(), 0);
    assert_string_equal(answered(), "0002000467647774" "6777000c00000001" "0000000000000007" "0002000400000002");
    assert_true(r->extended);
    assert_int_equal(r->source_knows, GW_EXTENSION_REASON);
}

static void test_one_way(void **state)
{
    near->features &= ~(unsigned)GW_CHANNEL_DUPLEX;
    put_command(GW_COMMAND_OPEN_RETURN_PATH, 0);
    refused("command OPEN_RETURN_PATH at byte 0: the source wants a return path, memory:a carries one direction only");
}

/* No device of ours wants it put off. */
static void test_switchover_ack(void **state)
{
    rig_cap("return-path");
    rig_cap("switchover-ack");
    put_command(GW_COMMAND_OPEN_RETURN_PATH, 0);
    put_command(GW_COMMAND_OPEN_RETURN_PATH, 0);
    gw_put_u8(&out, GW_ELEMENT_EOF);
    put(false);
    assert_int_equal(load(), 0);
    assert_string_equal(answered(), "00070000");
}

static void test_postcopy(void **state)
{
    uint8_t payload[16] = {0};

    gw_command_put(&out, GW_COMMAND_POSTCOPY_ADVISE, payload, 16);
    refused("command POSTCOPY_ADVISE at byte 0: byte 5: host pages of 0x0 bytes, target pages of 0x0: that cannot be");
}

static int command(uint16_t number)
{
    err = (struct gw_error)GW_ERROR_INIT;
    r->grammar = GW_GRAMMAR_ENDED;
    put_command(number, 0);
    put(true);
    assert_int_equal(gw_get_discard(&r->reader, 1, NULL), 0);
    return gw_recv_command(r, 7, &err);
}

static void test_commit(void **state)
{
    rig_fails(command(GW_COMMAND_GODWIT_COMMIT), -EPROTO, &err, "command GODWIT_COMMIT at byte 7 was not agreed on");
    r->extended = true;
    assert_int_equal(command(GW_COMMAND_GODWIT_COMMIT), 0);
    assert_true(r->committed && !r->aborted);
    rig_fails(command(GW_COMMAND_GODWIT_ABORT), -ECANCELED, &err,
              "command GODWIT_ABORT at byte 7: the source took the machine back at the last moment");
    assert_true(r->aborted && !r->committed);
}

/* ---- the last word ---- */

static void test_shut(void **state)
{
    struct gw_error why = GW_ERROR_INIT;

    gw_answers_open(&r->answers, near);
    assert_int_equal(gw_recv_shut(r, NULL, &err), 0);
    assert_string_equal(answered(), "0001000400000000");
    gw_fail(&why, -EIO, GW_BLAME_LOCAL, "no");
    r->source_knows = GW_EXTENSION_REASON;
    assert_int_equal(gw_recv_shut(r, &why, &err), 0);
    assert_string_equal(answered(), "677900026e6f" "0001000400000001");
    assert_int_equal(gw_recv_shut(r, &why, &err), -EALREADY); /* it was told */
    assert_string_equal(answered(), "");
}

static void test_shut_for_a_plain_source(void **state)
{
    struct gw_error why = GW_ERROR_INIT;

    gw_answers_open(&r->answers, near);
    gw_fail(&why, -EIO, GW_BLAME_LOCAL, "no");
    assert_int_equal(gw_recv_shut(r, &why, &err), 0);
    assert_string_equal(answered(), "0001000400000001");
}

/* ---- behind EOF ---- */

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
        T(test_whole),         T(test_open_sections), T(test_not_whole),     T(test_unknown_section), T(test_version), T(test_instance), T(test_touched),
        T(test_started_twice), T(test_number_taken),  T(test_never_started), T(test_ended_before),    T(test_footer),
        T(test_without_footers), T(test_order),       T(test_ping_too_early), T(test_return_path),    T(test_cookie),
        T(test_one_way),       T(test_switchover_ack), T(test_postcopy),     T(test_commit),          T(test_shut),
        T(test_shut_for_a_plain_source), T(test_description), T(test_cut_description), T(test_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
