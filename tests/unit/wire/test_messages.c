/* SPDX-License-Identifier: MIT
 *
 * Commands in the stream, and answers on the return path.
 */
#include "wire.h"

#include "wire/answer.h"
#include "wire/command.h"

struct message {
    const struct gw_wire_name *what;
    uint16_t bytes;
    uint8_t body[65536];
};

static int get_command(struct gw_in *in, void *ret, struct gw_error *err)
{
    struct message *m = ret;
    uint8_t type;
    int r = gw_get_u8(in, &type, err);

    if (r >= 0)
        r = gw_command_get(in, 0, &m->what, &m->bytes, err);
    return r < 0 ? r : gw_get_bytes(in, m->body, m->bytes, err);
}

static int get_answer(struct gw_in *in, void *ret, struct gw_error *err)
{
    struct message *m = ret;
    int r = gw_answer_get(in, &m->what, &m->bytes, err);

    return r < 0 ? r : gw_get_bytes(in, m->body, m->bytes, err);
}

/* Each number with each length that is near its own: taken when the table says so, and only then. */
static void try(const struct gw_wire_name *what, bool command, uint16_t bytes)
{
    static struct message m;
    static uint8_t body[1024];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;
    struct gw_in in;
    size_t n;

    for (unsigned i = 0; i < bytes; i++)
        body[i] = (uint8_t)(i * 7 + what->number);
    gw_out_memory(&out);
    if (command)
        gw_command_put(&out, what->number, body, bytes);
    else
        gw_answer_put(&out, what->number, body, bytes);
    if (gw_wire_fits(what, bytes) && (command || bytes <= GW_RP_MAX_BYTES)) {
        whole_and_cut(&out, command ? get_command : get_answer, &m);
        assert_ptr_equal(m.what, what);
        assert_int_equal(m.bytes, bytes);
        assert_memory_equal(m.body, body, bytes);
    } else {
        gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
        assert_int_equal((command ? get_command : get_answer)(&in, &m, &err), -EPROTO);
        assert_non_null(strstr(err.text, command ? what->name : "no message of the return path"));
    }
    gw_out_free(&out);
}

static void test_all(void **state)
{
    for (unsigned number = 0; number <= 0xffff; number++)
        for (unsigned command = 0; command < 2; command++) {
            const struct gw_wire_name *what =
                command ? gw_wire_command((uint16_t)number) : gw_wire_rp((uint16_t)number);

            for (unsigned bytes = 0; what && bytes < 20; bytes++)
                try(what, command, (uint16_t)bytes);
            for (unsigned bytes = 511; what && bytes < 514; bytes++)
                try(what, command, (uint16_t)bytes);
        }
}

static void test_hostile(void **state)
{
    static struct message m;

    REFUSED("\x08\0\0\0\0", get_command, &m, "unknown command 0x0 at byte 0");
    REFUSED("\x08\0\x0c\xff\xff", get_command, &m, "unknown command 0xc");
    REFUSED("\x08\0\2\0\0", get_command, &m, "command PING at byte 0 has 0 bytes instead of 4");
    REFUSED("\0\2\0\5", get_answer, &m, "type 0x0002 and 5 bytes");
    REFUSED("\0\3\2\1", get_answer, &m, "type 0x0003 and 513 bytes");
    REFUSED("\x12\x34\0\0", get_answer, &m, "0x1234");
}

/* An answer that is too long for its buffer is an error, not a byte behind it. */
static void test_fixed(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t bytes[9] = {0};
    struct gw_out out;

    gw_out_fixed(&out, bytes, 8);
    gw_answer_put(&out, GW_RP_PONG, "abcd", 4);
    assert_int_equal(gw_out_error(&out, &err), 0);
    assert_memory_equal(bytes, "\0\2\0\4abcd", 9);
    gw_put_u8(&out, 1);
    assert_int_equal(gw_out_error(&out, &err), -EMSGSIZE);
    assert_int_equal(bytes[8], 0);
    assert_int_equal(out.offset, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_fixed),
    };

    return cmocka_run_group_tests_name("messages", tests, NULL, NULL);
}
