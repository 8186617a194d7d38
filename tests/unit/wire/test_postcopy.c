/* SPDX-License-Identifier: MIT
 *
 * What prepares postcopy: the order of its commands against a table of its own, and their payloads, good and bad.
 */
#include "wire.h"

#include "wire/numbers.h"
#include "wire/postcopy.h"

/* To where each command leads; -1: refused. From NONE, ADVISED, DISCARDING, LISTENING, RUNNING. */
static const struct {
    uint16_t command;
    int to[GW_POSTCOPY_COUNT];
} rows[] = {
    {GW_COMMAND_POSTCOPY_ADVISE, {1, -1, -1, -1, -1}},      {GW_COMMAND_POSTCOPY_RAM_DISCARD, {-1, 2, 2, -1, -1}},
    {GW_COMMAND_PACKAGED, {-1, 1, 2, -1, -1}},              {GW_COMMAND_POSTCOPY_LISTEN, {-1, 3, 3, -1, -1}},
    {GW_COMMAND_POSTCOPY_RUN, {-1, -1, -1, 4, -1}},
};

static void test_order(void **state)
{
    for (uint16_t command = 0; command < 20; command++)
        for (unsigned from = 0; from < GW_POSTCOPY_COUNT; from++) {
            enum gw_postcopy at = (enum gw_postcopy)from;
            int to = -1;

            for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
                to = rows[i].command == command ? rows[i].to[from] : to;
            assert_int_equal(gw_postcopy_step(&at, command), to >= 0);
            assert_int_equal(at, to >= 0 ? to : (int)from);
            assert_string_not_equal(gw_postcopy_name(at), "?");
        }
    assert_string_equal(gw_postcopy_name(GW_POSTCOPY_COUNT), "?");
}

static uint16_t bytes_said;

static int get_advise(struct gw_in *in, void *ret, struct gw_error *err)
{
    return gw_advise_get(in, bytes_said, ret, err);
}

static void test_advise(void **state)
{
    struct gw_wire_advise a = {.host_pages = 0x201000, .page_bytes = 0x1000}, b;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;
    struct gw_in in;

    gw_out_memory(&out);
    gw_advise_put(gw_out_room(&out, GW_ADVISE_BYTES), &a);
    bytes_said = GW_ADVISE_BYTES;
    whole_and_cut(&out, get_advise, &b);
    assert_int_equal(b.host_pages, a.host_pages);
    assert_int_equal(b.page_bytes, a.page_bytes);
    gw_out_free(&out);

    REFUSED("\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x10\1", get_advise, &b, "target pages of 0x1001");
    REFUSED("\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0", get_advise, &b, "target pages of 0x0");
    REFUSED("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0", get_advise, &b, "host pages of 0x0 bytes");
    bytes_said = 8;
    REFUSED("\0\0\0\0\0\0\x10\0", get_advise, &b, "it has 8 bytes instead of 16");
    gw_in_memory(&in, "", 0, 0);
    assert_int_equal(gw_advise_get(&in, 0, &b, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "dirty bitmaps"));
}

struct discarded {
    char name[256];
    unsigned ranges;
    uint64_t start[4], bytes[4];
};

static int get_discard(struct gw_in *in, void *ret, struct gw_error *err)
{
    struct discarded *d = ret;
    int r = gw_discard_get(in, bytes_said, d->name, &d->ranges, err);

    for (unsigned i = 0; r >= 0 && i < d->ranges; i++)
        r = gw_discard_get_range(in, &d->start[i % 4], &d->bytes[i % 4], err);
    return r;
}

static void refuse_discard(const void *bytes, size_t n, const char *text)
{
    struct discarded d;

    bytes_said = (uint16_t)n;
    refused(bytes, n, get_discard, &d, text);
}
#define BAD(bytes, text) refuse_discard(bytes, sizeof(bytes) - 1, text)
#define RANGE "\0\0\0\0\0\x18\x10\0\0\0\0\0\0\xe7\xf0\0"

static void test_discard(void **state)
{
    static const char good[] = "\0\1r\0" RANGE RANGE;
    struct discarded d;
    struct gw_out out;
    char longer[600];

    gw_out_memory(&out);
    gw_put_bytes(&out, good, sizeof good - 1);
    bytes_said = sizeof good - 1;
    whole_and_cut(&out, get_discard, &d);
    gw_out_free(&out);
    assert_string_equal(d.name, "r");
    assert_int_equal(d.ranges, 2);
    assert_int_equal(d.start[1], 0x181000);
    assert_int_equal(d.bytes[1], 0xe7f000);

    BAD("\0\1r\0" "fifteen bytes..", "it has 19 bytes instead of at least 20");
    BAD("\1\1r\0" RANGE, "byte 0: version 1, 0 is known");
    BAD("\0\1rx" RANGE, "byte 3: no zero behind the name of the RAM block, but 0x78");
    BAD("\0\1r\0" RANGE "1234", "24 bytes are a name of 1 and no whole number of ranges");
    BAD("\0\2rs\0" "fifteen bytes..", "20 bytes are a name of 2 and no whole number of ranges");
    memset(longer, 'n', sizeof longer);
    memcpy(longer, "\0\xff", 2);
    bytes_said = 20; /* which the name does not fit in */
    refused(longer, sizeof longer, get_discard, &d, "20 bytes are a name of 255");
    BAD("\0\0\0\0" RANGE, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_advise), cmocka_unit_test(test_discard)};

    return cmocka_run_group_tests_name("wire/postcopy", tests, NULL, NULL);
}
