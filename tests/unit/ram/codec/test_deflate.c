/* SPDX-License-Identifier: MIT
 *
 * Batches through the threads and out again: what is decoded is what the page was, which may be written meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ram/codec/deflate.h"
#include "ram/codec/zpage.h"

#define PAGE  4096u
#define PAGES GW_BATCH_PAGES

static uint8_t guest[PAGES][PAGE] __attribute__((aligned(4096))), theirs[PAGES][PAGE];
static struct gw_ram ram;
static struct gw_codec *codec, *decoder;
static struct gw_batch batch[2];
static _Atomic unsigned placed[PAGES];

static int place(struct gw_store *s, struct gw_ram_block *b, uint64_t page, struct gw_error *err)
{
    placed[page]++;
    return 0;
}

static struct gw_store store = {.place = place};

static void fill(unsigned page)
{
    for (unsigned i = 0; i < PAGE; i++)
        guest[page][i] = (uint8_t)(page % 5 == 4 ? (unsigned)rand() : (i * (page % 10)) >> 6);
}

static void begin(unsigned threads, unsigned unthreads, bool wait)
{
    struct gw_ram_desc d = {.name = "ram", .host = guest, .used_bytes = sizeof guest};
    struct gw_deflate_config config = {.level = 1, .threads = threads, .wait = wait};

    srand(1);
    for (unsigned i = 0; i < PAGES; i++)
        fill(i);
    memset(theirs, 0, sizeof theirs);
    memset(placed, 0, sizeof placed);
    assert_int_equal(gw_ram_init(&ram, PAGE, NULL, NULL), 0);
    assert_int_equal(gw_ram_add(&ram, &d, NULL), 0);
    assert_int_equal(gw_codec_deflate_new(&ram, &config, &gw_clock_real, &codec, NULL), 0);
    assert_int_equal(gw_codec_deflate_decoder_new(&ram, unthreads, &decoder, NULL), 0);
    assert_int_equal(codec->begin(codec, NULL), 0);
}

static void end(void)
{
    codec->free(codec);
    decoder->free(decoder);
    for (unsigned i = 0; i < 2; i++) {
        free(batch[i].room);
        batch[i].room = NULL;
    }
    gw_ram_close(&ram);
}

static struct gw_batch *make(unsigned which, unsigned from, unsigned count)
{
    struct gw_batch *b = &batch[which];

    b->block = ram.blocks[0];
    b->count = count;
    for (unsigned i = 0; i < count; i++) {
        b->page[i] = from + i;
        b->form[i] = (from + i) % 7 == 3 ? GW_FORM_ZERO : GW_FORM_OPEN;
        b->body[i] = (struct gw_body){guest[from + i], PAGE};
    }
    return b;
}

static unsigned receive(const struct gw_batch *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->count; i++) {
        if (b->form[i] != GW_FORM_DEFLATE)
            continue;
        assert_true(b->body[i].bytes < PAGE);
        assert_int_equal(decoder->decode_later(decoder, &store, b->block, b->page[i], i, b->body[i].data, b->body[i].bytes,
                                               theirs[b->page[i]], NULL),
                         0);
        n++;
    }
    return n;
}

static struct gw_compression_stats stats(void)
{
    struct gw_progress p = {0};

    codec->progress(codec, &p);
    return p.compression;
}

static void test_batches(void **state)
{
    static const unsigned threads[] = {1, 3, 200};

    for (unsigned t = 0; t < 3; t++)
        for (unsigned count = 1; count <= PAGES / 2; count = count * 3 + 1) {
            unsigned packed = 0, wanted = 0;

            begin(threads[t], threads[2 - t], true);
            /* One is begun before the other one is finished. */
            assert_int_equal(codec->encode(codec, make(0, 0, count), NULL), 0);
            assert_int_equal(codec->encode(codec, make(1, PAGES / 2, count), NULL), 0);
            for (unsigned k = 0; k < 2; k++) {
                assert_int_equal(codec->finish(codec, &batch[k], NULL), 0);
                packed += receive(&batch[k]);
            }
            assert_int_equal(decoder->await(decoder, NULL, 0, NULL), 0);
            for (unsigned k = 0; k < 2; k++)
                for (unsigned i = 0; i < count; i++) {
                    uint64_t page = batch[k].page[i];
                    bool right = page % 7 != 3 && page % 5 != 4;

                    wanted += right;
                    assert_int_equal(batch[k].form[i], right ? GW_FORM_DEFLATE : page % 7 == 3 ? GW_FORM_ZERO : GW_FORM_OPEN);
                    assert_int_equal(placed[page], right);
                    if (right)
                        assert_memory_equal(theirs[page], guest[page], PAGE);
                }
            assert_int_equal(packed, wanted);
            assert_int_equal(stats().pages, wanted);
            assert_int_equal(stats().busy, 0);
            end();
        }
}

/* Whatever the threads had time for, each open page is either packed or counted as one that was not. */
static void test_no_wait(void **state)
{
    begin(1, 1, false);
    for (unsigned i = 0; i < 20; i++) {
        unsigned busy = (unsigned)stats().busy, packed, open = 0;

        assert_int_equal(codec->encode(codec, make(0, 0, PAGES), NULL), 0);
        if (i % 2) { /* nothing of this one is wanted any more */
            assert_int_equal(codec->encode(codec, make(1, 0, PAGES), NULL), 0);
            assert_int_equal(codec->finish(codec, &batch[0], NULL), 0);
            assert_int_equal(codec->finish(codec, &batch[1], NULL), 0);
            continue;
        }
        assert_int_equal(codec->finish(codec, &batch[0], NULL), 0);
        packed = receive(&batch[0]);
        for (unsigned k = 0; k < PAGES; k++)
            open += batch[0].form[k] == GW_FORM_OPEN && k % 5 != 4;
        assert_true(open <= stats().busy - busy);
        assert_true(packed + open == PAGES - PAGES / 5 - PAGES / 7 + PAGES / 35 || packed + open > 0);
        assert_int_equal(decoder->await(decoder, NULL, 0, NULL), 0);
    }
    end();
}

/* A codec in front, as XBZRLE, has put the page into the room of the batch: it is still there when it is not packed. */
static void test_body_in_the_room(void **state)
{
    struct gw_batch *b;

    begin(2, 2, true);
    b = make(0, 0, 64);
    for (unsigned i = 0; i < 64; i++) {
        uint8_t *room = gw_batch_room(b, i, PAGE);

        memcpy(room, guest[i], PAGE);
        b->body[i].data = room;
        b->form[i] = GW_FORM_OPEN;
    }
    for (unsigned i = 0; i < PAGE; i++) /* nearly noise: it is tried */
        b->room[4 * PAGE + i] = guest[4][i] = (uint8_t)(i < 300 ? 7 : rand());
    assert_int_equal(codec->encode(codec, b, NULL), 0);
    assert_int_equal(codec->finish(codec, b, NULL), 0);
    receive(b);
    assert_int_equal(decoder->await(decoder, NULL, 0, NULL), 0);
    for (unsigned i = 0; i < 64; i++)
        assert_memory_equal(b->form[i] == GW_FORM_OPEN ? b->body[i].data : theirs[i], guest[i], PAGE);
    end();
}

/* It ends while a batch is with the threads. */
static void test_ended_in_between(void **state)
{
    for (unsigned i = 0; i < 50; i++) {
        begin(3, 1, i % 2);
        assert_int_equal(codec->encode(codec, make(0, 0, PAGES), NULL), 0);
        codec->end(codec);
        memset(guest, 0, sizeof guest);
        free(batch[0].room);
        batch[0].room = NULL;
        assert_int_equal(codec->begin(codec, NULL), 0);
        assert_int_equal(codec->encode(codec, make(0, 0, 3), NULL), 0);
        assert_int_equal(codec->finish(codec, &batch[0], NULL), 0);
        assert_true(batch[0].form[0] == GW_FORM_DEFLATE || i % 2 == 0);
        end();
    }
}

/* A page that comes twice: who asks for it waits for what came before. */
static void test_again(void **state)
{
    begin(1, 4, true);
    for (unsigned i = 0; i < 500; i++) {
        fill(1);
        guest[1][0] = (uint8_t)i;
        assert_int_equal(codec->encode(codec, make(0, 1, 1), NULL), 0);
        assert_int_equal(codec->finish(codec, &batch[0], NULL), 0);
        assert_int_equal(decoder->await(decoder, ram.blocks[0], 1, NULL), 0);
        assert_int_equal(placed[1], i);
        assert_int_equal(theirs[1][0], (uint8_t)(i ? i - 1 : 0));
        assert_int_equal(receive(&batch[0]), 1);
    }
    assert_int_equal(decoder->await(decoder, NULL, 0, NULL), 0);
    assert_int_equal(placed[1], 500);
    end();
}

/* What is wrong is told with its block and offset, once; what came before and behind it is placed or not, but nothing is
 * written any more. */
static void test_wrong_record(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    uint8_t bad[100];

    for (unsigned at = 0; at < 40; at += 13) {
        begin(2, 3, true);
        assert_int_equal(codec->encode(codec, make(0, 0, 40), NULL), 0);
        assert_int_equal(codec->finish(codec, &batch[0], NULL), 0);
        memset(bad, 0x77, sizeof bad);
        for (unsigned i = 0; i < 40; i++)
            assert_int_equal(decoder->decode_later(decoder, &store, ram.blocks[0], i, 1000 + i,
                                                   i == at || batch[0].form[i] != GW_FORM_DEFLATE ? bad : batch[0].body[i].data,
                                                   i == at || batch[0].form[i] != GW_FORM_DEFLATE ? sizeof bad
                                                                                                  : batch[0].body[i].bytes,
                                                   theirs[i], NULL),
                             0);
        assert_int_equal(decoder->await(decoder, NULL, 0, &err), -EPROTO);
        assert_int_equal(err.blame, GW_BLAME_PEER);
        assert_non_null(strstr(err.text, "of RAM block ram: 100 compressed bytes"));
        assert_non_null(strstr(err.text, at ? "offset 0x3000" : "offset 0x0"));
        assert_int_equal(decoder->await(decoder, NULL, 0, NULL), 0);
        end();
    }
}

/* A record as QEMU 7.2 wrote it (tests/golden/captures/compress-microvm-7.2.bin): a page of one value. */
static void test_golden(void **state)
{
    static const uint8_t stream[] = {0x78, 0x9c, 0xed, 0xc1, 0x01, 0x0d, 0x00, 0x00, 0x00, 0xc2, 0xa0, 0xfe, 0x59, 0x5e,
                                     0xd2, 0x1e, 0x0e, 0x28, 0x00, 0x00, 0x00, 0xe0, 0xdd, 0x00, 0x6b, 0x16, 0xb0, 0x97};

    begin(1, 1, true);
    assert_int_equal(decoder->decode_later(decoder, &store, ram.blocks[0], 0, 0, stream, sizeof stream, theirs[0], NULL), 0);
    assert_int_equal(decoder->await(decoder, NULL, 0, NULL), 0);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(theirs[0][i], 0xab);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches), cmocka_unit_test(test_no_wait),      cmocka_unit_test(test_body_in_the_room),
        cmocka_unit_test(test_again),   cmocka_unit_test(test_wrong_record), cmocka_unit_test(test_ended_in_between),
        cmocka_unit_test(test_golden),
    };

    return GW_HAVE_ZPAGE ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
