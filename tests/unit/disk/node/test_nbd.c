/* SPDX-License-Identifier: MIT
 *
 * Exports of nbdkit, whose filters take abilities from it and let requests fail. With qemu-nbd:
 * tests/interop/test_disk_nbd.py.
 */
#include "property.h"

#include "../../nbdkit.h"
#include "disk/node/nbd.h"

#define SIZE 300032u /* a multiple of 512 and of nothing larger */

static struct {
    struct nbdkit server;
    struct gw_node *node;
} t;

static int up(void **state)
{
    t.node = NULL;
    return nbdkit_up(&t.server);
}

static int down(void **state)
{
    gw_node_free(t.node, NULL);
    return nbdkit_down(&t.server);
}

static void start(const char *const filters[4])
{
    const char *argv[8] = {NULL};
    unsigned n = 0;

    for (unsigned i = 0; i < 4 && filters[i] && filters[i][0] == '-'; i++)
        argv[n++] = filters[i];
    argv[n++] = "memory";
    argv[n++] = "300032";
    for (unsigned i = 0; i < 4 && filters[i]; i++)
        if (filters[i][0] != '-')
            argv[n++] = filters[i];
    nbdkit_start(&t.server, argv);
}

static int try_open(const char *const filters[4], const struct gw_node_options *o, struct gw_error *err)
{
    struct gw_node *none = NULL;

    if (gw_node_nbd_open("nbd+unix:///?socket=/nonexistent/socket", o, &none, err) == -ENOTSUP ||
        access(NBDKIT, X_OK)) {
        print_message("SKIP: no libnbd or no " NBDKIT "\n");
        skip();
    }
    start(filters);
    close(t.server.listens); /* so that a server that does not start ends the connection */
    t.server.listens = -1;
    return gw_node_nbd_open(t.server.uri, o, &t.node, err);
}

#define OPEN(...)                                                                                                      \
    do {                                                                                                               \
        struct gw_error open_err = GW_ERROR_INIT;                                                                      \
        ok(try_open((const char *const[4]){__VA_ARGS__}, &(struct gw_node_options){0}, &open_err), &open_err);         \
    } while (0)

static void property(uint64_t seed)
{
    uint8_t *array = calloc(1, SIZE);

    assert_int_equal(t.node->bytes, SIZE);
    node_refuses_what_is_not_in_it(t.node);
    node_property(t.node, array, seed, 150);
    free(array);
}

static void test_memory(void **state)
{
    OPEN(NULL);
    assert_string_equal(t.node->ops->format, "nbd");
    property(1);
}

static void test_blocks(void **state)
{
    OPEN("--filter=blocksize-policy", "blocksize-minimum=512", "blocksize-error-policy=error");
    assert_int_equal(t.node->request_bytes, 512);
    property(2);
}

static void test_poor_server(void **state)
{
    OPEN("--filter=noextents", "--filter=nozero", "--filter=fua");
    property(3);
}

static void test_holes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node_run run;

    OPEN(NULL);
    ok(gw_node_write(t.node, "x", 1, 100000, 0, &err), &err);
    ok(gw_node_find(t.node, SIZE, 0, &run, &err), &err);
    assert_int_equal(run.kind, GW_DISK_ZERO);
    assert_in_range(run.bytes, 65536, 100000);
    assert_int_equal(run.fd, -1);
    ok(gw_node_find(t.node, SIZE - 100000, 100000, &run, &err), &err);
    assert_int_equal(run.kind, GW_DISK_DATA);
    ok(gw_node_zero(t.node, SIZE, 0, GW_NODE_UNMAP, &err), &err);
    ok(gw_node_find(t.node, SIZE, 0, &run, &err), &err);
    assert_true(run.kind == GW_DISK_ZERO && run.bytes == SIZE);
}

static void test_read_only(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char c = 'x';

    assert_int_equal(try_open((const char *const[4]){"-r"}, &(struct gw_node_options){0}, &err), -EROFS);
    assert_non_null(strstr(err.text, "read-only"));
    ok(gw_node_nbd_open(t.server.uri, &(struct gw_node_options){.read_only = true}, &t.node, &err), &err);
    ok(gw_node_read(t.node, &c, 1, 5, &err), &err);
    assert_int_equal(c, 0);
    assert_int_equal(gw_node_write(t.node, &c, 1, 5, 0, &err), -EROFS);
}

static void test_errors_name_the_offset(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char room[512];

    OPEN("--filter=error", "error-pread=ENOSPC", "error-pread-rate=100%");
    assert_int_equal(gw_node_read(t.node, room, 512, 4096, &err), -ENOSPC);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    if (strncmp(err.text, t.server.uri, strlen(t.server.uri)) || !strstr(err.text, "read 512 bytes at offset 4096"))
        fail_msg("%s", err.text);
    memset(room, 1, sizeof room);
    ok(gw_node_write(t.node, room, 512, 4096, 0, &err), &err); /* the others go on */
}

static void test_server_goes(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    char room[512];

    OPEN(NULL);
    ok(gw_node_read(t.node, room, 512, 0, &err), &err);
    nbdkit_end(&t.server);
    assert_int_equal(gw_node_read(t.node, room, 512, 8192, &err), -ENOTCONN);
    assert_int_equal(err.blame, GW_BLAME_CHANNEL);
    if (!strstr(err.text, "lost") || !strstr(err.text, "at offset 8192"))
        fail_msg("%s", err.text);
    assert_int_equal(gw_node_flush(t.node, &err), -ENOTCONN);
}

#define nbd_test(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        nbd_test(test_memory),      nbd_test(test_blocks),    nbd_test(test_poor_server),
        nbd_test(test_holes),       nbd_test(test_read_only), nbd_test(test_errors_name_the_offset),
        nbd_test(test_server_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
