/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/frames.h"
#include "wire/numbers.h"

static uint64_t seed = 1;

static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed ^ seed >> 31;
}

/* get(put(x)) is x, and not a byte is touched around it. */
#define RANDOM(type, field, text) f.field = (gw_wire_##type)rnd();
#define SAME(type, field, text)   assert_int_equal(g.field, f.field);
#define X(name, NAME, where)                                                                                           \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        for (unsigned i = 0; i < 1000; i++) {                                                                          \
            uint8_t wire[GW_FRAME_##NAME##_BYTES + 2] = {0xa5};                                                        \
            struct gw_frame_##name f, g;                                                                               \
                                                                                                                       \
            wire[sizeof wire - 1] = 0xa5;                                                                              \
            GW_FRAME_##NAME(RANDOM) gw_frame_put_##name(wire + 1, &f);                                                 \
            g = gw_frame_get_##name(wire + 1);                                                                         \
            GW_FRAME_##NAME(SAME) assert_int_equal(wire[0], 0xa5);                                                     \
            assert_int_equal(wire[sizeof wire - 1], 0xa5);                                                             \
        }                                                                                                              \
    }
GW_FRAMES(X)
#undef X

static void test_bytes(void **state)
{
    static const uint8_t want[] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
    struct gw_frame_hello h = {.version = GW_EXTENSIONS_VERSION, .extensions = GW_EXTENSION_COMMIT};
    uint8_t wire[GW_FRAME_HELLO_BYTES];

    (void)state;
    assert_int_equal(sizeof wire, sizeof want);
    gw_frame_put_hello(wire, &h);
    assert_memory_equal(wire, want, sizeof want);
}

/* The sizes that messages are judged by when they come are those of the lists. */
static void test_sizes(void **state)
{
    static const struct {
        int by_number, by_list;
    } sizes[] = {
#define F(name, number, bytes, text) [number & 0xff] = {.by_number = bytes},
        GW_RP_MESSAGES(F)
#undef F
    };

    (void)state;
    assert_int_equal(sizes[GW_RP_SHUT & 0xff].by_number, GW_FRAME_SHUT_BYTES);
    assert_int_equal(sizes[GW_RP_PONG & 0xff].by_number, GW_FRAME_PONG_BYTES);
    assert_int_equal(sizes[GW_RP_GODWIT_HELLO & 0xff].by_number, GW_FRAME_HELLO_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define X(name, NAME, where) cmocka_unit_test(test_##name),
        GW_FRAMES(X)
#undef X
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_sizes),
    };

    return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
