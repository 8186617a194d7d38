/* SPDX-License-Identifier: MIT
 *
 * What is in a stream, on one screen.
 */
#include "report.h"

#include "examine/inspect.h"

static const struct gw_inspect_options screen = {.title = "x.bin", .screen = true};

/* It fits, and ends with how to see more. */
static void check(const char *name, const char *text)
{
    unsigned lines = 0;
    const char *end;

    for (const char *p = text; *p; p = end + 1) {
        size_t columns = 0;

        end = strchr(p, '\n');
        if (!end)
            fail_msg("%s: the last line has no end", name);
        for (const char *c = p; c < end; c++)
            columns += ((unsigned char)*c & 0xc0) != 0x80;
        if (columns > 100)
            fail_msg("%s: %zu columns: %.*s", name, columns, (int)(end - p), p);
        lines++;
    }
    if (lines > 60)
        fail_msg("%s: %u lines:\n%s", name, lines, text);
}

static void test_every_capture_fits(void **state)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(streams); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct bytes b = stream_load(streams[i].name);
        size_t whole = b.bytes;
        char *text;
        int r;

        text = report(&b, SIZE_MAX, &screen, &r, &err);
        check(streams[i].name, text);
        assert_null(strstr(text, "warning: stream ended"));
        free(text);
        b.bytes = whole / 2; /* of what was read up to there */
        text = report(&b, SIZE_MAX, &screen, &r, &err);
        check(streams[i].name, text);
        assert_true(r < 0 && strstr(text, "warning: ") && strstr(text, "up to where it breaks off"));
        free(text);
        free(b.data);
    }
}

static void test_essence(void **state)
{
    struct bytes b = stream_load("precopy-pc-7.2.bin.gz");
    struct gw_error err = GW_ERROR_INIT;
    char *text;
    int r;

    text = report(&b, SIZE_MAX, &screen, &r, &err);
    assert_int_equal(r, 0);
    for (size_t i = 0; i < 8; i++) {
        static const char *const words[] = {"x.bin\n", "  kind          precopy stream, ", "machine       pc", "pc.bios ", "where the bytes go\n",
                                            "\ndevices: ", "i8259 x2", "--all shows everything"};

        if (!strstr(text, words[i]))
            fail_msg("no '%s' in:\n%s", words[i], text);
    }
    assert_null(strstr(text, "warning"));
    assert_null(strstr(text, "env.eip"));
    free(text);
    free(b.data);
}

/* A stream that no screen has room for, with names that a terminal would obey. */
static void test_much(void **state)
{
    enum { DEVICES = 3000, BLOCKS = 200 };
    static char names[DEVICES][300], blocks[BLOCKS][8];
    struct gw_scan_block *block = calloc(BLOCKS, sizeof *block);
    struct gw_wire_head head = {.page_bits = 12};
    struct gw_inspect in = {.has_head = true, .head = &head, .open = true, .multifd = true, .postcopy = true, .checkpoints = 7};
    struct gw_text t = {0};

    memset(head.machine, 'm', sizeof head.machine - 1);
    in.devices = calloc(DEVICES, sizeof *in.devices);
    in.blocks = calloc(BLOCKS, sizeof *in.blocks);
    in.disks = calloc(20, sizeof *in.disks);
    in.bitmaps = calloc(20, sizeof *in.bitmaps);
    assert_true(block && in.devices && in.blocks && in.disks && in.bitmaps);
    in.device_count = DEVICES;
    in.block_count = BLOCKS;
    in.disk_count = in.bitmap_count = 20;
    for (unsigned i = 0; i < DEVICES; i++) {
        memset(names[i], 'x', 250);
        snprintf(names[i] + 200, 90, "/\x1b[31m%u", i);
        in.devices[i] = (struct gw_inspect_device){.name = names[i], .version = i, .body = (const uint8_t *)"abc", .body_bytes = 3};
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        block[i] = (struct gw_scan_block){.used_bytes = UINT64_MAX - 4095 - 4096ull * i, .has_gpa = true, .gpa = UINT64_MAX};
        snprintf(blocks[i], sizeof blocks[i], "b%u", i);
        gw_strcopy(block[i].name, sizeof block[i].name, blocks[i]);
        in.blocks[i] = (struct gw_inspect_block){.block = &block[i], .again = UINT32_MAX, .pages = {UINT32_MAX, UINT32_MAX}};
    }
    for (unsigned i = 0; i < 20; i++) {
        memset(in.disks[i].name, 'd', 255);
        memset(in.bitmaps[i].node, 'n', 255);
        memset(in.bitmaps[i].name, 'b', 255);
    }
    for (unsigned i = 0; i < GW_SPENT_COUNT; i++)
        in.cause[i] = 1000 + i;
    in.bytes = 1;
    gw_fail(&in.error, -EPROTO, GW_BLAME_PEER, "%0500d", 0);
    gw_inspect_screen(&in, &screen, &t);
    assert_false(t.failed);
    check("much", t.data);
    assert_null(strchr(t.data, 0x1b));
    assert_non_null(strstr(t.data, "and 190 smaller blocks"));
    assert_non_null(strstr(t.data, "\ndevices: 3000, "));
    assert_non_null(strstr(t.data, "  and 29")); /* all but those that are listed */
    assert_non_null(strstr(t.data, "and 16 more disks"));
    gw_text_free(&t);
    free(block);
    free(in.devices);
    free(in.blocks);
    free(in.disks);
    free(in.bitmaps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_capture_fits),
        cmocka_unit_test(test_essence),
        cmocka_unit_test(test_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
