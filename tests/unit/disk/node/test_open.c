/* SPDX-License-Identifier: MIT */
#include "property.h"

#include <stdio.h>

#include "godwit/version.h"

static char path[64];

static int up(void **state)
{
    int fd;

    strcpy(path, "/tmp/gw-open-XXXXXX");
    fd = mkstemp(path);
    return fd < 0 || ftruncate(fd, 65536) || close(fd) ? -1 : 0;
}

static int down(void **state)
{
    return unlink(path);
}

static void begin_with(const char *head, size_t bytes)
{
    FILE *f = fopen(path, "r+");

    assert_non_null(f);
    assert_int_equal(fwrite(head, 1, bytes, f), bytes);
    fclose(f);
}

static void test_raw(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = NULL;

    ok(gw_node_open(path, NULL, &n, &err), &err);
    assert_string_equal(gw_node_format(n), "raw");
    assert_int_equal(gw_node_bytes(n), 65536);
    assert_false(gw_node_read_only(n));
    assert_int_equal(gw_node_write(n, "KDMV", 4, 0, 0, &err), -EPERM); /* it was guessed */
    gw_node_free(n, NULL);
    ok(gw_node_open(path, &(struct gw_node_options){.format = "raw"}, &n, &err), &err);
    ok(gw_node_write(n, "KDMV", 4, 0, 0, &err), &err);
    gw_node_free(n, NULL);
}

static void test_other_formats(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = NULL;

    begin_with("KDMV", 4);
    assert_int_equal(gw_node_open(path, NULL, &n, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "vmdk"));
    assert_non_null(strstr(err.text, "format raw"));
    ok(gw_node_open(path, &(struct gw_node_options){.format = "raw", .read_only = true}, &n, &err), &err);
    assert_true(gw_node_read_only(n));
    gw_node_free(n, NULL);
    assert_int_equal(gw_node_open(path, &(struct gw_node_options){.format = "RAW"}, &n, &err), -ENOTSUP);
    assert_int_equal(gw_node_open(path, &(struct gw_node_options){.cache = 17}, &n, &err), -EINVAL);
    assert_int_equal(gw_node_open("/nonexistent/disk", NULL, &n, &err), -ENOENT);
}

static void test_uri(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = NULL;

    assert_true(gw_node_open("nbd+unix:///?socket=/nonexistent/socket", NULL, &n, &err) < 0);
    assert_int_equal(strncmp(err.text, "nbd+unix:///?socket=/nonexistent/socket: ", 40), 0);
}

/* A program that knows fewer options. */
static void test_sizes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n = NULL;
    struct {
        struct gw_node_options known;
        uint64_t later;
    } newer = {.later = 1};

    ok(gw_node_open_sized(path, &newer.known, sizeof newer.known.format, &n, &err), &err);
    gw_node_free(n, NULL);
    assert_int_equal(gw_node_open_sized(path, &newer.known, sizeof newer, &n, &err), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_raw, up, down),
        cmocka_unit_test_setup_teardown(test_other_formats, up, down),
        cmocka_unit_test_setup_teardown(test_uri, up, down),
        cmocka_unit_test_setup_teardown(test_sizes, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
