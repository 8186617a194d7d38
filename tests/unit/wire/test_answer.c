/* SPDX-License-Identifier: MIT
 *
 * Messages on the return path: each number with each length that is near its own.
 */
#include "wire.h"

#include "wire/answer.h"

struct message {
    const struct gw_wire_name *what;
    uint16_t bytes;
    uint8_t body[65536];
};

static int get(struct gw_in *in, void *ret, struct gw_error *err)
{
    struct message *m = ret;
    int r = gw_answer_get(in, &m->what, &m->bytes, err);

    return r < 0 ? r : gw_get_bytes(in, m->body, m->bytes, err);
}

/* Taken when the table says so, and only then; never more than GW_RP_MAX_BYTES. */
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
    gw_answer_put(&out, what->number, body, bytes);
    if (gw_wire_fits(what, bytes) && bytes <= GW_RP_MAX_BYTES) {
        whole_and_cut(&out, get, &m);
        assert_ptr_equal(m.what, what);
        assert_int_equal(m.bytes, bytes);
        assert_memory_equal(m.body, body, bytes);
    } else {
        gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
        assert_int_equal(get(&in, &m, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, "no message of the return path"));
    }
    gw_out_free(&out);
}

static void test_all(void **state)
{
    unsigned known = 0;

    for (unsigned number = 0; number <= 0xffff; number++) {
        const struct gw_wire_name *what = gw_wire_rp((uint16_t)number);

        known += what != NULL;
        for (unsigned bytes = 0; what && bytes < 20; bytes++)
            try(what, (uint16_t)bytes);
        for (unsigned bytes = GW_RP_MAX_BYTES - 1; what && bytes < GW_RP_MAX_BYTES + 2; bytes++)
            try(what, (uint16_t)bytes);
        if (what)
            try(what, 0xffff);
    }
    assert_int_equal(known, 10);
}

static void test_hostile(void **state)
{
    static struct message m;

    REFUSED("\0\0\0\0", get, &m, "type 0x0000 and 0 bytes");
    REFUSED("\0\2\0\5", get, &m, "type 0x0002 and 5 bytes");
    REFUSED("\0\3\2\1", get, &m, "type 0x0003 and 513 bytes");
    REFUSED("\0\3\0\0", get, &m, "type 0x0003 and 0 bytes");
    REFUSED("\x12\x34\0\0", get, &m, "0x1234");
    REFUSED("\xff\xff\xff\xff", get, &m, "type 0xffff and 65535 bytes");
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

    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
