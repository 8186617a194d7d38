/* SPDX-License-Identifier: MIT
 *
 * The answering side of a probe, told everything that a peer may say; and the messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "base/endian.h"
#include "channel/reader.h"
#include "engine/probe.h"
#include "wire/numbers.h"
#include "wire/probe.h"

struct answering {
    struct gw_channel *channel;
    int result;
    struct gw_error err;
};

static void *answer(void *arg)
{
    struct answering *a = arg;
    struct gw_reader reader;

    a->err = (struct gw_error)GW_ERROR_INIT;
    a->result = gw_reader_init(&reader, a->channel, &a->err);
    reader.readahead = 0;
    if (a->result >= 0)
        a->result = gw_probe_answer(a->channel, &reader, &a->err);
    gw_reader_close(&reader);
    gw_channel_free(a->channel); /* whoever reads learns that there is no more */
    return NULL;
}

/* Says `bytes` and ends its side; returns what came back. */
static size_t talk(const uint8_t *say, size_t bytes, uint8_t *back, size_t room, struct answering *ret)
{
    struct gw_channel *ours;
    pthread_t thread;
    size_t got = 0;

    assert_int_equal(gw_channel_memory_pair(1u << 24, &ours, &ret->channel, NULL), 0);
    gw_channel_write_full(ours, say, bytes, NULL);
    assert_int_equal(pthread_create(&thread, NULL, answer, ret), 0);
    gw_channel_set_timeout(ours, 100 * GW_NS_PER_MS);
    while (got < room && gw_channel_read_full(ours, back + got, 1, NULL) >= 0)
        got++;
    gw_channel_free(ours);
    pthread_join(thread, NULL);
    return got;
}

/* HELLO, so many frames, the end. Returns the length. */
static size_t probe(uint8_t *say, unsigned frames)
{
    size_t at = GW_PROBE_HELLO_BYTES;

    gw_probe_hello_put(say, 0);
    for (unsigned i = 0; i < frames; i++, at += 4 + GW_PROBE_FRAME) {
        gw_store_be32(say + at, 1);
        memset(say + at + 4, 7, GW_PROBE_FRAME);
    }
    gw_store_be32(say + at, 0);
    return at + 4;
}

static void test_frames_are_timed(void **state)
{
    uint8_t *say = malloc(10 * (GW_PROBE_FRAME + 4)), back[256];
    size_t n = probe(say, 3);
    struct answering a;
    uint32_t most;

    assert_int_equal(talk(say, n, back, sizeof back, &a), GW_PROBE_HELLO_BYTES + GW_PROBE_RESULT_HEAD + 3 * 8);
    assert_int_equal(a.result, 0);
    assert_int_equal(gw_probe_hello_get(back, &most, NULL), 0);
    assert_int_equal(most, GW_PROBE_FRAMES);
    assert_int_equal(gw_probe_result_get(back + GW_PROBE_HELLO_BYTES, 3, NULL), 0);
    assert_int_equal(gw_probe_result_get(back + GW_PROBE_HELLO_BYTES, 4, NULL), -EPROTO);
    assert_true(gw_load_be64(back + GW_PROBE_HELLO_BYTES + 8) <= gw_load_be64(back + GW_PROBE_HELLO_BYTES + 16));
    free(say);
}

static void test_no_frames(void **state)
{
    uint8_t say[64], back[64];
    struct answering a;

    assert_int_equal(talk(say, probe(say, 0), back, sizeof back, &a), GW_PROBE_HELLO_BYTES + GW_PROBE_RESULT_HEAD);
    assert_int_equal(a.result, 0);
}

/* Everywhere that the peer may go away. */
static void test_cut(void **state)
{
    uint8_t *say = malloc(3 * (GW_PROBE_FRAME + 4)), back[256];
    size_t n = probe(say, 1), cuts[] = {0, 3, 4, 15, 16, 17, 19, 20, 21, 20 + GW_PROBE_FRAME - 1, 20 + GW_PROBE_FRAME, n - 1};
    struct answering a;

    for (unsigned i = 0; i < GW_ARRAY_LEN(cuts); i++) {
        talk(say, cuts[i], back, sizeof back, &a);
        assert_true(a.result < 0);
    }
    free(say);
}

static void test_nonsense(void **state)
{
    uint8_t *say = calloc(1, 4 * (GW_PROBE_FRAME + 4)), back[256];
    struct answering a;
    size_t n = probe(say, 1);

    gw_store_be32(say + 4, 2); /* version */
    assert_int_equal(talk(say, n, back, sizeof back, &a), 0);
    assert_int_equal(a.result, -EPROTO);
    assert_string_equal(a.err.text, "version 2 of the probe of a link is not known, only 1");
    n = probe(say, 1);
    gw_store_be32(say + GW_PROBE_HELLO_BYTES, 2); /* neither a frame nor the end */
    talk(say, n, back, sizeof back, &a);
    assert_int_equal(a.result, -EPROTO);
    free(say);
}

/* One more than was said to be taken. */
static void test_too_many(void **state)
{
    size_t n = GW_PROBE_HELLO_BYTES + (size_t)(GW_PROBE_FRAMES + 1) * (4 + GW_PROBE_FRAME) + 4;
    uint8_t *say = malloc(n), back[64];
    struct gw_channel *ours;
    struct answering a;
    pthread_t thread;

    assert_int_equal(probe(say, GW_PROBE_FRAMES + 1), n);
    assert_int_equal(gw_channel_memory_pair(1u << 20, &ours, &a.channel, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer, &a), 0);
    gw_channel_write_full(ours, say, n, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(a.result, -EPROTO);
    assert_true(gw_channel_read_full(ours, back, GW_PROBE_HELLO_BYTES + 1, NULL) < 0);
    gw_channel_free(ours);
    free(say);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_are_timed), cmocka_unit_test(test_no_frames), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_nonsense),         cmocka_unit_test(test_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
