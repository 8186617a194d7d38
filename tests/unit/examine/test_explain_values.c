/* SPDX-License-Identifier: MIT
 *
 * Values of a device that keep another machine from loading it, and values that may differ.
 */
#include "../image/streams.h"

#include <cmocka.h>

#include "base/endian.h"
#include "examine/explain.h"

static struct gw_vmdesc_tree *tree;
static char said[2000];
static uint8_t mine[300], theirs[300];

static void found(void *opaque, const struct gw_reason *reason)
{
    size_t n = strlen(said);

    snprintf(said + n, sizeof said - n, "%u %s; ", (unsigned)reason->weight, reason->what);
}

static void compare(const char *fields, size_t bytes, const char *want)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_explain e = {.found = found, .err = &err};
    struct gw_inspect_device a, b;
    char text[800];

    snprintf(text, sizeof text, "{\"page_size\": 4096, \"devices\": [{\"name\": \"d\", \"instance_id\": 0, \"vmsd_name\": \"d\", \"version\": 1, "
             "\"fields\": [%s]}]}", fields);
    if (gw_vmdesc_parse(text, strlen(text), &tree, &err) < 0)
        fail_msg("%s", err.text);
    a = (struct gw_inspect_device){.state = &tree->devices[0].state, .body = mine, .body_bytes = bytes};
    b = (struct gw_inspect_device){.state = &tree->devices[0].state, .body = theirs, .body_bytes = bytes};
    said[0] = 0;
    assert_int_equal(gw_explain_values(&e, "device d/0", &a, &b), 0);
    assert_string_equal(said, want);
    tree = gw_vmdesc_tree_free(tree);
}

static int up(void **state)
{
    memset(mine, 0, sizeof mine);
    memset(theirs, 0, sizeof theirs);
    return 0;
}

/* Only what is compared by who reads it has to be the same. */
static void test_equal(void **state)
{
    mine[3] = 5;
    theirs[3] = 6;
    compare("{\"name\": \"a\", \"type\": \"uint32\", \"size\": 4}", 4, "");
    compare("{\"name\": \"a\", \"type\": \"uint32 equal\", \"size\": 4}", 4, "2 field a is 5, and must be what it is in the destination: 6; ");
    theirs[3] = 5;
    compare("{\"name\": \"a\", \"type\": \"uint32 equal\", \"size\": 4}", 4, "");
}

#define CONFIG "{\"name\": \"config\", \"type\": \"pci config\", \"size\": 256}"

static void test_pci(void **state)
{
    mine[0x04] = 7; /* the guest writes there */
    mine[0x3c] = 11;
    compare(CONFIG, 256, "");
    mine[0x02] = 1;
    compare(CONFIG, 256, "2 config: PCI device (byte 0x2) is 0x1, 0x0 in the destination; ");
    mine[0x02] = 0;
    mine[0x2c] = 1; /* the subsystem, which only some compare */
    compare(CONFIG, 256, "1 config: the subsystem (byte 0x2c) is another one: whether the device compares it is not known; ");
}

/* Capabilities are walked, for as long as they are the same, and never for ever. */
static void test_capabilities(void **state)
{
    mine[0x34] = theirs[0x34] = 0x40;
    mine[0x40] = theirs[0x40] = 0x11;
    mine[0x41] = theirs[0x41] = 0x40; /* a circle */
    compare(CONFIG, 256, "");
    mine[0x41] = theirs[0x41] = 0;
    mine[0x42] = 3;
    theirs[0x42] = 1;
    compare(CONFIG, 256, "2 config: 4 MSI-X vectors (byte 0x42), 2 in the destination; ");
    theirs[0x40] = 0x05;
    compare(CONFIG, 256, "2 config: PCI capability 0x11 at byte 0x40, the next at 0x0; in the destination 0x5, then 0x0; ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_equal, up), cmocka_unit_test_setup(test_pci, up),
                                       cmocka_unit_test_setup(test_capabilities, up)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
