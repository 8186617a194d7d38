/* SPDX-License-Identifier: MIT
 *
 * What is not RAM of an image, as a stream has it: element by element, for machine types old and new.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/stream/put.h"
#include "wire/head.h"
#include "wire/numbers.h"
#include "wire/section.h"

static struct gw_image image;
static struct gw_writer w;

static int up(void **state)
{
    image = (struct gw_image){.page_bytes = 4096, .page_bits = 12, .footers = true, .ram_id = 0x22, .machine = "pc-q35-7.2"};
    image.devices = (uint8_t *)strdup("DEVICES");
    image.devices_bytes = 7;
    image.description = strdup("{}");
    image.description_bytes = 2;
    assert_int_equal(gw_image_add_block(&image, "a", 0x3000, &(struct gw_image_block *){NULL}, NULL), 0);
    assert_int_equal(gw_image_add_block(&image, "b", 0x5000, &(struct gw_image_block *){NULL}, NULL), 0);
    return gw_writer_init_memory(&w, NULL);
}

static int down(void **state)
{
    gw_writer_close(&w);
    gw_image_clear(&image);
    return 0;
}

static void read_back(struct gw_in *in)
{
    size_t bytes;

    assert_int_equal(gw_writer_flush(&w, NULL), 0);
    gw_in_memory(in, gw_writer_data(&w, &bytes), gw_writer_offset(&w), 0);
}

static void is(struct gw_in *in, const void *want, size_t n)
{
    const uint8_t *p;

    assert_int_equal(gw_in_need(in, n, &p, NULL), 0);
    assert_memory_equal(p, want, n);
    gw_in_skip(in, n);
}
#define IS(in, want) is(in, want, sizeof(want) - 1)

/* The head, the RAM's START up to the total. */
static void test_begin(void **state)
{
    for (int mapped = 0; mapped < 2; mapped++) {
        struct gw_wire_head head;
        struct gw_error err = GW_ERROR_INIT;
        struct gw_in in;

        gw_writer_close(&w);
        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        gw_stream_put_begin(&image, mapped, &w);
        read_back(&in);
        assert_int_equal(gw_head_begin(&in, &head, &err), 0);
        while (gw_head_next(&in, &head, &err) > 0)
            ;
        assert_int_equal(err.code, 0);
        assert_string_equal(head.machine, "pc-q35-7.2");
        assert_int_equal(gw_head_has_capability(&head, "mapped-ram"), mapped);
        IS(&in, "\1\0\0\0\x22\3ram\0\0\0\0\0\0\0\4");
        IS(&in, "\0\0\0\0\0\0\x80\4");
        assert_int_equal(gw_in_buffered(&in), 0);
    }
}

/* Footers where the machine type has them. */
static void test_parts(void **state)
{
    for (int footers = 0; footers < 2; footers++) {
        struct gw_in in;

        gw_writer_close(&w);
        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        image.footers = footers;
        gw_stream_put_listed(&image, &w);
        gw_stream_put_part(&image, &w);
        gw_stream_put_part_end(&image, &w);
        read_back(&in);
        IS(&in, "\0\0\0\0\0\0\0\x10");
        if (footers)
            IS(&in, "\x7e\0\0\0\x22");
        IS(&in, "\2\0\0\0\x22\0\0\0\0\0\0\0\x10");
        if (footers)
            IS(&in, "\x7e\0\0\0\x22");
        assert_int_equal(gw_in_buffered(&in), 0);
    }
}

/* The end of the RAM is announced by sources of new machine types; then END, devices, EOF, description. */
static void test_end(void **state)
{
    static const char *const machines[] = {"pc-q35-7.2", "pc-q35-9.2", "pc-q35-10.0", "virt-11.1", "microvm", ""};

    for (size_t i = 0; i < GW_ARRAY_LEN(machines); i++) {
        struct gw_in in;

        gw_writer_close(&w);
        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        strcpy(image.machine, machines[i]);
        gw_stream_put_end(&image, &w);
        read_back(&in);
        if (i == 2 || i == 3)
            IS(&in, "\x08\0\x0b\0\0");
        IS(&in, "\3\0\0\0\x22\0\0\0\0\0\0\0\x10\x7e\0\0\0\x22");
        IS(&in, "DEVICES\0");
        IS(&in, "\6\0\0\0\2{}");
        assert_int_equal(gw_in_buffered(&in), 0);
    }
}

/* An image without blocks, devices or description. */
static void test_empty(void **state)
{
    struct gw_in in;

    gw_image_clear(&image);
    image = (struct gw_image){.page_bytes = 4096, .page_bits = 12, .ram_id = 1};
    gw_stream_put_end(&image, &w);
    read_back(&in);
    IS(&in, "\3\0\0\0\1\0\0\0\0\0\0\0\x10\0");
    assert_true(gw_in_buffered(&in) == 0 || in.data[in.pos] == GW_ELEMENT_VMDESC);
}

#define put_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        put_test(test_begin),
        put_test(test_parts),
        put_test(test_end),
        put_test(test_empty),
    };

    return cmocka_run_group_tests_name("put", tests, NULL, NULL);
}
