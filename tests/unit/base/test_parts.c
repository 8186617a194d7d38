/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <godwit/version.h>

/* Each has a name of its own and says what it is for; the last one is followed by none. */
static void test_all(void **state)
{
    struct gw_version_part part, other;
    unsigned n = 0;

    for (; gw_version_part(n, &part); n++) {
        assert_true(part.name && *part.name && part.use && *part.use && part.version);
        for (unsigned i = 0; i < n; i++) {
            assert_true(gw_version_part(i, &other));
            assert_string_not_equal(other.name, part.name);
        }
    }
    assert_true(n >= 6);
    assert_false(gw_version_part(n, &part));
    assert_false(gw_version_part(UINT32_MAX, &part));
}

/* What this build has by its options is what is told. */
static void test_as_built(void **state)
{
    static const struct {
        const char *name;
        bool there;
    } expected[] = {
#ifdef GW_HAVE_ZLIB
        {"zlib", true},
#else
        {"zlib", false},
#endif
#ifdef GW_HAVE_LIBDEFLATE
        {"libdeflate", true},
#else
        {"libdeflate", false},
#endif
#ifdef GW_HAVE_ZSTD
        {"zstd", true},
#else
        {"zstd", false},
#endif
#ifdef GW_HAVE_LIBNBD
        {"libnbd", true},
#else
        {"libnbd", false},
#endif
#ifdef GW_HAVE_LIBURING
        {"liburing", true},
#else
        {"liburing", false},
#endif
        {"jansson", true},
    };
    struct gw_version_part part;

    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        bool found = false;
        for (unsigned n = 0; gw_version_part(n, &part); n++)
            if (!strcmp(part.name, expected[i].name)) {
                assert_int_equal(*part.version != 0, expected[i].there);
                found = true;
            }
        assert_true(found);
    }
}

/* An older program has a smaller struct: nothing behind it is touched. */
static void test_small(void **state)
{
    struct gw_version_part part = {.use = "kept"};

    assert_true(gw_version_part_sized(0, &part, offsetof(struct gw_version_part, use)));
    assert_string_equal(part.name, "zlib");
    assert_string_equal(part.use, "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_as_built), cmocka_unit_test(test_small)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
