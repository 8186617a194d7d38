/* SPDX-License-Identifier: MIT
 *
 * Names of backings: paths, servers, and names that are refused. Inside "json:": test_backing_json.c.
 */
#include "backing_rig.h"

static void test_files(void **state)
{
    is("image", "base", false, "base", "");
    is("/disks/image", "base", false, "/disks/base", "");
    is("disks/image", "sub/base", false, "disks/sub/base", "");
    is("/disks/image", "/base", false, "/base", "");
    is("/disks/image", "file:base", false, "/disks/base", "");
    is("/disks/image", "./a:b", false, "/disks/./a:b", "");
}

static void test_servers(void **state)
{
    is("/disks/image", "nbd://host/x", true, "nbd://host/x", "");
    is("/disks/image", "nbd+unix:///x?socket=/s", true, "nbd+unix:///x?socket=/s", "");
    is("/disks/image", "nbd:unix:/run/a b", true, "nbd+unix:///?socket=/run/a%20b", "");
    is("/disks/image", "nbd:unix:/s:exportname=x&y", true, "nbd+unix:///x%26y?socket=/s", "");
    is("/disks/image", "nbd:host:10809", true, "nbd://host:10809/", "");
    is("/disks/image", "nbd:::1:10809:exportname=x", true, "nbd://[::1]:10809/x", "");
}

/* An export is in no folder. */
static void test_below_an_export(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_backing_name b = {0};

    is(NULL, "/base", false, "/base", "");
    is(NULL, "nbd://host/x", true, "nbd://host/x", "");
    assert_int_equal(gw_backing_name_get(NULL, "base", &b, &err), -ENOTSUP);
    assert_null(b.where);
    assert_non_null(strstr(err.text, "a relative file name"));
}

static void test_refused(void **state)
{
    refused("https://host/x", -ENOTSUP, "the protocol https is not supported");
    refused("rbd:pool/x", -ENOTSUP, "the protocol rbd");
    refused("nbd:host", -EPROTO, "HOST:PORT");
    refused("nbd:host:", -EPROTO, "HOST:PORT");
    refused("nbd:host:1/../2", -EPROTO, "HOST:PORT");
    refused("nbd::10809", -EPROTO, "HOST:PORT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files), cmocka_unit_test(test_servers), cmocka_unit_test(test_below_an_export),
                                       cmocka_unit_test(test_refused)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
