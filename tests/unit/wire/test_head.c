/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "wire/head.h"
#include "wire/numbers.h"
#include "wire/profile.h"

static int get(struct gw_in *in, void *ret, struct gw_error *err)
{
    int r = gw_head_begin(in, ret, err);

    if (r >= 0)
        do
            r = gw_head_next(in, ret, err);
        while (r > 0);
    return r;
}

/* With the byte that shows the end, which is not the head's. */
static int get_and_next(struct gw_in *in, void *ret, struct gw_error *err)
{
    int r = get(in, ret, err);

    return r < 0 ? r : gw_get_u8(in, &(uint8_t){0}, err);
}

static void test_get_of_put(void **state)
{
    uint64_t seed = 3;

    for (unsigned i = 0; i < 64; i++) {
        struct gw_wire_head a = {.configured = i % 8 != 7, .has_uuid = i & 1, .page_bits = i & 2 ? 10 + i % 7 : 0}, b;
        struct gw_out out;
        size_t bytes;

        rnd_name(&seed, a.machine);
        for (unsigned k = 0; k < sizeof a.uuid; k++)
            a.uuid[k] = (uint8_t)rnd(&seed);
        for (unsigned k = 0; k < i % 4; k++) {
            char name[256];

            rnd_name(&seed, name);
            gw_head_add_capability(&a, name);
        }
        gw_out_memory(&out);
        gw_head_put(&out, &a);
        bytes = out.offset;
        gw_put_u8(&out, GW_ELEMENT_START);
        whole_and_cut(&out, get_and_next, &b);
        assert_int_equal(a.configured, b.configured);
        assert_int_equal(b.bytes, bytes);
        assert_int_equal(b.raw_bytes, bytes - 8);
        assert_memory_equal(b.raw, out.begin + 8, b.raw_bytes);
        if (a.configured) {
            assert_string_equal(a.machine, b.machine);
            assert_int_equal(a.page_bits, b.page_bits);
            assert_int_equal(a.has_uuid, b.has_uuid);
            assert_int_equal(a.capability_count, b.capability_count);
            for (unsigned k = 0; k < a.capability_count; k++)
                assert_true(gw_head_has_capability(&b, a.capabilities[k]));
            assert_memory_equal(b.uuid, a.has_uuid ? (char *)a.uuid : "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
        }
        gw_out_free(&out);
    }
}

#define BEGIN "QEVM\0\0\0\3\7\0\0\0\4none"
#define UUID                                                                                                           \
    "\5\x12"                                                                                                           \
    "configuration/uuid\0\0\0\1"

static void put_is(const struct gw_wire_head *head, const char *bytes, size_t n)
{
    struct gw_out out;

    gw_out_memory(&out);
    gw_head_put(&out, head);
    assert_int_equal(out.offset, n);
    assert_memory_equal(out.begin, bytes, n);
    gw_out_free(&out);
}

/* A subsection of a newer source: kept, and what follows is found again. */
static void test_unknown(void **state)
{
    static const char bytes[] = BEGIN "\5\x11"
                                      "configuration/new\0\0\0\1\0\1\2\3\4\5\x08\x09" UUID "0123456789abcdef"
                                      "\5\x13"
                                      "configuration/newer\0\0\0\2"
                                      "\1\0\0\0\2\3ram\0\0\0\0\0\0\0\4";
    struct gw_error err = GW_ERROR_INIT;
    struct gw_wire_head head;
    struct gw_in in;

    gw_in_memory(&in, bytes, sizeof bytes - 1, 0);
    if (get(&in, &head, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(head.unknown, "configuration/new");
    assert_int_equal(head.unknown_version, 1);
    assert_true(head.has_uuid);
    assert_memory_equal(head.uuid, "0123456789abcdef", 16);
    assert_int_equal(head.bytes, sizeof bytes - 1 - 17);
    assert_memory_equal(head.raw, bytes + 8, head.raw_bytes);
    put_is(&head, bytes, head.bytes);
}

/* What is kept goes on as it is, whatever is in it; only the list of capabilities may change. */
static void test_kept(void **state)
{
#define NEW  "\5\x11" "configuration/new\0\0\0\1\0\1\2\3"
#define BITS "\5\x1e" "configuration/target-page-bits\0\0\0\1\0\0\0\x0c"
#define LIST "\5\x1a" "configuration/capabilities\0\0\0\1"
    static const struct {
        const char *bytes, *added;
        size_t n, added_bytes;
    } rows[] = {
#define ROW(a, list, b, more) {BEGIN a list b, BEGIN a more b, sizeof BEGIN a list b - 1, sizeof BEGIN a more b - 1}
        ROW("", "", "", LIST "\0\0\0\1\1x"),
        ROW(BITS, "", UUID "0123456789abcdef", LIST "\0\0\0\1\1x"),
        ROW("", "", NEW, LIST "\0\0\0\1\1x"),
        ROW(UUID "0123456789abcdef", LIST "\0\0\0\1\3one", NEW, LIST "\0\0\0\2\3one\1x"),
        ROW(NEW, LIST "\0\0\0\1\3one", BITS, LIST "\0\0\0\2\3one\1x"),
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_wire_head head, again;

        if (gw_head_get_raw((const uint8_t *)rows[i].bytes + 8, rows[i].n - 8, &head, &err) < 0)
            fail_msg("%zu: %s", i, err.text);
        put_is(&head, rows[i].bytes, rows[i].n);
        gw_head_add_capability(&head, "x");
        put_is(&head, rows[i].added, rows[i].added_bytes);
        gw_head_drop_capability(&head, "x");
        put_is(&head, rows[i].bytes, rows[i].n);
        if (!head.unknown[0]) /* whose end nothing tells */
            assert_int_not_equal(gw_head_get_raw(head.raw, head.raw_bytes - 1, &again, NULL), 0);
    }
    assert_int_equal(gw_head_get_raw((const uint8_t *)"\1", 1, &(struct gw_wire_head){0}, NULL), -EPROTO);
    assert_int_equal(gw_head_get_raw((const uint8_t *)"", 0, &(struct gw_wire_head){0}, NULL), -EPROTO);
}

static void test_hostile(void **state)
{
    static struct gw_wire_head head;
    static char large[20000] = BEGIN "\5\x11"
                                     "configuration/new\0\0\0\1";

    REFUSED("GET / HTTP", get, &head, "not a migration stream: it begins with 0x47455420");
    REFUSED("\x11\x22\x33\x44", get, &head, "multifd channel");
    REFUSED("QEVM\0\0\0\2", get, &head, "byte 4: stream version 2");
    REFUSED("QEVM\0\0\0\3\7\0\0\1\0", get, &head, "a name of 256 bytes");
    REFUSED("QEVM\0\0\0\3\7\0\0\0\0", get, &head, "a name of 0 bytes");
    REFUSED("QEVM\0\0\0\3\7\0\0\0\2a\0", get, &head, "NUL inside");
    REFUSED(BEGIN "\5\0", get, &head, "a name of 0 bytes");
    REFUSED(BEGIN "\5\x1e"
                  "configuration/target-page-bits\0\0\0\1\0\0\0\x09",
            get, &head, "pages of 2^9 bytes");
    REFUSED(BEGIN "\5\x1e"
                  "configuration/target-page-bits\0\0\0\1\xff\xff\xff\xff",
            get, &head, "pages of 2^");
    REFUSED(BEGIN "\5\x1a"
                  "configuration/capabilities\0\0\0\1\0\0\0\x21",
            get, &head, "33 capabilities");
    REFUSED(BEGIN "\5\x1a"
                  "configuration/capabilities\0\0\0\1\xff\xff\xff\xff",
            get, &head, "capabilities");
    refused(large, sizeof large, get, &head, "configuration/new ends");
    for (size_t at = sizeof BEGIN - 1; at + 40 < sizeof large; at += 40)
        memcpy(large + at, UUID "0123456789abcdef", 40);
    refused(large, sizeof large, get, &head, "a configuration of more than 8192 bytes");
}

static void test_page_bits(void **state)
{
    assert_int_equal(gw_head_told_page_bits(12), 0);
    assert_int_equal(gw_head_told_page_bits(14), 14);
    assert_int_equal(gw_head_page_bytes(&(struct gw_wire_head){0}), 4096);
    assert_int_equal(gw_head_page_bytes(&(struct gw_wire_head){.page_bits = 14}), 16384);
}

/* What a machine type says of its peer. */
static void test_machines(void **state)
{
    static const struct {
        const char *machine, *profile;
    } rows[] = {{"pc-q35-10.0", "10.0"},
                {"pc-i440fx-9.2", "9.0"},
                {"pc-q35-9.0", "9.0"},
                {"pc-q35-8.0", "7.2"},
                {"pc-q35-8.1", "8.1"},
                {"pc-q35-8.2", "8.1"},
                {"virt-11.1", "10.0"},
                {"none", "7.2"},
                {"microvm", "7.2"},
                {"pc-10.0x", "7.2"},
                {"pc-10", "7.2"},
                {"pc-10.", "7.2"},
                {"pc--10.0", "10.0"},
                {"", "7.2"},
                {"-", "7.2"}};

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
        assert_string_equal(gw_wire_profile_of_machine(rows[i].machine)->name, rows[i].profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_of_put), cmocka_unit_test(test_unknown), cmocka_unit_test(test_kept),  cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_page_bits),  cmocka_unit_test(test_machines),
    };

    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
