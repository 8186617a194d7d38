/* SPDX-License-Identifier: MIT
 *
 * The RAM section as a scan reads it: the list of blocks and the records, and what is wrong with them.
 */
#include "walk.h"

static struct built b;
static struct seen seen;
static struct gw_error err;

static int up(void **state)
{
    built_begin(&b, 4096);
    return 0;
}

static int down(void **state)
{
    gw_out_free(&b.out);
    return 0;
}

static int run(void)
{
    return walk_built(&b, 1000, &seen, &err);
}

static void refused(const char *text)
{
    assert_int_equal(run(), -EPROTO);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    assert_int_equal(err.blame, GW_BLAME_PEER);
}

static void begin_list(uint64_t total)
{
    gw_section_put_head(&b.out, GW_ELEMENT_START,
                        &(struct gw_section_head){.id = BUILT_RAM, .version = GW_RAM_SECTION_VERSION, .name = "ram"});
    gw_ram_list_put_total(&b.out, total);
}

static void end_list(void)
{
    gw_ram_put_end(&b.out);
    built_footer(&b, BUILT_RAM);
    gw_section_put_part(&b.out, GW_ELEMENT_PART, BUILT_RAM);
}

static void test_kinds(void **state)
{
    built_ram_start(&b);
    built_ram(&b, GW_ELEMENT_PART, 0, BUILT_PAGES, BUILT_MIXED);
    built_ram(&b, GW_ELEMENT_END, 0, 0, BUILT_ZEROS);
    built_end(&b, 8);
    assert_int_equal(run(), 0);
    assert_int_equal(seen.pages, BUILT_PAGES);
}

static void test_twice(void **state)
{
    begin_list(8192);
    gw_ram_list_put(&b.out, "r", 4096, NULL);
    gw_ram_list_put(&b.out, "r", 4096, NULL);
    end_list();
    refused("RAM block r is listed twice");
}

static void test_no_whole_pages(void **state)
{
    begin_list(4096 + 100);
    gw_ram_list_put(&b.out, "r", 4096 + 100, NULL);
    end_list();
    assert_int_equal(run(), -EPROTO);
}

static void test_more_than_the_total(void **state)
{
    begin_list(4096);
    gw_ram_list_put(&b.out, "r", 8192, NULL);
    end_list();
    assert_int_equal(run(), -EPROTO);
}

static void test_unlisted_block(void **state)
{
    begin_list(4096);
    gw_ram_list_put(&b.out, "r", 4096, NULL);
    end_list();
    gw_ram_record_put(&b.out, 0, GW_RAMF_ZERO, "s");
    gw_ram_put_zero(&b.out);
    refused("a page of RAM block s, which is not listed");
}

static void test_no_name(void **state)
{
    begin_list(4096);
    gw_ram_list_put(&b.out, "r", 4096, NULL);
    end_list();
    gw_ram_record_put(&b.out, 0, GW_RAMF_ZERO, NULL);
    gw_ram_put_zero(&b.out);
    refused("it continues a RAM block, but none was named before");
}

static void test_behind_the_end(void **state)
{
    begin_list(4096);
    gw_ram_list_put(&b.out, "r", 4096, NULL);
    end_list();
    gw_ram_record_put(&b.out, 4096, GW_RAMF_ZERO, "r");
    gw_ram_put_zero(&b.out);
    refused("beyond the end of its RAM block");
}

static int halt(void *opaque)
{
    return -EINTR;
}

/* A mark that lanes wait at is told, and who looks may end it there. */
static void test_flush(void **state)
{
    static const struct gw_scan_visitor flushes = {.flush = halt};
    const uint8_t *data;
    struct gw_reader r;
    struct gw_scan s;
    size_t n;

    begin_list(4096);
    gw_ram_list_put(&b.out, "r", 4096, NULL);
    end_list();
    gw_put_u64(&b.out, GW_RAMF_MULTIFD_FLUSH);
    gw_ram_put_end(&b.out);
    data = gw_out_data(&b.out, &n);
    gw_reader_init_memory(&r, data, n, 0);
    gw_scan_init(&s, &r, &flushes, NULL);
    s.page_bytes = 4096;
    assert_int_equal(gw_scan_run(&s, &err), -EINTR);
    gw_scan_close(&s);
    gw_reader_close(&r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_kinds),          T(test_twice),   T(test_no_whole_pages),  T(test_more_than_the_total),
                                       T(test_unlisted_block), T(test_no_name), T(test_behind_the_end), T(test_flush)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
