/* SPDX-License-Identifier: MIT
 *
 * zstd for parked files: what is packed is unpacked, with a dictionary and without; exactly one frame of exactly so many
 * bytes; and what can be no dictionary.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/parked/parked.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define BYTES 20000u

static uint8_t raw[BYTES], packed[2 * BYTES], back[BYTES + 1];

static void fill(unsigned variety)
{
    uint64_t seed = 3;

    for (unsigned i = 0; i < BYTES; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        raw[i] = (uint8_t)((seed >> 40) % variety);
    }
}

static void needs_zstd(void)
{
    if (gw_pack_known())
        return;
    print_message("this build has no zstd\n");
    skip();
}

static void test_there_and_back(void **state)
{
    struct gw_unpacker *u = NULL;

    needs_zstd();
    assert_int_equal(gw_unpacker_new(NULL, &u, NULL), 0);
    for (int level = 1; level <= 19; level += 6) {
        struct gw_packer *p = NULL;

        assert_int_equal(gw_packer_new(level, NULL, &p, NULL), 0);
        for (size_t bytes = 1; bytes <= BYTES; bytes = bytes * 3 + 1) {
            size_t n;

            fill(4);
            n = gw_packer_pack(p, raw, bytes, packed, sizeof packed);
            assert_true(n > 0);
            memset(back, 0xee, sizeof back);
            assert_true(gw_unpacker_unpack(u, packed, n, back, bytes));
            assert_memory_equal(back, raw, bytes);
            assert_int_equal(back[bytes], 0xee);
            /* To a room that is larger or smaller than the frame says. */
            assert_false(gw_unpacker_unpack(u, packed, n, back, bytes + 1 <= BYTES ? bytes + 1 : bytes - 1));
            assert_false(gw_unpacker_unpack(u, packed, n, back, bytes - 1));
            /* Cut, and with something behind. */
            assert_false(gw_unpacker_unpack(u, packed, n - 1, back, bytes));
            packed[n] = 0;
            assert_false(gw_unpacker_unpack(u, packed, n + 1, back, bytes));
            /* One byte less than it needs will not do. */
            assert_int_equal(gw_packer_pack(p, raw, bytes, packed, n - 1), 0);
        }
        gw_packer_free(p);
    }
    assert_false(gw_unpacker_unpack(u, "no frame", 8, back, 10));
    assert_false(gw_unpacker_unpack(u, packed, 0, back, 10));
    gw_unpacker_free(u);
    gw_unpacker_free(NULL);
    gw_packer_free(NULL);
}

/* Frames that have much in common with it get shorter, and nobody reads them without it. */
static void test_dictionary(void **state)
{
    struct gw_dictionary *in = NULL, *out = NULL;
    struct gw_packer *with = NULL, *without = NULL;
    struct gw_unpacker *u = NULL, *none = NULL;
    uint8_t *data = calloc(1, BYTES);
    size_t n, plain;

    needs_zstd();
    fill(256);
    memcpy(data + GW_PARKED_DICTIONARY_ZEROS, raw, BYTES - GW_PARKED_DICTIONARY_ZEROS);
    assert_int_equal(gw_dictionary_new(data, BYTES, 3, &out, NULL), 0);
    assert_int_equal(gw_dictionary_new(data, BYTES, 0, &in, NULL), 0);
    memset(data, 0xee, BYTES); /* it was copied */
    free(data);
    assert_int_equal(gw_packer_new(3, out, &with, NULL), 0);
    assert_int_equal(gw_packer_new(3, NULL, &without, NULL), 0);
    assert_int_equal(gw_unpacker_new(in, &u, NULL), 0);
    assert_int_equal(gw_unpacker_new(NULL, &none, NULL), 0);
    plain = gw_packer_pack(without, raw + 1000, 4096, packed, sizeof packed);
    for (unsigned i = 0; i < 3; i++) { /* each frame by itself */
        n = gw_packer_pack(with, raw + 1000, 4096, packed, sizeof packed);
        assert_true(n > 0 && n < plain / 10);
        assert_true(gw_unpacker_unpack(u, packed, n, back, 4096));
        assert_memory_equal(back, raw + 1000, 4096);
        assert_false(gw_unpacker_unpack(none, packed, n, back, 4096) && !memcmp(back, raw + 1000, 4096));
    }
    gw_packer_free(with);
    gw_packer_free(without);
    gw_unpacker_free(u);
    gw_unpacker_free(none);
    gw_dictionary_free(in);
    gw_dictionary_free(out);
    gw_dictionary_free(NULL);
}

static void test_no_dictionary(void **state)
{
    static uint8_t data[GW_PARKED_DICTIONARY_MAX + 1];
    static const size_t wrong[] = {0, 1, GW_PARKED_DICTIONARY_ZEROS, GW_PARKED_DICTIONARY_MAX + 1, SIZE_MAX};
    struct gw_dictionary *d = NULL;
    struct gw_error err = GW_ERROR_INIT;
    char text[64];

    for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++) {
        assert_int_equal(gw_dictionary_new(data, wrong[i], 0, &d, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        snprintf(text, sizeof text, "a dictionary of %zu bytes", wrong[i]);
        assert_string_equal(err.text, text);
    }
    for (unsigned i = 0; i < GW_PARKED_DICTIONARY_ZEROS; i++) {
        data[i] = 1;
        assert_int_equal(gw_dictionary_new(data, 100, 0, &d, &err), -EPROTO);
        assert_string_equal(err.text, "it does not begin with 8 zeros");
        data[i] = 0;
    }
    assert_null(d);
    needs_zstd();
    assert_int_equal(gw_dictionary_new(data, GW_PARKED_DICTIONARY_ZEROS + 1, 0, &d, &err), 0);
    gw_dictionary_free(d);
    assert_int_equal(gw_dictionary_new(data, GW_PARKED_DICTIONARY_MAX, 0, &d, &err), 0);
    gw_dictionary_free(d);
}

static void test_nomem(void **state)
{
    static const uint8_t data[100];
    struct gw_error err = GW_ERROR_INIT;
    struct gw_dictionary *d = NULL;
    struct gw_unpacker *u = NULL;
    struct gw_packer *p = NULL;

    needs_zstd();
    countdown = 1;
    assert_int_equal(gw_packer_new(1, NULL, &p, &err), -ENOMEM);
    countdown = 1;
    assert_int_equal(gw_unpacker_new(NULL, &u, &err), -ENOMEM);
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "out of memory (zstd)");
    countdown = 1;
    assert_int_equal(gw_dictionary_new(data, sizeof data, 1, &d, &err), -ENOMEM);
    countdown = 0;
    assert_string_equal(err.text, "out of memory (zstd dictionary)");
    assert_true(!p && !u && !d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_dictionary),
        cmocka_unit_test(test_no_dictionary),
        cmocka_unit_test(test_nomem),
    };

    return cmocka_run_group_tests_name("zstd", tests, NULL, NULL);
}
