/* SPDX-License-Identifier: MIT
 *
 * Dirty bitmaps that migrate: one that leaves records on; one that comes is whole before or after its machine belongs here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "disk/bitmap.h"
#include "disk_rig.h"

static struct rig_disk m;

static void refused(int r, const struct gw_error *err, int code, const char *text)
{
    assert_int_equal(r, code);
    if (!strstr(err->text, text))
        fail_msg("%s", err->text);
}

#define REFUSED(call, code, text)                                                                                      \
    do {                                                                                                               \
        struct gw_error err = GW_ERROR_INIT;                                                                           \
        int r = call;                                                                                                  \
        refused(r, &err, code, text);                                                                                  \
    } while (0)

/* A selected bitmap records, and nothing else can be done with it. */
static void test_selected(void **state)
{
    struct gw_disk *d = rig_disk_new(&m);
    struct gw_bitmap_info info;
    uint8_t bytes[32] = {0};

    assert_int_equal(gw_disk_bitmap_add(d, &(struct gw_bitmap_config){.name = "x", .granularity = 512}, NULL), 0);
    assert_int_equal(gw_disk_bitmap_select(d, "x", &info, NULL), 0);
    REFUSED(gw_disk_bitmap_select(d, "x", &info, &err), -EBUSY, "cannot be sent: a migration uses it");
    REFUSED(gw_disk_bitmap_split(d, "x", &err), -EBUSY, "a migration uses it");
    assert_false(gw_disk_bitmap_get(d, "x", 0, 64, bytes));
    gw_disk_wrote(d, 512 * 9, 1);
    assert_int_equal(gw_disk_bitmap_at(d, 0, &info), 0);
    assert_int_equal(info.dirty_bytes, 512);
    assert_true(info.recording && info.busy);
    assert_true(gw_disk_bitmap_get(d, "x", 0, 64, bytes));
    assert_int_equal(bytes[1], 2);
    assert_int_equal(gw_disk_bitmap_chunks(d, "x", 0, 8), 1);
    gw_disk_bitmap_release(d, "x");
    assert_int_equal(gw_disk_bitmap_clear(d, "x", NULL), 0);
    gw_disk_free(d);
}

/* What is written before the machine is here is not recorded; from its start on everything is, whole or not. */
static void test_arrives(void **state)
{
    static const uint8_t bits[32] = {1};

    for (unsigned whole_before = 0; whole_before < 2; whole_before++) {
        for (unsigned disabled = 0; disabled < 2; disabled++) {
            struct gw_disk *d = rig_disk_new(&m);
            struct gw_bitmap_config config = {.name = "x", .granularity = 512, .disabled = disabled};
            struct gw_bitmap_info info;

            assert_int_equal(gw_disk_bitmap_arrive(d, &config, NULL), 0);
            REFUSED(gw_disk_bitmap_arrive(d, &config, &err), -EEXIST, "already");
            REFUSED(gw_disk_bitmap_join(d, "x", true, &err), -EINVAL, "not split");
            gw_disk_wrote(d, 512, 512);
            assert_int_equal(gw_disk_bitmap_put(d, "x", 0, 64, bits, NULL), 0);
            if (whole_before)
                gw_disk_bitmap_complete(d, "x");
            assert_int_equal(gw_disk_bitmap_at(d, 0, &info), 0);
            assert_true(info.busy && !info.recording);
            gw_disk_bitmaps_begin(d);
            gw_disk_wrote(d, 512 * 5, 512);
            if (!whole_before)
                gw_disk_bitmap_complete(d, "x");
            gw_disk_wrote(d, 512 * 7, 512);
            assert_int_equal(gw_disk_bitmap_at(d, 0, &info), 0);
            assert_int_equal(info.busy, false);
            assert_int_equal(info.recording, !disabled);
            assert_int_equal(info.dirty_bytes, disabled ? 512 : 3 * 512);
            gw_disk_bitmap_abandon(d, "x"); /* too late */
            assert_int_equal(gw_disk_bitmap_at(d, 0, &info), 0);
            gw_disk_free(d);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selected),
        cmocka_unit_test(test_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
