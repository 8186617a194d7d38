/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ram/codec/zero.h"

#define PAGES 3000u

static uint64_t seed;

static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

/* Claims exactly the zero pages, whether touched or not, close together or far apart, and leaves what is claimed. */
static void claims(bool with_holes, int flags)
{
    struct gw_ram_desc d = {.name = "ram", .used_bytes = (uint64_t)PAGES * 4096};
    struct gw_batch batch = {0};
    struct gw_codec *codec = NULL;
    bool data[PAGES] = {false};
    struct gw_ram ram;
    uint8_t *p;

    d.host = p = mmap(NULL, d.used_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    assert_int_equal(gw_ram_init(&ram, 4096, NULL, NULL), 0);
    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
    assert_int_equal(gw_codec_zero_new(&ram, &codec, NULL), 0);
    if (with_holes)
        assert_int_equal(codec->begin(codec, NULL), 0);
    batch.block = ram.blocks[0];
    for (unsigned round = 0; round < 300; round++) {
        unsigned at = (unsigned)(rnd() % PAGES), step = round % 3 ? 1 : 1 + (unsigned)(rnd() % 20),
                 touch = rnd() % PAGES;

        p[touch * 4096 + rnd() % 4096] = data[touch] ? 1 : (uint8_t)(round & 1);
        data[touch] = data[touch] || round & 1;
        for (batch.count = 0; at < PAGES && batch.count < GW_BATCH_PAGES; at += step) {
            batch.page[batch.count] = at;
            batch.form[batch.count++] = at % 17 ? GW_FORM_OPEN : GW_FORM_PLAIN;
        }
        assert_int_equal(codec->encode(codec, &batch, NULL), 0);
        for (unsigned i = 0; i < batch.count; i++)
            assert_int_equal(batch.form[i], batch.page[i] % 17 == 0 ? GW_FORM_PLAIN
                                            : data[batch.page[i]]   ? GW_FORM_OPEN
                                                                    : GW_FORM_ZERO);
    }
    batch.count = 0;
    assert_int_equal(codec->encode(codec, &batch, NULL), 0);
    codec->end(codec);
    assert_null(codec->free(codec));
    gw_ram_close(&ram);
    munmap(p, d.used_bytes);
}

static void test_claims(void **state)
{
    claims(false, MAP_PRIVATE | MAP_ANONYMOUS);
    claims(true, MAP_PRIVATE | MAP_ANONYMOUS);
    claims(true, MAP_SHARED | MAP_ANONYMOUS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_claims)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
