/* SPDX-License-Identifier: MIT
 *
 * Two descriptions as the peers have them, saved by us: the bytes and the JSON must be theirs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "state/registry.h"

struct timers {
    int64_t cpu_ticks_offset, cpu_clock_offset;
};

static const struct gw_field timer_fields[] = {
    GW_FIELD(struct timers, cpu_ticks_offset),
    GW_UNUSED_BYTES(8),
    GW_FIELD_SINCE(2, struct timers, cpu_clock_offset),
    GW_END,
};
static const struct gw_state timer_state = {.name = "timer", .version = 2, .oldest = 1, .fields = timer_fields};

struct global72 {
    uint32_t size;
    uint8_t runstate[100];
};
static const struct gw_field global72_fields[] = {
    GW_FIELD(struct global72, size),
    GW_BYTES(struct global72, runstate),
    GW_END,
};
static const struct gw_state global72_state = {.name = "globalstate", .version = 1, .fields = global72_fields};

struct global100 {
    uint32_t size;
    char runstate[32];
    uint8_t has_vm_was_suspended, vm_was_suspended;
    uint8_t unused[66];
};
static const struct gw_field global100_fields[] = {
    GW_FIELD(struct global100, size),
    GW_BYTES(struct global100, runstate),
    GW_FIELD(struct global100, has_vm_was_suspended),
    GW_FIELD(struct global100, vm_was_suspended),
    GW_BYTES(struct global100, unused),
    GW_END,
};
static const struct gw_state global100_state = {.name = "globalstate", .version = 1, .fields = global100_fields};

/* Loads both sections of the capture, saves them again under the peer's section ids and compares. */
static void same_as_capture(const char *name, const struct gw_state *global_state, void *global, uint32_t timer_id,
                            uint32_t global_id, bool configuration)
{
    struct timers timers = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_registry *reg = NULL;
    struct gw_vmdesc *desc = NULL;
    struct gw_writer w;
    struct gw_reader r;
    struct capture c;
    const uint8_t *ours;
    const char *text;
    size_t bytes, first;
    uint32_t version = 0;

    assert_true(capture_open(&c, name));
    assert_int_equal(gw_registry_new(&reg, &err), 0);
    for (uint32_t i = 0; i < timer_id; i++)
        gw_registry_take_id(reg);
    assert_int_equal(gw_registry_add(reg, &timer_state, "timer", 0, &timers, &err), 0);
    for (uint32_t i = timer_id + 1; i < global_id; i++)
        gw_registry_take_id(reg);
    assert_int_equal(gw_registry_add(reg, global_state, "globalstate", GW_INSTANCE_AUTO, global, &err), 0);

    /* Two sections: 1 + 4 + 6 + 8 + 24 + 5 and 1 + 4 + 12 + 8 + 104 + 5 bytes. */
    first = c.eof - 48 - 134;
    gw_reader_init_memory(&r, c.data, c.eof, 0);
    assert_int_equal(gw_get_discard(&r, first + 15, &err), 0);
    assert_int_equal(gw_get_u32(&r, &version, &err), 0);
    assert_int_equal(gw_registry_load(reg, "timer", 0, version, &r, &err), 0);
    assert_int_equal(gw_get_discard(&r, 5 + 21, &err), 0);
    assert_int_equal(gw_get_u32(&r, &version, &err), 0);
    assert_int_equal(gw_registry_load(reg, "globalstate", 0, version, &r, &err), 0);
    assert_int_equal(gw_reader_offset(&r), c.eof - 5);
    assert_string_equal((char *)global + 4, "running");

    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_vmdesc_new(4096, &desc, &err), 0);
    if (configuration)
        gw_vmdesc_configuration(desc, "none", NULL, NULL);
    assert_int_equal(gw_registry_save(reg, false, true, &w, desc, &err), 0);
    ours = gw_writer_data(&w, &bytes);
    assert_int_equal(bytes, c.eof - first);
    assert_memory_equal(ours, c.data + first, bytes);

    assert_int_equal(gw_vmdesc_finish(desc, &text, &bytes, &err), 0);
    assert_int_equal(bytes, c.text_bytes);
    assert_memory_equal(text, c.text, bytes);
    gw_vmdesc_free(desc);
    gw_writer_close(&w);
    gw_registry_free(reg);
    capture_close(&c);
}

static void test_7_2(void **state)
{
    struct global72 global = {0};

    same_as_capture("precopy-none-7.2.bin", &global72_state, &global, 0, 4, false);
}

static void test_10_0(void **state)
{
    struct global100 global = {0};

    same_as_capture("precopy-none-10.0.bin", &global100_state, &global, 0, 3, true);
    assert_int_equal(global.has_vm_was_suspended, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_7_2), cmocka_unit_test(test_10_0)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
