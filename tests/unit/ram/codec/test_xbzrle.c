/* SPDX-License-Identifier: MIT
 *
 * What becomes of a page that is sent again, with a receiver that does what the records say: it always has what the source
 * believes that it has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ram/codec/xbzrle.h"

#define PAGE  4096u
#define PAGES 4u

static uint8_t guest[PAGES][PAGE] __attribute__((aligned(4096))), theirs[PAGES][PAGE];
static struct gw_ram ram;
static struct gw_codec *codec, *decoder;
static struct gw_batch batch;

static void begin(void)
{
    struct gw_ram_desc d = {.name = "ram", .host = guest, .used_bytes = sizeof guest};

    memset(guest, 0, sizeof guest);
    memset(theirs, 0, sizeof theirs);
    assert_int_equal(gw_ram_init(&ram, PAGE, NULL, NULL), 0);
    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
    assert_int_equal(gw_codec_xbzrle_new(&ram, 16 * PAGE, &gw_clock_real, &codec, NULL), 0);
    assert_int_equal(gw_codec_xbzrle_decoder_new(&ram, &decoder, NULL), 0);
    assert_int_equal(codec->begin(codec, NULL), 0);
}

static void end(void)
{
    codec->free(codec);
    decoder->free(decoder);
    free(batch.room);
    batch.room = NULL;
    gw_ram_close(&ram);
}

static void reach(enum gw_barrier barrier)
{
    assert_int_equal(codec->barrier(codec, barrier, NULL), 0);
}

/* Sends a page as it is, the guest writes it at once, and the receiver takes what was sent. Returns its form. */
static enum gw_form send(unsigned page, enum gw_form form)
{
    uint8_t then[PAGE];
    bool copied;

    batch.block = ram.blocks[0];
    batch.count = 1;
    batch.page[0] = page;
    batch.form[0] = (uint8_t)form;
    batch.body[0] = (struct gw_body){guest[page], PAGE};
    memcpy(then, guest[page], PAGE);
    assert_int_equal(codec->encode(codec, &batch, NULL), 0);
    copied = batch.body[0].data != guest[page];
    if (copied)
        memset(guest[page], 0xee, PAGE); /* written while it is sent */
    if (batch.form[0] == GW_FORM_ZERO)
        memset(theirs[page], 0, PAGE);
    else if (batch.form[0] == GW_FORM_OPEN)
        memcpy(theirs[page], batch.body[0].data, PAGE);
    else if (batch.form[0] == GW_FORM_XBZRLE)
        assert_int_equal(decoder->decode(decoder, ram.blocks[0], page, batch.body[0].data, batch.body[0].bytes, theirs[page], NULL),
                         0);
    assert_memory_equal(theirs[page], then, PAGE);
    memcpy(guest[page], then, PAGE);
    return batch.form[0];
}

static struct gw_xbzrle_stats stats(void)
{
    struct gw_progress p = {0};

    codec->progress(codec, &p);
    return p.xbzrle;
}

static void scramble(unsigned page)
{
    static uint32_t x = 1;

    for (unsigned i = 0; i < PAGE; i++)
        guest[page][i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
}

static void test_pages_again(void **state)
{
    begin();
    scramble(0);
    /* The first pass: nothing is cached or counted. */
    assert_int_equal(send(0, GW_FORM_OPEN), GW_FORM_OPEN);
    assert_ptr_equal(batch.body[0].data, guest[0]);
    assert_int_equal(stats().misses, 0);
    reach(GW_BARRIER_ROUND);
    /* A miss: counted, cached, and the copy is what is sent. */
    assert_int_equal(send(0, GW_FORM_OPEN), GW_FORM_OPEN);
    assert_ptr_not_equal(batch.body[0].data, guest[0]);
    assert_int_equal(stats().misses, 1);
    /* A hit is counted, whatever comes of it: a difference ... */
    guest[0][100] ^= 1;
    assert_int_equal(send(0, GW_FORM_OPEN), GW_FORM_XBZRLE);
    assert_int_equal(stats().pages, 1);
    assert_int_equal(stats().bytes, 3 + batch.body[0].bytes);
    guest[0][100] ^= 1;
    guest[0][200] ^= 1;
    assert_int_equal(send(0, GW_FORM_OPEN), GW_FORM_XBZRLE); /* against what was sent last */
    /* ... nothing ... */
    assert_int_equal(send(0, GW_FORM_OPEN), GW_FORM_SAME);
    assert_int_equal(stats().pages, 3);
    /* ... or too much. */
    scramble(0);
    assert_int_equal(send(0, GW_FORM_OPEN), GW_FORM_OPEN);
    assert_ptr_not_equal(batch.body[0].data, guest[0]);
    assert_int_equal(stats().pages, 4);
    assert_int_equal(stats().overflows, 1);
    assert_true(stats().bytes > PAGE);
    guest[0][7] ^= 1;
    assert_int_equal(send(0, GW_FORM_OPEN), GW_FORM_XBZRLE);
    end();
}

/* A page that went as zeros is zeros on the other side: the next difference is to that. */
static void test_zeros_between(void **state)
{
    begin();
    reach(GW_BARRIER_ROUND);
    scramble(1);
    send(1, GW_FORM_OPEN);
    memset(guest[1], 0, PAGE);
    assert_int_equal(send(1, GW_FORM_ZERO), GW_FORM_ZERO);
    guest[1][5] = 5;
    assert_int_equal(send(1, GW_FORM_OPEN), GW_FORM_XBZRLE);
    end();
}

/* The machine stands: each page goes once more, nothing is cached, and what is cached stays as it was. */
static void test_last_stage(void **state)
{
    uint8_t before[PAGE];

    begin();
    reach(GW_BARRIER_ROUND);
    scramble(2);
    send(2, GW_FORM_OPEN);
    memcpy(before, guest[2], PAGE);
    reach(GW_BARRIER_SWITCH);
    scramble(3);
    assert_int_equal(send(3, GW_FORM_OPEN), GW_FORM_OPEN);
    assert_ptr_equal(batch.body[0].data, guest[3]);
    assert_int_equal(send(3, GW_FORM_OPEN), GW_FORM_OPEN); /* a miss again */
    assert_int_equal(stats().misses, 3);
    guest[2][9] ^= 1;
    assert_int_equal(send(2, GW_FORM_OPEN), GW_FORM_XBZRLE);
    memcpy(guest[2], before, PAGE);
    memcpy(theirs[2], before, PAGE);
    assert_int_equal(send(2, GW_FORM_OPEN), GW_FORM_SAME);
    /* Another migration begins with nothing. */
    assert_int_equal(codec->begin(codec, NULL), 0);
    reach(GW_BARRIER_ROUND);
    assert_int_equal(send(2, GW_FORM_OPEN), GW_FORM_OPEN);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_again),
        cmocka_unit_test(test_zeros_between),
        cmocka_unit_test(test_last_stage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
