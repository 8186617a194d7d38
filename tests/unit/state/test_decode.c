/* SPDX-License-Identifier: MIT
 *
 * Every kind of field, with random values: what was saved is loaded, saving again gives the same bytes, and nothing
 * that is not described changes. Broken bodies change nothing at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/endian.h"
#include "state/codec.h"
#include "state/registry.h"
#include "zoo.h"

static uint8_t *body_of(struct zoo *z, size_t *ret_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_writer w;

    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_state_encode(&zoo_state, z, &w, NULL, &err), 0);
    assert_int_equal(gw_writer_flush(&w, &err), 0);
    return gw_writer_take(&w, ret_bytes);
}

static int load(struct zoo *z, uint32_t version, const uint8_t *body, size_t bytes, struct gw_error *err)
{
    struct gw_reader r;
    int ret;

    gw_reader_init_memory(&r, body, bytes, 1000);
    ret = gw_state_decode(&zoo_state, version, z, &r, err);
    if (ret == 0)
        assert_int_equal(gw_reader_buffered(&r), 0);
    return ret;
}

static void test_random(void **state)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct zoo *from = zoo_make(seed, seed % 16), *to = zoo_make(~seed, seed % 16);
        struct gw_error err = GW_ERROR_INIT;
        uint64_t private = to->private;
        uint32_t fixed_heap = to->heap[ZOO_HEAP - 1];
        uint8_t *body, *again;
        size_t bytes, again_bytes;

        /* Sender-side choices of the other zoo must not survive. */
        to->has_sub = from->has_sub;
        to->has_sub2 = from->has_sub2;
        to->has_deep = from->has_deep;
        for (int i = 0; i < 4; i++)
            if (to->maybe[i])
                to->maybe[i]->bits = from->maybe[i]->bits;
        to->cage.bits = from->cage.bits;
        to->far_cage->bits = from->far_cage->bits;
        for (int i = 0; i < 5; i++)
            to->cages_n[i].bits = from->cages_n[i].bits;
        body = body_of(from, &bytes);
        if (load(to, 3, body, bytes, &err) < 0)
            fail_msg("seed %d: %s", (int)seed, err.text);
        again = body_of(to, &again_bytes);
        assert_int_equal(bytes, again_bytes);
        assert_memory_equal(body, again, bytes);
        assert_true(to->private == private);
        if (from->heap_len < ZOO_HEAP)
            assert_int_equal(to->heap[ZOO_HEAP - 1], fixed_heap);
        assert_int_equal(to->loaded, 1);
        assert_true(to->f64 == from->f64 && to->timer == from->timer && to->i16 == from->i16);
        free(body);
        free(again);
        zoo_free(from);
        zoo_free(to);
    }
}

static void test_old_version(void **state)
{
    struct zoo *from = zoo_make(5, 0), *to = zoo_make(6, 0);
    struct gw_error err = GW_ERROR_INIT;
    uint32_t newer = to->newer;
    uint8_t *body, *old;
    size_t bytes;

    /* Version 2 has no `newer`: it is in front of fixed and limit, which end the fields. */
    from->has_sub = from->has_sub2 = false;
    body = body_of(from, &bytes);
    old = malloc(bytes);
    memcpy(old, body, bytes - 12);
    memcpy(old + bytes - 12, body + bytes - 8, 8);
    assert_int_equal(load(to, 2, old, bytes - 4, &err), 0);
    assert_int_equal(to->newer, newer);
    assert_int_equal(to->u32, from->u32);
    assert_true(load(to, 1, old, bytes - 4, &err) == -EPROTO);
    assert_string_equal(err.text, "version 1, only 2 to 3 are known here");
    assert_true(load(to, 4, old, bytes - 4, &err) == -EPROTO);
    free(body);
    free(old);
    zoo_free(from);
    zoo_free(to);
}

/* Each prefix is refused and leaves no trace. */
static void test_truncated(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct zoo *from = zoo_make(seed, 5), *to = zoo_make(seed + 100, 5);
        uint8_t *before = malloc(ZOO_IMAGE), *after = malloc(ZOO_IMAGE), *body;
        size_t bytes, n = zoo_image(to, before);

        from->has_sub = from->has_sub2 = from->has_deep = false;
        body = body_of(from, &bytes);
        for (size_t cut = 0; cut < bytes; cut++) {
            struct gw_error err = GW_ERROR_INIT;
            uint8_t *exact = malloc(cut + 1);

            memcpy(exact, body, cut);
            assert_true(load(to, 3, exact, cut, &err) < 0);
            assert_true(err.text[0]);
            assert_int_equal(zoo_image(to, after), n);
            assert_memory_equal(before, after, n);
            free(exact);
        }
        free(body);
        free(before);
        free(after);
        zoo_free(from);
        zoo_free(to);
    }
}

static void test_corrupted(void **state)
{
    struct zoo_rng rng = {42};
    unsigned refused = 0, taken = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct zoo *from = zoo_make(seed, 11), *to = zoo_make(seed + 100, 11);
        uint8_t *before = malloc(ZOO_IMAGE), *after = malloc(ZOO_IMAGE), *body, *bad;
        size_t bytes;

        body = body_of(from, &bytes);
        bad = malloc(bytes);
        for (unsigned i = 0; i < 250; i++) {
            struct gw_error err = GW_ERROR_INIT;
            unsigned flips = 1 + (unsigned)(zoo_random(&rng) % 3);
            size_t n = zoo_image(to, before);
            struct gw_reader r;

            memcpy(bad, body, bytes);
            while (flips--)
                bad[zoo_random(&rng) % bytes] ^= (uint8_t)(1u << zoo_random(&rng) % 8);
            gw_reader_init_memory(&r, bad, bytes, 0);
            if (gw_state_decode(&zoo_state, 3, to, &r, &err) < 0) {
                refused++;
                assert_true(err.text[0]);
                assert_int_equal(zoo_image(to, after), n);
                assert_memory_equal(before, after, n);
            } else {
                taken++; /* a value that may be anything */
            }
        }
        free(body);
        free(bad);
        free(before);
        free(after);
        zoo_free(from);
        zoo_free(to);
    }
    assert_true(refused > 1000 && taken > 1000);
}

/* at: bytes before the end of the body, in place of the %zu in the text; 0: none there. */
GW_PRINTF(4, 0)
static void expect(struct zoo *to, uint8_t *body, size_t bytes, const char *format, size_t at)
{
    struct gw_error err = GW_ERROR_INIT;
    char text[200];

    snprintf(text, sizeof text, format, 1000 + bytes - at);
    assert_true(load(to, 3, body, bytes, &err) < 0);
    assert_string_equal(err.text, text);
    assert_int_equal(err.blame, GW_BLAME_PEER);
}

/* Offsets within the fixed beginning of the body. */
enum { AT_RX_LEN = 1 + 1 + 2 + 4 + 8 + 1 + 2 + 4 + 8 + 8 + 8 + 13 + 5 };

static void test_messages(void **state)
{
    struct zoo *from = zoo_make(9, 0), *to = zoo_make(10, 0);
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *body;
    size_t bytes;

    from->rx_len = 0;
    from->words_len = 0;
    from->has_sub = true;
    from->has_sub2 = from->has_deep = false;
    body = body_of(from, &bytes);
    gw_store_be32(body + AT_RX_LEN, 300);
    expect(to, body, bytes, "field rx at byte %zu: 300 bytes, at most 16", bytes - AT_RX_LEN - 4);
    gw_store_be32(body + AT_RX_LEN, 0);
    gw_store_be32(body + AT_RX_LEN + 4, (uint32_t)-1);
    expect(to, body, bytes, "field words at byte %zu: -1 elements, at most 9", bytes - AT_RX_LEN - 8);
    gw_store_be32(body + AT_RX_LEN + 4, 0);
    /* ... fixed limit | 05 07 "zoo/sub" u32 version, sub, sub_list[3] */
    body[bytes - 21] = 'X';
    expect(to, body, bytes, "subsection zoo/suX of zoo at byte %zu is not known here", 29);
    body[bytes - 21] = 'b';
    body[bytes - 17] = 9;
    expect(to, body, bytes, "subsection zoo/sub at byte %zu: version 9, only 3 to 4 are known here", 29);
    body[bytes - 17] = 4;
    body[bytes - 30] = 0xff;
    expect(to, body, bytes, "field limit at byte %zu: value 1023, at most 1000 here", 33);
    body[bytes - 30] = 0xe8;
    body[bytes - 34] = 78;
    expect(to, body, bytes, "field fixed at byte %zu: value 78, but it is 77 here", 37);
    body[bytes - 34] = 77;
    assert_int_equal(load(to, 3, body, bytes, &err), 0);
    free(body);
    zoo_free(from);
    zoo_free(to);
}

/* One element more than there may be, and what is no mark at all. */
static void test_lists(void **state)
{
    static const struct gw_field fields[] = {GW_LIST(struct zoo, animals, &animal_state, &zoo_list), GW_END};
    static const struct gw_state st = {.name = "d", .version = 1, .fields = fields};
    uint8_t body[(ZOO_LIST + 1) * 6 + 1] = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct zoo z = {.animals = NULL};
    struct gw_reader r;

    for (unsigned i = 0; i <= ZOO_LIST; i++)
        body[6 * i] = 1;
    gw_reader_init_memory(&r, body, sizeof body, 0);
    assert_int_equal(gw_state_decode(&st, 1, &z, &r, &err), -EPROTO);
    assert_string_equal(err.text, "field animals[6] at byte 36: more than 6 elements");
    assert_null(z.animals);
    body[6] = 2;
    gw_reader_init_memory(&r, body, sizeof body, 0);
    assert_int_equal(gw_state_decode(&st, 1, &z, &r, &err), -EPROTO);
    assert_string_equal(err.text, "field animals[1] at byte 6: 0x02 is neither an element nor the end mark");
    body[6] = 0;
    gw_reader_init_memory(&r, body, sizeof body, 0);
    assert_int_equal(gw_state_decode(&st, 1, &z, &r, &err), 0);
    assert_non_null(z.animals);
    assert_null(z.animals->next);
    zoo_clear(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),    cmocka_unit_test(test_old_version), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_corrupted), cmocka_unit_test(test_messages), cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
