/* SPDX-License-Identifier: MIT
 *
 * New images: what is refused, and that the others are clean.
 */
#include "qcow2_rig.h"

static void refused(const struct gw_qcow2_config *c, const char *word)
{
    struct gw_error err = GW_ERROR_INIT;
    struct rig_file f;
    struct gw_node *n;

    rig_new(&f);
    n = rig_node(&f);
    assert_int_equal(gw_qcow2_create(n, c, &err), -EINVAL);
    assert_non_null(strstr(err.text, word));
    gw_node_free(n, NULL);
    rig_done(&f);
}

static void test_refused(void **state)
{
    char name[1100];

    memset(name, 'n', sizeof name);
    name[1024] = 0;
    refused(&(struct gw_qcow2_config){.bytes = 512, .version = 4}, "version");
    refused(&(struct gw_qcow2_config){.bytes = 512, .cluster_bits = 8}, "9 to 21");
    refused(&(struct gw_qcow2_config){.bytes = 512, .cluster_bits = 22}, "9 to 21");
    refused(&(struct gw_qcow2_config){.bytes = 512, .refcount_set = true, .refcount_order = 7}, "refcounts");
    refused(&(struct gw_qcow2_config){.bytes = 512, .version = 2, .refcount_set = true, .refcount_order = 3},
            "version 2");
    refused(&(struct gw_qcow2_config){.bytes = 512, .version = 2, .lazy_refcounts = true}, "lazy");
    refused(&(struct gw_qcow2_config){.bytes = 513}, "512");
    refused(&(struct gw_qcow2_config){.bytes = 512, .backing = "b"}, "format");
    refused(&(struct gw_qcow2_config){.bytes = 512, .backing = name, .backing_format = "raw"}, "1023");
    name[1000] = 0;
    refused(&(struct gw_qcow2_config){.bytes = 512, .cluster_bits = 9, .backing = name, .backing_format = "raw"},
            "room");
    refused(&(struct gw_qcow2_config){.bytes = 1ull << 50, .cluster_bits = 9}, "too large");
}

static void test_clean(void **state)
{
    for (unsigned bits = 9; bits <= 21; bits++)
        for (unsigned order = 0; order < 7; order++) {
            struct gw_qcow2_config c = {
                .bytes = 1ull << (bits + 20), .cluster_bits = bits, .refcount_set = true, .refcount_order = order};
            struct gw_node *n;
            struct rig_file f;

            rig_new(&f);
            rig_create(&f, &c);
            n = rig_open(&f, NULL, GW_QCOW2_READ_ONLY);
            assert_int_equal(n->bytes, c.bytes);
            rig_clean(n);
            gw_node_free(n, NULL);
            rig_done(&f);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
