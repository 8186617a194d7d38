/* SPDX-License-Identifier: MIT
 *
 * The frame of a description as it is written: configuration, devices, and when there is nothing to write to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "godwit/state.h"
#include "state/registry.h"
#include "state/vmdesc.h"

static void finished(struct gw_vmdesc *d, const char *want)
{
    const char *text;
    size_t bytes;

    /* Asked for twice, it is ended once. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gw_vmdesc_finish(d, &text, &bytes, NULL), 0);
        assert_string_equal(text, want);
        assert_int_equal(bytes, strlen(want));
    }
    gw_vmdesc_free(d);
}

static struct gw_vmdesc *make(void)
{
    struct gw_vmdesc *d = NULL;

    assert_int_equal(gw_vmdesc_new(65536, &d, NULL), 0);
    return d;
}

static void test_empty(void **state)
{
    finished(make(), "{\"page_size\": 65536, \"devices\": []}");
}

static void test_devices(void **state)
{
    struct gw_vmdesc *d = make();

    gw_vmdesc_device(d, "a", 0);
    gw_vmdesc_device_end(d);
    gw_vmdesc_device(d, "b", 4294967295u);
    gw_vmdesc_device_end(d);
    finished(d, "{\"page_size\": 65536, \"devices\": [{\"name\": \"a\", \"instance_id\": 0}, {\"name\": \"b\", "
                "\"instance_id\": 4294967295}]}");
}

#define NAME "{\"configuration\": {\"vmsd_name\": \"configuration\", \"version\": 1, \"fields\": [{\"name\": \"len\", \"type\": \"uint32\", " \
             "\"size\": 4}, {\"name\": \"name\", \"type\": \"buffer\", \"size\": 2}]"
#define CAPS ", \"subsections\": [{\"vmsd_name\": \"configuration/capabilities\", \"version\": 1, \"fields\": [{\"name\": \"caps_count\", " \
             "\"type\": \"uint32\", \"size\": 4}, {\"name\": \"capabilities\", "
#define UUID "{\"vmsd_name\": \"configuration/uuid\", \"version\": 1, \"fields\": [{\"name\": \"uuid.data\", \"array_len\": 16, \"type\": " \
             "\"uint8\", \"size\": 1}]}]"
#define END  "}, \"page_size\": 65536, \"devices\": []}"

/* One capability has no number, several have. */
static void test_configuration(void **state)
{
    const char *const one[] = {"xy", NULL}, *const two[] = {"xy", "z", NULL};
    const uint8_t uuid[16] = {1};
    struct gw_vmdesc *d = make();

    gw_vmdesc_configuration(d, "pc", NULL, NULL);
    finished(d, NAME END);
    d = make();
    gw_vmdesc_configuration(d, "pc", NULL, uuid);
    finished(d, NAME ", \"subsections\": [" UUID END);
    d = make();
    gw_vmdesc_configuration(d, "pc", one, NULL);
    finished(d, NAME CAPS "\"type\": \"capability\", \"size\": 3}]}]" END);
    d = make();
    gw_vmdesc_configuration(d, "pc", two, uuid);
    finished(d, NAME CAPS "\"index\": 0, \"type\": \"capability\", \"size\": 3}, {\"name\": \"capabilities\", \"index\": 1, \"type\": "
                          "\"capability\", \"size\": 2}]}, " UUID END);
}

/* It stands before the devices or nowhere. */
static void test_late_configuration(void **state)
{
    struct gw_vmdesc *d = make();

    gw_vmdesc_device(d, "a", 0);
    gw_vmdesc_device_end(d);
    gw_vmdesc_configuration(d, "pc", NULL, NULL);
    finished(d, "{\"page_size\": 65536, \"devices\": [{\"name\": \"a\", \"instance_id\": 0}]}");
}

static void test_nowhere(void **state)
{
    struct gw_vmdesc *d = make();

    assert_null(gw_vmdesc_text(NULL));
    gw_vmdesc_device(NULL, "a", 0);
    gw_vmdesc_device_end(NULL);
    assert_non_null(gw_vmdesc_text(d));
    d->mute = 2;
    assert_null(gw_vmdesc_text(d));
    gw_vmdesc_free(d);
    assert_null(gw_vmdesc_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty), cmocka_unit_test(test_devices), cmocka_unit_test(test_configuration),
                                       cmocka_unit_test(test_late_configuration), cmocka_unit_test(test_nowhere)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
