/* SPDX-License-Identifier: MIT
 *
 * What each packing must do (ram/page/packing.h). Included by the test of each, which defines PACKING_NEW, PACKING_NAME and
 * PACKING_CODING.
 */
#ifndef PACKING_TESTS_H
#define PACKING_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/codec/packing.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define MOST 128u /* pages of a packet */
#define PAGE 4096u

static struct gw_packing *out, *in;
static uint8_t *pages, *back, *coded;
static const uint8_t *from[MOST];
static uint8_t *to[MOST];

static int up(void **state)
{
    if (!gw_packing_known(PACKING_CODING)) {
        print_message("this build has no %s\n", PACKING_NAME);
        return 0;
    }
    pages = malloc(MOST * 65536);
    back = malloc(MOST * 65536);
    coded = malloc(GW_PACKET_CODED_MAX);
    return PACKING_NEW(false, 1, &out, NULL) < 0 || PACKING_NEW(true, 0, &in, NULL) < 0;
}

static int down(void **state)
{
    if (out)
        out = out->free(out);
    if (in)
        in = in->free(in);
    free(pages);
    free(back);
    free(coded);
    pages = back = coded = NULL;
    return 0;
}

#define have_packing()                                                                                                 \
    do {                                                                                                               \
        if (!out)                                                                                                      \
            skip();                                                                                                    \
    } while (0)

static uint64_t seed = 11;

static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed ^ seed >> 31;
}

/* Of noise, or of little variety. */
static void fill(unsigned n, uint32_t page_bytes, bool noise)
{
    for (size_t i = 0; i < (size_t)n * page_bytes; i++)
        pages[i] = (uint8_t)(noise ? rnd() >> 20 : i >> 9);
    for (unsigned i = 0; i < n; i++) {
        from[i] = pages + (size_t)i * page_bytes;
        to[i] = back + (size_t)i * page_bytes;
    }
}

static size_t pack_all(unsigned n, uint32_t page_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    size_t bytes = 0;

    if (out->pack(out, from, n, page_bytes, coded, GW_PACKET_CODED_MAX, &bytes, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(bytes > 0);
    return bytes;
}

static int unpack(size_t bytes, unsigned n, uint32_t page_bytes, struct gw_error *err)
{
    /* From memory of just that size. */
    uint8_t *copy = malloc(bytes + !bytes);
    int r;

    memcpy(copy, coded, bytes);
    r = in->unpack(in, copy, bytes, to, n, page_bytes, err);
    free(copy);
    return r;
}

/* Packets of one channel, one after the other: each can be read where it ends, whatever the size of pages. */
static void test_there_and_back(void **state)
{
    have_packing();
    assert_int_equal(out->coding, PACKING_CODING);
    for (unsigned bits = 10; bits <= 16; bits++) {
        const uint32_t page_bytes = 1u << bits, most = GW_PACKET_DATA >> bits;

        for (unsigned i = 0; i < 6; i++) {
            unsigned n = i == 0 ? 1 : i == 1 ? GW_MIN(most, MOST) : 1 + (unsigned)(rnd() % GW_MIN(most, MOST));
            struct gw_error err = GW_ERROR_INIT;
            size_t bytes;

            fill(n, page_bytes, i % 2);
            bytes = pack_all(n, page_bytes);
            if (i % 2 == 0)
                assert_true(bytes < (size_t)n * page_bytes / 2);
            memset(back, 0xee, (size_t)n * page_bytes);
            if (unpack(bytes, n, page_bytes, &err) < 0)
                fail_msg("%s", err.text);
            assert_memory_equal(back, pages, (size_t)n * page_bytes);
        }
    }
}

/* A stream that is begun anew is read by who begins anew, and by nobody else. */
static void test_reset(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    size_t bytes;

    have_packing();
    fill(3, PAGE, false);
    bytes = pack_all(3, PAGE);
    assert_int_equal(unpack(bytes, 3, PAGE, &err), 0);
    assert_int_equal(out->reset(out, &err), 0);
    bytes = pack_all(3, PAGE);
    assert_int_equal(in->reset(in, &err), 0);
    assert_int_equal(unpack(bytes, 3, PAGE, &err), 0);
    assert_memory_equal(back, pages, 3 * PAGE);
    /* After a refusal, too. */
    memset(coded, 0xff, 100);
    assert_int_equal(unpack(100, 1, PAGE, &err), -EPROTO);
    assert_int_equal(in->reset(in, &err), 0);
    assert_int_equal(out->reset(out, &err), 0);
    bytes = pack_all(3, PAGE);
    assert_int_equal(unpack(bytes, 3, PAGE, &err), 0);
}

/* Every room that is too small is refused, and none is written behind. */
static void test_room(void **state)
{
    size_t whole;

    have_packing();
    fill(2, PAGE, true);
    whole = pack_all(2, PAGE);
    for (size_t room = 1; room < whole; room += 1 + room / 3) {
        uint8_t *dst = malloc(room);
        struct gw_error err = GW_ERROR_INIT;
        size_t bytes = 777;

        assert_int_equal(out->reset(out, NULL), 0);
        assert_int_equal(out->pack(out, from, 2, PAGE, dst, room, &bytes, &err), -EMSGSIZE);
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_non_null(strstr(err.text, PACKING_NAME ": 2 compressed pages need more than "));
        assert_int_equal(bytes, 777);
        free(dst);
    }
}

static void refuse(size_t bytes, unsigned n, const char *text)
{
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(in->reset(in, NULL), 0);
    assert_int_equal(unpack(bytes, n, PAGE, &err), -EPROTO);
    assert_int_equal(err.blame, GW_BLAME_PEER);
    assert_non_null(strstr(err.text, PACKING_NAME ": "));
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in '%s'", text, err.text);
}

/* Fewer pages than there are, more, cut anywhere within the contents, with something behind. */
static void test_not_whole(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    size_t bytes;

    have_packing();
    fill(4, PAGE, true);
    bytes = pack_all(4, PAGE);
    refuse(bytes, 3, "are not exactly 3 compressed pages");
    refuse(bytes, 5, "page 4 of 5: its contents end too early");
    refuse(0, 1, "page 0 of 1: its contents end too early");
    for (size_t cut = 1; cut + 64 < bytes; cut += 1 + bytes / 50)
        refuse(cut, 4, "");
    /* What comes behind the last page would be a page more. */
    refuse(bytes + pack_all(1, PAGE) - 1, 4, "");
    assert_int_equal(out->reset(out, NULL), 0);
    bytes = pack_all(4, PAGE);
    assert_int_equal(in->reset(in, NULL), 0);
    assert_int_equal(unpack(bytes, 4, PAGE, &err), 0);
}

/* Bytes that are changed are refused or become some other pages; nothing is written elsewhere. */
static void test_corrupted(void **state)
{
    unsigned refused = 0;
    size_t bytes;

    have_packing();
    for (unsigned i = 0; i < 500; i++) {
        struct gw_error err = GW_ERROR_INIT;
        int r;

        assert_int_equal(out->reset(out, NULL), 0);
        assert_int_equal(in->reset(in, NULL), 0);
        fill(2, PAGE, i % 2);
        bytes = pack_all(2, PAGE);
        coded[rnd() % bytes] ^= (uint8_t)(1u << rnd() % 8);
        memset(back + 2 * PAGE, 0x5a, PAGE);
        r = unpack(bytes, 2, PAGE, &err);
        for (unsigned k = 0; k < PAGE; k++)
            assert_int_equal(back[2 * PAGE + k], 0x5a);
        if (r < 0) {
            refused++;
            assert_int_equal(r, -EPROTO);
            assert_int_equal(err.blame, GW_BLAME_PEER);
        }
    }
    assert_true(refused > 0);
}

static void test_nomem(void **state)
{
    have_packing();
    for (int is_in = 0; is_in < 2; is_in++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_packing *p = NULL;

        countdown = 1;
        assert_int_equal(PACKING_NEW(is_in, 1, &p, &err), -ENOMEM);
        countdown = 0;
        assert_int_equal(err.blame, GW_BLAME_LOCAL);
        assert_string_equal(err.text, "out of memory (" PACKING_NAME ")");
        assert_null(p);
    }
}

#define PACKING_TESTS                                                                                                  \
    cmocka_unit_test_setup_teardown(test_there_and_back, up, down), cmocka_unit_test_setup_teardown(test_reset, up, down), \
        cmocka_unit_test_setup_teardown(test_room, up, down), cmocka_unit_test_setup_teardown(test_not_whole, up, down), \
        cmocka_unit_test_setup_teardown(test_corrupted, up, down), cmocka_unit_test_setup_teardown(test_nomem, up, down)

#endif
