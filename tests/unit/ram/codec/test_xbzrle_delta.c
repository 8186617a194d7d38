/* SPDX-License-Identifier: MIT */
#include "../../image/streams.h"

#include <sys/mman.h>

#include <cmocka.h>

#include "base/bitmap.h"
#include "scan/scan.h"
#include "ram/codec/xbzrle_delta.h"
#include "xbzrle_reference.h"

#define MAX 65536u

static uint64_t seed = 7;

static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((seed >> 33) % n);
}

/* Memory whose next bytes on either side fault. */
static uint8_t *fenced(size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes + 2 * MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    assert_int_equal(mprotect(p + MAX, bytes, PROT_READ | PROT_WRITE), 0);
    return p + MAX;
}

static uint8_t *old, *new, *out, *page, *expected;

static int setup(void **state)
{
    old = fenced(MAX);
    new = fenced(MAX);
    out = fenced(MAX);
    page = fenced(MAX);
    expected = malloc(2 * MAX);
    return !expected;
}

static int teardown(void **state)
{
    uint8_t *all[] = {old, new, out, page};

    for (size_t i = 0; i < GW_ARRAY_LEN(all); i++)
        munmap(all[i] - MAX, 3 * (size_t)MAX);
    free(expected);
    return 0;
}

/* The end of the pages at the end of the mapping. */
static uint8_t *at_end(uint8_t *p, uint32_t bytes)
{
    return p + MAX - bytes;
}

/* Every variant gives exactly what the rules say, for the limit it needs, one byte less, and a random one; and writes
 * nothing behind the limit. What came out makes the new page of the old one. */
static void check(uint32_t bytes)
{
    const uint8_t *a = at_end(old, bytes), *b = at_end(new, bytes);
    int64_t n = reference_encode(a, b, bytes, expected);
    uint32_t limits[] = {bytes, n > 0 ? (uint32_t)n : 1, n > 1 ? (uint32_t)n - 1 : 0, rnd(bytes), UINT32_MAX};

    for (unsigned v = 0; gw_xbzrle_variant(v); v++) {
        const struct gw_xbzrle *x = gw_xbzrle_variant(v);

        for (size_t i = 0; i < GW_ARRAY_LEN(limits); i++) {
            uint32_t limit = GW_MIN(limits[i], 65535u);
            uint8_t *to = at_end(out, limit);
            int got = x->encode(a, b, bytes, to, limits[i]), want = n < 0 || n > limit ? GW_XBZRLE_OVERFLOW : (int)n;

            if (got != want)
                fail_msg("%s, page of %u, limit %u: %d, expected %d", x->name, bytes, limits[i], got, want);
            if (got > 0 && memcmp(to, expected, (size_t)got) != 0)
                fail_msg("%s, page of %u: other bytes", x->name, bytes);
        }
    }
    if (n > 0 && n <= bytes && n < 65536) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t *delta = at_end(out, (uint32_t)n), *p = at_end(page, bytes);

        memcpy(delta, expected, (size_t)n);
        memcpy(p, a, bytes);
        if (gw_xbzrle_decode(delta, (uint32_t)n, p, bytes, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(p, b, bytes);
    }
}

/* Changed and unchanged runs of random lengths, up to `most`. */
static void alternate(uint32_t bytes, uint32_t most_changed, uint32_t most_same)
{
    const uint8_t *a = at_end(old, bytes);
    uint8_t *b = at_end(new, bytes);

    memcpy(b, a, bytes);
    for (uint32_t i = rnd(most_same + 1); i < bytes; i += 1 + rnd(most_same))
        for (uint32_t n = 1 + rnd(most_changed); n && i < bytes; n--, i++)
            b[i] = (uint8_t)(a[i] + 1 + rnd(255));
}

static void test_random_pages(void **state)
{
    static const uint32_t lengths[] = {1, 2, 3, 4, 8, 16, 33, 64, 127, 130, 300, 5000};
    const size_t lengths_n = GW_ARRAY_LEN(lengths);

    for (uint32_t bytes = GW_XBZRLE_PAGE_MIN; bytes <= GW_XBZRLE_PAGE_MAX; bytes *= 2) {
        for (uint32_t i = 0; i < MAX; i++)
            old[i] = (uint8_t)rnd(256);
        for (unsigned c = 0; c < lengths_n; c++)
            for (unsigned s = 0; s < lengths_n; s++)
                for (unsigned k = 0; k < (bytes <= 4096 ? 20 : 3); k++) {
                    alternate(bytes, lengths[c], lengths[s]);
                    check(bytes);
                }
        /* Nothing like it at all, and all the same. */
        for (uint32_t i = 0; i < MAX; i++)
            new[i] = (uint8_t)rnd(256);
        check(bytes);
        for (uint32_t i = 0; i < MAX; i++)
            new[i] = (uint8_t)~old[i];
        check(bytes);
        memcpy(new, old, MAX);
        check(bytes);
    }
}

/* One run of every length that matters at every place: the ends of words, of strips and of the page. */
static void test_one_run(void **state)
{
    static const uint32_t lengths[] = {1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 192, 4000};

    memset(old, 0x55, MAX);
    for (size_t k = 0; k < GW_ARRAY_LEN(lengths); k++)
        for (uint32_t at = 0; at + lengths[k] <= 4096; at += at < 200 || at > 3700 ? 1 : 29) {
            memcpy(new, old, MAX);
            memset(at_end(new, 4096) + at, 0xaa, lengths[k]);
            check(4096);
        }
}

/* Two changed bytes with every gap between them, at every place in the first words and across strips. */
static void test_gaps(void **state)
{
    for (uint32_t bytes = 4096; bytes <= 16384; bytes *= 4)
        for (uint32_t at = 0; at < bytes - 8; at += at % 4096 < 130 || at % 4096 > 3960 ? 1 : 500)
            for (uint32_t gap = 1; gap < 7; gap++) {
                memset(old, 1, MAX);
                memset(new, 1, MAX);
                at_end(new, bytes)[at] = at_end(new, bytes)[at + gap + 1] = 2;
                check(bytes);
            }
}

/* Runs around the largest number that can be written. */
static void test_long_runs(void **state)
{
    for (uint32_t n = GW_XBZRLE_RUN_MAX - 3; n <= GW_XBZRLE_RUN_MAX + 4; n++)
        for (uint32_t more = 0; more <= 2 * GW_XBZRLE_RUN_MAX; more += GW_XBZRLE_RUN_MAX) {
            memset(old, 1, MAX);
            memset(new, 1, MAX);
            new[n + more] = 9;
            check(MAX);
            new[0] = 9;
            check(MAX);
            memset(new + 100, 9, n);
            check(MAX);
        }
    memset(new, 9, MAX);
    check(MAX);
    check(MAX / 4); /* 16 KiB: too long for one number, and for a page */
}

static void test_decode_rules(void **state)
{
    static const struct {
        const char *bytes;
        uint32_t n;
        bool good;
    } cases[] = {
        {"\0\1x", 3, true},
        {"\x7f\1x", 3, true},
        {"\xff\x1f\1x", 4, true},  /* 4095: the last byte */
        {"\x80\x20\1x", 4, false}, /* 4096: behind it */
        {"\xff\x1f\2xy", 5, false},
        {"\0\1x\1\1y", 6, true},
        {"\0\1x\0\1y", 6, false}, /* nothing unchanged between two changes */
        {"\0\1x\x80\0\1y", 7, false},
        {"\0\0", 2, false},
        {"\0\x80\0", 3, false},
        {"\0", 1, false},
        {"", 0, false},
        {"\x80", 1, false},
        {"\x80\0\1x", 4, true}, /* longer than it must be, but two bytes */
        {"\x81\0\x81\0x", 5, true},
        {"\x81\x80\0\1x", 5, false}, /* three bytes */
        {"\x80\x80\1x", 4, false},
        {"\0\x81\x80\0x", 5, false},
        {"\0\x81", 2, false},
        {"\0\2x", 3, false},
        {"\0\1x\5", 4, false}, /* the change is missing */
        {"\0\1x\5\1", 5, false},
        {"\0\xff\x7f", 3, false},
        {"\xff\x7f\1x", 4, false},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_error err = GW_ERROR_INIT;
        uint8_t *delta = at_end(out, cases[i].n), *p = at_end(page, 4096);
        int r;

        memcpy(delta, cases[i].bytes, cases[i].n);
        r = gw_xbzrle_decode(delta, cases[i].n, p, 4096, &err);
        if (r != (cases[i].good ? 0 : -EPROTO) || (r < 0 && (!err.text[0] || err.blame != GW_BLAME_PEER)))
            fail_msg("case %zu: %d %s", i, r, err.text);
        if (reference_decode(delta, cases[i].n, expected, 4096) != cases[i].good)
            fail_msg("case %zu: the reference", i);
    }
    assert_int_equal(gw_xbzrle_decode(out, 4097, at_end(page, 4096), 4096, NULL), -EPROTO);
    /* In a large page the bit that is wrong would be a number that fits. */
    memcpy(out, "\x80\x80\1x", 4);
    assert_int_equal(gw_xbzrle_decode(out, 4, page, MAX, NULL), -EPROTO);
    memcpy(out, "\xff\x7f\1x", 4);
    assert_int_equal(gw_xbzrle_decode(out, 4, page, MAX, NULL), 0);
    assert_int_equal(page[GW_XBZRLE_RUN_MAX], 'x');
}

/* A good delta cut at every byte is refused or, between two pairs, decoded; each byte changed in turn never does harm,
 * and is judged as the reference judges it. */
static void test_cut_and_changed(void **state)
{
    for (unsigned k = 0; k < 30; k++) {
        uint32_t n;

        alternate(4096, 1 + rnd(200), 1 + rnd(900));
        n = (uint32_t)reference_encode(at_end(old, 4096), at_end(new, 4096), 4096, expected);
        for (uint32_t i = 0; i < 2 * n && n < 4096; i++) {
            uint32_t m = i < n ? i : n;
            uint8_t *delta = at_end(out, m), *p = at_end(page, 4096);
            bool good;

            memcpy(delta, expected, m);
            if (i >= n)
                delta[i - n] = (uint8_t)rnd(256);
            memcpy(p, at_end(old, 4096), 4096);
            memcpy(new, p, 4096);
            good = reference_decode(delta, m, new, 4096);
            assert_int_equal(gw_xbzrle_decode(delta, m, p, 4096, NULL), good ? 0 : -EPROTO);
            if (good)
                assert_memory_equal(p, new, 4096);
        }
    }
}

/* ---- what real QEMUs sent ---- */

struct seen {
    uint8_t *ram[8];
    unsigned deltas;
};

static int on_block(void *opaque, const struct gw_scan_block *b)
{
    struct seen *s = opaque;

    assert_in_range(b->index, 0, 7);
    s->ram[b->index] = calloc(1, b->used_bytes);
    assert_non_null(s->ram[b->index]);
    return 0;
}

static int on_page(void *opaque, const struct gw_scan_page *p)
{
    struct seen *s = opaque;
    uint8_t *at = s->ram[p->block->index] + p->offset;
    int n;

    if (p->kind == GW_SCAN_ZERO)
        memset(at, 0, 4096);
    if (p->kind == GW_SCAN_PLAIN)
        memcpy(at, p->data, 4096);
    if (p->kind != GW_SCAN_XBZRLE)
        return 0;
    memcpy(at_end(old, 4096), at, 4096);
    assert_true(reference_decode(p->coded, p->coded_bytes, at, 4096));
    memcpy(at_end(new, 4096), at, 4096);
    memcpy(page, at_end(old, 4096), 4096);
    assert_int_equal(gw_xbzrle_decode(p->coded, p->coded_bytes, page, 4096, NULL), 0);
    assert_memory_equal(page, at, 4096);
    check(4096);
    /* Never longer than QEMU's; the same bytes where no gap was short enough to be closed. */
    n = gw_xbzrle_pick()->encode(at_end(old, 4096), at_end(new, 4096), 4096, out, 4096);
    assert_in_range(n, 1, p->coded_bytes);
    if ((uint32_t)n == p->coded_bytes)
        assert_memory_equal(out, p->coded, p->coded_bytes);
    s->deltas++;
    return 0;
}

static void test_captures(void **state)
{
    static const struct {
        const char *name;
        unsigned deltas;
    } captures[] = {{"xbzrle-microvm-7.2.bin", 7}, {"xbzrle-microvm-10.0.bin", 8}};
    static const struct gw_scan_visitor visitor = {.block = on_block, .page = on_page};

    for (size_t i = 0; i < GW_ARRAY_LEN(captures); i++) {
        struct bytes b = stream_load(captures[i].name);
        struct gw_error err = GW_ERROR_INIT;
        struct seen seen = {0};
        struct gw_reader r;
        struct gw_scan s;

        gw_reader_init_memory(&r, b.data, b.bytes, 0);
        gw_scan_init(&s, &r, &visitor, &seen);
        if (gw_scan_run(&s, &err) < 0)
            fail_msg("%s: %s", captures[i].name, err.text);
        assert_int_equal(seen.deltas, captures[i].deltas);
        gw_scan_close(&s);
        gw_reader_close(&r);
        for (size_t k = 0; k < GW_ARRAY_LEN(seen.ram); k++)
            free(seen.ram[k]);
        free(b.data);
    }
}

static void test_pick(void **state)
{
    unsigned n = 0;

    assert_ptr_equal(gw_xbzrle_pick(), gw_xbzrle_variant(0));
    for (; gw_xbzrle_variant(n); n++)
        print_message("%s ", gw_xbzrle_variant(n)->name);
    print_message("\n");
    assert_string_equal(gw_xbzrle_variant(n - 1)->name, "portable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_random_pages),
        cmocka_unit_test(test_one_run),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_decode_rules),
        cmocka_unit_test(test_cut_and_changed),
        cmocka_unit_test(test_captures),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
