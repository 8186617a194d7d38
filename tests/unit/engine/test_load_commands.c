/* SPDX-License-Identifier: MIT
 *
 * Commands as they come: which are done and what is answered; and the last word to the source.
 */
#include "load_rig.h"

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
    assert_string_equal(answered(), "0002000467647774" "6777000c00000001" "000000000000000f" "0002000400000002");
    assert_true(r->extended);
    assert_int_equal(r->source_knows, GW_EXTENSION_REASON);
}

static void test_one_way(void **state)
{
    near->features &= ~(unsigned)GW_CHANNEL_DUPLEX;
    put_command(GW_COMMAND_OPEN_RETURN_PATH, 0);
    refused("command OPEN_RETURN_PATH at byte 0: the source wants a return path, but memory:a carries one direction only");
}

/* No device of ours wants it put off. */
static void test_switchover_ack(void **state)
{
    sink_cap("return-path");
    sink_cap("switchover-ack");
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
    rig_fails(command(GW_COMMAND_GODWIT_COMMIT), -EPROTO, &err, "command GODWIT_COMMIT at byte 7: source and destination have not agreed on it");
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

#define T(f) sink_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_ping_too_early), T(test_return_path), T(test_cookie), T(test_one_way), T(test_switchover_ack),
        T(test_postcopy), T(test_commit), T(test_shut), T(test_shut_for_a_plain_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
