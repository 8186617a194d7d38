/* SPDX-License-Identifier: MIT
 *
 * What is such a URI, and who is not there. With a server: disk/node/test_nbd.c and image/test_nbd.c.
 */
#include <setjmp.h>
#include <stdarg.h>

#include "channel/nbd.h"

#include <cmocka.h>

static void test_uris(void **state)
{
    static const char *const yes[] = {
        "nbd://h", "nbds://h/x", "nbd+unix:///?socket=s", "nbds+unix:///?socket=s", "nbd+vsock://3", "nbds+vsock://3"};
    static const char *const no[] = {"",         "nbd",     "nbd:",        "nbd:/h",   "nbd:h:10809",
                                     "xnbd://h", "NBD://h", "nbd+ssh://h", "/nbd://h", "nbdx://h"};

    for (unsigned i = 0; i < GW_ARRAY_LEN(yes); i++)
        if (!gw_nbd_meant(yes[i]))
            fail_msg("%s", yes[i]);
    for (unsigned i = 0; i < GW_ARRAY_LEN(no); i++)
        if (gw_nbd_meant(no[i]))
            fail_msg("%s", no[i]);
}

static void test_nobody_is_there(void **state)
{
    static const char *const uris[] = {"nbd+unix:///?socket=/nonexistent/socket", "nbd://[", "nbd+unix:///"};

    for (unsigned i = 0; i < GW_ARRAY_LEN(uris); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_nbd *n = NULL;

        assert_true(gw_nbd_connect(uris[i], UINT64_MAX, &n, &err) < 0);
        assert_null(n);
        if (strncmp(err.text, uris[i], strlen(uris[i])) != 0)
            fail_msg("%s", err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_uris), cmocka_unit_test(test_nobody_is_there)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
