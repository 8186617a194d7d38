/* SPDX-License-Identifier: MIT
 *
 * Device state alone: what is in it, who runs before and after, and that a blob that is refused leaves devices as they were.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/endian.h"
#include "engine/vm.h"
#include "godwit/godwit.h"
#include "wire/numbers.h"

#define FAILING_COUNTDOWN
#include "../../failing.h"

static struct machine {
    bool running;
    unsigned stops, starts;
    int stop_result, start_result;
} m;

static int stop(void *opaque, struct gw_error *err)
{
    m.stops++;
    if (m.stop_result < 0)
        return gw_fail(err, m.stop_result, GW_BLAME_EMBEDDER, "cannot stop");
    m.running = false;
    return 0;
}

static int start(void *opaque, struct gw_error *err)
{
    m.starts++;
    if (m.start_result < 0)
        return gw_fail(err, m.start_result, GW_BLAME_EMBEDDER, "cannot start");
    m.running = true;
    return 0;
}

static bool running(void *opaque)
{
    return m.running;
}

struct device {
    uint32_t a, b;
};

static int check(const void *device, uint32_t version, struct gw_error *err)
{
    return ((const struct device *)device)->a == 0xbad ? gw_fail(err, -EINVAL, GW_BLAME_PEER, "a is bad") : 0;
}

static const struct gw_field fields[] = {GW_FIELD(struct device, a), GW_FIELD(struct device, b), GW_END};
static const struct gw_state state_of = {
    .name = "dev", .version = 1, .oldest = 1, .size = sizeof(struct device), .fields = fields, .check = check};

static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = stop, .start = start, .running = running};
static struct gw_vm *vm;
static struct device first, second;

static int up(void **state)
{
    const struct gw_vm_config config = {.machine = "m", .page_bytes = 4096, .ops = &ops};

    m = (struct machine){.running = false};
    first = (struct device){1, 2};
    second = (struct device){3, 4};
    if (gw_vm_new(&config, &vm, NULL) < 0)
        return -1;
    return gw_registry_add(gw_vm_registry(vm), &state_of, "first", 0, &first, NULL) < 0 ||
           gw_registry_add(gw_vm_registry(vm), &state_of, "second", 7, &second, NULL) < 0;
}

static int down(void **state)
{
    vm = gw_vm_free(vm);
    return 0;
}

static uint8_t *save(size_t *ret_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    void *blob = NULL;

    if (gw_state_save(vm, &blob, ret_bytes, &err) < 0)
        fail_msg("%s", err.text);
    return blob;
}

/* Magic, version, FULL sections, EOF: and the run state says that it runs. */
static void test_bytes(void **state)
{
    size_t bytes;
    uint8_t *blob = save(&bytes);

    assert_int_equal(gw_load_be32(blob), GW_WIRE_MAGIC);
    assert_int_equal(gw_load_be32(blob + 4), 3);
    assert_int_equal(blob[8], GW_ELEMENT_FULL);
    assert_memory_equal(blob + 13, "\5first\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\2\x7e", 23);
    assert_int_equal(blob[bytes - 1], GW_ELEMENT_EOF);
    assert_non_null(memmem(blob, bytes, "\6second\0\0\0\7\0\0\0\1\0\0\0\3\0\0\0\4\x7e", 24));
    assert_non_null(memmem(blob, bytes, "\0\0\0\x08running", 11));
    assert_null(memmem(blob, bytes, "\3ram", 4));
    free(blob);
    assert_int_equal(m.stops + m.starts, 0);
}

static void test_there_and_back(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    size_t bytes;
    uint8_t *blob = save(&bytes);

    first = second = (struct device){0, 0};
    if (gw_state_load(vm, blob, bytes, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(first.a * 1000 + first.b * 100 + second.a * 10 + second.b, 1234);
    assert_int_equal(m.starts, 0);
    /* Anything may stand behind EOF. */
    blob = realloc(blob, bytes + 3);
    memcpy(blob + bytes, "xyz", 3);
    first.a = 0;
    assert_int_equal(gw_state_load(vm, blob, bytes + 3, &err), 0);
    assert_int_equal(first.a, 1);
    free(blob);
}

/* A machine that runs is stopped for it, and runs again however it ends. */
static void test_running(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    void *blob = NULL;
    size_t bytes = 77;

    m.running = true;
    assert_int_equal(gw_state_save(vm, &blob, &bytes, &err), 0);
    assert_true(m.running && m.stops == 1 && m.starts == 1);
    assert_int_equal(gw_state_load(vm, blob, bytes, &err), -EBUSY);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_int_equal(first.a, 1);
    free(blob);
    blob = NULL;
    bytes = 77;
    m.stop_result = -EIO;
    assert_int_equal(gw_state_save(vm, &blob, &bytes, &err), -EIO);
    assert_true(m.running && !blob && bytes == 77);
    /* It does not start again: told, and there is no blob of a machine that may be run twice. */
    m.stop_result = 0;
    m.start_result = -EIO;
    assert_int_equal(gw_state_save(vm, &blob, &bytes, &err), -EIO);
    assert_non_null(strstr(err.text, "cannot start"));
    assert_true(!blob && bytes == 77);
    m.running = false;
    m.start_result = 0;
    assert_int_equal(gw_state_save(vm, &blob, &bytes, &err), 0);
    free(blob);
}

/* Cut at each byte: an error, and no device has half of its state. */
static void test_cut(void **state)
{
    size_t bytes;
    uint8_t *blob;

    first = (struct device){10, 10};
    second = (struct device){20, 20};
    blob = save(&bytes);
    for (size_t n = 0; n < bytes; n++) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t *copy = malloc(n + !n);

        first = (struct device){1, 1};
        second = (struct device){2, 2};
        memcpy(copy, blob, n);
        assert_int_equal(gw_state_load(vm, copy, n, &err), -ENODATA);
        assert_true(first.a == first.b && (first.a == 1 || first.a == 10));
        assert_true(second.a == second.b && (second.a == 2 || second.a == 20));
        free(copy);
    }
    free(blob);
}

static void refused(const uint8_t *blob, size_t bytes, size_t at, uint8_t value, const char *why)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *copy = malloc(bytes);

    memcpy(copy, blob, bytes);
    copy[at] = value;
    first = second = (struct device){5, 5};
    if (gw_state_load(vm, copy, bytes, &err) >= 0)
        fail_msg("byte %zu: taken", at);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    if (!strstr(err.text, why))
        fail_msg("'%s' is not in '%s'", why, err.text);
    assert_true(first.a == 5 && first.b == 5);
    free(copy);
}

static void test_refused(void **state)
{
    size_t bytes;
    uint8_t *blob;

    first.a = 0xbad;
    blob = save(&bytes);
    refused(blob, bytes, 0, 'q', "");
    refused(blob, bytes, 7, 2, "");
    refused(blob, bytes, 8, GW_ELEMENT_START, "element 0x01 at byte 8: a file of device state has devices only");
    refused(blob, bytes, 8, 0xff, "element 0xff at byte 8");
    refused(blob, bytes, 14, 'F', "section First/0 at byte 8 (FULL): this machine has no such device");
    refused(blob, bytes, 22, 1, "section first/1 at byte 8");
    refused(blob, bytes, 26, 9, "device state at byte 8");
    refused(blob, bytes, 8, GW_ELEMENT_FULL, "a is bad");
    free(blob);
}

/* Each allocation of a save: the machine runs on, and no blob is left. What only the description needs, which is not in it, does
 * not matter. */
static void test_nomem(void **state)
{
    unsigned failed = 0;

    m.running = true;
    for (unsigned n = 1;; n++) {
        struct gw_error err = GW_ERROR_INIT;
        void *blob = NULL;
        size_t bytes = 0;
        bool hit;
        int r;

        countdown = n;
        r = gw_state_save(vm, &blob, &bytes, &err);
        hit = countdown == 0;
        countdown = 0;
        assert_true(m.running);
        if (!hit) {
            assert_int_equal(r, 0);
            assert_true(failed > 0);
            free(blob);
            break;
        }
        if (r == 0) {
            assert_int_equal(((uint8_t *)blob)[bytes - 1], GW_ELEMENT_EOF);
            free(blob);
            continue;
        }
        failed++;
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_null(blob);
    }
}

#define blob_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        blob_test(test_bytes), blob_test(test_there_and_back), blob_test(test_running),
        blob_test(test_cut),   blob_test(test_refused),        blob_test(test_nomem),
    };

    return cmocka_run_group_tests_name("state_blob", tests, NULL, NULL);
}
