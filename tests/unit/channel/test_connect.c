/* SPDX-License-Identifier: MIT
 *
 * gw_connect: which transport each kind of address gets, and what becomes of what is taken. Sockets: test_socket.c and
 * test_listen.c.
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "channel/cancel.h"
#include "helpers.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void kinds(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    struct gw_uri uri = {.kind = GW_URI_FILE};
    int sockets[2];
    char byte;

    temporary_path(uri.path, "f");
    assert_ok(gw_connect(&uri, 1234, NULL, &ch, &err), err);
    assert_string_equal(ch->ops->kind, "file");
    assert_int_equal(ch->timeout_ns, 1234);
    assert_int_equal(strncmp(ch->name, "file:/tmp/", 10), 0);
    assert_int_equal(gw_channel_write_full(ch, "x", 1, &err), 0);
    gw_channel_free(ch);
    remove_temporary(uri.path);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    uri = (struct gw_uri){.kind = GW_URI_FD, .fd = sockets[0]};
    assert_ok(gw_connect(&uri, 5 * MS, NULL, &ch, &err), err);
    assert_int_equal(ch->timeout_ns, 5 * MS);
    assert_int_equal(write(sockets[1], "y", 1), 1);
    assert_ok(gw_channel_read_full(ch, &byte, 1, &err), err);
    assert_int_equal(byte, 'y');
    gw_channel_free(ch);
    assert_false(is_open(sockets[0]));
    close(sockets[1]);

    uri = (struct gw_uri){.kind = GW_URI_EXEC, .path = "cat"};
    assert_ok(gw_connect(&uri, PATIENCE_NS, NULL, &ch, &err), err);
    assert_string_equal(ch->ops->kind, "exec");
    assert_string_equal(ch->name, "exec:cat");
    assert_ok(gw_channel_write_full(ch, "z", 1, &err), err);
    assert_ok(gw_channel_read_full(ch, &byte, 1, &err), err);
    assert_int_equal(byte, 'z');
    gw_channel_free(ch);
}

/* A trigger from before: nothing is started, nothing is created, and a descriptor is closed all the same. */
static void cancelled(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    struct gw_uri uri = {.kind = GW_URI_FILE};
    struct gw_cancel *cancel;
    int pipes[2];

    assert_ok(gw_cancel_new(&cancel, &err), err);
    gw_cancel_trigger(cancel);
    temporary_path(uri.path, "f");
    assert_int_equal(gw_connect(&uri, 0, cancel, &ch, &err), -ECANCELED);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    assert_text(err, "connecting to file:/tmp/");
    assert_text(err, ": cancelled");
    assert_int_equal(access(uri.path, F_OK), -1);
    remove_temporary(uri.path);

    assert_int_equal(pipe(pipes), 0);
    uri = (struct gw_uri){.kind = GW_URI_FD, .fd = pipes[1]};
    assert_int_equal(gw_connect(&uri, 0, cancel, &ch, &err), -ECANCELED);
    assert_false(is_open(pipes[1]));
    assert_true(is_open(pipes[0]));
    close(pipes[0]);

    uri = (struct gw_uri){.kind = GW_URI_EXEC, .path = "cat"};
    assert_int_equal(gw_connect(&uri, 0, cancel, &ch, &err), -ECANCELED);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);

    uri = (struct gw_uri){.kind = GW_URI_TCP, .host = "127.0.0.1", .service = "1"};
    assert_int_equal(gw_connect(&uri, 0, cancel, &ch, &err), -ECANCELED);
    assert_string_equal(err.text, "connecting to tcp:127.0.0.1:1: cancelled");
    assert_null(ch);
    gw_cancel_free(cancel);
}

static void failures(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *ch = NULL;
    struct gw_uri uri = {.kind = GW_URI_FILE, .path = "/nowhere/at/all"};
    int pipes[2];

    assert_int_equal(gw_connect(&uri, 0, NULL, &ch, &err), -ENOENT);
    assert_text(err, "/nowhere/at/all");
    /* A number that is no descriptor, the last one that can be, and a negative one. */
    uri = (struct gw_uri){.kind = GW_URI_FD, .fd = -1};
    assert_int_equal(gw_connect(&uri, 0, NULL, &ch, &err), -EBADF);
    assert_text(err, "fd:-1");
    uri.fd = INT32_MAX;
    assert_int_equal(gw_connect(&uri, 0, NULL, &ch, &err), -EBADF);
    assert_int_equal(pipe(pipes), 0);
    close(pipes[0]);
    uri.fd = pipes[0];
    assert_int_equal(gw_connect(&uri, 0, NULL, &ch, &err), -EBADF);
    close(pipes[1]);
    uri = (struct gw_uri){.kind = (enum gw_uri_kind)77};
    assert_int_equal(gw_connect(&uri, 0, NULL, &ch, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(err.text, "an address of kind 77 cannot be connected to");
    assert_null(ch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(kinds),
        channel_test(cancelled),
        channel_test(failures),
    };

    return cmocka_run_group_tests_name("connect", tests, NULL, NULL);
}
