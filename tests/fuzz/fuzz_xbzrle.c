/* SPDX-License-Identifier: MIT
 *
 * Deltas from a peer, and pages that are encoded here. Byte 0 says the size of a page and what follows. Any bytes as a
 * delta are judged as the reference judges them. A list of changes makes a pair of pages, which all variants encode
 * alike and decode takes back.
 */
#include "../unit/ram/codec/xbzrle_reference.h"
#include "ram/codec/xbzrle_delta.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool right)
{
    if (!right)
        abort();
}

/* Exactly as large as it is, so that a sanitizer sees what is outside. */
static uint8_t *room(size_t bytes)
{
    uint8_t *p = malloc(bytes ? bytes : 1);

    must(p);
    return p;
}

static void fill(uint8_t *p, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(i * 7 ^ i >> 8);
}

static void decode(const uint8_t *data, size_t size, uint32_t bytes)
{
    uint8_t *page = room(bytes), *expected = room(bytes), *delta = room(size);
    struct gw_error err = GW_ERROR_INIT;
    bool good;
    int r;

    fill(page, bytes);
    fill(expected, bytes);
    memcpy(delta, data, size);
    good = reference_decode(delta, (uint32_t)size, expected, bytes);
    r = gw_xbzrle_decode(delta, (uint32_t)size, page, bytes, &err);
    FUZZ_VERDICT(r == 0);
    must(r == (good ? 0 : -EPROTO));
    must(good ? memcmp(page, expected, bytes) == 0 : err.blame == GW_BLAME_PEER && err.text[0]);
    free(page);
    free(expected);
    free(delta);
}

static void encode(const uint8_t *data, size_t size, uint32_t bytes)
{
    uint8_t *old = room(bytes), *new = room(bytes), *expected = room(2 * bytes), *page = room(bytes);
    uint32_t limit = bytes, at = 0;
    int64_t want;

    fill(old, bytes);
    fill(new, bytes);
    if (size >= 2) {
        limit = data[0] & 1 ? (uint32_t)(data[0] << 8 | data[1]) : bytes;
        data += 2;
        size -= 2;
    }
    /* Pairs of: how far on, how many bytes are changed. */
    for (; size >= 2; data += 2, size -= 2) {
        at += data[0] < 240 ? data[0] : (uint32_t)(data[0] - 239) * 300;
        for (uint32_t n = data[1] < 240 ? data[1] : (uint32_t)(data[1] - 239) * 300; n && at < bytes; n--, at++)
            new[at] ^= (uint8_t)(at * 13 | 1);
    }
    want = reference_encode(old, new, bytes, expected);
    if (want > GW_MIN(limit, 65535u))
        want = -1;
    for (unsigned v = 0; gw_xbzrle_variant(v); v++) {
        uint8_t *out = room(GW_MIN(limit, 65535u));
        int n = gw_xbzrle_variant(v)->encode(old, new, bytes, out, limit);

        must(n == (want < 0 ? GW_XBZRLE_OVERFLOW : (int)want));
        must(n <= 0 || memcmp(out, expected, (size_t)n) == 0);
        if (n > 0 && (uint32_t)n <= bytes) {
            memcpy(page, old, bytes);
            must(gw_xbzrle_decode(out, (uint32_t)n, page, bytes, NULL) == 0);
            must(memcmp(page, new, bytes) == 0);
        }
        free(out);
    }
    free(old);
    free(new);
    free(expected);
    free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t bytes;

    if (!size || size > GW_XBZRLE_PAGE_MAX)
        return 0;
    bytes = GW_XBZRLE_PAGE_MIN << (data[0] >> 1) % 7;
    if (data[0] & 1)
        encode(data + 1, size - 1, bytes);
    else
        decode(data + 1, size - 1, bytes);
    return 0;
}
