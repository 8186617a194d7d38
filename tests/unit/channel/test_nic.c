/* SPDX-License-Identifier: MIT
 *
 * What is refused, with a reason; frames on real devices are in tests/vm/test_announce.py, where a network namespace can be had.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "godwit/nic.h"

static void test_names(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_nic_port *port = NULL;

    assert_int_equal(gw_nic_open_tap("no-such-tap", &port, &err), -ENODEV);
    assert_string_equal(err.text, "tap no-such-tap: this host has no such interface (in this network namespace)");
    assert_int_equal(gw_nic_open_interface("no-such-if", &port, &err), -ENODEV);
    assert_string_equal(err.text, "interface no-such-if: this host has no such interface (in this network namespace)");
    assert_int_equal(gw_nic_open_interface("", &port, &err), -EINVAL);
    assert_int_equal(gw_nic_open_tap("a-name-of-16-byt", &port, &err), -EINVAL);
    assert_string_equal(err.text, "tap a-name-of-16-byt: the name of an interface has 1 to 15 bytes");
    assert_null(port);
    assert_null(gw_nic_port_free(NULL));
}

/* Closed whatever comes of it. */
static void test_descriptors(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_nic_port *port = NULL;
    int pair[2], file = open("/dev/null", O_RDWR);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(gw_nic_open_tap_fd(pair[0], &port, &err), -EINVAL);
    assert_non_null(strstr(err.text, " is not a tap device"));
    assert_int_equal(gw_nic_open_tap_fd(file, &port, &err), -EINVAL);
    assert_int_equal(fcntl(pair[0], F_GETFD), -1);
    assert_int_equal(fcntl(file, F_GETFD), -1);
    assert_int_equal(gw_nic_open_tap_fd(file, &port, &err), -EBADF);
    assert_null(port);
    close(pair[1]);
}

/* Loopback is there everywhere, and is no Ethernet in this sense. */
static void test_loopback(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_nic_port *port = NULL;
    int r = gw_nic_open_interface("lo", &port, &err);

    if (r == -ENODEV || r == -EPERM) {
        print_message("lo: %s\n", err.text);
        skip();
    }
    assert_int_equal(r, -EINVAL);
    assert_string_equal(err.text, "interface lo is not Ethernet");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_loopback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
