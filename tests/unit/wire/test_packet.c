/* SPDX-License-Identifier: MIT
 *
 * The head of a multifd packet: what is put comes back, and every field that cannot be is refused by its name.
 */
#include "wire.h"

#include "wire/numbers.h"
#include "wire/packet.h"

#define PAGE 4096u

struct got {
    struct gw_packet p;
    uint64_t offset[GW_PACKET_PAGES_MAX];
};

static uint32_t page_bytes = PAGE;
static enum gw_packet_coding coding;

static int get(struct gw_in *in, void *ret, struct gw_error *err)
{
    struct got *g = ret;

    return gw_packet_get(in, page_bytes, coding, &g->p, g->offset, err);
}

static void test_roundtrip(void **state)
{
    static struct got a, b;
    uint64_t seed = 3;

    for (unsigned bits = GW_PAGE_BITS_MIN; bits <= GW_PAGE_BITS_MAX; bits++) {
        const uint32_t capacity = GW_PACKET_DATA >> bits;

        page_bytes = 1u << bits;
        assert_int_equal(gw_packet_capacity(page_bytes), capacity);
        assert_int_equal(gw_packet_head_bytes(page_bytes), 320 + 8 * capacity);
        for (unsigned kind = 0; kind < 5; kind++) {
            struct gw_error err = GW_ERROR_INIT;
            struct gw_out out;
            struct gw_in in;
            size_t n;

            /* None, all with contents, all zero, one of each, all but one. */
            a.p = (struct gw_packet){.flags = kind & 1 ? GW_PACKET_SYNC : 0, .number = rnd(&seed)};
            a.p.pages = kind == 1 ? capacity : kind == 3 ? 1 : kind == 4 ? capacity - 1 : 0;
            a.p.zeros = kind == 2 ? capacity : kind == 3 ? 1 : 0;
            a.p.bytes = a.p.pages * page_bytes;
            if (kind)
                rnd_name(&seed, a.p.name);
            for (uint32_t i = 0; i < a.p.pages + a.p.zeros; i++)
                a.offset[i] = rnd(&seed) << bits;
            gw_out_memory(&out);
            gw_packet_put(&out, page_bytes, &a.p, a.offset);
            assert_int_equal(out.offset, gw_packet_head_bytes(page_bytes));
            gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
            assert_int_equal(get(&in, &b, &err), 0);
            assert_int_equal(gw_in_buffered(&in), 0);
            assert_int_equal(b.p.flags, a.p.flags);
            assert_int_equal(b.p.pages, a.p.pages);
            assert_int_equal(b.p.zeros, a.p.zeros);
            assert_int_equal(b.p.bytes, a.p.bytes);
            assert_true(b.p.number == a.p.number);
            assert_string_equal(b.p.name, a.p.name);
            assert_memory_equal(b.offset, a.offset, 8 * (size_t)(a.p.pages + a.p.zeros));
            if (bits == GW_PAGE_BITS_MAX)
                whole_and_cut(&out, get, &b);
            gw_out_free(&out);
        }
    }
    page_bytes = PAGE;
}

struct change {
    unsigned at, bytes;
    uint64_t value;
    int code;
    const char *text;
};

/* A good packet of one page and one zero page, with one field changed. */
static void changed(const struct change *c)
{
    static struct got g;
    const struct gw_packet p = {.pages = 1, .zeros = 1, .bytes = coding ? 100 : PAGE, .flags = coding, .name = "pc.ram"};
    const uint64_t offset[2] = {0x5000, 0x7000};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;
    struct gw_in in;
    size_t n;
    int r;

    gw_out_memory(&out);
    gw_packet_put(&out, PAGE, &p, offset);
    for (unsigned k = 0; k < c->bytes; k++)
        out.begin[c->at + k] = (uint8_t)(c->value >> (8 * (c->bytes - 1 - k)));
    gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 70);
    r = get(&in, &g, &err);
    if (r != c->code)
        fail_msg("byte %u, value 0x%" PRIx64 ": %d (%s)", c->at, c->value, r, err.text);
    if (r < 0) {
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, "at byte "));
        if (!strstr(err.text, c->text))
            fail_msg("'%s' is not in '%s'", c->text, err.text);
        assert_int_equal(gw_get_u8(&in, &(uint8_t){0}, NULL), r);
    }
    gw_out_free(&out);
}

static void test_fields(void **state)
{
    static const struct change rows[] = {
        {0, 0, 0, 0, ""},
        {0, 4, 0x5145564d, -EPROTO, "this is none (0x5145564d)"},
        {4, 4, 0, -EPROTO, "its version is not known (0x0)"},
        {4, 4, 2, -EPROTO, "its version is not known (0x2)"},
        {8, 4, GW_PACKET_SYNC, 0, ""},
        {8, 4, GW_PACKET_DEVICE, -ENOTSUP, "it has device state"},
        {8, 4, 0x80, -EPROTO, "its flags are not known (0x80)"},
        {8, 4, 0x80000000, -EPROTO, "its flags are not known"},
        {8, 4, GW_PACKET_ZLIB, -EPROTO, "multifd-compression is zlib at the source and none here: set the same on both sides"},
        {8, 4, GW_PACKET_ZSTD, -EPROTO, "multifd-compression is zstd"},
        {8, 4, 0x08, -EPROTO, "is qpl"},
        {8, 4, 0x10, -EPROTO, "is uadk"},
        {8, 4, 0x20, -EPROTO, "is qatzip"},
        {8, 4, 0x06, -EPROTO, "is unknown"},
        {12, 4, 129, -EPROTO, "it has room for more pages than a packet has (0x81)"},
        {12, 4, 0, 0, ""},
        {12, 4, 0xffffffff, -EPROTO, "room for more"},
        {16, 4, 129, -EPROTO, "it has more pages than a packet has (0x82)"},
        {16, 4, 128, -EPROTO, "it has more pages than a packet has (0x81)"},
        {16, 4, 0xffffffff, -EPROTO, "it has more pages than a packet has (0x100000000)"},
        {16, 4, 2, -EPROTO, "its number of content bytes is out of range (0x1000)"},
        {20, 4, PAGE - 1, -EPROTO, "its number of content bytes is out of range (0xfff)"},
        {20, 4, PAGE + 1, -EPROTO, "its number of content bytes is out of range"},
        {20, 4, 0, -EPROTO, "its number of content bytes is out of range"},
        {24, 8, UINT64_MAX, 0, ""},
        {32, 4, 128, -EPROTO, "it has more pages than a packet has (0x81)"},
        {32, 4, 0xffffffff, -EPROTO, "it has more pages than a packet has (0x100000000)"},
        {36, 8, UINT64_MAX, 0, ""},
        {64, 1, 0, -EPROTO, "the name of its block is empty or does not end"},
        {64, 1, '\n', -EPROTO, "the name at byte 134 has a byte 0x0a in it"},
        {320, 8, 0x5001, -EPROTO, "a page begins within a page (0x5001)"},
        {328, 8, 0x7800, -EPROTO, "a page begins within a page (0x7800)"},
        {328, 8, UINT64_MAX & ~4095ull, 0, ""}, /* whether the block has it is the caller's to see */
        {336, 8, 1, 0, ""},                     /* behind the pages: not looked at */
    };

    coding = GW_PACKET_PLAIN;
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
        changed(&rows[i]);
}

static void test_coded(void **state)
{
    static const struct change rows[] = {
        {0, 0, 0, 0, ""},
        {20, 4, 0, -EPROTO, "its number of content bytes is out of range"},
        {20, 4, 1, 0, ""},
        {20, 4, GW_PACKET_CODED_MAX, 0, ""},
        {20, 4, GW_PACKET_CODED_MAX + 1, -EPROTO, "its number of content bytes is out of range"},
        {8, 4, 0, -EPROTO, "is none at the source and zlib here"},
    };

    coding = GW_PACKET_ZLIB;
    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
        changed(&rows[i]);
    coding = GW_PACKET_PLAIN;
}

/* A name that fills all 256 bytes does not end. */
static void test_endless_name(void **state)
{
    static struct got g;
    const struct gw_packet p = {.zeros = 1, .name = "x"};
    struct gw_error err = GW_ERROR_INIT;
    const uint64_t offset = 0;
    struct gw_out out;
    struct gw_in in;
    size_t n;

    gw_out_memory(&out);
    gw_packet_put(&out, PAGE, &p, &offset);
    memset(out.begin + 64, 'x', 255);
    gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
    assert_int_equal(get(&in, &g, &err), 0);
    assert_int_equal(strlen(g.p.name), 255);
    out.begin[64 + 255] = 'x';
    gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
    assert_int_equal(get(&in, &g, &err), -EPROTO);
    assert_non_null(strstr(err.text, "does not end"));
    gw_out_free(&out);
}

/* Packets without pages have a mark, and in the other fields whatever the packet before them had. */
static void test_no_pages(void **state)
{
    static struct got g;
    const struct gw_packet p = {.flags = GW_PACKET_SYNC | GW_PACKET_ZSTD, .bytes = 12345, .number = 9};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;
    struct gw_in in;
    size_t n;

    gw_out_memory(&out);
    gw_packet_put(&out, PAGE, &p, NULL);
    memset(out.begin + 64, '\n', 256);
    gw_in_memory(&in, gw_out_data(&out, &n), out.offset, 0);
    assert_int_equal(get(&in, &g, &err), 0);
    assert_int_equal(g.p.bytes, 0);
    assert_string_equal(g.p.name, "");
    assert_int_equal(g.p.number, 9);
    gw_out_free(&out);
}

/* No room: nothing is put. */
static void test_put_fails(void **state)
{
    const struct gw_packet p = {.zeros = 1, .name = "x"};
    static uint8_t bytes[GW_PACKET_FIXED + 8 * 128 - 1];
    const uint64_t offset = 0;
    struct gw_out out;

    gw_out_fixed(&out, bytes, sizeof bytes);
    gw_packet_put(&out, PAGE, &p, &offset);
    assert_int_equal(gw_out_error(&out, NULL), -EMSGSIZE);
    assert_int_equal(out.offset, 0);
    assert_int_equal(bytes[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roundtrip),    cmocka_unit_test(test_fields),   cmocka_unit_test(test_coded),
        cmocka_unit_test(test_endless_name), cmocka_unit_test(test_no_pages), cmocka_unit_test(test_put_fails),
    };

    return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
