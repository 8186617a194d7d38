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

/* Claims exactly the zero pages, close together or far apart, and leaves what is claimed. Bodies need not be the
 * block's memory. */
static void claims(bool elsewhere)
{
    struct gw_ram_block block = {.name = "ram", .pages = PAGES};
    static struct gw_batch batch;
    struct gw_codec *codec = NULL;
    bool data[PAGES] = {false};
    uint8_t *p = mmap(NULL, (size_t)PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    if (!elsewhere)
        block.host = p;
    assert_int_equal(gw_codec_zero_new(&codec, NULL), 0);
    batch.block = &block;
    for (unsigned round = 0; round < 300; round++) {
        unsigned at = (unsigned)(rnd() % PAGES), step = round % 3 ? 1 : 1 + (unsigned)(rnd() % 20),
                 touch = rnd() % PAGES;

        p[touch * 4096 + rnd() % 4096] = data[touch] ? 1 : (uint8_t)(round & 1);
        data[touch] = data[touch] || round & 1;
        for (batch.count = 0; at < PAGES && batch.count < GW_BATCH_PAGES; at += step) {
            batch.page[batch.count] = at;
            batch.body[batch.count] = (struct gw_body){p + at * 4096, 4096};
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
    assert_null(codec->free(codec));
    munmap(p, (size_t)PAGES * 4096);
}

static void test_claims(void **state)
{
    claims(false);
    claims(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_claims)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
