/* SPDX-License-Identifier: MIT
 *
 * The file of a working set: whatever the bytes are, what is taken lies inside its blocks, and goes there and back. The checksum
 * is made right first: a fuzzer does not find it.
 */
#include "base/crc32c.h"
#include "base/endian.h"
#include "ram/source/working_set.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool right)
{
    if (!right)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_working_set *set = NULL, *again = NULL;
    uint8_t *copy = malloc(size + 1);
    struct gw_error err = GW_ERROR_INIT;
    struct gw_out out;
    size_t bytes;
    int r;

    must(copy && gw_working_set_new(&set, NULL) >= 0 && gw_working_set_new(&again, NULL) >= 0);
    if (size)
        memcpy(copy, data, size);
    if (size >= 4)
        gw_store_be32(copy + size - 4, gw_crc32c(0, copy, size - 4));
    r = gw_working_set_get(set, copy, size, &err);
    FUZZ_VERDICT(r == 0);
    must(r == 0 || (r == -EPROTO && err.blame == GW_BLAME_PEER && err.text[0]));
    for (size_t i = 0; i < set->run_count; i++)
        must(set->runs[i].count && set->runs[i].block < set->block_count &&
             set->runs[i].first < set->blocks[set->runs[i].block].pages &&
             set->runs[i].count <= set->blocks[set->runs[i].block].pages - set->runs[i].first);
    if (r == 0) {
        const uint8_t *put;

        gw_out_memory(&out);
        gw_working_set_put(set, &out);
        put = gw_out_data(&out, &bytes);
        must(gw_working_set_get(again, put, bytes, NULL) == 0 && again->run_count == set->run_count);
        gw_out_free(&out);
    }
    gw_working_set_free(set);
    gw_working_set_free(again);
    free(copy);
    return 0;
}
