/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "wire/numbers.h"
#include "wire/section.h"

static int skip_type(struct gw_in *in, uint8_t want, struct gw_error *err)
{
    uint8_t type = 0;
    int r = gw_get_u8(in, &type, err);

    if (r >= 0)
        assert_int_equal(type, want);
    return r;
}

static int get_head(struct gw_in *in, void *ret, struct gw_error *err)
{
    int r = skip_type(in, GW_ELEMENT_FULL, err);

    return r < 0 ? r : gw_section_get_head(in, ret, err);
}

static int get_footer(struct gw_in *in, void *ret, struct gw_error *err)
{
    return gw_section_get_footer(in, *(uint32_t *)ret, "uart", err);
}

static int get_vmdesc(struct gw_in *in, void *ret, struct gw_error *err)
{
    uint32_t bytes;
    int r = skip_type(in, GW_ELEMENT_VMDESC, err);

    if (r >= 0)
        r = gw_wire_get_vmdesc(in, 5, &bytes, err);
    return r < 0 ? r : gw_get_bytes(in, ret, bytes, err);
}

static void test_head(void **state)
{
    uint64_t seed = 1;

    for (unsigned i = 0; i < 50; i++) {
        struct gw_section_head a = {(uint32_t)rnd(&seed), (uint32_t)rnd(&seed), (uint32_t)rnd(&seed), ""}, b;
        struct gw_out out;

        rnd_name(&seed, a.name);
        gw_out_memory(&out);
        gw_section_put_head(&out, GW_ELEMENT_FULL, &a);
        whole_and_cut(&out, get_head, &b);
        assert_true(a.id == b.id && a.instance == b.instance && a.version == b.version);
        assert_string_equal(a.name, b.name);
        gw_out_free(&out);
    }
}

static void test_hostile(void **state)
{
    struct gw_section_head head;
    uint32_t id = 7;
    char text[8];

    REFUSED("\4\0\0\0\1\0", get_head, &head, "empty name at byte 5");
    REFUSED("\4\0\0\0\1\2a\0", get_head, &head, "name at byte 5 has a NUL");
    REFUSED("\4\0\0\0\1\2a\x1b", get_head, &head, "byte 0x1b");
    REFUSED("\x04\0\0\0\1\2a\xe9", get_head, &head, "byte 0xe9");
    REFUSED("\x7d\0\0\0\7", get_footer, &id, "footer of section 7 (uart) missing at byte 0: found 0x7d");
    REFUSED("\x7e\0\0\0\6", get_footer, &id, "section 7 (uart) ends with the id 6");
    REFUSED("\6\0\0\0\6{\"a\":1}", get_vmdesc, text, "a state description of 6 bytes at byte 1, at most 5");
}

static void test_footer_and_description(void **state)
{
    uint32_t id = 0x80000001;
    char text[8] = "";
    struct gw_out out;

    gw_out_memory(&out);
    gw_section_put_footer(&out, id);
    assert_int_equal(out.offset, GW_FOOTER_BYTES);
    whole_and_cut(&out, get_footer, &id);
    gw_out_free(&out);
    gw_out_memory(&out);
    gw_wire_put_vmdesc(&out, "{}", 0);
    assert_int_equal(out.offset, 0);
    gw_wire_put_vmdesc(&out, "{\"a\"}", 5);
    whole_and_cut(&out, get_vmdesc, text);
    assert_string_equal(text, "{\"a\"}");
    gw_out_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_footer_and_description),
    };

    return cmocka_run_group_tests_name("section", tests, NULL, NULL);
}
