/* SPDX-License-Identifier: MIT
 *
 * Runs of one group of pages: what is put is got, page by page; what the format document says, to the byte; and bytes that are
 * no runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "image/parked/parked.h"

#define ZERO UINT32_MAX

static struct gw_parked_runs w;

static uint64_t rnd(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed ^ *seed >> 31;
}

/* The number of each page, as a reader has it; returns how many runs it took. */
static unsigned read_all(uint32_t first, const uint32_t *want, uint32_t pages)
{
    struct gw_error err = GW_ERROR_INIT;
    /* From memory of just that size. */
    uint8_t *copy = malloc(w.bytes + !w.bytes);
    struct gw_parked_runs_reader r = {copy, copy + w.bytes, first};
    uint32_t at = 0;
    unsigned runs = 0;

    memcpy(copy, w.out, w.bytes);
    while (r.p < r.end) {
        struct gw_parked_run run;

        if (gw_parked_runs_get(&r, &run, &err) < 0)
            fail_msg("%s", err.text);
        runs++;
        assert_true(run.pages > 0 && run.pages <= pages - at);
        for (uint32_t i = 0; i < run.pages; i++, at++) {
            uint32_t number = run.kind == GW_PARKED_ZERO     ? ZERO
                              : run.kind == GW_PARKED_REPEAT ? run.number
                                                             : run.number + i;

            assert_int_equal(number, want[at]);
        }
    }
    if (w.bytes)
        assert_int_equal(at, pages);
    free(copy);
    return runs;
}

static void put_all(uint32_t first, const uint32_t *numbers, uint32_t pages)
{
    gw_parked_runs_begin(&w, first);
    for (uint32_t i = 0; i < pages; i++)
        if (numbers[i] == ZERO)
            gw_parked_runs_zero(&w, 1);
        else
            gw_parked_runs_page(&w, numbers[i]);
    gw_parked_runs_end(&w);
    assert_int_equal(w.pages, pages);
    assert_true(w.bytes <= sizeof w.out);
}

static void test_random(void **state)
{
    static uint32_t numbers[GW_PARKED_GROUP_PAGES];
    uint64_t seed = 5;

    for (unsigned turn = 0; turn < 200; turn++) {
        uint32_t pages = turn ? 1 + (uint32_t)(rnd(&seed) % GW_PARKED_GROUP_PAGES) : GW_PARKED_GROUP_PAGES;
        uint32_t first = turn % 3 ? (uint32_t)(rnd(&seed) % 0xfffe0000) : 0, next = first;

        for (uint32_t i = 0; i < pages;) {
            unsigned kind = (unsigned)(rnd(&seed) % 4);
            uint32_t n = 1 + (uint32_t)(rnd(&seed) % (turn % 2 ? 3 : 60)), number = (uint32_t)(rnd(&seed) % (next + 1));

            for (; n-- && i < pages; i++) {
                if (kind >= 2 && number >= next) /* not seen yet */
                    kind = 1;
                numbers[i] = kind == 0 ? ZERO : kind == 1 ? next++ : kind == 2 ? number++ : number;
            }
        }
        put_all(first, numbers, pages);
        read_all(first, numbers, pages);
    }
    /* The worst: no two pages go together. */
    for (uint32_t i = 0; i < GW_PARKED_GROUP_PAGES; i++)
        numbers[i] = i % 2 ? 0xfffffff0 - 2 * i : i;
    put_all(0xfffffff0, numbers, GW_PARKED_GROUP_PAGES);
    assert_int_equal(read_all(0xfffffff0, numbers, GW_PARKED_GROUP_PAGES), GW_PARKED_GROUP_PAGES);
}

static void bytes(uint32_t first, const uint32_t *numbers, uint32_t pages, const void *want, size_t n)
{
    put_all(first, numbers, pages);
    assert_int_equal(w.bytes, n);
    assert_memory_equal(w.out, want, n);
    read_all(first, numbers, pages);
}
#define BYTES(first, want, ...)                                                                                        \
    bytes(first, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4, want, sizeof(want) - 1)

static void test_bytes(void **state)
{
    /* Zeros only take no bytes; zeros and something else do. */
    BYTES(7, "", ZERO, ZERO, ZERO);
    BYTES(7, "\x01\x04", 7, ZERO, ZERO);
    BYTES(7, "\x04\x01", ZERO, ZERO, 7);
    BYTES(7, "\x09", 7, 8, 9);
    /* Again: how far the first number is from what is next, zigzag. */
    BYTES(7, "\x06\x05", 4, 5);
    BYTES(7, "\x07\x01", 6, 6);
    BYTES(7, "\x02\x01\x02\x03", 6, 5);
    BYTES(7, "\x05\x02\x03\x01", 7, 8, 7, 9);
    /* A number ahead of what is next is none that anybody writes, and is read all the same. */
    BYTES(7, "\x02\x02", 8);
    BYTES(0, "", ZERO);
}

/* A run that could still become one of two kinds. */
static void test_kinds(void **state)
{
    const uint32_t again[] = {3, 4, 5}, repeat[] = {3, 3, 3}, both[] = {3, 3, 4, 5, 5};

    put_all(9, again, 3);
    assert_int_equal(read_all(9, again, 3), 1);
    put_all(9, repeat, 3);
    assert_int_equal(read_all(9, repeat, 3), 1);
    put_all(9, both, 5);
    assert_int_equal(read_all(9, both, 5), 3);
    /* Many zeros at once. */
    gw_parked_runs_begin(&w, 0);
    gw_parked_runs_page(&w, 0);
    gw_parked_runs_zero(&w, GW_PARKED_GROUP_PAGES - 1);
    gw_parked_runs_end(&w);
    assert_int_equal(w.pages, GW_PARKED_GROUP_PAGES);
    assert_int_equal(w.bytes, 3);
}

static void test_hostile(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        uint32_t next;
        const char *text; /* NULL: good */
    } rows[] = {
        {"\x80", 1, 0, "it is not a list of runs"},                     /* goes on, and ends */
        {"\x80\x00", 2, 0, "it is not a list of runs"},                 /* two ways to write 0 */
        {"\xff\xff\xff\xff\xff\x01", 6, 0, "it is not a list of runs"}, /* more than 35 bits */
        {"\x80\x80\x01", 3, 0, "it is not a list of runs"},             /* 4097 pages */
        {"\xfc\x7f", 2, 0, NULL},                                    /* 4096 zeros */
        {"\x02", 1, 5, "it is not a list of runs"},                     /* no number */
        {"\x02\x80", 2, 5, "it is not a list of runs"},
        {"\x02\x0b", 2, 5, "a run names stored pages that no file can have"},     /* -1 */
        {"\x02\x09", 2, 5, NULL},                                    /* 0 */
        {"\x03\xff\xff\xff\xff\x7f", 6, 5, "a run names stored pages that no file can have"},
        {"\x03\xfe\xff\xff\xff\x7f", 6, 5, "a run names stored pages that no file can have"},
        {"\x02\x02", 2, 0xfffffffe, "a run names stored pages that no file can have"},
        {"\x02\x00", 2, 0xfffffffe, NULL},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        uint8_t *copy = malloc(rows[i].n);
        struct gw_parked_runs_reader r = {copy, copy + rows[i].n, rows[i].next};
        struct gw_error err = GW_ERROR_INIT;
        struct gw_parked_run run;

        memcpy(copy, rows[i].bytes, rows[i].n);
        if (gw_parked_runs_get(&r, &run, &err) != (rows[i].text ? -EPROTO : 0))
            fail_msg("%zu: %s", i, err.text);
        if (rows[i].text) {
            assert_int_equal(err.blame, GW_BLAME_PEER);
            assert_string_equal(err.text, rows[i].text);
        }
        free(copy);
    }
}

/* Any bytes: runs, or refused; never more read than there are. */
static void test_noise(void **state)
{
    uint64_t seed = 9;

    for (unsigned turn = 0; turn < 20000; turn++) {
        size_t n = 1 + rnd(&seed) % 12;
        uint8_t *noise = malloc(n);
        struct gw_parked_runs_reader r = {noise, noise + n, (uint32_t)rnd(&seed)};
        struct gw_parked_run run;

        for (size_t i = 0; i < n; i++)
            noise[i] = (uint8_t)(rnd(&seed) >> 13);
        while (r.p < r.end && gw_parked_runs_get(&r, &run, NULL) >= 0)
            assert_true(run.pages >= 1 && run.pages <= GW_PARKED_GROUP_PAGES);
        assert_true(r.p <= r.end);
        free(noise);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),  cmocka_unit_test(test_bytes), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
