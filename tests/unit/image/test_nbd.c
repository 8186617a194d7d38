/* SPDX-License-Identifier: MIT
 *
 * Bytes of an NBD server: what comes when nobody is there, and reads from a real server (nbdkit), which says no, goes away
 * and comes back. More of that, with whole commands: tests/interop/test_nbd.py.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../nbdkit.h"
#include "image/nbd.h"

#define SIZE   (24u << 20) /* more than is under way at once */

static struct {
    struct nbdkit server;
    struct gw_bytes *bytes;
} t;

static void fails_to_open(const char *uri)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bytes *b = NULL;

    assert_true(gw_nbd_open(uri, &b, &err) < 0);
    assert_null(b);
    assert_true(err.code < 0);
    if (strncmp(err.text, uri, strlen(uri)) || strstr(err.text, "more attempts")) /* who was never there is not waited for */
        fail_msg("%s", err.text);
}

static void test_nobody_is_there(void **state)
{
    fails_to_open("nbd+unix:///?socket=/nonexistent/socket");
    fails_to_open("nbd://[");
    fails_to_open("nbd+unix:///"); /* which socket? */
}

/* ---- a server ------------------------------------------------------------------------------------------------------ */

static int up(void **state)
{
    t.bytes = NULL;
    return nbdkit_up(&t.server);
}

static int down(void **state)
{
    t.bytes = gw_bytes_free(t.bytes);
    return nbdkit_down(&t.server);
}

/* Each 8 bytes are their own offset, big-endian. more: a filter and its settings, up to NULL. */
static void serve(const char *size, const char *const more[4])
{
    const char *argv[8] = {NULL};
    unsigned n = 0;

    if (more && more[0])
        argv[n++] = more[0];
    argv[n++] = "pattern";
    argv[n++] = size;
    for (unsigned i = 1; more && i < 4 && more[i]; i++)
        argv[n++] = more[i];
    nbdkit_start(&t.server, argv);
}

/* Skips the test where there is no server. */
static void needs_server(void)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_bytes *none = NULL;

    if (gw_nbd_open("nbd+unix:///?socket=/nonexistent/socket", &none, &err) == -ENOTSUP) {
        print_message("SKIP: %s\n", err.text);
        skip();
    }
    if (access(NBDKIT, X_OK)) {
        print_message("SKIP: there is no " NBDKIT "\n");
        skip();
    }
}

static void open_bytes(const char *size, const char *const more[4])
{
    struct gw_error err = GW_ERROR_INIT;

    needs_server();
    serve(size, more);
    if (gw_nbd_open(t.server.uri, &t.bytes, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(t.bytes->fd, -1);
    assert_int_equal(t.bytes->depth, GW_NBD_DEPTH);
}

/* Whether these are the bytes at this offset. */
static bool is_right(const uint8_t *got, size_t bytes, uint64_t at)
{
    for (size_t i = 0; i < bytes; i++) {
        uint64_t offset = at + i;

        if (got[i] != (uint8_t)((offset & ~7ull) >> (56 - 8 * (offset & 7))))
            return false;
    }
    return true;
}

static void check(uint64_t at, size_t bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *got = malloc(bytes + 1);

    got[bytes] = 0x5a;
    if (gw_bytes_read(t.bytes, got, bytes, at, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(is_right(got, bytes, at));
    assert_int_equal(got[bytes], 0x5a);
    free(got);
}

static void test_reads(void **state)
{
    uint8_t a[10], b[3000];
    struct iovec iov[2] = {{a, sizeof a}, {b, sizeof b}};
    struct gw_error err = GW_ERROR_INIT;

    open_bytes("size=24M", NULL);
    assert_int_equal(t.bytes->size, SIZE);
    check(0, 1);
    check(12345, 77);
    check(SIZE - 1, 1);
    check(3, SIZE - 3); /* in pieces, more than are under way at once */
    assert_int_equal(gw_bytes_readv(t.bytes, iov, 2, 1001, &err), 0);
    assert_true(is_right(a, sizeof a, 1001));
    assert_true(is_right(b, sizeof b, 1001 + sizeof a));
    assert_int_equal(gw_bytes_read(t.bytes, a, 2, SIZE - 1, &err), -EPROTO);
}

/* A server that wants whole blocks, also where the export ends inside one. */
static void test_blocks(void **state)
{
    static const char *const policy[4] = {"--filter=blocksize-policy", "blocksize-minimum=512", "blocksize-maximum=64K", "blocksize-error-policy=error"};

    open_bytes("size=1M", policy);
    check(0, 512);
    check(5, 3);
    check(511, 2);
    check(1000, 300000);
    check((1 << 20) - 7, 7);
}

/* The server cannot read: what it was asked for is told, once, and the connection is as good as before. */
static void test_refused(void **state)
{
    static const char *const error[4] = {"--filter=error", "error-pread=EIO", "error-pread-rate=100%", NULL};
    struct gw_error err = GW_ERROR_INIT;
    uint8_t got[100];

    open_bytes("size=1M", error);
    unlink(t.server.socket); /* a second connection would fail */
    for (unsigned i = 0; i < 2; i++) {
        char text[200];

        snprintf(text, sizeof text, "%s: the server cannot read 100 bytes at byte %u: ", t.server.uri, 4096 + i);
        assert_int_equal(gw_bytes_read(t.bytes, got, sizeof got, 4096 + i, &err), -EIO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        if (strncmp(err.text, text, strlen(text)) || strstr(err.text, "more attempts"))
            fail_msg("%s", err.text);
    }
}

/* It goes away and comes back. Who reads does not notice. */
static void test_comes_back(void **state)
{
    open_bytes("size=1M", NULL);
    check(100, 1000);
    nbdkit_end(&t.server);
    serve("size=1M", NULL);
    check(200, 70000);
}

/* What comes back is another one. */
static void test_another(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t got[8];

    open_bytes("size=1M", NULL);
    nbdkit_end(&t.server);
    serve("size=2M", NULL);
    assert_int_equal(gw_bytes_read(t.bytes, got, sizeof got, 0, &err), -ESTALE);
    assert_non_null(strstr(err.text, "it had 1048576 bytes before the connection was lost, and has 2097152 now"));
}

static atomic_uint wrong;

static void *read_much(void *arg)
{
    uint64_t x = (uintptr_t)arg;
    uint8_t got[5000];

    for (unsigned i = 0; i < 100; i++) {
        uint64_t at;

        x = x * 6364136223846793005ull + 1442695040888963407ull;
        at = (x >> 33) % (SIZE - sizeof got);
        if (gw_bytes_read(t.bytes, got, sizeof got, at, NULL) < 0 || !is_right(got, sizeof got, at))
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

/* One connection, moved by whoever waits. */
static void test_threads(void **state)
{
    pthread_t thread[6];

    open_bytes("size=24M", NULL);
    unlink(t.server.socket);
    atomic_store(&wrong, 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_much, (void *)(uintptr_t)(i + 1)), 0);
    for (unsigned i = 0; i < 6; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_is_there),
        cmocka_unit_test_setup_teardown(test_reads, up, down),
        cmocka_unit_test_setup_teardown(test_blocks, up, down),
        cmocka_unit_test_setup_teardown(test_refused, up, down),
        cmocka_unit_test_setup_teardown(test_comes_back, up, down),
        cmocka_unit_test_setup_teardown(test_another, up, down),
        cmocka_unit_test_setup_teardown(test_threads, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
