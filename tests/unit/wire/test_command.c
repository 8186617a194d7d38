/* SPDX-License-Identifier: MIT
 *
 * Commands in the stream: each number with each length that is near its own.
 */
#include "wire.h"

#include "wire/command.h"

struct message {
    const struct gw_wire_name *what;
    uint16_t bytes;
    uint8_t body[65536];
};

static int get(struct gw_in *in, void *ret, struct gw_error *err)
{
    struct message *m = ret;
    uint8_t type;
    int r = gw_get_u8(in, &type, err);

    if (r >= 0)
        r = gw_command_get(in, 0, &m->what, &m->bytes, err);
    return r < 0 ? r : gw_get_bytes(in, m->body, m->bytes, err);
}

/* Taken when the table says so, and only then. */
static void try(const struct gw_wire_name *what, uint16_t bytes)
{
    static struct message m;
    static uint8_t body[65536];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;
    struct gw_in in;
    size_t n;

    for (unsigned i = 0; i < bytes; i++)
        body[i] = (uint8_t)(i * 7 + what->number);
    gw_out_memory(&out);
    gw_command_put(&out, what->number, body, bytes);
    if (!gw_wire_fits(what, bytes)) {
        gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
        assert_int_equal(get(&in, &m, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, what->name));
    } else if (bytes <= 1024) {
        whole_and_cut(&out, get, &m);
    } else {
        gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
        assert_int_equal(get(&in, &m, &err), 0);
    }
    if (gw_wire_fits(what, bytes)) {
        assert_ptr_equal(m.what, what);
        assert_int_equal(m.bytes, bytes);
        assert_memory_equal(m.body, body, bytes);
    }
    gw_out_free(&out);
}

static void test_all(void **state)
{
    unsigned known = 0;

    for (unsigned number = 0; number <= 0xffff; number++) {
        const struct gw_wire_name *what = gw_wire_command((uint16_t)number);

        known += what != NULL;
        for (unsigned bytes = 0; what && bytes < 20; bytes++)
            try(what, (uint16_t)bytes);
        if (what)
            try(what, 0xffff);
    }
    assert_int_equal(known, 13);
}

/* Every number that is none is refused by number, without a look at its payload. */
static void test_unknown(void **state)
{
    static const struct gw_wire_name other = {.name = "untouched"};

    for (unsigned number = 0; number <= 0xffff; number++) {
        uint8_t head[4] = {(uint8_t)(number >> 8), (uint8_t)number, 0xff, 0xff};
        const struct gw_wire_name *what = &other;
        struct gw_error err = GW_ERROR_INIT;
        struct gw_in in;
        char text[64];
        uint16_t bytes;

        if (gw_wire_command((uint16_t)number))
            continue;
        gw_in_memory(&in, head, sizeof head, 900);
        assert_int_equal(gw_command_get(&in, 899, &what, &bytes, &err), -EPROTO);
        snprintf(text, sizeof text, "unknown command 0x%x at byte 899", number);
        assert_string_equal(err.text, text);
        assert_ptr_equal(what, &other);
    }
}

static void test_hostile(void **state)
{
    static struct message m;

    REFUSED("\x08\0\0\0\0", get, &m, "unknown command 0x0 at byte 0");
    REFUSED("\x08\0\x0c\xff\xff", get, &m, "unknown command 0xc");
    REFUSED("\x08\0\2\0\0", get, &m, "command PING at byte 0 has 0 bytes instead of 4");
    REFUSED("\x08\0\6\0\0", get, &m, "command POSTCOPY_RAM_DISCARD at byte 0 has 0 bytes instead of 1");
    REFUSED("\x08\0\1\0\1", get, &m, "command OPEN_RETURN_PATH at byte 0 has 1 bytes instead of 0");
}

static void test_bytes(void **state)
{
    uint8_t bytes[GW_COMMAND_HEAD_BYTES + 5] = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;

    gw_out_fixed(&out, bytes, GW_COMMAND_HEAD_BYTES + 4);
    gw_command_put(&out, GW_COMMAND_PING, "\0\0\0\7", 4);
    assert_int_equal(gw_out_error(&out, &err), 0);
    assert_memory_equal(bytes, "\x08\0\2\0\4\0\0\0\7", sizeof bytes);
    /* One without a payload has none to point at. */
    gw_out_fixed(&out, bytes, GW_COMMAND_HEAD_BYTES);
    gw_command_put(&out, GW_COMMAND_OPEN_RETURN_PATH, NULL, 0);
    assert_int_equal(gw_out_error(&out, &err), 0);
    gw_command_put(&out, GW_COMMAND_OPEN_RETURN_PATH, NULL, 0);
    assert_int_equal(gw_out_error(&out, &err), -EMSGSIZE);
    assert_int_equal(bytes[sizeof bytes - 1], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_bytes),
    };

    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
