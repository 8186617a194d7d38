/* SPDX-License-Identifier: MIT */
#include "../image/machines.h"

#include "base/endian.h"
#include "godwit/examine.h"

#define PC_7_2  "precopy-pc-7.2.bin.gz"
#define PC_10_0 "precopy-pc-10.0.bin.gz"

struct lines {
    char text[200][400];
    unsigned count;
    struct gw_difference pages[8];
    unsigned page_count;
};

static void found(void *opaque, const struct gw_difference *d)
{
    struct lines *l = opaque;

    if (l->count < GW_ARRAY_LEN(l->text))
        snprintf(l->text[l->count++], sizeof l->text[0], "%d %s %s: %s != %s", d->kind, d->where, d->path,
                 d->a ? d->a : "-", d->b ? d->b : "-");
    if (d->kind == GW_DIFFERENCE_PAGES && l->page_count < GW_ARRAY_LEN(l->pages))
        l->pages[l->page_count++] = *d;
}

static bool said(const struct lines *l, const char *text)
{
    for (unsigned i = 0; i < l->count; i++)
        if (strstr(l->text[i], text))
            return true;
    return false;
}

static struct gw_diff_counts diff(struct gw_image *a, struct gw_image *b, struct lines *lines)
{
    struct gw_diff_options how = {.found = found, .opaque = lines};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_diff_counts counts;

    memset(lines, 0, sizeof *lines);
    if (gw_image_diff(a, b, &how, &counts, &err) < 0)
        fail_msg("%s", err.text);
    return counts;
}

static struct lines lines;

static void test_same(void **state)
{
    struct gw_image *a = machine_of(PC_10_0), *b = machine_of(PC_10_0);
    struct gw_diff_counts n = diff(a, b, &lines);

    assert_int_equal(n.pages + n.ranges + n.blocks + n.devices + n.values + n.heads, 0);
    assert_int_equal(lines.count, 0);
    gw_image_free(a);
    gw_image_free(b);
}

static void test_pages(void **state)
{
    struct gw_image *a = machine_of(PC_10_0), *b = machine_of(PC_10_0);
    unsigned r = block_of(a, "r");
    uint8_t *host = gw_memory_host(b, r);
    struct gw_diff_counts n;

    host[0x3005] ^= 1;
    host[0x4000] ^= 1;      /* the same range */
    host[0x100000] ^= 0x80; /* begins a chunk of the sweep */
    host[0xffffff] ^= 0x01; /* the last byte */
    n = diff(a, b, &lines);
    assert_int_equal(n.pages, 4);
    assert_int_equal(n.ranges, 3);
    assert_int_equal(lines.page_count, 3);
    assert_string_equal(lines.pages[0].where, "r");
    assert_int_equal(lines.pages[0].offset, 0x3000);
    assert_int_equal(lines.pages[0].bytes, 0x2000);
    assert_int_equal(lines.pages[0].first, 0x3005);
    assert_int_equal(lines.pages[0].sample_bytes, 16);
    assert_int_equal(lines.pages[0].sample_a[0] ^ lines.pages[0].sample_b[0], 1);
    assert_int_equal(lines.pages[1].offset, 0x100000);
    assert_int_equal(lines.pages[2].first, 0xffffff);
    assert_int_equal(lines.pages[2].sample_bytes, 1);
    gw_image_free(a);
    gw_image_free(b);
}

/* A run does not go on across the end of a chunk in another block, but does within one. */
static void test_ranges_across_chunks(void **state)
{
    struct gw_image *a = machine_of(PC_10_0), *b = machine_of(PC_10_0);
    uint8_t *host = gw_memory_host(b, block_of(b, "r"));
    struct gw_diff_counts n;

    host[0xff000] ^= 1;
    host[0x100000] ^= 1;
    n = diff(a, b, &lines);
    assert_int_equal(n.ranges, 1);
    assert_int_equal(lines.pages[0].bytes, 0x2000);
    gw_image_free(a);
    gw_image_free(b);
}

static void test_blocks(void **state)
{
    struct gw_image *a = machine_of(PC_10_0), *b = machine_of(PC_10_0);
    uint8_t *host;
    struct gw_diff_counts n;

    assert_int_equal(gw_memory_add_block(a, "only-a", 4096, &host, NULL), 0);
    assert_int_equal(gw_memory_add_block(b, "only-b", 8192, &host, NULL), 0);
    assert_int_equal(gw_memory_add_block(a, "longer", 8192, &host, NULL), 0);
    host[0] = 1;
    host[4096] = 1; /* behind the common part */
    assert_int_equal(gw_memory_add_block(b, "longer", 4096, &host, NULL), 0);
    n = diff(a, b, &lines);
    assert_int_equal(n.blocks, 3);
    assert_int_equal(n.pages, 1);
    assert_true(said(&lines, "only-a : 4096 bytes != -"));
    assert_true(said(&lines, "only-b : - != 8192 bytes"));
    assert_true(said(&lines, "longer : 8192 bytes != 4096 bytes"));
    gw_image_free(a);
    gw_image_free(b);
}

static void test_values(void **state)
{
    struct gw_image *a = machine_of(PC_10_0), *b = machine_of(PC_10_0);
    uint8_t *cpu = memmem(b->devices, b->devices_bytes, "\3cpu\0\0\0\0", 8);
    struct gw_diff_counts n;

    assert_non_null(cpu);
    cpu += 4 + 8;
    cpu[7] ^= 0x55;          /* env.regs[0], which is 8 bytes */
    cpu[16 * 8 + 7] ^= 0x01; /* env.eip */
    n = diff(a, b, &lines);
    assert_int_equal(n.values, 2);
    assert_int_equal(n.devices, 0);
    assert_true(said(&lines, "cpu/0 env.regs[0]: 0x0 != 0x55"));
    assert_true(said(&lines, "cpu/0 env.eip: 0xfff0 != 0xfff1"));
    /* Without descriptions it is the place in the body. */
    b->description_bytes = 0;
    n = diff(a, b, &lines);
    assert_true(said(&lines, "cpu/0 byte 0x7: 00"));
    gw_image_free(a);
    gw_image_free(b);
}

static void test_devices(void **state)
{
    struct gw_image *a = machine_of(PC_7_2), *b = machine_of("precopy-microvm-10.0.bin.gz");
    struct gw_diff_counts n = diff(a, b, &lines);

    assert_int_equal(n.heads, 1);
    assert_true(said(&lines, "machine : pc-i440fx-7.2 != microvm"));
    assert_true(said(&lines, "fdc/0 : version 2 != -"));
    assert_true(n.devices > 10);
    gw_image_free(a);
    gw_image_free(b);
}

static void test_broken(void **state)
{
    struct gw_image *a = machine_of(PC_10_0), *b = machine_of(PC_10_0);
    unsigned bios = block_of(b, "pc.bios");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_diff_counts counts;

    memset(gw_memory_host(b, bios), 1, 4096);
    break_machine(b, bios, 0, 1, -EPROTO);
    assert_int_equal(gw_image_diff(a, b, NULL, &counts, &err), -EPROTO);
    assert_true(strstr(err.text, "the second one") == err.text);
    assert_int_equal(gw_image_diff(b, a, NULL, &counts, &err), -EPROTO);
    assert_true(strstr(err.text, "the first one") == err.text);
    b->ops = broken.inner;
    b->devices_bytes--;
    assert_int_equal(gw_image_diff(a, b, NULL, &counts, &err), -EPROTO);
    assert_true(strstr(err.text, "the second one") == err.text);
    gw_image_free(a);
    gw_image_free(b);
}

/* So many that to look for each among all of them would take for ever. */
static void test_too_many_devices(void **state)
{
    struct gw_image *a = machine_of("precopy-none-10.0.bin"), *b = machine_of("precopy-none-10.0.bin");
    static const uint8_t section[20] = {4, 0, 0, 0, 9, 1, 'd', [15] = 0x7e, [19] = 9};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_diff_counts counts;
    const unsigned many = 16385;

    free(b->devices);
    b->devices_bytes = many * sizeof section;
    b->devices = malloc(b->devices_bytes);
    for (unsigned i = 0; i < many; i++) {
        memcpy(b->devices + i * sizeof section, section, sizeof section);
        gw_store_be32(b->devices + i * sizeof section + 7, i);
    }
    b->description_bytes = 0;
    assert_int_equal(gw_image_diff(a, b, NULL, &counts, &err), -E2BIG);
    assert_non_null(strstr(err.text, "2 and 16385 devices"));
    gw_image_free(a);
    gw_image_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_ranges_across_chunks),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_too_many_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
