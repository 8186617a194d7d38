/* SPDX-License-Identifier: MIT */
#include "engine/probe.h"

#include <math.h>
#include <sys/mman.h>

#include "base/endian.h"
#include "channel/reader.h"
#include "godwit/clock.h"
#include "godwit/survey.h"
#include "wire/numbers.h"
#include "wire/probe.h"

#define PROBE_NS   (20 * GW_NS_PER_MS)
#define TIMEOUT_NS GW_NS_PER_S
#define STRETCHES  8u /* the time is divided into so many parts, to see how the speed varies */
#define FRESH      (1u << 20)

static uint64_t now(void)
{
    return gw_now_ns(&gw_clock_real);
}

/* ---- the answering side ------------------------------------------------------------------------------------------ */

/* Reads into memory that is new after each MiB, like the pages of a migration. */
static int take_frame(struct gw_channel *ch, uint8_t *memory, unsigned i, struct gw_error *err)
{
    size_t at = (size_t)i * GW_PROBE_FRAME % FRESH;

    if (!at)
        madvise(memory, FRESH, MADV_DONTNEED);
    return gw_channel_read_full(ch, memory + at, GW_PROBE_FRAME, err);
}

static int take_frames(struct gw_channel *ch, uint8_t *memory, uint8_t *result, uint32_t *ret_count, struct gw_error *err)
{
    uint64_t began = now();
    uint8_t word[4];

    for (unsigned i = 0;; i++) {
        int r = gw_channel_read_full(ch, word, sizeof word, err);

        if (r < 0)
            return r;
        if (!gw_load_be32(word)) {
            *ret_count = i;
            return 0;
        }
        if (gw_load_be32(word) != 1 || i == GW_PROBE_FRAMES)
            return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a probe of the link: frame %u begins with 0x%08x", i, gw_load_be32(word));
        r = take_frame(ch, memory, i, err);
        if (r < 0)
            return r;
        gw_store_be64(result + GW_PROBE_RESULT_HEAD + 8 * (size_t)i, now() - began);
    }
}

int gw_probe_answer(struct gw_channel *channel, struct gw_reader *reader, struct gw_error *err)
{
    size_t most = GW_PROBE_RESULT_HEAD + 8 * GW_PROBE_FRAMES;
    GW_AUTOFREE uint8_t *result = malloc(most);
    uint8_t ready[GW_PROBE_HELLO_BYTES], *memory;
    const uint8_t *hello;
    uint32_t count = 0;
    int r = result ? gw_reader_need(reader, GW_PROBE_HELLO_BYTES, &hello, err) : gw_nomem(err, "a probe of the link");

    if (r >= 0)
        r = gw_probe_hello_get(hello, &count, err);
    if (r < 0)
        return r;
    memory = mmap(NULL, FRESH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return gw_nomem(err, "a probe of the link");
    gw_probe_hello_put(ready, GW_PROBE_FRAMES);
    r = gw_channel_write_full(channel, ready, sizeof ready, err);
    if (r >= 0)
        r = take_frames(channel, memory, result, &count, err);
    munmap(memory, FRESH);
    if (r < 0)
        return r;
    gw_probe_result_put(result, count);
    return gw_channel_write_full(channel, result, GW_PROBE_RESULT_HEAD + 8 * (size_t)count, err);
}

/* ---- the asking side --------------------------------------------------------------------------------------------- */

static int greet(struct gw_channel *ch, uint32_t *ret_most, uint64_t *ret_rtt_ns, struct gw_error *err)
{
    uint8_t hello[GW_PROBE_HELLO_BYTES];
    uint64_t t = now();
    int r;

    gw_probe_hello_put(hello, 0);
    r = gw_channel_write_full(ch, hello, sizeof hello, err);
    if (r >= 0)
        r = gw_channel_read_full(ch, hello, sizeof hello, err);
    if (r < 0)
        return r;
    *ret_rtt_ns = now() - t;
    return gw_probe_hello_get(hello, ret_most, err);
}

/* Sends frames for PROBE_NS. */
static int send_frames(struct gw_channel *ch, uint32_t most, uint32_t *ret_count, struct gw_error *err)
{
    size_t bytes = 4 + GW_PROBE_FRAME;
    GW_AUTOFREE uint8_t *frame = malloc(bytes);
    uint64_t end = now() + PROBE_NS;
    uint32_t n = 0;
    int r = 0;

    if (!frame)
        return gw_nomem(err, "a probe of the link");
    memset(frame, 0x5a, bytes);
    gw_store_be32(frame, 1);
    most = GW_MIN(most, GW_PROBE_FRAMES);
    /* At least two: the time of the first is where the second begins. */
    for (; r >= 0 && n < most && (n < 2 || now() < end); n++)
        r = gw_channel_write_full(ch, frame, bytes, err);
    if (r < 0)
        return r;
    gw_store_be32(frame, 0);
    *ret_count = n;
    return gw_channel_write_full(ch, frame, 4, err);
}

static int hear_result(struct gw_channel *ch, uint32_t count, uint64_t *at_ns, struct gw_error *err)
{
    uint8_t head[GW_PROBE_RESULT_HEAD], word[8];
    int r = gw_channel_read_full(ch, head, sizeof head, err);

    if (r >= 0)
        r = gw_probe_result_get(head, count, err);
    for (uint32_t i = 0; r >= 0 && i < count; i++) {
        r = gw_channel_read_full(ch, word, sizeof word, err);
        at_ns[i] = gw_load_be64(word);
        if (r >= 0 && i && at_ns[i] < at_ns[i - 1])
            r = gw_fail(err, -EPROTO, GW_BLAME_PEER, "a probe of the link: frame %u is said to have arrived before the one ahead "
                        "of it", i);
    }
    return r;
}

/* Computes the speed and how much it varies, without the first quarter, in which a connection is still speeding up. */
static int judge(const uint64_t *at_ns, uint32_t count, uint64_t *ret_bytes_per_s, double *ret_error, struct gw_error *err)
{
    uint32_t first = count / 4, step = GW_MAX((count - 1 - first) / STRETCHES, 1u), n = 0;
    double sum = 0, squares = 0, mean, variance;
    uint64_t ns = count > 1 ? at_ns[count - 1] - at_ns[first] : 0;

    if (!ns || count < 2)
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "a probe of the link took no time at all");
    for (uint32_t i = first; i + step < count; i += step, n++) {
        double per_s = (double)step * GW_PROBE_FRAME / ((double)GW_MAX(at_ns[i + step] - at_ns[i], 1u) / 1e9);

        sum += per_s;
        squares += per_s * per_s;
    }
    mean = sum / n;
    variance = GW_MAX(squares / n - mean * mean, 0.0);
    *ret_bytes_per_s = (uint64_t)((double)(count - 1 - first) * GW_PROBE_FRAME / ((double)ns / 1e9));
    /* The error is at least 5 %: so short a measurement says little about minutes, however steady it was. */
    *ret_error = GW_MIN(0.05 + (n > 1 ? sqrt(variance / n) / mean : 0.2), 0.5);
    return 0;
}

static int measure(struct gw_channel *ch, uint64_t *ret_bytes_per_s, double *ret_error, uint64_t *ret_rtt_ns, struct gw_error *err)
{
    GW_AUTOFREE uint64_t *at_ns = calloc(GW_PROBE_FRAMES, sizeof *at_ns);
    uint32_t count = 0;
    int r = at_ns ? greet(ch, &count, ret_rtt_ns, err) : gw_nomem(err, "a probe of the link");

    if (r >= 0)
        r = send_frames(ch, count, &count, err);
    if (r >= 0)
        r = hear_result(ch, count, at_ns, err);
    return r < 0 ? r : judge(at_ns, count, ret_bytes_per_s, ret_error, err);
}

int gw_link_probe(const char *uri, struct gw_cancel *cancel, uint64_t *ret_bytes_per_s, double *ret_error,
                  uint64_t *ret_round_trip_ns, struct gw_error *err)
{
    struct gw_channel *ch = NULL;
    struct gw_uri address;
    int r = gw_uri_parse(uri, &address, err);

    if (r < 0)
        return r;
    if (address.kind != GW_URI_TCP && address.kind != GW_URI_UNIX && address.kind != GW_URI_VSOCK)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a link can be measured to tcp:, unix: and vsock: addresses only");
    r = gw_connect(&address, TIMEOUT_NS, cancel, &ch, err);
    if (r < 0)
        return r;
    r = measure(ch, ret_bytes_per_s, ret_error, ret_round_trip_ns, err);
    gw_channel_free(ch);
    return r;
}
