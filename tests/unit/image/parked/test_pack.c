/* SPDX-License-Identifier: MIT
 *
 * Frames on their way into a file: the order, what is worth packing, and what noise is.
 */
#include "rig.h"

#include "base/crc32c.h"
#include "image/parked/pack.h"

#define PAGE 4096u

static void fill(uint8_t *p, size_t bytes, uint64_t seed, bool noise)
{
    for (size_t i = 0; i < bytes; i += 8)
        memcpy(p + i, noise ? &(uint64_t){rig_random(&seed)} : &seed, 8);
}

static void test_noise(void **state)
{
    uint8_t page[65536];
    uint64_t seed = 1;

    for (size_t bytes = 1024; bytes <= sizeof page; bytes *= 2) {
        memset(page, 0, bytes);
        assert_false(gw_pack_noise(page, bytes));
        fill(page, bytes, 5, true);
        assert_true(gw_pack_noise(page, bytes));
        for (size_t i = 0; i < bytes; i++) /* letters */
            page[i] = 'a' + rig_random(&seed) % 26;
        assert_false(gw_pack_noise(page, bytes));
    }
}

/* They come back in the order in which they were put, each with the checksum of its bytes. */
static void test_order(void **state)
{
    struct gw_packed f;
    struct gw_pack *p;
    unsigned put = 0, taken = 0;
    uint8_t *room;

    assert_int_equal(gw_pack_new(2, 1, NULL, PAGE, 2, &p, NULL), 0);
    assert_false(gw_pack_take(p, &f)); /* there is none */
    while (put < 40 || taken < put) {
        while (put < 40 && (room = gw_pack_room(p))) {
            assert_int_equal((uintptr_t)room % 64, 0);
            assert_ptr_equal(gw_pack_room(p), room); /* the same until it is put */
            fill(room, 2 * PAGE, put, put % 2);
            gw_pack_put(p, put % 5 ? 2 * PAGE : PAGE);
            put++;
        }
        assert_true(gw_pack_take(p, &f));
        assert_int_equal(f.raw_bytes, taken % 5 ? 2 * PAGE : PAGE);
        assert_int_equal(f.crc, gw_crc32c(0, f.data, f.bytes));
        if (taken % 2) { /* noise stays as it is */
            assert_int_equal(f.bytes, f.raw_bytes);
            assert_memory_equal(f.data, &(uint64_t){rig_random(&(uint64_t){taken})}, 8);
        } else {
            assert_true(f.bytes < 1000);
        }
        taken++;
    }
    assert_false(gw_pack_take(p, &f));
    gw_pack_free(p);
    gw_pack_free(NULL);
}

/* One page that packs is enough to try it. */
static void test_mixed(void **state)
{
    struct gw_packed f;
    struct gw_pack *p;
    uint8_t *room;

    assert_int_equal(gw_pack_new(1, 1, NULL, PAGE, 2, &p, NULL), 0);
    room = gw_pack_room(p);
    fill(room, PAGE, 7, true);
    fill(room + PAGE, PAGE, 7, false);
    gw_pack_put(p, 2 * PAGE);
    assert_true(gw_pack_take(p, &f));
    assert_true(f.bytes < 2 * PAGE - 1000);
    gw_pack_free(p);
}

/* What saves less than a sixty-fourth is not worth unpacking. */
static void test_little(void **state)
{
    struct gw_packed f;
    struct gw_pack *p;
    uint8_t *room;

    assert_int_equal(gw_pack_new(1, 1, NULL, PAGE, 8, &p, NULL), 0);
    room = gw_pack_room(p);
    fill(room, 8 * PAGE, 7, true);
    memset(room + 7 * PAGE + PAGE - 2500, 0, 2500); /* so that the page is none of noise */
    memcpy(room + 7 * PAGE, room, PAGE - 2500);
    gw_pack_put(p, 8 * PAGE);
    assert_true(gw_pack_take(p, &f));
    assert_true(f.bytes == f.raw_bytes || f.bytes <= f.raw_bytes - f.raw_bytes / 64);
    gw_pack_free(p);
}

static void test_plain(void **state)
{
    struct gw_packed f;
    struct gw_pack *p;
    uint8_t *room;

    assert_int_equal(gw_pack_new(1, 0, NULL, PAGE, 1, &p, NULL), 0);
    room = gw_pack_room(p);
    memset(room, 3, PAGE);
    gw_pack_put(p, PAGE);
    assert_true(gw_pack_take(p, &f));
    assert_int_equal(f.bytes, PAGE);
    assert_ptr_equal(f.data, room);
    gw_pack_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_noise), cmocka_unit_test(test_order), cmocka_unit_test(test_mixed),
                                       cmocka_unit_test(test_little), cmocka_unit_test(test_plain)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
