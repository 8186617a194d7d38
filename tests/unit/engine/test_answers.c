/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/endian.h"
#include "channel/reader.h"
#include "engine/answers.h"
#include "wire/numbers.h"

#define THREADS 4
#define EACH    500

struct speaker {
    struct gw_answers *answers;
    unsigned number;
    int result;
    pthread_t thread;
};

static void *speak(void *opaque)
{
    struct speaker *s = opaque;
    uint8_t body[12];

    for (unsigned i = 0; i < EACH && s->result >= 0; i++) {
        memset(body, (int)(s->number * 16 + i % 16), sizeof body);
        /* One of 4 bytes, one of 12. */
        s->result = gw_answers_say(s->answers, GW_RP_PONG, body, 4, NULL);
        if (s->result >= 0)
            s->result = gw_answers_say(s->answers, GW_RP_GODWIT_HELLO, body, 12, NULL);
    }
    return NULL;
}

/* Through a channel that takes a few bytes at a time: messages do not mix. */
static void test_threads(void **state)
{
    struct gw_trace trace = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct speaker speakers[THREADS];
    unsigned seen[THREADS] = {0};
    struct gw_channel *a, *b;
    struct gw_answers answers;
    struct gw_reader reader;

    gw_answers_init(&answers, &trace);
    assert_int_equal(gw_answers_say(&answers, GW_RP_PONG, "1234", 4, &err), 0); /* nobody listens */
    assert_int_equal(gw_channel_memory_pair(7, &a, &b, &err), 0);
    gw_answers_open(&answers, a);
    assert_int_equal(gw_reader_init(&reader, b, &err), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        speakers[i] = (struct speaker){.answers = &answers, .number = i};
        assert_int_equal(pthread_create(&speakers[i].thread, NULL, speak, &speakers[i]), 0);
    }
    for (unsigned n = 0; n < THREADS * EACH * 2; n++) {
        uint16_t type = 0, bytes = 0;
        uint8_t body[12];

        assert_int_equal(gw_get_u16(&reader, &type, &err), 0);
        assert_int_equal(gw_get_u16(&reader, &bytes, &err), 0);
        assert_true(type == GW_RP_PONG ? bytes == 4 : type == GW_RP_GODWIT_HELLO && bytes == 12);
        assert_int_equal(gw_get_bytes(&reader, body, bytes, &err), 0);
        for (unsigned i = 1; i < bytes; i++)
            assert_int_equal(body[i], body[0]);
        assert_int_equal(body[0] % 16, seen[body[0] / 16]++ / 2 % 16);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(speakers[i].thread, NULL);
        assert_int_equal(speakers[i].result, 0);
    }
    gw_answers_open(&answers, NULL);
    gw_reader_close(&reader);
    gw_channel_free(a);
    gw_channel_free(b);
    gw_answers_fini(&answers);
}

static void test_lengths(void **state)
{
    static const struct {
        uint16_t type;
        size_t bytes;
    } wrong[] = {
        {0, 4},          {0xffff, 0},         {GW_RP_PONG, 3},        {GW_RP_PONG, 5},
        {GW_RP_SHUT, 0}, {GW_RP_PONG, 65540}, {GW_RP_RECV_BITMAP, 0}, {GW_RP_RECV_BITMAP, GW_RP_MAX_BYTES + 1}};
    struct gw_trace trace = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_answers answers;
    uint64_t in, out;

    gw_answers_init(&answers, &trace);
    assert_int_equal(gw_channel_memory_pair(4096, &a, &b, &err), 0);
    gw_answers_open(&answers, a);
    for (unsigned i = 0; i < GW_ARRAY_LEN(wrong); i++)
        assert_int_equal(gw_answers_say(&answers, wrong[i].type, "", wrong[i].bytes, &err), -EINVAL);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    gw_channel_bytes(a, &in, &out);
    assert_int_equal(out, 0);
    gw_channel_free(a);
    gw_channel_free(b);
    gw_answers_fini(&answers);
}

/* Nothing of it was written: the next may be. A part of it: nothing more is. */
static void test_part(void **state)
{
    struct gw_trace trace = {0};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_channel *a, *b;
    struct gw_answers answers;
    uint64_t in, out;
    uint8_t got[16];

    gw_answers_init(&answers, &trace);
    assert_int_equal(gw_channel_memory_pair(8, &a, &b, &err), 0);
    gw_channel_set_timeout(a, GW_NS_PER_MS);
    gw_answers_open(&answers, a);
    assert_int_equal(gw_answers_say(&answers, GW_RP_PONG, "1234", 4, &err), 0);
    assert_int_equal(gw_answers_say(&answers, GW_RP_PONG, "5678", 4, &err), -ETIMEDOUT);
    assert_int_equal(gw_channel_read_full(b, got, 8, &err), 0);
    assert_int_equal(gw_answers_say(&answers, GW_RP_PONG, "5678", 4, &err), 0);
    assert_int_equal(gw_channel_read_full(b, got, 4, &err), 0);
    assert_int_equal(gw_answers_say(&answers, GW_RP_PONG, "9abc", 4, &err), -ETIMEDOUT);
    assert_int_equal(gw_channel_read_full(b, got, 8, &err), 0);
    gw_channel_bytes(a, &in, &out);
    assert_int_equal(out, 20);
    err = (struct gw_error)GW_ERROR_INIT;
    assert_int_equal(gw_answers_say(&answers, GW_RP_PONG, "defg", 4, &err), -ETIMEDOUT);
    assert_int_equal(err.code, -ETIMEDOUT);
    gw_channel_bytes(a, &in, &out);
    assert_int_equal(out, 20);
    gw_answers_open(&answers, a); /* another source */
    assert_int_equal(gw_answers_say(&answers, GW_RP_PONG, "defg", 4, &err), 0);
    gw_channel_free(a);
    gw_channel_free(b);
    gw_answers_fini(&answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
