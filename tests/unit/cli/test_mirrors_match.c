/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "mirrors_match.h"

/* Answers of the monitors are not asked for here. */
int gw_qmp_execute(struct gw_qmp *q, const char *command, json_t *take_args, json_t **ret_result, struct gw_error *err)
{
    fail();
    return -ENOSYS;
}

static json_t *disk(const char *device, const char *qdev, const char *node, int bytes, int ro)
{
    return json_pack("{sssss{sssbs{si}}}", "device", device, "qdev", qdev, "inserted", "node-name", node, "ro", ro, "image", "virtual-size",
                     bytes);
}

static int match(json_t *here, json_t *there, struct gw_disk_pair **ret, size_t *ret_count, struct gw_error *err)
{
    int r = gw_disk_match(here, there, ret, ret_count, err);

    json_decref(here);
    json_decref(there);
    return r;
}

/* The drive's name first, then the device's, then the node's; what cannot be written or is empty stays. */
static void test_found(void **state)
{
    json_t *here = json_pack("[ooooo]", disk("d0", "x", "a", 10, 0), disk("", "vda", "b", 20, 0), disk("", "", "c", 30, 0),
                             disk("cd", "", "d", 40, 1), disk("", "sda", "e", 0, 0));
    json_t *there = json_pack("[ooo{s:s}]", disk("", "", "c", 30, 0), disk("", "vda", "q", 20, 0), disk("d0", "y", "p", 10, 0), "device", "cd");
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk_pair *pairs;
    size_t count;

    assert_int_equal(match(here, there, &pairs, &count, &err), 0);
    assert_int_equal(count, 3);
    assert_string_equal(pairs[0].name, "d0");
    assert_string_equal(pairs[0].here, "a");
    assert_string_equal(pairs[0].there, "p");
    assert_int_equal(pairs[0].bytes, 10);
    assert_string_equal(pairs[1].name, "vda");
    assert_string_equal(pairs[1].there, "q");
    assert_string_equal(pairs[2].name, "c");
    free(pairs);
}

static void refused(json_t *here, json_t *there, int code, const char *words)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_disk_pair *pairs;
    size_t count;

    assert_int_equal(match(here, there, &pairs, &count, &err), code);
    assert_non_null(strstr(err.text, words));
}

static void test_refused(void **state)
{
    char longest[80] = {0};

    memset(longest, 'n', sizeof longest - 1);
    refused(json_pack("[o]", disk("d0", "", "a", 10, 0)), json_pack("[o]", disk("d1", "", "b", 10, 0)), -ENOENT, "disk d0");
    refused(json_pack("[o]", disk("d0", "", "a", 10, 0)), json_null(), -ENOENT, "disk d0");
    refused(json_pack("[o]", disk("d0", "", "a", 10, 0)), json_pack("[o]", disk("d0", "", "b", 10, 1)), -EINVAL, "read-only");
    refused(json_pack("[o]", disk("d0", "", "a", 10, 0)), json_pack("[o]", disk("d0", "", "b", 11, 0)), -EINVAL, "10 bytes here and 11");
    refused(json_pack("[o]", disk("d0", "", "a", 10, 0)), json_pack("[o]", disk("d0", "", longest, 10, 0)), -EPROTO, "node name");
    refused(json_pack("[oo]", disk("d0", "", "a", 10, 0), disk("", "v", "b", 10, 0)), json_pack("[o]", disk("d0", "v", "c", 10, 0)), -EINVAL,
            "disks d0 and v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found), cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
