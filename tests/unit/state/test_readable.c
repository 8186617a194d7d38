/* SPDX-License-Identifier: MIT
 *
 * What a table writes and could not read back is refused when its device is registered; what only looks so is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "state/registry.h"

struct inner {
    uint32_t n, m;
};

struct dev {
    uint32_t n, v, w;
    uint8_t bytes[8];
    struct inner in, row[2], *at;
    uint32_t words[4];
};

static bool sometimes(const void *device, uint32_t version)
{
    return version < 2;
}

/* "": it is taken. */
static void same(const struct gw_state *st, const char *said)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_registry *reg = NULL;
    static struct dev dev;

    assert_int_equal(gw_registry_new(&reg, NULL), 0);
    assert_int_equal(gw_registry_add(reg, st, "dev", 0, &dev, &err), said[0] ? -EINVAL : 0);
    gw_registry_free(reg);
    assert_string_equal(err.text, said);
    if (said[0])
        assert_int_equal(err.blame, GW_BLAME_CALLER);
}

/* A table of version 3 that reads versions from 1 on. */
#define SAYS(said, ...)                                                                                                \
    do {                                                                                                               \
        static const struct gw_field fields_[] = {__VA_ARGS__, GW_END};                                                \
        static const struct gw_state st_ = {.name = "t", .version = 3, .oldest = 1, .fields = fields_};                \
        same(&st_, said);                                                                                              \
    } while (0)
#define REFUSED(field, said, ...) SAYS("device dev: description t, field " field ": " said, __VA_ARGS__)
#define TAKEN(...)                SAYS("", __VA_ARGS__)

static const struct gw_field inner_fields[] = {GW_FIELD(struct inner, n), GW_FIELD_SINCE(2, struct inner, m), GW_END};
static const struct gw_state inner = {.name = "in", .version = 2, .fields = inner_fields};
static const struct gw_field only_m_fields[] = {GW_FIELD(struct inner, m), GW_END};
static const struct gw_state only_m = {.name = "m", .version = 1, .fields = only_m_fields};
static const struct gw_field n_fields[] = {GW_FIELD(struct dev, n), GW_END};
static const struct gw_field words_fields[] = {GW_ARRAY_N(struct dev, words, n), GW_END};
static const struct gw_field no_fields[] = {GW_END};

static void test_counts(void **state)
{
    const char *missing = "device dev: description t, field words: its count is not in the stream (.count_known: both "
                          "sides know it without)";

    TAKEN(GW_FIELD(struct dev, n), GW_ARRAY_N(struct dev, words, n));
    REFUSED("words", "its count, n, comes after it", GW_ARRAY_N(struct dev, words, n), GW_FIELD(struct dev, n));
    SAYS(missing, GW_FIELD(struct dev, v), GW_ARRAY_N(struct dev, words, n));
    SAYS(missing, GW_UNUSED_BYTES(4), GW_ARRAY_N(struct dev, words, n));
    TAKEN(GW_ARRAY_N(struct dev, words, n, .count_known = true));
    REFUSED("bytes", "its count, n, comes after it", GW_BYTES_N(struct dev, bytes, n), GW_FIELD(struct dev, n));
    /* In older streams it is not there, but the array is. */
    REFUSED("words", "its count, n, is not in the stream before version 2", GW_FIELD_SINCE(2, struct dev, n),
            GW_ARRAY_N(struct dev, words, n));
    TAKEN(GW_FIELD_SINCE(2, struct dev, n), GW_ARRAY_N(struct dev, words, n, .since = 2));
    /* As part of a nested description. */
    TAKEN(GW_STRUCT(struct dev, in, &inner), GW_ARRAY_N(struct dev, words, in.n));
    TAKEN(GW_STRUCT_ARRAY(struct dev, row, &inner), GW_ARRAY_N(struct dev, words, row[1].m));
    SAYS(missing, GW_STRUCT(struct dev, in, &only_m), GW_ARRAY_N(struct dev, words, in.n));
    SAYS(missing, GW_STRUCT(struct dev, in, &inner, .state_version = 1), GW_ARRAY_N(struct dev, words, in.m));
}

static void test_counts_of_subsections(void **state)
{
    static const struct gw_state words = {.name = "t/words", .version = 1, .fields = words_fields};
    static const struct gw_state count = {.name = "t/n", .version = 1, .fields = n_fields};
    static const struct gw_state *const after[] = {&count, &words, NULL}, *const before[] = {&words, &count, NULL};
    struct gw_state t = {.name = "t", .version = 1, .fields = n_fields, .subsections = before};

    same(&t, "");
    t.fields = no_fields;
    t.subsections = after;
    same(&t, "");
    t.subsections = before;
    same(&t, "device dev: description t/words, field words: its count is not in the stream (.count_known: both sides "
             "know it without)");
}

static void test_twice(void **state)
{
    REFUSED("n", "n carries the same bytes before it", GW_FIELD(struct dev, n), GW_FIELD(struct dev, v),
            GW_FIELD(struct dev, n));
    REFUSED("words[1]", "words carries the same bytes before it", GW_ARRAY(struct dev, words),
            GW_FIELD(struct dev, words[1]));
    REFUSED("in.m", "in carries the same bytes before it", GW_STRUCT(struct dev, in, &inner),
            GW_FIELD(struct dev, in.m));
    REFUSED("in", "in.m carries the same bytes before it", GW_FIELD(struct dev, in.m), GW_STRUCT(struct dev, in, &inner));
    REFUSED("row", "row carries the same bytes before it", GW_STRUCT_ARRAY(struct dev, row, &only_m),
            GW_STRUCT_ARRAY(struct dev, row, &inner));
    REFUSED("at", "at carries the same bytes before it", GW_POINTER(struct dev, at, &inner),
            GW_POINTER(struct dev, at, &inner));
    TAKEN(GW_FIELD(struct dev, n), GW_FIELD_WHEN(sometimes, struct dev, n));
    TAKEN(GW_FIELD(struct dev, n), GW_FIELD_SINCE(2, struct dev, n));
    TAKEN(GW_FIELD(struct dev, n), GW_FIELD_EQUAL(struct dev, n));
    TAKEN(GW_FIELD(struct dev, in.n), GW_STRUCT(struct dev, in, &only_m));
    TAKEN(GW_FIELD(struct dev, in.m), GW_STRUCT(struct dev, in, &inner, .state_version = 1));
    TAKEN(GW_POINTER(struct dev, at, &inner), GW_POINTER(struct dev, at, &only_m));
    TAKEN(GW_UNUSED_BYTES(4), GW_FIELD(struct dev, n), GW_UNUSED_BYTES(4));
}

static void test_versions(void **state)
{
    TAKEN(GW_FIELD_SINCE(3, struct dev, n));
    REFUSED("n", "since version 4 of a description that has version 3", GW_FIELD_SINCE(4, struct dev, n));
}

static void test_empty(void **state)
{
    static const struct gw_state flag = {.name = "t/flag", .version = 1, .fields = no_fields};
    static const struct gw_state *const subsections[] = {&flag, NULL};
    struct gw_state t = {.name = "t", .version = 1, .fields = no_fields};
    const char *said = "device dev: description t is empty: neither fields nor subsections";

    same(&t, said);
    t.unmigratable = true; /* it never is in a stream */
    same(&t, "");
    t.unmigratable = false;
    t.subsections = subsections; /* that one is there says something */
    same(&t, "");
    t.subsections = &subsections[1];
    same(&t, said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),   cmocka_unit_test(test_counts_of_subsections),
        cmocka_unit_test(test_twice),    cmocka_unit_test(test_versions),
        cmocka_unit_test(test_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
