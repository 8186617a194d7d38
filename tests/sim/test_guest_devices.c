/* SPDX-License-Identifier: MIT
 *
 * Unknown devices of a machine: also those sent in the set-up, and devices without memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ways.h"

struct plugged {
    uint32_t size;
    uint8_t map[40];
};
static const struct gw_field plugged_fields[] = {
    GW_FIELD(struct plugged, size),
    GW_BYTES(struct plugged, map),
    GW_END,
};
static const struct gw_state plugged_state = {.name = "plugged",
                                              .version = 1,
                                              .oldest = 1,
                                              .size = sizeof(struct plugged),
                                              .early = true,
                                              .fields = plugged_fields};

/* Created before the machine that uses it, and freed after it. */
static struct plugged *plugged_pair(bool filled)
{
    static const struct plugged contents[2] = {{7, "seven"}, {9, "nine"}};
    struct plugged *two = owned_memory(sizeof contents);

    if (filled)
        memcpy(two, contents, sizeof contents);
    return two;
}

static void plug(struct sim *s, struct plugged two[2])
{
    struct gw_error err = GW_ERROR_INIT;

    for (uint32_t i = 0; i < 2; i++)
        must(gw_registry_add(gw_vm_registry(s->vm), &plugged_state, "plugged", i, &two[i], &err), &err);
}

/* From a machine with such devices into an image, from there into another image and then into a machine: `before` bytes
 * of their sections go out before the RAM's START. All take them in both places. */
static void early_way(size_t before_of, const char *peer)
{
    struct gw_image *one = empty(), *two = empty();
    struct plugged *have = plugged_pair(true), *get = plugged_pair(false);
    struct sim *from = sim_new(42, 4, NULL), *to = sim_new(0, 4, NULL);
    unsigned *parked = owned_memory(sizeof *parked);
    struct way w;

    plug(from, have);
    plug(to, get);
    into(one, from, peer);
    assert_int_equal(one->early_before, 0);
    assert_int_equal(one->early_bytes % 2, 0);
    assert_true(one->early_bytes > 2 * 44);
    one->early_before = one->early_bytes / 2 * before_of;
    w = (struct way){.from = vm_of(one, NULL, NULL), .to = vm_of(two, count, parked), .peer = peer};
    migrate(&w);
    must(w.recv_result, &w.recv_error);
    assert_int_equal(two->early_before, one->early_before);
    assert_int_equal(two->early_bytes, one->early_bytes);
    assert_memory_equal(two->early, one->early, one->early_bytes);
    assert_int_equal(two->devices_bytes, one->devices_bytes);
    out_of(two, to, false);
    assert_memory_equal(get, have, 2 * sizeof *have);
    assert_int_equal(sim_check(to), 0);
    owned_end(one);
    owned_end(two);
    owned_end(from);
    owned_end(to);
}

static void test_early(void **state)
{
    for (size_t before = 0; before <= 2; before++) {
        early_way(before, NULL);
        early_way(before, "10.0");
    }
}

/* Device state alone: an image sends and receives the same as a machine that knows its devices. */
static void test_state_alone(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_image *one = empty(), *two = empty();
    struct plugged *have = plugged_pair(true), *get = plugged_pair(false);
    void *blob, *again;
    struct sim *from = sim_new(42, 4, NULL), *to = sim_new(0, 4, NULL);
    size_t bytes, n;

    plug(from, have);
    plug(to, get);
    from->device.level = 77;
    into(one, from, NULL);
    must(gw_state_save(vm_of(one, NULL, NULL), &blob, &bytes, &err), &err);
    assert_int_equal(gw_state_load(vm_of(two, NULL, NULL), blob, bytes / 2, &err), -ENODATA);
    assert_int_equal(two->devices_bytes, 0);
    must(gw_state_load(vm_of(two, NULL, NULL), blob, bytes, &err), &err);
    assert_int_equal(two->devices_bytes, one->early_bytes + one->devices_bytes);
    must(gw_state_save(vm_of(two, NULL, NULL), &again, &n, &err), &err);
    assert_int_equal(n, bytes);
    assert_memory_equal(again, blob, bytes);
    must(gw_state_load(to->vm, again, n, &err), &err);
    assert_memory_equal(get, have, 2 * sizeof *have);
    assert_int_equal(to->device.level, 77);
    free(blob);
    free(again);
    owned_end(one);
    owned_end(two);
    owned_end(from);
    owned_end(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        owned_test(test_early),
        owned_test(test_state_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
