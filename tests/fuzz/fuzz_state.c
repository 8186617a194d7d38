/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the body of a device that has every kind of field; or a good body in which any bytes are changed (the
 * input says which ones), cut or made longer. Refused: nothing of the device changed. Taken: what is saved then can be
 * loaded again and is the same.
 */
#include "state/codec.h"
#include "verdict.h"
#include "zoo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *save(struct zoo *z, size_t *ret_bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_writer w;

    if (gw_writer_init_memory(&w, &err) < 0 || gw_state_encode(&zoo_state, z, &w, NULL, &err) < 0)
        abort();
    return gw_writer_take(&w, ret_bytes);
}

static void again(struct zoo *z, unsigned shape)
{
    struct gw_error err = GW_ERROR_INIT;
    struct zoo *other = zoo_make(99, shape);
    size_t bytes, other_bytes;
    uint8_t *body, *other_body;
    struct gw_reader r;

    other->limit = z->limit;
    other->has_sub = z->has_sub;
    other->has_sub2 = z->has_sub2;
    other->has_deep = z->has_deep;
    z->cage.bits = other->cage.bits = z->far_cage->bits = other->far_cage->bits = 0;
    for (int i = 0; i < 5; i++)
        z->cages_n[i].bits = other->cages_n[i].bits = 0;
    for (int i = 0; i < 4; i++)
        if (z->maybe[i])
            z->maybe[i]->bits = other->maybe[i]->bits = 0;
    body = save(z, &bytes);
    gw_reader_init_memory(&r, body, bytes, 0);
    if (gw_state_decode(&zoo_state, 3, other, &r, &err) < 0 || gw_reader_buffered(&r))
        abort();
    other_body = save(other, &other_bytes);
    if (bytes != other_bytes || memcmp(body, other_body, bytes) != 0)
        abort();
    free(body);
    free(other_body);
    zoo_free(other);
}

/* A good body with changes: seed, length change, then (offset, value) of two bytes and one. */
static uint8_t *patched(const uint8_t *data, size_t size, unsigned shape, size_t *ret_bytes)
{
    struct zoo *z = zoo_make(data[0], shape);
    size_t bytes, wanted;
    uint8_t *body = save(z, &bytes);

    zoo_free(z);
    wanted = data[1] < 128 ? bytes + data[1] : bytes - GW_MIN(bytes, (size_t)(data[1] - 127));
    body = realloc(body, wanted + 1);
    if (wanted > bytes)
        memset(body + bytes, data[1], wanted - bytes);
    for (size_t i = 2; i + 3 <= size && wanted; i += 3)
        body[(data[i] * 256u + data[i + 1]) % wanted] = data[i + 2];
    *ret_bytes = wanted;
    return body;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t before[ZOO_IMAGE], after[ZOO_IMAGE];
    struct gw_error err = GW_ERROR_INIT;
    uint8_t *body = NULL;
    size_t n, bytes = size;
    unsigned shape;
    struct gw_reader r;
    struct zoo *z;

    if (size < 3)
        return 0;
    shape = data[0] & 15;
    if (data[0] & 32)
        body = patched(data + 1, size - 1, shape, &bytes);
    z = zoo_make(7, shape);
    n = zoo_image(z, before);
    gw_reader_init_memory(&r, body ? body : data + 1, body ? bytes : size - 1, 0);
    if (gw_state_decode(&zoo_state, data[0] & 16 ? 2 : 3, z, &r, &err) < 0) {
        FUZZ_VERDICT(false);
        if (zoo_image(z, after) != n || memcmp(before, after, n) != 0 || !err.text[0])
            abort();
    } else {
        FUZZ_VERDICT(true);
        again(z, shape);
    }
    zoo_free(z);
    free(body);
    return 0;
}
