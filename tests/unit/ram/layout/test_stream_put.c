/* SPDX-License-Identifier: MIT
 *
 * Batches become RAM records: their order, names, and where each byte is booked. Read again: test_stream_get.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ram/layout/stream.h"
#include "wire/ram_record.h"

#define FAILING_COUNTDOWN
#include "../../../failing.h"

#define PAGE 4096u

static struct rig {
    struct gw_ram ram;
    struct gw_ram_block a, b;
    struct gw_layout *l;
    struct gw_writer w;
    struct gw_batch batch;
    uint8_t memory[16][PAGE];
} rig;

static int up(void **state)
{
    memset(&rig, 0, sizeof rig);
    strcpy(rig.a.name, "a");
    strcpy(rig.b.name, "bb");
    rig.batch.block = &rig.a;
    for (unsigned i = 0; i < 16; i++) {
        memset(rig.memory[i], (int)i + 1, PAGE);
        rig.batch.page[i] = 10 + i;
        rig.batch.form[i] = GW_FORM_PLAIN;
        rig.batch.body[i] = (struct gw_body){rig.memory[i], PAGE};
    }
    assert_int_equal(gw_ram_init(&rig.ram, PAGE, NULL, NULL), 0);
    assert_int_equal(gw_writer_init_memory(&rig.w, NULL), 0);
    return gw_layout_stream_new(&rig.ram, &rig.l, NULL);
}

static int down(void **state)
{
    rig.l = rig.l->free(rig.l);
    gw_writer_close(&rig.w);
    gw_ram_close(&rig.ram);
    return 0;
}

/* The next record is just this one; its body is taken. */
static void record(struct gw_in *in, uint32_t kind, uint64_t page, const char *name, const void *body, uint32_t bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_ram_record r;
    uint32_t coded = bytes;
    const uint8_t *p;

    if (gw_ram_record_get(in, PAGE, &r, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(r.kind, kind);
    assert_int_equal(r.offset, page * PAGE);
    assert_int_equal(r.named, name != NULL);
    if (name)
        assert_string_equal(r.name, name);
    if (kind == GW_RAMF_XBZRLE || kind == GW_RAMF_COMPRESS)
        assert_int_equal(gw_ram_coded_get(in, &r, PAGE, &coded, &err), 0);
    assert_int_equal(coded, bytes);
    assert_int_equal(gw_in_need(in, bytes, &p, &err), 0);
    assert_memory_equal(p, body, bytes);
    gw_in_skip(in, bytes);
}

static void read_back(struct gw_in *in)
{
    size_t bytes;

    assert_int_equal(gw_writer_flush(&rig.w, NULL), 0);
    gw_in_memory(in, gw_writer_data(&rig.w, &bytes), gw_writer_offset(&rig.w), 0);
}

/* Zeros first, then the others as they come; what the receiver has is left out. The name stands where the block changes, also
 * from one batch to the next. */
static void test_order(void **state)
{
    struct gw_in in;

    rig.batch.count = 8;
    rig.batch.form[1] = rig.batch.form[5] = GW_FORM_ZERO;
    rig.batch.form[2] = GW_FORM_SAME;
    rig.batch.form[3] = GW_FORM_XBZRLE;
    rig.batch.body[3].bytes = 7;
    rig.batch.form[6] = GW_FORM_DEFLATE;
    rig.batch.body[6].bytes = 700;
    rig.l->put(rig.l, &rig.batch, &rig.w);
    rig.batch.count = 1;
    rig.l->put(rig.l, &rig.batch, &rig.w);
    rig.batch.block = &rig.b;
    rig.l->put(rig.l, &rig.batch, &rig.w);
    rig.batch.block = &rig.a;
    rig.l->put(rig.l, &rig.batch, &rig.w);
    read_back(&in);
    record(&in, GW_RAMF_ZERO, 11, "a", "", 1);
    record(&in, GW_RAMF_ZERO, 15, NULL, "", 1);
    record(&in, GW_RAMF_PAGE, 10, NULL, rig.memory[0], PAGE);
    record(&in, GW_RAMF_XBZRLE, 13, NULL, rig.memory[3], 7);
    record(&in, GW_RAMF_PAGE, 14, NULL, rig.memory[4], PAGE);
    record(&in, GW_RAMF_COMPRESS, 16, NULL, rig.memory[6], 700);
    record(&in, GW_RAMF_PAGE, 17, NULL, rig.memory[7], PAGE);
    record(&in, GW_RAMF_PAGE, 10, NULL, rig.memory[0], PAGE);
    record(&in, GW_RAMF_PAGE, 10, "bb", rig.memory[0], PAGE);
    record(&in, GW_RAMF_PAGE, 10, "a", rig.memory[0], PAGE);
    assert_int_equal(gw_in_buffered(&in), 0);
    assert_int_equal(rig.l->pages[GW_FORM_ZERO], 2);
    assert_int_equal(rig.l->pages[GW_FORM_PLAIN], 6);
    assert_int_equal(rig.l->pages[GW_FORM_XBZRLE], 1);
    assert_int_equal(rig.l->pages[GW_FORM_DEFLATE], 1);
    assert_int_equal(rig.l->pages[GW_FORM_SAME], 0);
}

/* In postcopy large host pages are whole, one after the other: nothing overtakes. */
static void test_postcopy(void **state)
{
    struct gw_in in;

    rig.batch.count = 4;
    rig.batch.form[1] = rig.batch.form[3] = GW_FORM_ZERO;
    rig.batch.form[2] = GW_FORM_DEFLATE;
    rig.batch.body[2].bytes = 700;
    rig.l->barrier(rig.l, GW_BARRIER_ROUND, &rig.w);
    rig.l->put(rig.l, &rig.batch, &rig.w);
    rig.l->barrier(rig.l, GW_BARRIER_POSTCOPY, &rig.w);
    rig.l->put(rig.l, &rig.batch, &rig.w);
    read_back(&in);
    record(&in, GW_RAMF_ZERO, 11, "a", "", 1);
    record(&in, GW_RAMF_ZERO, 13, NULL, "", 1);
    record(&in, GW_RAMF_PAGE, 10, NULL, rig.memory[0], PAGE);
    record(&in, GW_RAMF_COMPRESS, 12, NULL, rig.memory[2], 700);
    record(&in, GW_RAMF_PAGE, 10, NULL, rig.memory[0], PAGE);
    record(&in, GW_RAMF_ZERO, 11, NULL, "", 1);
    record(&in, GW_RAMF_COMPRESS, 12, NULL, rig.memory[2], 700);
    record(&in, GW_RAMF_ZERO, 13, NULL, "", 1);
    assert_int_equal(gw_in_buffered(&in), 0);
    assert_int_equal(rig.l->pages[GW_FORM_ZERO], 4);
}

/* Each byte is booked under what it is, and the caller's own cause is as it was. */
static void test_causes(void **state)
{
    gw_writer_cause(&rig.w, GW_CAUSE_DEVICE);
    rig.batch.count = 4;
    rig.batch.form[0] = GW_FORM_ZERO;
    rig.batch.form[1] = GW_FORM_XBZRLE;
    rig.batch.body[1].bytes = 100;
    rig.l->put(rig.l, &rig.batch, &rig.w);
    assert_int_equal(rig.w.out.by[GW_CAUSE_RAM_ZERO], 8 + 2 + 1);
    assert_int_equal(rig.w.out.by[GW_CAUSE_RAM_CODED], 100);
    assert_int_equal(rig.w.out.by[GW_CAUSE_RAM_PAGE], 2 * PAGE);
    assert_int_equal(rig.w.out.by[GW_CAUSE_RAM_META], 8 + 3 + 2 * 8);
    assert_int_equal(rig.w.out.by[GW_CAUSE_DEVICE], 0);
    assert_int_equal(rig.w.out.cause, GW_CAUSE_DEVICE);
}

static void test_empty(void **state)
{
    rig.l->put(rig.l, &rig.batch, &rig.w);
    rig.batch.count = 3;
    memset(rig.batch.form, GW_FORM_SAME, 3);
    rig.l->put(rig.l, &rig.batch, &rig.w);
    assert_int_equal(gw_writer_offset(&rig.w), 0);
}

/* Zeros alone, for the lane in front. */
static void test_zeros(void **state)
{
    struct gw_ram_block *last = &rig.a;
    struct gw_in in;

    rig.batch.count = 4;
    rig.batch.form[1] = rig.batch.form[3] = GW_FORM_ZERO;
    assert_int_equal(gw_stream_put_zeros(&rig.batch, 12, &last, &rig.w), 2);
    rig.batch.block = &rig.b;
    assert_int_equal(gw_stream_put_zeros(&rig.batch, 12, &last, &rig.w), 2);
    assert_ptr_equal(last, &rig.b);
    rig.batch.count = 1;
    assert_int_equal(gw_stream_put_zeros(&rig.batch, 12, &last, &rig.w), 0);
    read_back(&in);
    record(&in, GW_RAMF_ZERO, 11, NULL, "", 1);
    record(&in, GW_RAMF_ZERO, 13, NULL, "", 1);
    record(&in, GW_RAMF_ZERO, 11, "bb", "", 1);
    record(&in, GW_RAMF_ZERO, 13, NULL, "", 1);
    assert_int_equal(gw_in_buffered(&in), 0);
}

/* A large body is not copied: what it holds when the writer passes it on is what goes. */
static void test_referenced(void **state)
{
    struct gw_channel *a, *b;
    struct gw_writer w;
    uint8_t got[8 + 2 + PAGE + 8 + 3 + 20];

    assert_int_equal(gw_channel_memory_pair(65536, &a, &b, NULL), 0);
    assert_int_equal(gw_writer_init(&w, a, NULL), 0);
    rig.batch.count = 2;
    rig.batch.form[1] = GW_FORM_XBZRLE;
    rig.batch.body[1].bytes = 20;
    rig.l->put(rig.l, &rig.batch, &w);
    memset(rig.memory[0], 0x77, PAGE);
    memset(rig.memory[1], 0x77, PAGE); /* small: copied */
    assert_int_equal(gw_writer_flush(&w, NULL), 0);
    assert_int_equal(gw_channel_read_full(b, got, sizeof got, NULL), 0);
    assert_int_equal(got[10], 0x77);
    assert_int_equal(got[10 + PAGE - 1], 0x77);
    assert_int_equal(got[sizeof got - 1], 2);
    gw_writer_close(&w);
    gw_channel_free(a);
    gw_channel_free(b);
}

static void test_nomem(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_layout *l = NULL;

    countdown = 1;
    assert_int_equal(gw_layout_stream_new(&rig.ram, &l, &err), -ENOMEM);
    countdown = 0;
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_string_equal(err.text, "out of memory (stream layout)");
    assert_null(l);
}

#define put_test(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        put_test(test_order), put_test(test_postcopy),   put_test(test_causes), put_test(test_empty),
        put_test(test_zeros), put_test(test_referenced), put_test(test_nomem),
    };

    return cmocka_run_group_tests_name("stream_put", tests, NULL, NULL);
}
