/* SPDX-License-Identifier: MIT
 *
 * A sample of memory whose make-up is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>

#include "godwit/clock.h"
#include "ram/sample.h"

#define PAGE  4096u
#define PAGES 4096u

struct memory {
    struct gw_ram ram;
    uint8_t *bytes;
    bool cancel;
};

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

/* Of each four pages one was never touched, one holds zeros, one noise, one the same word again and again. */
static int up(void **state)
{
    struct memory *m = calloc(1, sizeof *m);
    struct gw_ram_desc desc = {.name = "ram", .used_bytes = PAGES * PAGE};
    uint64_t x = 88172645463325252ull;

    m->bytes = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(m->bytes, MAP_FAILED);
    madvise(m->bytes, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < PAGES; i++) {
        uint64_t *page = (uint64_t *)(m->bytes + i * PAGE);

        for (unsigned w = 0; i % 4 && w < PAGE / 8; w++)
            page[w] = i % 4 == 1 ? 0 : i % 4 == 2 ? next(&x) : 0x1122334455667788ull;
    }
    desc.host = m->bytes;
    *state = m;
    return gw_ram_init(&m->ram, PAGE, NULL, NULL) || gw_ram_add(&m->ram, &desc, NULL);
}

static int down(void **state)
{
    struct memory *m = *state;

    gw_ram_close(&m->ram);
    munmap(m->bytes, (size_t)PAGES * PAGE);
    free(m);
    return 0;
}

static struct gw_sample *begin(struct memory *m, unsigned pages)
{
    const struct gw_sample_config c = {
        .clock = &gw_clock_real, .cancel = &m->cancel, .pages = pages, .zlib_level = 1, .zstd_level = 1, .deflate_level = 1};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_sample *s;

    if (gw_sample_begin(&m->ram, &c, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

/* Each kind is a quarter, within five deviations. */
static void test_make_up(void **state)
{
    struct gw_sample_figures f;

    assert_int_equal(gw_sample_end(begin(*state, 2048), &f, NULL), 0);
    assert_int_equal(f.pages, 2048);
    assert_true(f.zero_pages > 1024 - 115 && f.zero_pages < 1024 + 115);
    assert_int_equal(f.changed, 0);
    assert_false(f.xbzrle.known);
    /* Half of the rest is noise, half is nothing. */
    if (f.zstd.known)
        assert_true(f.zstd.ratio > 0.4 && f.zstd.ratio < 0.62);
    if (f.zlib.known)
        assert_true(f.zlib.ratio > 0.4 && f.zlib.ratio < 0.62 && f.zlib.ns > 0);
    if (f.deflate.known)
        assert_true(f.deflate.ratio > 0.4 && f.deflate.ratio < 0.65 && f.deflate.error > 0);
    assert_true(f.page_ns > 0);
}

/* All pages that are touched change by 16 bytes. */
static void test_changes(void **state)
{
    struct memory *m = *state;
    struct gw_sample *s = begin(m, 1024);
    struct gw_sample_figures f;

    for (size_t i = 0; i < PAGES; i++)
        if (i % 4 >= 2)
            for (unsigned k = 0; k < 16; k++)
                m->bytes[i * PAGE + 512 + k] ^= 0x5a;
    assert_int_equal(gw_sample_end(s, &f, NULL), 0);
    assert_int_equal(f.changed, f.pages - f.zero_pages);
    assert_int_equal(f.changed_zero, 0);
    assert_true(f.xbzrle.known);
    assert_true(f.xbzrle.ratio > 16.0 / PAGE && f.xbzrle.ratio < 32.0 / PAGE);
}

static void test_to_zeros(void **state)
{
    struct memory *m = *state;
    struct gw_sample *s = begin(m, 1024);
    struct gw_sample_figures f;

    for (size_t i = 2; i < PAGES; i += 4)
        memset(m->bytes + i * PAGE, 0, PAGE);
    assert_int_equal(gw_sample_end(s, &f, NULL), 0);
    assert_true(f.changed > 0);
    assert_int_equal(f.changed_zero, f.changed);
}

/* More pages than there are: each is there once. */
static void test_small(void **state)
{
    struct gw_sample_figures f;

    assert_int_equal(gw_sample_end(begin(*state, 16384), &f, NULL), 0);
    assert_int_equal(f.pages, PAGES);
    assert_int_equal(f.zero_pages, PAGES / 2);
}

static void test_cancel(void **state)
{
    struct memory *m = *state;
    struct gw_sample *s = begin(m, 256);
    struct gw_sample_config c = {.clock = &gw_clock_real, .cancel = &m->cancel, .pages = 64};
    struct gw_sample_figures f;

    __atomic_store_n(&m->cancel, true, __ATOMIC_SEQ_CST);
    assert_int_equal(gw_sample_end(s, &f, NULL), -ECANCELED);
    assert_int_equal(gw_sample_begin(&m->ram, &c, &s, NULL), -ECANCELED);
    __atomic_store_n(&m->cancel, false, __ATOMIC_SEQ_CST);
    gw_sample_end(begin(m, 64), NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_make_up, up, down),  cmocka_unit_test_setup_teardown(test_changes, up, down),
        cmocka_unit_test_setup_teardown(test_to_zeros, up, down), cmocka_unit_test_setup_teardown(test_small, up, down),
        cmocka_unit_test_setup_teardown(test_cancel, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
