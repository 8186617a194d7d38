/* SPDX-License-Identifier: MIT */
#include "engine/answers.h"

#include <endian.h>

#include "base/bitmap.h"
#include "wire/answer.h"
#include "wire/numbers.h"

void gw_answers_init(struct gw_answers *a, const struct gw_trace *trace)
{
    *a = (struct gw_answers){.trace = trace};
    pthread_mutex_init(&a->lock, NULL);
}

void gw_answers_fini(struct gw_answers *a)
{
    pthread_mutex_destroy(&a->lock);
}

void gw_answers_open(struct gw_answers *a, struct gw_channel *channel)
{
    pthread_mutex_lock(&a->lock);
    a->channel = channel;
    a->broken = (struct gw_error)GW_ERROR_INIT;
    pthread_mutex_unlock(&a->lock);
}

/* Under the lock. */
static int put(struct gw_answers *a, const uint8_t *message, size_t bytes, struct gw_error *err)
{
    struct gw_error error = GW_ERROR_INIT;
    uint64_t in, before, after;
    int r = a->broken.code;

    if (!r) {
        gw_channel_bytes(a->channel, &in, &before);
        r = gw_channel_write_full(a->channel, message, bytes, &error);
        gw_channel_bytes(a->channel, &in, &after);
        if (r < 0 && after != before) {
            a->broken = error;
            a->broken.code = r;
        }
    } else {
        error = a->broken;
    }
    if (r < 0 && err)
        *err = error;
    return r;
}

int gw_answers_say(struct gw_answers *a, uint16_t type, const void *body, size_t bytes, struct gw_error *err)
{
    const struct gw_wire_name *what = gw_wire_rp(type);
    uint8_t message[GW_ANSWER_HEAD_BYTES + GW_RP_MAX_BYTES];
    struct gw_out out;
    int r = 0;

    if (!what || bytes > GW_RP_MAX_BYTES || (what->bytes >= 0 ? bytes != (size_t)what->bytes : bytes < 1))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "return path: a message of type 0x%04x cannot have a body of %zu "
                       "bytes", type, bytes);
    gw_out_fixed(&out, message, sizeof message);
    gw_answer_put(&out, type, body, (uint16_t)bytes);
    pthread_mutex_lock(&a->lock);
    if (a->channel) {
        gw_trace_answer_put(a->trace, what->name);
        r = put(a, message, GW_ANSWER_HEAD_BYTES + bytes, err);
    }
    pthread_mutex_unlock(&a->lock);
    return r;
}

int gw_answers_map(struct gw_answers *a, const char *block, const uint64_t *map, uint64_t pages, struct gw_error *err)
{
    size_t words = gw_bitmap_words(pages), bytes, n = strlen(block);
    const uint8_t *message;
    uint8_t body[256];
    struct gw_out out;
    int r;

    body[0] = (uint8_t)n;
    memcpy(body + 1, block, n);
    gw_out_memory(&out);
    gw_answer_put(&out, GW_RP_RECV_BITMAP, body, (uint16_t)(1 + n));
    gw_put_u64(&out, words * 8);
    for (size_t i = 0; i < words; i++)
        gw_put_bytes(&out, &(uint64_t){htole64(map[i])}, 8);
    gw_put_u64(&out, GW_RECV_BITMAP_END);
    r = gw_out_error(&out, err);
    message = gw_out_data(&out, &bytes);
    pthread_mutex_lock(&a->lock);
    if (r >= 0 && a->channel) {
        gw_trace_answer_put(a->trace, "RECV_BITMAP");
        r = put(a, message, bytes, err);
    }
    pthread_mutex_unlock(&a->lock);
    gw_out_free(&out);
    return r;
}
